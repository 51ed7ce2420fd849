"""Frames and sliding windows."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol, TypeVar

from torch import Tensor

from model.color import REC709, Primaries
from model.errors import ExposureError, FrameError
from model.exposure import GAMMA_8_BIT, CodePrecision, ExposureCycle

T = TypeVar("T")


@dataclass(frozen=True)
class LdrFrame:
    """One captured picture.

    Args:
        image: Encoded with a pure power of 1/2.2, 0..1, float32, (3, H, W).
        exposure: Linear exposure relative to the shortest of the clip, at least 1.
        time: Presentation time in seconds.
        precision: How precisely the camera's codes state light.
        blank: Whether it shows nothing, as behind a lens cap; then it is no neighbor to others.
    """

    image: Tensor
    exposure: float
    time: Fraction
    precision: CodePrecision = GAMMA_8_BIT
    blank: bool = False


@dataclass(frozen=True, kw_only=True)
class FrameBatch:
    """The same moment of one or more clips.

    Args:
        image: Encoded with 1/2.2, 0..1, (B, 3, H, W).
        exposure: Linear exposure relative to the shortest, (B,).
        precision: `CodePrecision.tensor` per clip, (B, 6).
        time: In any unit.
    """

    image: Tensor
    exposure: Tensor
    precision: Tensor
    time: float


@dataclass(frozen=True)
class HdrFrame:
    """One reconstructed picture.

    Args:
        radiance: Linear radiance, 1.0 = clip level of the shortest exposure, float32, (3, H, W).
        time: Presentation time in seconds.
        merged: Whether frames of other exposures were near; if not, it is the captured picture alone.
        primaries: Of the radiance. The network works on each of the camera's channels by itself; colors are mixed
            after it, and those outside of the target's primaries are negative.
    """

    radiance: Tensor
    time: Fraction
    merged: bool = True
    primaries: Primaries = REC709


class Exposed(Protocol):
    """An item with an exposure, relative to the shortest of the clip, and a time in seconds."""

    @property
    def exposure(self) -> float:
        """Linear exposure."""

    @property
    def time(self) -> Fraction:
        """Presentation time."""


E = TypeVar("E", bound=Exposed)


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


def sliding_windows(
    items: Iterable[T], *, length: int, period: int, blank: Callable[[T], bool] = lambda item: False
) -> Iterator[tuple[T, ...]]:
    """Yield one window per item, centered on it; memory does not grow with the clip.

    Args:
        items: Frames in order of time.
        length: Odd number of frames per window.
        period: Number of frames after which the exposures repeat.
        blank: Whether a frame shows nothing; others of the same place in the cycle then stand in for it, if there are.

    Yields:
        `length` items; those beyond an end are borrowed one or more whole periods inward.

    Raises:
        FrameError: If there are fewer items than one period.
    """
    radius = length // 2
    delay = max(radius, period - 1)
    recent: deque[tuple[int, T]] = deque(maxlen=radius + max(radius, period) + 1)

    def window(center: int, count: int) -> tuple[T, ...]:
        known = dict(recent)
        shown = {index for index, item in known.items() if index == center or not blank(item)}

        def place(index: int) -> T:
            borrowed = borrowed_index(index, count=count, period=period)
            others = [other for other in shown if (other - borrowed) % period == 0 and abs(other - center) <= radius]
            nearest = min(others, key=lambda other: abs(other - borrowed), default=borrowed)
            return known[borrowed if borrowed in shown else nearest]

        return tuple(place(index) for index in range(center - radius, center + radius + 1))

    count = 0
    for item in items:
        recent.append((count, item))
        count += 1
        if count > delay:
            yield window(count - 1 - delay, count + radius)
    _check_count(count, period)
    for center in range(max(0, count - delay), count):
        yield window(center, count)


def exposure_windows(
    items: Iterable[E], *, length: int, cycle: ExposureCycle, blank: Callable[[E], bool] = lambda item: False
) -> Iterator[tuple[E, ...]]:
    """Yield one window per item, centered on it, built from exposures where their order breaks.

    A place holds the frame that stands there if it has the exposure that the cycle has there, seen from the
    center; else the nearest frame on that side that has it; else the nearest on either side; else the center itself.
    No frame comes from farther away than the window's end and a period, or from behind twice as far. Where the order
    does not break and no exposure comes twice in the cycle, these are the windows of `sliding_windows`. Memory does
    not grow with the clip.

    Args:
        items: Frames in order of time, with the exposures of the cycle.
        length: Odd number of frames per window.
        cycle: Exposures in the order in which they repeat.
        blank: Whether a frame shows nothing; it stands in no window but its own.

    Yields:
        `length` items.

    Raises:
        FrameError: If there are fewer items than one period.
        ExposureError: If an item has an exposure that is not in the cycle.
    """
    radius = length // 2
    reach = radius + cycle.period
    recent: deque[tuple[int, E]] = deque()
    passed: dict[float, tuple[int, E]] = {}  # the last frame of each exposure that has left the deque

    def window(center: int) -> tuple[E, ...]:
        near = ((index, item) for index, item in (*passed.values(), *recent) if index >= center - 2 * reach)
        known = {index: item for index, item in near if index == center or not blank(item)}
        return _exposed_window(known, center, radius=radius, cycle=cycle)

    count = 0
    for item in items:
        if len(recent) > 2 * reach:
            left = recent.popleft()
            passed[left[1].exposure] = left
        recent.append((count, item))
        count += 1
        if count > reach:
            yield window(count - 1 - reach)
    _check_count(count, cycle.period)
    for center in range(max(0, count - reach), count):
        yield window(center)


def _check_count(count: int, period: int) -> None:
    if count < period:
        raise FrameError(f"the clip has {count} frames, one exposure period is {period}: nothing to merge")


def _exposed_window(known: Mapping[int, E], center: int, *, radius: int, cycle: ExposureCycle) -> tuple[E, ...]:
    exposure, offsets = known[center].exposure, range(-radius, radius + 1)
    phases = [phase for phase in range(cycle.period) if cycle[phase] == exposure]
    if not phases:
        listed = ", ".join(f"{ratio:g}" for ratio in cycle.ratios)
        raise ExposureError(f"frame {center} has exposure {exposure:g}, the cycle has {listed}: correct the list")
    # Where an exposure comes twice in the cycle, the neighbors decide.
    around = [offset for offset in offsets if center + offset in known]
    phase = max(phases, key=lambda phase: sum(known[center + k].exposure == cycle[phase + k] for k in around))
    return tuple(_nearest(known, center, offset=offset, exposure=cycle[phase + offset]) for offset in offsets)


def _nearest(known: Mapping[int, E], center: int, *, offset: int, exposure: float) -> E:
    place = center + offset
    if place in known and known[place].exposure == exposure:
        return known[place]
    fitting = [index for index, item in known.items() if item.exposure == exposure]
    beside = [index for index in fitting if (index - center) * offset > 0]
    time = known[center].time
    return known[
        min(beside or fitting or [center], key=lambda index: (abs(index - place), abs(known[index].time - time)))
    ]
