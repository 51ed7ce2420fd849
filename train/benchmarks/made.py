"""Scenes of clips that are made when they are asked for; one clip is in memory at a time."""

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from pathlib import Path

from torch import Tensor

from train.benchmarks.request import Request
from train.benchmarks.scene import Scene
from train.bracket_clips import BracketClip, choose_exposures, clip_of_bracket
from train.clip_scene import Clip as AnyClip
from train.clips import Clip, clip_exposures
from train.datasets.brackets import bracket_files, find_brackets, read_bracket


def made_scenes(
    names: Sequence[str],
    places: Sequence[int],
    request: Request,
    *,
    make: Callable[[int], Clip],
    frames: int | None = None,
) -> tuple[Scene, ...]:
    """Wrap clips whose exposures follow from their number.

    Args:
        names: Names of all clips.
        places: Numbers of those that are wanted.
        request: With how many exposures.
        make: Makes a clip by number.
        frames: Frames of a clip; by default as `train.clips` has it.
    """
    make = lru_cache(maxsize=1)(make)
    return tuple(_scene(names[index], index, make=make, request=request, frames=frames) for index in places)


def usable_brackets(folder: Path, nexps: int) -> tuple[Path, ...]:
    """Find the brackets among a folder and those directly in it that have as many exposures at least."""
    return tuple(place for place in find_brackets(folder) if len(bracket_files(place)) >= nexps)


def bracket_scene(folder: Path, request: Request) -> Scene:
    """Wrap the clip of a bracket, which is read here for its exposures, and again when frames are asked for.

    Raises:
        DatasetError: If it cannot be read, or its pictures don't fit each other.
    """
    make = lru_cache(maxsize=1)(lambda _index: _bracket_clip(folder, request.nexps))
    clip = make(0)
    exposures = tuple(clip.exposures.tolist())
    truths = {number: partial(_truth, make, 0, number=number) for number in request.centers(len(exposures))}
    labels = tuple(f"{number:04d}" for number in range(len(exposures)))
    make.cache_clear()
    precision = clip.curve.precision()
    return Scene(folder.name, exposures, labels, partial(_ldr, make, 0), truths, precision, clip.curve)


def _bracket_clip(folder: Path, nexps: int) -> BracketClip:
    choice = choose_exposures(read_bracket(folder), nexps)
    assert choice is not None  # the files were counted
    return clip_of_bracket(choice, frames=len(clip_exposures(0, nexps)))


def _scene(name: str, index: int, *, make: Callable[[int], Clip], request: Request, frames: int | None) -> Scene:
    exposures = tuple(clip_exposures(index, request.nexps, frames=frames))
    truths = {number: partial(_truth, make, index, number=number) for number in request.centers(len(exposures))}
    labels = tuple(f"{number:04d}" for number in range(len(exposures)))
    return Scene(name, exposures, labels, partial(_ldr, make, index), truths)


def _ldr(make: Callable[[int], AnyClip], index: int, number: int) -> Tensor:
    return make(index).ldr[number]


def _truth(make: Callable[[int], AnyClip], index: int, *, number: int) -> Tensor:
    return make(index).radiance[number]
