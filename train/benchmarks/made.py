"""Scenes of clips that are made when they are asked for; one clip is in memory at a time."""

from collections.abc import Callable, Sequence
from functools import lru_cache, partial

from torch import Tensor

from train.benchmarks.request import Request
from train.benchmarks.scene import Scene
from train.clips import Clip, clip_exposures


def made_scenes(
    names: Sequence[str], request: Request, *, make: Callable[[int], Clip], frames: int | None = None
) -> tuple[Scene, ...]:
    """Wrap clips whose exposures follow from their number.

    Args:
        names: Names of all clips.
        request: Which of them, with how many exposures.
        make: Makes a clip by number.
        frames: Frames of a clip; by default as `train.clips` has it.
    """
    make = lru_cache(maxsize=1)(make)
    return tuple(
        _scene(names[index], index, make=make, request=request, frames=frames) for index in request.choose(names)
    )


def _scene(name: str, index: int, *, make: Callable[[int], Clip], request: Request, frames: int | None) -> Scene:
    exposures = tuple(clip_exposures(index, request.nexps, frames=frames))
    truths = {number: partial(_truth, make, index, number=number) for number in request.centers(len(exposures))}
    labels = tuple(f"{number:04d}" for number in range(len(exposures)))
    return Scene(name, exposures, labels, partial(_ldr, make, index), truths)


def _ldr(make: Callable[[int], Clip], index: int, number: int) -> Tensor:
    return make(index).ldr[number]


def _truth(make: Callable[[int], Clip], index: int, *, number: int) -> Tensor:
    return make(index).radiance[number]
