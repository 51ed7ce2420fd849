"""The black level: found where both exposures have it, and not in ordinary clips."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from model.analysis.black_level import estimate_black
from model.analysis.code_matches import code_histogram
from model.response import ResponseCurve, gamma_curve, srgb_curve

NIGHT = (5, 2, 17)


def night(
    exposure: float, floor: tuple[int, int, int], *, seed: int, darkest: float = 12.0, unlit: float = 0.01
) -> Tensor:
    """Histogram of lamps in the dark, noisy, over light of the floor's codes; two fifths get but little light."""
    generator = torch.Generator().manual_seed(seed)
    light = 2.0 ** (-darkest * torch.rand(3, 200, 200, generator=generator).pow(0.5)) * exposure
    light[:, :80] *= unlit
    black = (torch.tensor(floor) / 255).view(3, 1, 1) ** 2.2
    codes = (light * (1 - black) + black).clamp(max=1) ** (1 / 2.2) * 255
    noise = torch.randn(codes.shape, generator=generator)
    return code_histogram((codes + noise).round().clamp(0, 255) / 255)


@pytest.mark.parametrize("floor", [NIGHT, (16, 16, 16), (8, 6, 9)])
@pytest.mark.parametrize("ratio", [8.0, 32.0])
def test_a_floor_of_both_exposures_is_found(floor: tuple[int, int, int], ratio: float) -> None:
    found = estimate_black(night(1 / ratio, floor, seed=0), night(1.0, floor, seed=1)) * 255
    assert found.tolist() == pytest.approx(floor, abs=2)


@pytest.mark.parametrize("ratio", [2.0, 8.0, 64.0])
@pytest.mark.parametrize("unlit", [1.0, 0.1, 0.01])
def test_black_is_zero_in_ordinary_clips(ratio: float, unlit: float) -> None:
    short, long = (night(exposure, (0, 0, 0), seed=0, unlit=unlit) for exposure in (1 / ratio, 1.0))
    assert estimate_black(short, long).tolist() == [0, 0, 0]


@pytest.mark.parametrize("darkest", [30, 9])
def test_what_is_dark_at_one_exposure_only_is_light(darkest: int) -> None:
    """A short frame whose darkest code is 5 while the long frame's is `darkest` has no floor."""
    generator = torch.Generator().manual_seed(2)
    spread = 60 * torch.rand(3, 200, 200, generator=generator) ** 3
    short, long = (code_histogram((least + spread).round() / 255) for least in (5, darkest))
    assert estimate_black(short, long).tolist() == [0, 0, 0]


def test_frames_of_one_exposure_show_no_floor() -> None:
    assert estimate_black(*(night(1.0, NIGHT, seed=seed) for seed in (0, 1))).tolist() == [0, 0, 0]
    flat = code_histogram(torch.full((3, 20, 20), 5 / 255))
    assert estimate_black(flat, flat).tolist() == [0, 0, 0]


def test_a_floor_that_only_few_samples_reach_is_none() -> None:
    short, long = (torch.zeros(3, 256, dtype=torch.float64) for _ in range(2))
    short[:, 5], short[:, 40:80], long[:, 5], long[:, 90:200] = 3, 10, 40, 10
    assert estimate_black(short, long).tolist() == [0, 0, 0]
    short[:, 5] = 200
    assert (estimate_black(short, long) * 255).tolist() == [5, 5, 5]


def with_floor(curve: ResponseCurve) -> ResponseCurve:
    red, green, blue = (code / 255 for code in NIGHT)
    return replace(curve, black_code=(red, green, blue))


@pytest.mark.parametrize("curve", [gamma_curve(), srgb_curve(clip_code=0.9)])
def test_light_of_the_black_level_is_taken_off(curve: ResponseCurve) -> None:
    floored = with_floor(curve)
    black = torch.tensor(NIGHT).view(3, 1, 1) / 255
    assert floored.linearize(black).abs().max() < 1e-7
    assert floored.to_ldr(black).max() < 1e-3
    assert floored.linearize(torch.full((3, 1, 1), curve.clip_code)).tolist() == [[[1.0]]] * 3
    light = torch.linspace(0, 1, 200).expand(3, 1, 200)
    torch.testing.assert_close(floored.linearize(floored.encode(light)), light, rtol=1e-4, atol=1e-5)
    # What light adds, it adds to that of the black level.
    gain = curve.linearize(floored.encode(light)) - curve.linearize(black)
    torch.testing.assert_close(gain / gain[..., -1:], light, rtol=1e-3, atol=1e-4)


def test_codes_next_to_the_black_level_are_bounds() -> None:
    plain, floored = gamma_curve().precision().black, with_floor(gamma_curve()).precision().black
    assert floored == pytest.approx(((19 / 255) ** 2.2 - (17 / 255) ** 2.2) / (1 - (17 / 255) ** 2.2), rel=1e-4)
    assert floored > 10 * plain
