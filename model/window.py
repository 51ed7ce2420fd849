"""Windows of frames that slide over a clip."""

from collections import deque
from collections.abc import Iterable, Iterator
from typing import TypeVar

from model.errors import FrameError

T = TypeVar("T")


def borrowed_index(index: int, *, count: int, period: int) -> int:
    """Move an index outside the clip inward by whole exposure periods.

    A mirror would break the order of exposures for three of them; a whole period keeps it.

    Args:
        index: Position, may be negative or beyond the last frame.
        count: Number of frames in the clip, at least `period`.
        period: Number of frames after which the exposures repeat.

    Returns:
        A position inside the clip with the same exposure.
    """
    while index < 0:
        index += period
    while index >= count:
        index -= period
    return index


def sliding_windows(items: Iterable[T], *, length: int, period: int) -> Iterator[tuple[T, ...]]:
    """Yield one window per item, centered on it; memory does not grow with the clip.

    Args:
        items: Frames in order of time.
        length: Odd number of frames per window.
        period: Number of frames after which the exposures repeat.

    Yields:
        `length` items; those beyond an end are borrowed one or more whole periods inward.

    Raises:
        FrameError: If there are fewer items than one period.
    """
    radius = length // 2
    delay = max(radius, period - 1)
    recent: deque[tuple[int, T]] = deque(maxlen=radius + max(radius, period) + 1)
    count = 0
    for item in items:
        recent.append((count, item))
        count += 1
        if count > delay:
            yield _window(recent, count - 1 - delay, count=count + radius, radius=radius, period=period)
    if count < period:
        raise FrameError(f"the clip has {count} frames, one exposure period is {period}: nothing to merge")
    for center in range(max(0, count - delay), count):
        yield _window(recent, center, count=count, radius=radius, period=period)


def _window(recent: deque[tuple[int, T]], center: int, *, count: int, radius: int, period: int) -> tuple[T, ...]:
    known = dict(recent)
    indices = range(center - radius, center + radius + 1)
    return tuple(known[borrowed_index(index, count=count, period=period)] for index in indices)
