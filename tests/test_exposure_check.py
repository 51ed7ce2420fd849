"""Lists of exposures held against what the frames show."""

from fractions import Fraction

import numpy as np
import pytest
import torch

from model.analysis.camera import Shot
from model.analysis.exposure_check import check_exposures
from model.analysis.exposure_cycle import follow_list
from model.exposure import FrameExposures
from model.response import linear_curve


def shots(exposures: list[float], *, power: float = 2.2) -> list[Shot]:
    """A still scene over seven stops, filmed with these exposures by a camera with this power."""
    rng = np.random.default_rng(1)
    radiance = 0.03 * 2.0 ** (1.5 * np.kron(rng.normal(size=(8, 12)), np.ones((6, 6)))) / max(exposures) * 8

    def picture(exposure: float) -> torch.Tensor:
        light = (radiance * exposure + rng.normal(scale=3e-4, size=radiance.shape)).clip(0, 1)
        return torch.from_numpy((light ** (1 / power) * 255).round() / 255).float().expand(3, -1, -1)

    return [Shot(picture(exposure), Fraction(k, 24)) for k, exposure in enumerate(exposures)]


def listed(exposures: list[float]) -> FrameExposures:
    return follow_list(exposures)


def test_a_list_that_agrees_stays() -> None:
    for cycle in ([1.0, 8.0], [1.0, 4.0, 16.0]):
        check = check_exposures(shots(cycle * 6), listed(cycle * 6))
        assert check.shift == 0
        assert check.shown is None


@pytest.mark.parametrize(("early", "shift"), [(1, 1), (-1, -1)])
def test_a_list_that_is_one_frame_off_is_found(early: int, shift: int) -> None:
    true = [
        1.0,
        8.0,
        1.0,
        8.0,
        8.0,
        1.0,
        8.0,
        1.0,
        8.0,
        1.0,
        1.0,
        8.0,
    ] * 2  # frames are missing: no two shifts are alike
    off = true[-early:] + true[:-early]
    check = check_exposures(shots(true), listed(off))
    assert check.shift == shift
    moved = listed(off).of_frames(shift, len(true))
    inner = range(2, len(true) - 2)
    assert [moved[k] / min(moved.cycle.ratios) for k in inner] == pytest.approx([true[k] for k in inner])


def test_a_list_without_the_gain_is_found() -> None:
    check = check_exposures(shots([1.0, 8.0] * 8), listed([1.0, 2.0] * 8))
    assert check.shift == 0
    assert check.shown is not None
    assert check.shown.ratios == pytest.approx((1, 8), rel=0.05)


def test_linear_codes_are_no_contradiction() -> None:
    frames = shots([1.0, 8.0] * 8, power=1.0)
    assert check_exposures(frames, listed([1.0, 8.0] * 8), linear=True).shown is None
    assert check_exposures(frames, listed([1.0, 8.0] * 8)).shown is not None


def test_a_curve_that_is_known_is_used() -> None:
    frames = shots([1.0, 8.0] * 8, power=1.0)
    assert check_exposures(frames, listed([1.0, 8.0] * 8), curve=linear_curve()).shown is None
    check = check_exposures(frames, listed([1.0, 2.0] * 8), curve=linear_curve())
    assert check.shown is not None
    assert check.shown.ratios == pytest.approx((1, 8), rel=0.05)


def test_what_can_not_be_compared_contradicts_nothing() -> None:
    black = [Shot(torch.zeros(3, 24, 32), Fraction(k, 24)) for k in range(12)]
    check = check_exposures(black, listed([1.0, 8.0] * 6))
    assert check.shift == 0
    assert check.shown is None
