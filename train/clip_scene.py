"""A clip in memory, taken for a scene."""

from functools import partial
from typing import Protocol

from torch import Tensor

from model.exposure import CodePrecision
from train.batches import Sample
from train.benchmarks.request import Request
from train.benchmarks.scene import Scene


class Clip(Sample, Protocol):
    """Consecutive frames and their truth."""

    @property
    def name(self) -> str:
        """What the table calls it."""
        ...


def scene_of(clip: Clip, nexps: int) -> Scene:
    """Let the frames of a clip that have a whole window be scored.

    Args:
        clip: The clip.
        nexps: Number of exposures in the cycle.
    """
    count = len(clip.ldr)
    truths = {frame: partial(_nth, clip.radiance, frame) for frame in Request(nexps).centers(count)}
    labels = tuple(f"{frame:04d}" for frame in range(count))
    exposures, precision = tuple(clip.exposures.tolist()), CodePrecision.from_tensor(clip.precision)
    return Scene(clip.name, exposures, labels, partial(_nth, clip.ldr), truths, precision)


def _nth(frames: Tensor, number: int) -> Tensor:
    return frames[number]
