"""Response, black level and exposures of a clip together, from its first frames."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from model.analysis.brightness import FrameLight, LightMeter
from model.analysis.camera import (
    CameraEstimate,
    Shot,
    estimate_camera,
    exposure_keys,
    exposures_of_camera,
    find_black,
    generic_curve,
    look_linear,
)
from model.analysis.code_matches import paired_histograms
from model.analysis.flicker import measure_correction
from model.analysis.response import one_thread, response_and_exposures, response_from_frames
from model.exposure import ExposureCycle, FrameExposures
from model.response import ResponseCurve, gamma_curve

# Shutter times of the pictures in seconds, nominal ones as the powers of two that they are.
ROOM = {"exp_5": 2**-10, "exp_4": 2**-7, "exp_3": 2**-5, "exp_2": 2**-3, "exp_1": 2**-1}


def clip(curve: ResponseCurve, exposures: Sequence[float], *, noise: float = 1e-3, seed: int = 0) -> list[Shot]:
    """A panning camera over patches of nine stops; the longest exposure clips a twentieth."""
    generator = torch.Generator().manual_seed(seed)
    light = 2.0 ** (-9 * torch.rand(3, 20, 44, generator=generator)).repeat_interleave(6, 1).repeat_interleave(6, 2)
    light = 1.3 * light / max(exposures)
    shots = []
    for index, exposure in enumerate(exposures):
        view = light[:, :, 4 * index : 4 * index + 180] * exposure
        noisy = view + noise * torch.randn(view.shape, generator=generator) * (view + 1e-3).sqrt()
        codes = curve.encode(noisy.clamp(0, 1)).mul(255).round() / 255
        shots.append(Shot(codes, Fraction(index, 24)))
    return shots


def light_of(shots: Sequence[Shot], curve: ResponseCurve) -> list[FrameLight]:
    meter = LightMeter()
    return [meter.measure(curve.to_ldr(shot.image), shot.time) for shot in shots]


def test_gamma_clips_keep_their_curve_and_what_brightness_says() -> None:
    shots = clip(gamma_curve(), [1.0, 6.3] * 6)
    camera = estimate_camera(shots, exposures=None)
    assert camera.curve == gamma_curve()
    assert camera.exposures is None
    found, usable = exposures_of_camera(light_of(shots, camera.curve), camera)
    assert usable
    assert found.exposures.ratios == pytest.approx((1, 6.3), rel=0.02)


@pytest.mark.parametrize("exposures", [[16.0, 1.0] * 6, [1.0, 4.0, 16.0] * 4])
def test_contrasty_clips_are_explained(exposures: list[float]) -> None:
    shots = clip(generic_curve(), exposures)
    camera = estimate_camera(shots, exposures=None)
    assert camera.curve.name == "auto"
    found, usable = exposures_of_camera(light_of(shots, camera.curve), camera)
    assert usable
    assert [found.exposures[index] for index in range(12)] == pytest.approx(exposures, rel=0.1)


def test_a_missing_frame_does_not_mix_exposures() -> None:
    exposures = [1.0, 16.0] * 3 + [16.0, 1.0] * 3
    shots = clip(generic_curve(), exposures)
    assert exposure_keys(shots, FrameExposures(ExposureCycle((1.0, 16.0)))) == exposures
    camera = estimate_camera(shots, exposures=None)
    found, _ = exposures_of_camera(light_of(shots, camera.curve), camera)
    assert [found.exposures[index] for index in range(12)] == pytest.approx(exposures, rel=0.1)


def test_exposures_that_change_are_not_usable() -> None:
    shots = clip(generic_curve(), [1.0, 16.0] * 4 + [1.0, 4.0] * 4)
    camera = estimate_camera(shots, exposures=None)
    assert not exposures_of_camera(light_of(shots, camera.curve), camera)[1]


def test_threads_are_as_before() -> None:
    before = torch.get_num_threads()
    with pytest.raises(ZeroDivisionError), one_thread():
        assert torch.get_num_threads() == 1
        _ = 1 / 0
    assert torch.get_num_threads() == before


def test_what_does_not_alternate_says_nothing() -> None:
    assert estimate_camera(clip(generic_curve(), [4.0] * 8), exposures=None) == CameraEstimate(gamma_curve())


def test_nothing_in_common_says_nothing() -> None:
    shots = [Shot(torch.full((3, 24, 32), code / 255), Fraction(0)) for code in (5, 250) * 4]
    assert estimate_camera(shots, exposures=None) == CameraEstimate(gamma_curve())
    assert find_black(shots, exposures=None) == (0, 0, 0)


def test_steps_that_differ_over_brightness_correct_nothing() -> None:
    """Noise in crushed blacks, or another response: 16 said and true, gamma 2.2 would have it otherwise."""
    shots, said = clip(generic_curve(), [1.0, 16.0] * 6), [1.0, 16.0] * 6
    assert not measure_correction(light_of(shots, gamma_curve()), said).plausible
    camera = estimate_camera(shots, exposures=FrameExposures(ExposureCycle((1.0, 16.0))))
    corrected = measure_correction(light_of(shots, camera.curve), said)
    assert abs(corrected.stops[16.0]) < 0.06
    slightly = measure_correction(light_of(clip(gamma_curve(), [1.0, 8.8] * 6), gamma_curve()), [1.0, 8.0] * 6)
    assert slightly.plausible
    assert slightly.corrected(8.0) == pytest.approx(8.8, rel=0.02)


def read(path: Path) -> torch.Tensor:
    """Codes of a picture, 0..1, (3, H, W)."""
    with av.open(str(path)) as container:
        pixels = next(container.decode(video=0)).to_ndarray(format="rgb24")
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1))).float() / 255


@pytest.mark.parametrize(("short", "long"), [("exp_4", "exp_3"), ("exp_4", "exp_2"), ("exp_3", "exp_1")])
def test_brackets_of_a_real_camera(shared: Path, short: str, long: str) -> None:
    """Two pictures of a room, from which gamma 2.2 makes ratios of 10, 81 and 48 where 4, 16 and 16 are true."""
    frames = [read(shared / "data" / "test" / "brackets" / "room" / f"{name}.jpg") for name in (short, long)] * 2
    true = ROOM[long] / ROOM[short]
    found = response_and_exposures(paired_histograms(frames, [0.0, 1.0] * 2))
    assert found.exposures[1] == pytest.approx(true, rel=0.15)
    told = response_from_frames(frames, [1.0, true] * 2)
    # Light at codes 16, 64 and 192, relative to that at 128, as Debevec's method finds it in all seven pictures.
    codes = torch.tensor([16, 64, 192, 128]).expand(3, 1, 4) / 255
    light = told.curve.linearize(codes)[0, 0]
    off = (light[:3] / light[3]).log2() - (torch.tensor([0.0108, 0.0527, 0.3336]) / 0.1427).log2()
    assert off.abs().max() < 0.6
    assert abs(off[2]) < 0.2


@pytest.mark.parametrize("given", [True, False])
def test_contrast_that_compression_takes_from_dark_texture_is_no_curve(given: bool) -> None:
    def filmed(exposure: float, seed: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed(seed)
        coarse = 2.0 ** (2 * torch.randn(3, 10, 16, generator=torch.Generator().manual_seed(0)))
        fine = 2.0 ** torch.randn(3, 80, 128, generator=torch.Generator().manual_seed(1))
        light = 0.02 * coarse.repeat_interleave(8, 1).repeat_interleave(8, 2) * fine * exposure
        code = (light + 5e-4 * torch.randn(light.shape, generator=generator)).clamp(0, 1) ** (1 / 2.2)
        blurred = torch.nn.functional.avg_pool2d(code.clamp(0, 1) ** 2.2, 5, 1, 2, count_include_pad=False) ** (1 / 2.2)
        return torch.where(code.amax(0) < 0.25, blurred, code)

    shots = [Shot(filmed((1.0, 8.0)[k % 2], k), Fraction(k, 24)) for k in range(16)]
    exposures = FrameExposures(ExposureCycle((1.0, 8.0))) if given else None
    found = estimate_camera(shots, exposures=exposures)
    assert found.curve.name == "gamma2.2"
    assert found.exposures is None  # so that brightness says them


@pytest.mark.parametrize(
    ("power", "exposures", "linear"),
    [(1.0, (1.0, 8.0), True), (1.0, (1.0, 4.0, 16.0), True), (2.2, (1.0, 8.0), False), (2.2, (1.0, 4.0, 16.0), False)],
)
def test_linear_codes_are_told_by_the_stops_that_cameras_are_set_to(
    power: float, exposures: tuple[float, ...], linear: bool
) -> None:
    generator = torch.Generator().manual_seed(0)
    light = 2.0 ** (-9 * torch.rand(3, 20, 32, generator=generator)).repeat_interleave(6, 1).repeat_interleave(6, 2)
    shots = []
    for index, exposure in enumerate(exposures * 4):
        noisy = 1.3 * light * exposure / max(exposures) + 2e-4 * torch.randn(light.shape, generator=generator)
        shots.append(Shot(noisy.clamp(0, 1) ** (1 / power), Fraction(index, 24)))
    assert look_linear(shots) == linear
