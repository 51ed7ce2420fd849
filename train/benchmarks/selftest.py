"""Clips drawn on the spot, the same in every run, so that measuring works with nothing downloaded."""

from functools import cache
from pathlib import Path

import numpy as np

from train.benchmarks.made import made_scenes
from train.benchmarks.request import Request
from train.benchmarks.scene import Benchmark
from train.clips import Clip, make_clip
from train.datasets.pictures import Picture
from train.datasets.procedural import dead_leaves

NAMES = ("leaves-1", "leaves-2", "leaves-3", "leaves-4")
FRAMES = {2: 8, 3: 9}
SIZE = (192, 320)
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
        return make_clip(pictures[index], index, nexps=request.nexps, cut_from=pictures, size=SIZE, frames=frames)

    scenes = made_scenes(NAMES, request.choose(NAMES), request, make=make, frames=frames)
    return Benchmark("selftest", "Self-test (drawn clips)", request.nexps, scenes, "truth", NOTES, "")


@cache
def _pictures() -> tuple[Picture, ...]:
    drawn = (dead_leaves(np.random.default_rng([SEED, number]), side=SIDE) for number in range(len(NAMES)))
    return tuple(Picture(name, picture.levels) for name, picture in zip(NAMES, drawn, strict=True))
