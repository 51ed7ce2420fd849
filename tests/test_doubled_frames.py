"""Frames that show their predecessor again, and the rate before they were doubled."""

from dataclasses import replace
from fractions import Fraction

import pytest
from test_exposure_cycle import lights, shown

from model.analysis.brightness import FrameLight
from model.analysis.doubled_frames import find_doubled, true_rate, without_doubled
from model.analysis.exposure_cycle import estimate_exposures, follow_exposures
from model.exposure import ExposureCycle

CADENCES = {
    "24 to 30": [4 * k + place for k in range(8) for place in (0, 1, 2, 3, 3)],
    "30 to 60": [k // 2 for k in range(48)],
    "24 to 60": [2 * k + place for k in range(10) for place in (0, 0, 0, 1, 1)],
}


def repeated(pictures: list[int], *, cycle: tuple[float, ...] = (0, 3)) -> list[FrameLight]:
    """Light of frames that show these pictures, one after another of a cycle; the same picture changes nothing."""
    levels = [cycle[picture % len(cycle)] for picture in pictures]
    frames = lights(levels)
    for index, frame in enumerate(frames):
        steps = [
            replace(step, difference=0.02 * lag if pictures[index - lag] != pictures[index] else 0.0)
            for lag, step in enumerate(frame.steps, 1)
        ]
        frames[index] = replace(frame, steps=tuple(steps))
    return frames


@pytest.mark.parametrize(
    ("name", "cycle"),
    [(name, cycle) for name in CADENCES for cycle in ((0, 3), (0, 2, 4)) if (name, len(cycle)) != ("24 to 60", 3)],
)
def test_doubled_frames_are_found_and_have_the_exposure_of_their_picture(name: str, cycle: tuple[float, ...]) -> None:
    pictures = CADENCES[name]
    frames = repeated(pictures, cycle=cycle)
    doubled = {index for index in range(1, len(pictures)) if pictures[index] == pictures[index - 1]}
    assert find_doubled(frames) == doubled
    wanted = pytest.approx([2.0 ** cycle[picture % len(cycle)] for picture in pictures])
    for found in (estimate_exposures(frames), follow_exposures(frames, ExposureCycle.from_stops(cycle))):
        assert found.sure
        assert found.exposures.regular
        assert found.exposures.doubled == doubled
        assert [found.exposures[index] for index in range(len(frames))] == wanted
        assert {slip.index for slip in found.slips} == doubled


def test_steps_and_times_close_up_where_frames_are_left_out() -> None:
    frames = repeated([0, 1, 1, 2, 3, 3, 4])
    kept = without_doubled(frames, find_doubled(frames))
    assert [frame.time * 24 for frame in kept] == [0, 1, 2, 3, 4]
    assert [[step.stops for step in frame.steps] for frame in kept] == [[], [3], [-3, 0], [3, 0], [-3, 0]]
    assert without_doubled(frames, frozenset()) == frames


def test_neighbors_of_one_exposure_are_other_pictures() -> None:
    assert not find_doubled(lights(shown(30, slips=(7, 15))))
    run = lights([3.0] * 6 + shown(20))
    assert not find_doubled(run)


@pytest.mark.parametrize(
    ("pictures", "rate", "wanted"),
    [
        (CADENCES["24 to 30"], Fraction(30), Fraction(24)),
        (CADENCES["24 to 30"], Fraction(30000, 1001), Fraction(24000, 1001)),
        (CADENCES["30 to 60"], Fraction(60), Fraction(30)),
        (CADENCES["24 to 60"], Fraction(60), Fraction(24)),
        ([0, 1, 2, 2, 2, 2, 3, 4, 5, 6, 6, 7, 7, 7, 8], Fraction(25), None),
    ],
)
def test_the_rate_before(pictures: list[int], rate: Fraction, wanted: Fraction | None) -> None:
    doubled = find_doubled(repeated(pictures))
    assert true_rate(rate, doubled, count=len(pictures)) == wanted
