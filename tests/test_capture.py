import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from model.analysis.camera_curves import GENERIC, CameraCurve
from model.exposure import GAMMA_8_BIT
from model.response import gamma_curve, table_curve
from train.data.images import Pixels
from train.data.videos import pyav_available
from train.sampling_config import GuidedSampling
from train.synthesis.capture import (
    CameraCodes,
    Capture,
    draw_capture,
    draw_codes,
    expose,
    exposure_gain,
    h264_passed,
    jpeg_passed,
    leaning,
)


@pytest.mark.parametrize("exposure", [1.0, 8.0])
@pytest.mark.parametrize("signal", [0.05, 0.5])
def test_noise_has_the_stated_variance(signal: float, exposure: float) -> None:
    capture = Capture(shot=3e-4, read=2e-3, bits=0)
    radiance = np.full((1, 400, 400, 3), signal / exposure, np.float32)
    taken = expose(radiance, [exposure], capture=capture, rng=np.random.default_rng(1)).astype(np.float64) ** 2.2
    # 480,000 draws: the standard error of a variance is 0.2 %, of the mean 0.002 of a deviation
    assert taken.var() == pytest.approx(3e-4 * signal + 2e-3**2, rel=0.01)
    assert taken.mean() == pytest.approx(signal, abs=0.01 * taken.std())


def test_radiance_is_left_as_it_was() -> None:
    radiance = np.full((2, 4, 4, 3), 0.1, np.float32)
    expose(radiance, [1, 4], capture=Capture(shot=1e-4, read=1e-3), rng=np.random.default_rng(0))
    assert (radiance == np.float32(0.1)).all()


@pytest.mark.parametrize("bits", [8, 10])
def test_pictures_have_whole_code_values(bits: int) -> None:
    radiance = np.random.default_rng(0).random((1, 8, 8, 3), np.float32)
    codes = expose(radiance, [1], capture=Capture(bits=bits), rng=np.random.default_rng(0)) * (2**bits - 1)
    assert np.abs(codes - np.rint(codes)).max() < 1e-3
    assert len(np.unique(np.rint(codes))) > 50


def test_errors_of_response_and_ratio_reach_the_picture() -> None:
    radiance = np.full((2, 2, 2, 3), 0.1, np.float32)
    capture = Capture(gamma=2.3, ratio_errors=((4.0, 1.05),), bits=0)
    taken = expose(radiance, [1, 4], capture=capture, rng=np.random.default_rng(0))
    np.testing.assert_allclose(taken[0], 0.1 ** (1 / 2.3), rtol=1e-5)
    np.testing.assert_allclose(taken[1], 0.42 ** (1 / 2.3), rtol=1e-5)


def test_compression_loses_little_and_keeps_the_order_of_colors() -> None:
    radiance = np.zeros((1, 32, 32, 3), np.float32) + np.array([0.8, 0.2, 0.05], np.float32)
    plain, packed = (
        expose(radiance, [1], capture=Capture(jpeg_quality=quality), rng=np.random.default_rng(0))
        for quality in (None, 90)
    )
    assert 0 < np.abs(plain - packed).max() < 0.03


def test_video_compression_reaches_the_picture_and_jpeg_stands_in_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    radiance = np.random.default_rng(1).random((4, 32, 32, 3), np.float32)
    exposures = [1.0, 4.0, 1.0, 4.0]

    def taken(capture: Capture) -> Pixels:
        return expose(radiance, exposures, capture=capture, rng=np.random.default_rng(0))

    video, still = taken(Capture(h264_crf=24)), taken(Capture(jpeg_quality=70))
    assert 0.001 < np.abs(video - taken(Capture())).mean() < 0.2
    monkeypatch.setitem(sys.modules, "av", None)
    assert (taken(Capture(h264_crf=24)) == still).all()


def test_compression_may_depend_on_the_exposure() -> None:
    radiance = np.random.default_rng(1).random((2, 32, 32, 3), np.float32) ** 4
    even, sloped = (
        expose(radiance, [1, 16], capture=Capture(jpeg_quality=70, jpeg_slope=slope), rng=np.random.default_rng(0))
        for slope in (0.0, 5.0)
    )
    plain = expose(radiance, [1, 16], capture=Capture(), rng=np.random.default_rng(0))
    before, after = (np.abs(passed - plain).mean((1, 2, 3)) for passed in (even, sloped))
    assert after[0] > before[0] and after[1] < before[1]


def test_gain_lets_the_stated_shares_clip() -> None:
    radiance = np.random.default_rng(0).lognormal(0, 2, (300, 300, 3)).astype(np.float32)
    brightest = radiance.max(2)
    by_long = exposure_gain(radiance, 4, long_clips=0.3, short_clips=0.2)
    assert (brightest * by_long * 4 > 1).mean() == pytest.approx(0.3, abs=0.02)
    by_short = exposure_gain(radiance, 16, long_clips=0.9, short_clips=0.02)
    assert (brightest * by_short > 1).mean() == pytest.approx(0.02, abs=0.005)
    bright_enough = exposure_gain(radiance, 4, long_clips=0.01, short_clips=0.01, darkest=0.5)
    assert np.median(brightest * bright_enough * 4) == pytest.approx(0.5, rel=0.05)


def _compresses(capture: Capture) -> bool:
    return capture.jpeg_quality is not None or capture.h264_crf is not None


def test_drawn_cameras_stay_in_their_ranges_and_differ() -> None:
    rng = np.random.default_rng(0)
    drawn = [draw_capture(rng, [1.0, 8.0], sampling=GuidedSampling()) for _ in range(600)]
    assert any(capture.shot == 0 == capture.read for capture in drawn)
    assert all(1e-5 <= capture.shot <= 4e-4 and 2e-4 <= capture.read <= 3e-3 for capture in drawn if capture.shot)
    assert {capture.bits for capture in drawn} == {8, 10}
    assert all(set(dict(capture.ratio_errors)) <= {8.0} for capture in drawn)
    # shares of 600: three standard deviations are 0.06 at the most
    for share, wanted in (
        (np.mean([capture.jpeg_quality is not None for capture in drawn]), 0.3),
        (np.mean([capture.h264_crf is not None for capture in drawn]), 0.2),
        (np.mean([bool(capture.ratio_errors) for capture in drawn]), 0.12),
        (np.mean([capture.gamma != 2.2 for capture in drawn]), 0.15),
        (np.mean([capture.codes is not None for capture in drawn]), 0.33),
        (np.mean([_compresses(capture) for capture in drawn if capture.codes]), 0.9),
        (np.mean([not (capture.codes or _compresses(capture)) for capture in drawn]), 0.47),
    ):
        assert share == pytest.approx(wanted, abs=0.06)
    errors = [error for capture in drawn for _, error in capture.ratio_errors]
    assert 0.9 <= min(errors) < 0.95 and 1.05 < max(errors) <= 1.1
    gammas = [capture.gamma / 2.2 for capture in drawn]
    assert 0.9 <= min(gammas) < 0.95 and 1.05 < max(gammas) <= 1.1


def test_a_curve_of_its_own_is_known_to_the_picture_and_to_its_precision() -> None:
    table = GENERIC.table()
    codes = CameraCodes(table=table.numpy(), known=table_curve("generic", table))
    radiance = np.geomspace(0.02, 1, 3 * 64 * 64).astype(np.float32).reshape(1, 64, 64, 3)
    capture = Capture(codes=codes)
    taken = expose(radiance, [1], capture=capture, rng=np.random.default_rng(0))
    # within half a code: 1.4 % of the light at most, where the curve is steepest
    np.testing.assert_allclose(taken**2.2, radiance, rtol=0.03)
    packed = expose(radiance, [1], capture=replace(capture, jpeg_quality=90), rng=np.random.default_rng(0))
    assert 0 < np.abs(packed - taken).mean() < 0.01
    assert capture.precision == table_curve("generic", table).precision() != Capture().precision
    assert Capture().precision == GAMMA_8_BIT


def test_light_of_a_code_is_what_the_camera_takes_for_it() -> None:
    table = GENERIC.table()
    for capture in (Capture(gamma=2.4), Capture(codes=CameraCodes(table=table.numpy(), known=gamma_curve()))):
        radiance = np.full((1, 2, 2, 3), capture.light(100), np.float32)
        taken = expose(radiance, [1], capture=capture, rng=np.random.default_rng(0))
        np.testing.assert_allclose(taken, 100 / 255, atol=1e-6)


TABLE = GENERIC.table()
EXACT = CameraCodes(table=TABLE.numpy(), known=table_curve("generic", TABLE))


def _gray(*values: float) -> Pixels:
    return np.repeat(np.array(values, np.float32), 3).reshape(1, 1, -1, 3)


@pytest.mark.parametrize(
    "curve", [GENERIC, CameraCurve(), CameraCurve(gamma=2.6, contrast=6.0, toe=0.02, crush=0.08)], ids=str
)
def test_light_of_a_code_becomes_that_code(curve: CameraCurve) -> None:
    table = curve.table()
    camera = CameraCodes(table=table.numpy(), known=table_curve("known", table))
    codes = camera.encode(_gray(*(camera.light(code) for code in range(256))))
    assert (codes[0, 0] == np.arange(256)[:, None]).all()
    light = camera.known.linearize(torch.arange(256).div(255).expand(3, 1, -1))
    np.testing.assert_allclose(camera.to_ldr(codes)[0, 0, :, 0] ** 2.2, light[0, 0], atol=1e-6)


def test_crushed_black_is_the_lowest_code_and_a_bound_as_far_as_it_is_known() -> None:
    crushed = replace(EXACT, black=10)
    codes = crushed.encode(_gray(0, *(EXACT.light(code) for code in (3, 10, 11, 90))))
    assert codes[0, 0, :, 1].tolist() == [10, 10, 10, 11, 90]
    assert crushed.precision == EXACT.precision
    known = replace(crushed, known_black=10).precision
    assert known.black == pytest.approx(EXACT.light(11.5), rel=1e-4) and known.black > EXACT.precision.black
    assert known.most >= 2 * known.black
    assert replace(known, black=0.0, most=0.0) == replace(EXACT.precision, black=0.0, most=0.0)


def test_a_pedestal_goes_where_it_is_subtracted_and_tints_blacks_where_it_is_not() -> None:
    light = _gray(*(EXACT.light(code) for code in (0, 40, 90, 200)))
    raised = replace(EXACT, pedestal=(5.0, 2.0, 17.0))
    np.testing.assert_array_equal(raised.encode(light)[0, 0, 0], [5, 2, 17])
    known = replace(raised, subtracted=(5.0, 2.0, 17.0))
    plain = EXACT.to_ldr(EXACT.encode(light))
    np.testing.assert_allclose(known.to_ldr(known.encode(light)), plain, atol=1.2 / 255)
    tinted = raised.to_ldr(raised.encode(light))[0, 0, 0]
    assert tinted[2] > tinted[0] > tinted[1] > 0 and plain[0, 0, 0].max() == 0


@pytest.mark.parametrize("error", [0.0, 0.03, 0.1])
def test_a_leaning_curve_is_off_as_stated_in_the_middle_and_by_more_in_the_darks(error: float) -> None:
    known = leaning(TABLE, CameraCurve().table(), by=error)
    stops = (known / TABLE).log2()
    middle = stops[round(0.2 * 1020) : round(0.85 * 1020)]
    assert float(middle.square().mean().sqrt()) == pytest.approx(error, rel=0.02, abs=1e-9)
    assert float(known[-1]) == 1 and bool((known.diff() >= 0).all())
    assert 2 * error <= float(stops[4 * 8].abs()) <= 1


def test_users_know_a_fourth_of_the_cameras_exactly_and_the_others_nearly() -> None:
    drawn = [draw_codes(np.random.default_rng(seed)) for seed in range(300)]
    codes = torch.arange(256).div(255).expand(3, 1, -1)
    errors = []
    for camera in drawn:
        known, true = camera.known.linearize(codes)[0, 0], torch.tensor([camera.light(code) for code in range(256)])
        errors.append(float((known / true).log2()[51:217].abs().max()))
        assert torch.isfinite(camera.precision.tensor()).all() and 0 < camera.precision.black < 0.1
    # three standard deviations of shares of 300 are 0.08 at the most
    assert np.mean(np.array(errors) < 1e-4) == pytest.approx(0.25, abs=0.08)
    assert max(errors) < 0.5 and np.median(errors) > 0.01
    assert np.mean([camera.black > 0 for camera in drawn]) == pytest.approx(0.35, abs=0.08)
    assert {camera.black for camera in drawn} == set(range(11))
    assert all(camera.known_black in (0, camera.black) for camera in drawn)
    floors = [camera for camera in drawn if any(camera.pedestal)]
    assert 0.01 < len(floors) / 300 < 0.12
    residues = np.array([np.subtract(camera.pedestal, camera.subtracted) for camera in floors])
    assert np.abs(residues).mean() > 0.3 and np.abs(residues).max() <= 1.5


def test_a_camera_depends_on_the_generator_alone() -> None:
    first, again, other = (draw_codes(np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert (first.table == again.table).all() and first.precision == again.precision
    assert not (first.table == other.table).all()


def _moving_texture(height: int, width: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    y, x = np.mgrid[:height, :width]
    frames = [127 + 100 * np.sin((x + 3 * time) / 4) * np.cos(y / 5) for time in range(4)]
    color = np.array([1.0, 0.8, 0.4])
    return np.stack([frame[..., None] * color for frame in frames]).clip(0, 255).astype(np.uint8)


def test_jpeg_loses_more_at_lower_quality_and_each_frame_has_its_own() -> None:
    frames = _moving_texture(48, 64)
    passed = jpeg_passed(frames, [95, 30, 95, 30])
    losses = np.abs(passed.astype(int) - frames).mean((1, 2, 3))
    assert passed.shape == frames.shape
    assert (losses[[1, 3]] > 1.5 * losses[[0, 2]].max()).all() and (losses > 0).all()


@pytest.mark.parametrize("size", [(48, 64), (33, 47)], ids=["even", "odd"])
def test_h264_keeps_frames_in_order_and_loses_more_at_higher_crf(size: tuple[int, int]) -> None:
    frames = _moving_texture(*size)
    fine, poor = (h264_passed(frames, crf) for crf in (14, 34))
    assert fine.shape == poor.shape == frames.shape
    for passed in (fine, poor):
        distances = np.abs(passed[:, None].astype(int) - frames).mean((2, 3, 4))
        assert (distances.argmin(1) == np.arange(4)).all()
    losses = [float(np.abs(passed.astype(int) - frames).mean()) for passed in (fine, poor)]
    assert 0 < losses[0] < losses[1] < 20


def test_h264_is_not_there_without_pyav(monkeypatch: pytest.MonkeyPatch) -> None:
    assert pyav_available()
    monkeypatch.setitem(sys.modules, "av", None)
    assert not pyav_available()
