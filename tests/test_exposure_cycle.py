"""Exposures found in clips whose exposures are known, and refusals where there are none."""

from dataclasses import replace
from fractions import Fraction

import pytest
import torch

from benchmarks.cycles import cases, examine
from benchmarks.exposure_clips import Case, pictures
from model.analysis.brightness import FrameLight, LightMeter, Step
from model.analysis.exposure_cycle import estimate_exposures, follow_exposures, follow_list
from model.analysis.phases import Slip, decide_phases, frame_advances
from model.errors import ExposureError
from model.exposure import ExposureCycle, FrameExposures

EVEN = (0.0,) * 5
CUT = Step(1.7, 2.0, 0.3, EVEN, 0.3)


def lights(levels: list[float], *, times: list[int] | None = None, change: float = 0.02) -> list[FrameLight]:
    """What a meter would say of frames with these exposures in stops."""

    def steps(index: int) -> tuple[Step, ...]:
        earlier = [index - lag for lag in (1, 2, 3) if index >= lag]
        return tuple(Step(levels[index] - levels[k], 0.1, 0.5, EVEN, change) for k in earlier)

    moments = times or list(range(len(levels)))
    return [FrameLight(Fraction(moments[k], 24), 0.2, 0.0, steps(k)) for k in range(len(levels))]


def shown(count: int, *, cycle: tuple[float, ...] = (0, 3), slips: tuple[int, ...] = ()) -> list[float]:
    """Levels of frames, one missing before each slip."""
    return [cycle[(k + sum(k >= slip for slip in slips)) % len(cycle)] for k in range(count)]


@pytest.mark.parametrize("case", cases()[::8], ids=lambda case: f"{case.ratios}-{case.response}-{case.seed}")
def test_clips_of_the_table(case: Case) -> None:
    outcome = examine(case)
    assert not outcome.wrong_unseen, outcome.text
    assert outcome.missed == outcome.false_alarms == 0, outcome.text


def test_the_table_covers_what_it_must() -> None:
    table = cases()
    assert len(table) >= 40
    assert sum(bool(case.slips) for case in table) >= 15
    assert {len(case.ratios) for case in table} == {2, 3}
    assert {case.response for case in table} == {"gamma", "srgb", "film"}
    assert {max(case.ratios) for case in table} >= {2, 64}


@pytest.mark.parametrize("cycle", [(0.0, 1.0), (3.0, 0.0), (0.0, 2.0, 4.0), (4.0, 0.0, 2.0), (0.0, 4.0, 2.0)])
def test_cycle_and_first_frame(cycle: tuple[float, ...]) -> None:
    found = estimate_exposures(lights(shown(24, cycle=cycle)))
    assert found.exposures.ratios == pytest.approx([2**level for level in cycle])
    assert found.exposures.regular
    assert found.slips == ()
    assert found.confidence > 0.95
    assert [found.exposures[k] for k in range(30)] == pytest.approx([2**level for level in shown(30, cycle=cycle)])


def test_measured_ratios_are_reported_as_measured() -> None:
    found = estimate_exposures(lights(shown(24, cycle=(0.0, 3.03))))
    assert found.exposures.ratios == pytest.approx((1, 2**3.03))
    assert "exposures 1, 8.17 (stops 0.00, 3.03)" in found.message


@pytest.mark.parametrize("cycle", [(0.0, 3.0), (0.0, 2.0, 4.0)])
@pytest.mark.parametrize("slips", [(1,), (11,), (23,), (7, 15)])
def test_every_frame_keeps_its_own_exposure(cycle: tuple[float, ...], slips: tuple[int, ...]) -> None:
    levels = shown(24, cycle=cycle, slips=slips)
    found = estimate_exposures(lights(levels))
    assert [found.exposures[k] for k in range(24)] == pytest.approx([2**level for level in levels])
    assert found.slips == tuple(Slip(index, "dropped", 1) for index in slips)
    assert not found.exposures.regular


def test_a_doubled_frame_is_told_from_a_missing_one() -> None:
    frames = lights(shown(24, slips=(9,)))
    first = frames[9].steps[0]
    frames[9] = replace(frames[9], steps=(replace(first, difference=0.0), *frames[9].steps[1:]))
    assert estimate_exposures(frames).slips == (Slip(9, "doubled"),)
    assert estimate_exposures(lights(shown(24, slips=(9,)), change=0.0)).slips == (Slip(9, "unclear", 1),)


def test_gaps_in_time_are_evidence() -> None:
    times = [k + 2 * (k >= 12) for k in range(24)]
    found = estimate_exposures(lights(shown(24, cycle=(0, 2, 4), slips=(12, 12)), times=times))
    assert found.slips == (Slip(12, "dropped", 2),)
    steady = estimate_exposures(lights(shown(24, cycle=(0, 2, 4)), times=times))  # a gap, yet no frame is missing
    assert steady.exposures.regular


def test_advances() -> None:
    assert frame_advances([Fraction(k, 24) for k in (0, 1, 2, 4, *range(5, 20))]) == [1, 1, 2, *[1] * 15]
    assert frame_advances([Fraction(k, 24) for k in (0, 1, 3, 4, 7, 8, 11)]) == [1] * 6  # the rate varies
    assert frame_advances([Fraction(0)] * 4) == [1] * 3


def test_a_flash_and_a_cut_are_no_slips() -> None:
    levels = shown(24)
    levels[10] += 1.6
    assert estimate_exposures(lights(levels)).exposures.phases == (0, 1) * 12
    frames = lights(shown(24))
    for lag in (0, 1, 2):
        steps = list(frames[12 + lag].steps)
        steps[lag] = CUT
        frames[12 + lag] = replace(frames[12 + lag], steps=tuple(steps))
    assert estimate_exposures(frames).exposures.phases == (0, 1) * 12


def test_a_slip_at_a_cut_is_found_by_what_follows() -> None:
    frames = lights(shown(24, slips=(12,)))
    for lag in (0, 1, 2):
        steps = list(frames[12 + lag].steps)
        steps[lag] = CUT
        frames[12 + lag] = replace(frames[12 + lag], steps=tuple(steps))
    found = estimate_exposures(frames)
    assert found.slips == (Slip(12, "cut"),)
    assert [found.exposures[k] for k in range(24)] == pytest.approx([2**level for level in shown(24, slips=(12,))])


@pytest.mark.parametrize(
    ("frames", "complaint"),
    [
        (lights(shown(3)), "3 frames are too few to find the exposures: pass them, e.g. --exposures 1,8"),
        (lights([0.01 * (k % 2) for k in range(20)]), r"the clip does not alternate: .* differ by 0.01 stops"),
        (lights([0.0, 2.0, 5.0, 3.0, 7.0] * 5), "repeats neither every 2 nor every 3 frames: pass them"),
    ],
)
def test_no_cycle(frames: list[FrameLight], complaint: str) -> None:
    with pytest.raises(ExposureError, match=complaint):
        estimate_exposures(frames)


def test_black_frames_have_nothing_to_compare() -> None:
    meter = LightMeter()
    frames = [meter.measure(torch.full((3, 24, 32), float(k % 2)), Fraction(k, 24)) for k in range(12)]
    with pytest.raises(ExposureError, match="too little is well exposed in neighboring frames"):
        estimate_exposures(frames)


def test_exposures_that_change_midway_are_not_sure() -> None:
    found = estimate_exposures(lights([*shown(20), *shown(20, cycle=(0, 1.5))]))
    assert not found.sure


def test_known_exposures_are_followed() -> None:
    meter = LightMeter()
    case = Case((1, 8), frames=24, dropped=(10,), seed=5)
    frames = [meter.measure(image, moment) for image, moment in pictures(case)]
    found = follow_exposures(frames, ExposureCycle((1.0, 8.0)))
    assert [slip.index for slip in found.slips] == [10]
    assert found.exposures.ratios == (1, 8)
    assert found.sure
    assert not follow_exposures(frames, ExposureCycle((1.0, 64.0))).sure


def test_known_exposures_that_begin_otherwise() -> None:
    found = follow_exposures(lights(shown(20, cycle=(3, 0))), ExposureCycle((1.0, 8.0)))
    assert found.exposures.ratios == (8, 1)


def test_the_place_in_a_cycle_of_four_that_shows_an_exposure_twice() -> None:
    levels = [0.0, 2.0, 4.0, 2.0]
    assert decide_phases(lights(levels * 5), levels) == tuple(range(4)) * 5


def test_exposures_go_on_behind_the_last_frame() -> None:
    exposures = FrameExposures(ExposureCycle((1.0, 4.0, 16.0)), (0, 1, 2, 0, 0))
    assert [exposures[k] for k in range(8)] == [1, 4, 16, 1, 1, 4, 16, 1]


@pytest.mark.parametrize(
    ("step", "unevenness", "warns"), [(3.0, 0.0, False), (3.0, 0.1, False), (2.8, 0.1, True), (3.0, 0.2, True)]
)
def test_a_response_that_does_not_fit_warns(step: float, unevenness: float, warns: bool) -> None:
    frames = [
        replace(
            light,
            steps=tuple(
                replace(
                    one, parts=tuple((1 if one.stops > 0 else -1) * unevenness * part for part in (0, 0.5, 1, 0, 1))
                )
                for one in light.steps
            ),
        )
        for light in lights(shown(20, cycle=(0.0, step)))
    ]
    found = estimate_exposures(frames)
    assert found.unevenness == pytest.approx(unevenness)
    assert ("the camera response is not the one assumed" in found.warning) == warns


@pytest.mark.parametrize(
    ("exposures", "ratios"),
    [
        ([2.0, 16.0] * 5, (1, 8)),
        ([16.0, 2.0] * 5, (8, 1)),
        ([4.0, 1.0, 16.0] * 4 + [4.0], (4, 1, 16)),
        ([4.0, 16.0, 4.0, 1.0] * 3, (4, 16, 4, 1)),
        ([1.0, 8.0], (1, 8)),
        ([1.0, 8.0, 1.02, 8.1, 0.99, 7.9, 1.0, 8.0], (1, pytest.approx(8, rel=0.03))),
    ],
)
def test_the_cycle(exposures: list[float], ratios: tuple[float, ...]) -> None:
    found = follow_list(exposures)
    assert found.ratios == ratios
    assert found.regular
    assert len(found.phases) == len(exposures)


def test_a_missing_frame() -> None:
    exposures = [1.0, 4.0, 16.0] * 3 + [4.0, 16.0] + [1.0, 4.0, 16.0] * 2
    found = follow_list(exposures)
    assert [found[index] for index in range(len(exposures))] == exposures
    assert not found.regular


@pytest.mark.parametrize(
    ("exposures", "complaint"),
    [
        ([1.0, 1.0, 1.0], "all exposures are 1"),
        ([1.0, -8.0], "positive"),
        ([1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0], r"\(1, 2, 4, 8, .*\) repeat in no cycle of 2 to 6"),
        ([1.0, 8.0] * 9 + [3.0] + [1.0, 8.0] * 9, "frame 18 has exposure 3 in the list, the cycle has 1, 8"),
    ],
)
def test_lists_that_do_not_repeat(exposures: list[float], complaint: str) -> None:
    with pytest.raises(ExposureError, match=complaint):
        follow_list(exposures)
