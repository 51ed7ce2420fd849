"""Windows keep the order of exposures, center on their frame and read no further ahead than they must."""

from collections.abc import Iterator

import pytest

from model.errors import FrameError
from model.window import borrowed_index, sliding_windows

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
