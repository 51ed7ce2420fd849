"""Frames stay as they were made."""

from collections.abc import Iterator, Sequence
from dataclasses import FrozenInstanceError, dataclass
from fractions import Fraction

import pytest
import torch

from model.errors import ExposureError, FrameError
from model.exposure import ExposureCycle
from model.frames import HdrFrame, LdrFrame, borrowed_index, exposure_windows, sliding_windows

FRAMES = [
    LdrFrame(torch.zeros(3, 2, 2), exposure=8.0, time=Fraction(1001, 24000)),
    HdrFrame(torch.zeros(3, 2, 2), time=Fraction(1001, 24000)),
]


@pytest.mark.parametrize("frame", FRAMES, ids=["ldr", "hdr"])
def test_a_frame_cannot_be_changed(frame: LdrFrame | HdrFrame) -> None:
    with pytest.raises(FrozenInstanceError):
        frame.time = Fraction(0)  # type: ignore[misc]
    assert frame.time == Fraction(1001, 24000)


KINDS = [(2, 5), (3, 7)]  # period and window length of two and three exposures


def windows(count: int, *, length: int, period: int) -> list[tuple[int, ...]]:
    """Slide over the numbers 0..count-1."""
    return list(sliding_windows(range(count), length=length, period=period))


@pytest.mark.parametrize(("period", "length"), [*KINDS, (3, 5), (4, 3)])
@pytest.mark.parametrize("extra", [*range(12), 40])
def test_every_place_has_the_exposure_that_belongs_there(period: int, length: int, extra: int) -> None:
    count = period + extra
    found = windows(count, length=length, period=period)
    assert len(found) == count
    for center, window in enumerate(found):
        assert len(window) == length
        for place, index in enumerate(window):
            wanted = center + place - length // 2
            assert 0 <= index < count
            assert index % period == wanted % period
            assert index == wanted or not 0 <= wanted < count


@pytest.mark.parametrize(("period", "length"), KINDS)
def test_what_lies_outside_is_borrowed_one_period_inward(period: int, length: int) -> None:
    found = windows(20, length=length, period=period)
    radius = length // 2
    assert found[0][:radius] == tuple(index + period * (1 + (-index - 1) // period) for index in range(-radius, 0))
    assert found[0][radius - 1] == period - 1
    assert found[19][radius + 1] == 20 - period


def test_a_window_of_three_exposures_at_the_first_frame() -> None:
    assert windows(10, length=7, period=3)[0] == (0, 1, 2, 0, 1, 2, 3)
    assert windows(10, length=7, period=3)[9] == (6, 7, 8, 9, 7, 8, 9)


@pytest.mark.parametrize(("period", "length"), KINDS)
@pytest.mark.parametrize("count", [0, 1])
def test_less_than_a_period_is_refused(period: int, length: int, count: int) -> None:
    with pytest.raises(FrameError, match=rf"{count} frames.*{period}"):
        windows(count, length=length, period=period)


@pytest.mark.parametrize(("period", "length"), KINDS)
def test_no_frame_is_read_before_it_is_needed(period: int, length: int) -> None:
    read = 0

    def frames() -> Iterator[int]:
        nonlocal read
        for read in range(1, 101):
            yield read - 1

    for center, _ in enumerate(sliding_windows(frames(), length=length, period=period)):
        assert read == min(100, center + length // 2 + 1)


class Counted:
    """A frame that knows how many of its kind are alive."""

    alive = 0

    def __init__(self) -> None:
        Counted.alive += 1

    def __del__(self) -> None:
        Counted.alive -= 1


@pytest.mark.parametrize(("period", "length"), KINDS)
def test_only_a_few_frames_are_held(period: int, length: int) -> None:
    peak = 0
    for window in sliding_windows((Counted() for _ in range(500)), length=length, period=period):
        assert len(window) == length
        peak = max(peak, Counted.alive)
    assert peak <= length + period


@pytest.mark.parametrize(("index", "wanted"), [(-1, 2), (-3, 0), (-4, 2), (0, 0), (6, 6), (7, 4), (9, 6), (10, 4)])
def test_borrowed_index(index: int, wanted: int) -> None:
    assert borrowed_index(index, count=7, period=3) == wanted


@dataclass(frozen=True)
class Shot:
    """A frame that is nothing but its place, exposure and time."""

    index: int
    exposure: float
    time: Fraction


CYCLES = {2: ExposureCycle((1.0, 8.0)), 3: ExposureCycle((1.0, 16.0, 4.0)), 4: ExposureCycle((1.0, 4.0, 16.0, 4.0))}


def built(exposures: Sequence[float], *, length: int, cycle: ExposureCycle) -> list[tuple[int, ...]]:
    """Windows over frames with these exposures, as places."""
    shots = (Shot(k, exposure, Fraction(k, 24)) for k, exposure in enumerate(exposures))
    return [tuple(shot.index for shot in window) for window in exposure_windows(shots, length=length, cycle=cycle)]


@pytest.mark.parametrize(("period", "length"), [*KINDS, (3, 5), (4, 7)])
@pytest.mark.parametrize("extra", [*range(12), 40])
@pytest.mark.parametrize("start", [0, 1])
def test_windows_of_exposures_equal_plain_ones_where_the_order_holds(
    period: int, length: int, extra: int, start: int
) -> None:
    count = period + extra
    cycle = CYCLES[period]
    found = built([cycle[start + k] for k in range(count)], length=length, cycle=cycle)
    plain = windows(count, length=length, period=period)
    if period == 4:  # an exposure comes twice in the cycle: beyond the ends the nearer of its frames is borrowed
        found, plain = found[3 : count - 3], plain[3 : count - 3]
    assert found == plain


def test_a_missing_frame_is_replaced_by_the_nearest_of_its_exposure_on_its_side() -> None:
    cycle = CYCLES[2]
    # frames: S L S L | L S L S, the short one between 3 and 4 is missing
    found = built([1, 8, 1, 8, 8, 1, 8, 1], length=5, cycle=cycle)
    assert found[3] == (1, 2, 3, 5, 4)
    assert found[4] == (3, 2, 4, 5, 6)
    assert found[2] == (0, 1, 2, 3, 5)
    assert found[5] == (2, 4, 5, 6, 7)


@pytest.mark.parametrize(("period", "length"), KINDS)
@pytest.mark.parametrize("slip", [1, 2, 5, 11, 12])
def test_every_place_has_its_exposure_although_a_frame_is_missing(period: int, length: int, slip: int) -> None:
    cycle = CYCLES[period]
    exposures = [cycle[k + (k >= slip)] for k in range(13)]
    found = built(exposures, length=length, cycle=cycle)
    assert len(found) == 13
    for center, window in enumerate(found):
        assert window[length // 2] == center
        wanted = [cycle[center + (center >= slip) + k] for k in range(-(length // 2), length // 2 + 1)]
        assert [exposures[index] for index in window] == wanted


def test_an_exposure_that_pauses_is_taken_from_near_frames_only() -> None:
    exposures = [1.0, 8.0] * 3 + [8.0] * 30 + [1.0, 8.0]
    found = built(exposures, length=5, cycle=CYCLES[2])
    assert found[8][1] == found[8][3] == 4  # the last short frame before the pause
    assert found[12][1] == found[12][3] == 4
    assert found[13] == (11, 13, 13, 13, 15)
    assert found[32][1] == found[32][3] == 36  # the first one after it
    assert len(found) == len(exposures)
    late = built([8.0] * 7 + [1.0, 8.0] * 2, length=5, cycle=ExposureCycle((8.0, 1.0)))
    assert late[0] == (0, 0, 0, 0, 2)
    assert late[3][1] == late[3][3] == 7


def test_an_exposure_outside_the_cycle() -> None:
    with pytest.raises(ExposureError, match="frame 1 has exposure 3, the cycle has 1, 8: correct the list"):
        built([1.0, 3.0, 1.0], length=5, cycle=CYCLES[2])
    with pytest.raises(FrameError, match="1 frames"):
        built([1.0], length=5, cycle=CYCLES[2])


def test_windows_of_exposures_hold_few_frames() -> None:
    class Counting(Shot):
        alive = 0

        def __del__(self) -> None:
            Counting.alive -= 1

    def shots() -> Iterator[Shot]:
        for k in range(300):
            Counting.alive += 1
            yield Counting(k, CYCLES[3][k + k // 50], Fraction(k, 24))

    most = 0
    for _ in exposure_windows(shots(), length=7, cycle=CYCLES[3]):
        most = max(most, Counting.alive)
    assert most <= 2 * (3 + 3) + 2 + 3


def test_blank_frames_stand_in_no_window_but_their_own() -> None:
    def windows_of(blank: set[int], count: int = 9) -> list[tuple[int, ...]]:
        return list(sliding_windows(range(count), length=5, period=2, blank=blank.__contains__))

    assert windows_of(set())[3] == (1, 2, 3, 4, 5)
    capped = windows_of({4, 5, 6})
    assert capped[3] == (1, 2, 3, 2, 3)
    assert capped[2] == (0, 1, 2, 3, 2)
    assert capped[5] == (3, 4, 5, 6, 7)
    assert capped[7] == (7, 8, 7, 8, 7)
    shots = [Shot(k, (1.0, 8.0)[k % 2], Fraction(k, 24)) for k in range(9)]
    found = exposure_windows(shots, length=5, cycle=CYCLES[2], blank=lambda shot: shot.index in {4, 5, 6})
    assert [shot.index for shot in list(found)[3]] == [1, 2, 3, 2, 7]


def test_what_shows_nothing_is_stood_in_for_by_the_nearest_of_its_place() -> None:
    windows = list(sliding_windows(range(12), length=7, period=3, blank=lambda item: item == 4))
    assert windows[6] == (3, 7, 5, 6, 7, 8, 9)
    windows = list(sliding_windows(range(12), length=7, period=2, blank=lambda item: item in (5, 7)))
    assert windows[6] == (3, 4, 3, 6, 9, 8, 9)  # the ends of the window count
