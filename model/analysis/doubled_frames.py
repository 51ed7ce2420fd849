"""Frames that show the frame before them again, as a change of the frame rate leaves them."""

import math
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

from model.analysis.brightness import FrameLight
from model.exposure import GAMMA

SAME_EXPOSURE = 0.1  # stops
SAME_PICTURE = 0.3  # of the usual change between frames of one exposure
USUAL = 0.75  # quantile of these changes: doubled frames among them have nearly none
NO_CHANGE = 0.003  # where no other frames of one exposure come close to each other
DARKEST_MEAN = 1e-3
CADENCES = tuple(Fraction(kept, shown) for shown in range(2, 7) for kept in range(1, shown))


def find_doubled(frames: Sequence[FrameLight]) -> frozenset[int]:
    """Find the frames that show their predecessor again.

    Args:
        frames: The light of all frames, as `LightMeter` measures it.
    """
    relative = [[_relative(frame, lag) for lag in range(len(frame.steps))] for frame in frames]
    others = [max(seen) for changes in relative if (seen := [change for change in changes[1:] if change is not None])]
    usual = sorted(others)[int(USUAL * len(others))] if others else NO_CHANGE / SAME_PICTURE
    return frozenset(
        index
        for index, changes in enumerate(relative)
        if changes and changes[0] is not None and changes[0] < SAME_PICTURE * usual
    )


def _relative(frame: FrameLight, lag: int) -> float | None:
    """Change per frame from an earlier frame of the same exposure, as a part of the encoded mean; None for another."""
    step = frame.steps[lag]
    if not abs(step.stops) < SAME_EXPOSURE:
        return None
    return step.difference / (lag + 1) / math.pow(max(frame.mean, DARKEST_MEAN), 1 / GAMMA)


def without_doubled(frames: Sequence[FrameLight], doubled: frozenset[int]) -> list[FrameLight]:
    """Leave frames out as if they had never been there: steps lead from one picture to the next, times close up.

    Args:
        frames: The light of all frames.
        doubled: Those to leave out.
    """
    if not doubled:
        return list(frames)
    paces = sorted(later.time - earlier.time for earlier, later in pairwise(frames))
    pace, kept, pictures = paces[len(paces) // 2], list[FrameLight](), list[int]()
    for index, frame in enumerate(frames):
        if index not in doubled:
            # A step from a doubled frame is one from the picture that it shows.
            steps = {pictures[index - lag]: step for lag, step in reversed(list(enumerate(frame.steps, 1)))}
            own = tuple(steps[picture] for picture in sorted(steps, reverse=True))
            kept.append(replace(frame, steps=own, time=frame.time - (index - len(kept)) * pace))
        pictures.append(len(kept) - 1)
    return kept


def true_rate(rate: Fraction, doubled: frozenset[int], *, count: int) -> Fraction | None:
    """Find the rate that a clip had before frames were doubled.

    Args:
        rate: Frames per second with them.
        doubled: Frames that show their predecessor again.
        count: Number of frames of the clip.

    Returns:
        The rate at which the others have kept their times to less than a frame; None if they were doubled at no
        steady rate.
    """
    kept = [index for index in range(count) if index not in doubled]

    def wander(cadence: Fraction) -> Fraction:
        off = [place - number / cadence for number, place in enumerate(kept)]
        return max(off) - min(off)

    best = min(CADENCES, key=wander)
    return rate * best if len(kept) > 1 and wander(best) < 1 else None
