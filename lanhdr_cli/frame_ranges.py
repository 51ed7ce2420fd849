"""Ranges of frames: those to decode around others, those that are left out, and those that fall to one process."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from lanhdr_cli.media.video_reader import VideoInfo
from lanhdr_cli.options import FrameRange
from lanhdr_cli.pipeline import ResultFrame
from lanhdr_cli.ranks import Ranks
from model.analysis.doubled_frames import true_rate
from model.exposure import FrameExposures

TICKS = 1000  # of a clock, per frame

logger = logging.getLogger(__name__)


def decoded_range(wanted: FrameRange, exposures: FrameExposures, *, margin: int) -> tuple[int, int | None]:
    """Choose the frames to decode around those wanted, from the start of an exposure period on.

    Windows reach farther where frames are missing, and past doubled ones.
    """
    behind = margin if exposures.regular else 2 * margin
    margin += 0 if exposures.regular else exposures.period
    start, before = wanted.first, 0
    while start > 0 and before < behind:
        start -= 1
        before += start not in exposures.doubled
    if not exposures.doubled:
        start -= start % exposures.period
    if wanted.last is None:
        return start, None
    stop, after = wanted.last + 1, 0
    while after < margin:
        after += stop not in exposures.doubled
        stop += 1
    return start, stop


@dataclass(frozen=True, kw_only=True)
class Dropped:
    """Frames that are left out since they show others again, and the rate of those that stay, None to keep times."""

    frames: frozenset[int] = frozenset()
    rate: Fraction | None = None

    @classmethod
    def of(cls, exposures: FrameExposures, info: VideoInfo) -> "Dropped":
        if not exposures.doubled:
            return cls()
        rate = info.rate and true_rate(info.rate, exposures.doubled, count=len(exposures.phases))
        if rate:
            logger.info("%g frames per second without doubled frames", float(rate))
        else:
            logger.warning("frames are doubled at no steady rate: the others keep their times")
        return cls(frames=exposures.doubled, rate=rate)

    def retimed(self, info: VideoInfo) -> VideoInfo:
        """Describe a clip without these frames."""
        return replace(info, rate=self.rate, time_base=1 / (self.rate * TICKS)) if self.rate else info

    def moved_index(self, index: int) -> int:
        """Number a frame as if the others had never been there."""
        return index - sum(place < index for place in self.frames)

    def moved(self, result: ResultFrame) -> ResultFrame:
        """Number a frame that stays, and time it, as if the others had never been there."""
        if not self.frames:
            return result
        index = self.moved_index(result.index)
        hdr = replace(result.hdr, time=index / self.rate) if self.rate else result.hdr
        return replace(result, index=index, hdr=hdr)


@dataclass(frozen=True, kw_only=True)
class Share:
    """What falls to one process.

    Args:
        runs: Consecutive frames of the clip, one range after the other; none if there is nothing to do.
        position: Of the first of them in the result; None if there is none.
        shown: Frame that a preview shows, as it is numbered in the result.
        shows: Whether it is one of these.
    """

    runs: tuple[FrameRange, ...]
    position: int | None
    shown: int
    shows: bool

    @classmethod
    def of(
        cls,
        wanted: FrameRange,
        ranks: Ranks,
        *,
        total: int | None,
        dropped: Dropped,
        step: int,
        kept: frozenset[int] = frozenset(),
    ) -> "Share":
        """Choose whole steps of the result that are still to be made, as many for each process as for the others.

        Args:
            total: Number of frames wanted; it may be unknown where there is one process and nothing is kept.
            dropped: Those of them that are not in the result.
            step: Number of frames of the result that one process has to make.
            kept: Numbers of the steps that are there already.
        """
        total = total or 1
        shown = wanted.first + (total - 1) // 2
        if ranks.size == 1 and not kept:
            return cls(runs=(wanted,), position=0, shown=shown, shows=True)
        frames = result_frames(wanted, total=total, dropped=dropped)
        place = shown_place(wanted, total=total, dropped=dropped)
        missing = [number for number in range(-(-len(frames) // step)) if number not in kept]
        places = ranks.positions(len(missing), step=1)
        steps = missing[places.start : places.stop]
        runs = []
        for begin, end in _consecutive(steps):
            first = frames[begin * step] if begin else wanted.first
            last = wanted.last if end * step >= len(frames) else frames[end * step] - 1
            runs.append(FrameRange(first, last))
        return cls(
            runs=tuple(runs),
            position=steps[0] * step if steps else None,
            shown=shown,
            shows=place // step in steps,
        )


def result_frames(wanted: FrameRange, *, total: int, dropped: Dropped) -> list[int]:
    """List the frames of the clip that are in the result, in order.

    Args:
        total: Number of frames wanted, as far as the clip has them.
    """
    return [index for index in range(wanted.first, wanted.first + total) if index not in dropped.frames]


def shown_place(wanted: FrameRange, *, total: int, dropped: Dropped) -> int:
    """Choose the place in the result of the frame that a picture for a preview shows."""
    count = len(result_frames(wanted, total=total, dropped=dropped))
    return min(wanted.first + (total - 1) // 2 - dropped.moved_index(wanted.first), count - 1)


def _consecutive(numbers: Sequence[int]) -> list[tuple[int, int]]:
    """Group rising numbers to ranges: the first of each, and the one behind its last."""
    ranges: list[tuple[int, int]] = []
    for number in numbers:
        if ranges and ranges[-1][1] == number:
            ranges[-1] = (ranges[-1][0], number + 1)
        else:
            ranges.append((number, number + 1))
    return ranges
