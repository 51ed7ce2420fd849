"""Where the order of exposures breaks, and why."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Literal

from model.brightness import FrameLight
from model.phases import Scale, frame_advances

SAME_PICTURE = 0.3  # of the usual difference between frames of one exposure
STILL = 0.002  # mean difference of encoded values below which a scene does not move


@dataclass(frozen=True)
class Slip:
    """A break in the order of exposures.

    Args:
        index: First frame after the break, counted from 0.
        kind: Whether frames are missing before it, it shows its predecessor again, either of these in a still
            scene, or the break is at a cut.
        missing: Number of missing frames, as far as the exposures and times tell.
    """

    index: int
    kind: Literal["dropped", "doubled", "unclear", "cut"]
    missing: int = 0

    def __str__(self) -> str:
        missing = "one frame" if self.missing == 1 else f"{self.missing} frames"
        what = {
            "dropped": f"{missing} missing before it",
            "doubled": "shows the frame before it again",
            "unclear": f"{missing} missing before it, or one doubled",
            "cut": "the order begins anew at a cut",
        }
        return f"frame {self.index}: {what[self.kind]}"


def find_slips(frames: Sequence[FrameLight], phases: Sequence[int], period: int, *, scale: Scale) -> tuple[Slip, ...]:
    """List the breaks in the order of exposures.

    Args:
        frames: The light of all frames.
        phases: Place of each frame in the cycle.
        period: Length of the cycle.
        scale: What is usual in this clip.
    """
    advances = frame_advances([frame.time for frame in frames])
    same = [frame.steps[period - 1].difference for frame in frames if len(frame.steps) >= period]
    usual = median(same) if same else 0.0
    return tuple(
        _slip(frames[index], index, moved=(after - before) % period, period=period, advance=advance, usual=usual)
        if scale.usable(frames[index].steps[0]) or advance > 1
        else Slip(index, "cut")
        for index, ((before, after), advance) in enumerate(zip(pairwise(phases), advances, strict=True), 1)
        if (after - before - 1) % period != 0
    )


def _slip(frame: FrameLight, index: int, *, moved: int, period: int, advance: int, usual: float) -> Slip:
    missing = (moved - 1) % period
    if advance > 1 and (advance - moved) % period == 0:
        return Slip(index, "dropped", advance - 1)
    if moved != 0:
        return Slip(index, "dropped", missing)
    if frame.steps[0].difference < SAME_PICTURE * usual:
        return Slip(index, "doubled")
    return Slip(index, "unclear" if usual < STILL else "dropped", missing)
