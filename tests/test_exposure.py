"""Radiance, exposure and the exposure cycle, by their laws and by the conventions of the reference network."""

from fractions import Fraction

import pytest
import torch

from model.errors import ExposureError, LanHdrError
from model.exposure import (
    CodePrecision,
    ExposureCycle,
    FrameExposures,
    match_exposure,
    nearest_stop,
    to_ldr,
    to_radiance,
)


@pytest.fixture
def ldr() -> torch.Tensor:
    """A batch of encoded pictures, with black and white among its values."""
    picture = torch.rand(2, 3, 5, 7, generator=torch.Generator().manual_seed(3))
    picture[0, 0, 0, :2] = torch.tensor([0.0, 1.0])
    return picture


def test_a_precision_comes_back_from_its_tensor() -> None:
    precision = CodePrecision(black=0.01, clip_begins=0.75, clip_ends=0.8, floor=1e-6, slope=1e-5)
    found = CodePrecision.from_tensor(precision.tensor())
    assert torch.equal(found.tensor(), precision.tensor()) and found.clip_ends == pytest.approx(0.8)


@pytest.mark.parametrize("exposure", [1.0, 4.0, 8.0, 16.0])
def test_to_ldr_inverts_to_radiance(ldr: torch.Tensor, exposure: float) -> None:
    # 1e-6: float32, and pow is good to a few units in the last place
    torch.testing.assert_close(to_ldr(to_radiance(ldr, exposure), exposure), ldr, atol=1e-6, rtol=1e-6)


def test_radiance_of_the_clip_level_is_one_over_the_exposure() -> None:
    assert to_radiance(torch.ones(1), 8.0).item() == 0.125
    assert to_radiance(torch.tensor([0.5]), 1.0).item() == pytest.approx(0.5**2.2, rel=1e-6)
    assert to_radiance(torch.tensor([-0.1, 1.2]), 2.0).tolist() == [0.0, 0.5]


def test_to_ldr_clips() -> None:
    assert to_ldr(torch.tensor([-1.0, 0.0, 0.125, 0.5]), 8.0).tolist() == [0.0, 0.0, 1.0, 1.0]


def test_one_exposure_per_picture(ldr: torch.Tensor) -> None:
    exposures = torch.tensor([1.0, 8.0]).view(2, 1, 1, 1)
    radiance = to_radiance(ldr, exposures)
    torch.testing.assert_close(radiance[1], to_radiance(ldr[1], 8.0))
    matched = match_exposure(ldr, exposures, target=exposures.flip(0))
    torch.testing.assert_close(matched[1], match_exposure(ldr[1], 8.0, target=1.0))


@pytest.mark.parametrize(("exposure", "target"), [(1.0, 8.0), (8.0, 1.0), (4.0, 16.0), (4.0, 4.0)])
def test_match_exposure_is_filming_the_radiance_again(ldr: torch.Tensor, exposure: float, target: float) -> None:
    filmed = to_ldr(to_radiance(ldr, exposure), target)
    torch.testing.assert_close(match_exposure(ldr, exposure, target=target), filmed, atol=1e-6, rtol=1e-6)


def test_match_exposure_to_a_shorter_one_and_back_loses_nothing(ldr: torch.Tensor) -> None:
    there = match_exposure(ldr, 8.0, target=1.0)
    torch.testing.assert_close(match_exposure(there, 1.0, target=8.0), ldr, atol=1e-6, rtol=1e-6)


def test_codes_beyond_their_range_are_exposed_as_its_ends() -> None:
    beyond = torch.tensor([-0.5, 0.0, 1.0, 1.5])
    darker, brighter = match_exposure(beyond, 8.0, target=1.0), match_exposure(beyond, 1.0, target=8.0)
    full = 8 ** (-1 / 2.2)
    torch.testing.assert_close(darker, torch.tensor([0, 0, full, full]))
    torch.testing.assert_close(brighter, torch.tensor([0.0, 0, 1, 1]))


def test_matched_codes_have_the_number_format_of_the_picture(ldr: torch.Tensor) -> None:
    assert match_exposure(ldr.double(), 1.0, target=8.0).dtype == torch.float64
    assert CodePrecision().tensor().dtype == torch.float32


def test_a_tensor_of_another_length_holds_no_precision() -> None:
    with pytest.raises(ValueError, match="argument"):
        CodePrecision.from_tensor(torch.zeros(5))


def test_a_cycle_goes_on_before_and_behind_the_clip() -> None:
    exposures = FrameExposures(ExposureCycle((1.0, 4.0, 16.0)), (1, 2, 0, 1))
    assert exposures.of_frames(-4, 11).phases == (0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1)


def test_a_cycle_is_relative_to_its_shortest() -> None:
    cycle = ExposureCycle.from_ratios([2, 16])
    assert cycle.ratios == (1, 8)
    assert cycle.period == 2
    assert [cycle[index] for index in range(5)] == [1, 8, 1, 8, 1]


def test_stops_are_powers_of_two() -> None:
    assert ExposureCycle.from_stops([0, 3]) == ExposureCycle.from_ratios([1, 8])
    assert ExposureCycle.from_stops([-2, 0, 2]) == ExposureCycle.from_ratios([1, 4, 16])
    assert ExposureCycle.from_stops([3, 0]).ratios == (8, 1)


@pytest.mark.parametrize(
    ("ratios", "complaint"),
    [
        ([], "found 0"),
        ([1], "found 1"),
        ([1, 0], "positive numbers, found 0: pass"),
        ([1, -8], "positive"),
        ([1, float("inf")], "positive"),
        ([float("nan"), 1], "positive"),
        ([4, 4], "all exposures are 4"),
    ],
)
def test_wrong_cycles_are_refused_with_the_next_step(ratios: list[float], complaint: str) -> None:
    with pytest.raises(ExposureError, match=complaint) as caught:
        ExposureCycle.from_ratios(ratios)
    assert isinstance(caught.value, LanHdrError)
    assert "1,8" in str(caught.value)


@pytest.mark.parametrize(
    ("ratio", "stop"),
    [
        (8.0, Fraction(3)),
        (7.8, Fraction(3)),
        (0.25, Fraction(-2)),
        (2.83, Fraction(3, 2)),
        (10.0, Fraction(10, 3)),
        (1.0, Fraction(0)),
        (6.6, None),
        (7.0, None),
    ],
)
def test_the_nearest_stop(ratio: float, stop: Fraction | None) -> None:
    assert nearest_stop(ratio) == stop
