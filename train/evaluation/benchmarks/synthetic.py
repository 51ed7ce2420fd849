"""Held-out clips to measure on: the same ones in every run, for their seeds are their names.

Hand-held camera moves over panoramas and photos with things moving in front, HDR10 videos, and LDR videos through
a fixed inverse camera curve; re-exposed with shot and read noise and 8-bit quantisation, without compression.
"""

import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property, lru_cache, partial
from pathlib import Path

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor

from model.exposure import GAMMA_8_BIT
from train.data.brackets import bracket_files, find_brackets, read_bracket
from train.data.clips import evenly
from train.data.folder import HDR_SUFFIXES, VIDEO_SUFFIXES
from train.data.images import Picture, Pixels, read_hdr_picture
from train.data.videos import hdr_transfer, read_hdr_video, read_ldr_video
from train.errors import DatasetError
from train.evaluation.benchmarks.bracket_clips import BracketClip, choose_exposures, clip_of_bracket
from train.evaluation.benchmarks.scene import Benchmark, Request, Scene
from train.evaluation.benchmarks.scene import ClipWithTruth as AnyClip
from train.synthesis.camera import Camera, Size, View, draw_motion, linear, view_panorama, view_picture
from train.synthesis.capture import Capture, expose, exposure_gain
from train.synthesis.dataset import to_tensor
from train.synthesis.procedural import InverseCurve, dead_leaves
from train.synthesis.scene import CompositeScene, Foreground, draw_foreground

CYCLES = {2: ((1.0, 4.0), (1.0, 8.0), (1.0, 16.0)), 3: ((1.0, 4.0, 16.0),)}
# shot variance and read deviation in units of the clip level: a large sensor in good light to a small one in bad
CAMERAS = (Capture(shot=3e-5, read=5e-4), Capture(shot=8e-5, read=1e-3), Capture(shot=2e-4, read=2e-3))
CURVE = InverseCurve(n=0.65, s=0.6, boost=4.0)
LAYERS = 2
SIZE = (352, 640)
# 1024 pixels around give no more than this without magnifying
SMALL_PANORAMA, SMALL_SIZE = 2048, (256, 384)


@dataclass(frozen=True)
class Clip:
    """One clip and its truth.

    Args:
        name: Name of the file that it is made of.
        ldr: Encoded with 1/2.2, 0..1, (T, 3, H, W).
        exposures: Linear, relative to the shortest, (T,).
        radiance: Linear radiance, 1.0 = clip level of the shortest exposure, 0..1, (T, 3, H, W).
        capture: The camera that took it.
        precision: How precisely its codes state light, as `CodePrecision.tensor` lays it out, (6,).
    """

    name: str
    ldr: Tensor
    exposures: Tensor
    radiance: Tensor
    capture: Capture
    precision: Tensor = field(default_factory=GAMMA_8_BIT.tensor)


def test_clips(
    data_dir: Path, nexps: int, *, size: Size = SIZE, frames: int | None = None, limit: int | None = None
) -> Iterator[Clip]:
    """Make one clip of every HDR picture and every video below a folder: pictures first, each by name of path.

    Args:
        data_dir: The folder.
        nexps: Number of distinct exposures, 2 or 3.
        size: Height and width of camera moves, less for small panoramas; videos are reduced to its longer side.
        frames: Frames of a clip; by default the window's length plus 3, so that 4 middle frames can be scored.
        limit: Most clips, evenly chosen from the list; a clip is the same whichever others are chosen.

    Yields:
        Clips; exposures, phases and cameras vary over them.

    Raises:
        DatasetError: If the folder holds nothing usable, or a file in it cannot be read.
    """
    folder = ClipFolder(data_dir)
    if not folder.paths:
        raise DatasetError(f"{data_dir} holds no .hdr, .exr or video: pass a folder that holds test pictures")
    for index in evenly(len(folder.paths), limit=limit):
        yield folder.clip(index, nexps, size=size, frames=frames)


@dataclass(frozen=True)
class ClipFolder:
    """The files below a folder that clips are made of; none is read before a clip is asked for.

    Args:
        folder: The folder.
    """

    folder: Path

    @cached_property
    def paths(self) -> tuple[Path, ...]:
        """HDR pictures first, then videos, each by name of path."""
        return (*_found(self.folder, HDR_SUFFIXES), *_found(self.folder, VIDEO_SUFFIXES))

    @cached_property
    def pictures(self) -> tuple[Picture, ...]:
        """All pictures, for things that move in front of one are cut out of any."""
        return tuple(read_hdr_picture(path) for path in self.paths if path.suffix.lower() in HDR_SUFFIXES)

    def clip(self, index: int, nexps: int, *, size: Size = SIZE, frames: int | None = None) -> Clip:
        """Make the clip of one of `paths`; arguments and errors as of `test_clips`."""
        source = self.pictures[index] if index < len(self.pictures) else self.paths[index]
        return make_clip(source, index, nexps=nexps, cut_from=self.pictures, size=size, frames=frames)


def make_clip(
    source: Picture | Path,
    index: int,
    *,
    nexps: int,
    cut_from: Sequence[Picture],
    size: Size = SIZE,
    frames: int | None = None,
) -> Clip:
    """Make a clip of a picture or a video.

    Args:
        source: The picture, or the path of the video.
        index: Number of the clip; exposures, phase and camera follow from it.
        nexps: Number of distinct exposures, 2 or 3.
        cut_from: Pictures of which things in front are cut.
        size: Height and width of camera moves, less for small panoramas; videos are reduced to its longer side.
        frames: Frames of the clip; by default the window's length plus 3.

    Raises:
        DatasetError: If the video cannot be read or is too short.
    """
    exposures, capture = clip_exposures(index, nexps, frames=frames), CAMERAS[(index + index // 3) % len(CAMERAS)]
    name = source.name if isinstance(source, Picture) else source.stem
    rng = np.random.default_rng([zlib.crc32(name.encode()), nexps])
    if isinstance(source, Picture):
        radiance = _camera_move(rng, source, exposures, cut_from=cut_from, size=size)
    else:
        radiance = _exposed_video(rng, _read_video(source, count=len(exposures), size=size), exposures)
    ldr = expose(radiance, exposures, capture=capture, rng=rng)
    return Clip(name, to_tensor(ldr), torch.tensor(exposures), to_tensor(radiance), capture)


def clip_exposures(index: int, nexps: int, *, frames: int | None = None) -> list[float]:
    """Return the linear exposures of a clip by its number, relative to the shortest, one per frame."""
    cycle, phase = CYCLES[nexps][index % len(CYCLES[nexps])], (index // 2) % nexps
    return [cycle[(frame + phase) % nexps] for frame in range(frames or 2 * nexps + 4)]


def _found(folder: Path, suffixes: frozenset[str]) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in suffixes)


def _camera_move(
    rng: Generator, picture: Picture, exposures: list[float], *, cut_from: Sequence[Picture], size: Size
) -> Pixels:
    """Render a hand-held move with things in front, half of them with motion blur, (T, H, W, 3) in 0..1."""
    times = [float(frame - len(exposures) // 2) for frame in range(len(exposures))]
    view = _view(rng, picture, times=times, size=size)
    behind, longest = view.render(0.0), max(exposures)
    layers = tuple(_layer(rng, cut_from, size=behind.shape[:2], longest=longest) for _ in range(LAYERS))
    scene = CompositeScene(view.exposed(np.full(3, _gain(rng, behind, longest=longest), np.float32)), layers)
    shutter = 0.4 if rng.random() < 0.5 else 0.0
    moments = zip(times, exposures, strict=True)
    shots = [scene.render(time, shutter=shutter * exposure / longest) for time, exposure in moments]
    return np.clip(np.stack(shots), 0, 1)


def _layer(rng: Generator, cut_from: Sequence[Picture], *, size: Size, longest: float) -> Foreground:
    picture = cut_from[int(rng.integers(len(cut_from)))]
    return draw_foreground(rng, picture, size=size, speed=rng.uniform(1, 10), longest_exposure=longest)


def _view(rng: Generator, picture: Picture, *, times: list[float], size: Size) -> View:
    height, width = picture.levels[0].shape[:2]
    motion = draw_motion(rng, rng.uniform(0.5, 4))
    if picture.panorama:
        small = width < SMALL_PANORAMA
        size = (min(size[0], SMALL_SIZE[0]), min(size[1], SMALL_SIZE[1])) if small else size
        look = (float(rng.uniform(-np.pi, np.pi)), float(rng.normal(0, 0.15)))
        scale = 0.9 if small else 1.5
        return view_panorama(picture, look=look, scale=scale, motion=motion, size=size, times=times)
    scale = min(height / size[0], width / size[1]) / 1.15
    camera = Camera((width / 2, height / 2), scale, float(rng.normal(0, 0.03)), motion, size)
    return view_picture(picture, camera, times=times)


def _read_video(path: Path, *, count: int, size: Size) -> Pixels:
    """Read the linear radiance of frames from the first quarter of a video on, (T, H, W, 3)."""
    longest_side = max(size)
    if hdr_transfer(path) == "pq":
        return np.asarray(read_hdr_video(path, first=4, most_frames=count, longest_side=longest_side).frames)
    frames = read_ldr_video(path, first=20, most_frames=count, longest_side=longest_side).frames
    return linear(frames, CURVE.table())


def _exposed_video(rng: Generator, radiance: Pixels, exposures: list[float]) -> Pixels:
    if len(radiance) < len(exposures):
        raise DatasetError(f"a test video has {len(radiance)} frames, {len(exposures)} are needed: take it out")
    gain = _gain(rng, radiance[len(radiance) // 2], longest=max(exposures))
    return np.asarray(np.clip(radiance * np.float32(gain), 0, 1), np.float32)


def _gain(rng: Generator, radiance: Pixels, *, longest: float) -> float:
    return exposure_gain(radiance, longest, long_clips=rng.uniform(0.1, 0.35), short_clips=0.002, darkest=0.02)


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
        frames: Frames of a clip; by default as `train.evaluation.benchmarks.synthetic` has it.
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


NAMES = ("leaves-1", "leaves-2", "leaves-3", "leaves-4")
FRAMES = {2: 8, 3: 9}
SELFTEST_SIZE = (192, 320)
SIDE = 480  # as much larger than the view as the camera moves
SEED = 20131
NOTES = (
    "Clips are drawn by computation: overlapping shapes with lamps among them, a moving camera, two things moving in "
    "front, noise, 8 bits. They tell whether all works, not how a method does on films.",
)


def open_selftest(data_dir: Path | None, request: Request) -> Benchmark:
    """Open four clips of 8 frames (two exposures; 16 frames are scored) or 9 (three; 12 are scored).

    Args:
        data_dir: Not used.
        request: Which part.
    """
    frames = FRAMES[request.nexps]

    def make(index: int) -> Clip:
        pictures = _pictures()
        return make_clip(
            pictures[index], index, nexps=request.nexps, cut_from=pictures, size=SELFTEST_SIZE, frames=frames
        )

    scenes = made_scenes(NAMES, request.choose(NAMES), request, make=make, frames=frames)
    return Benchmark("selftest", "Self-test (drawn clips)", request.nexps, scenes, "truth", NOTES, "")


@cache
def _pictures() -> tuple[Picture, ...]:
    drawn = (dead_leaves(np.random.default_rng([SEED, number]), side=SIDE) for number in range(len(NAMES)))
    return tuple(Picture(name, picture.levels) for name, picture in zip(NAMES, drawn, strict=True))
