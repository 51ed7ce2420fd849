"""Test_Compack_8frames_50scenes, the test set of Real-HDRV: each frame filmed in both exposures, with its truth.

Layout: `<scene>/Input_0/frame_00.tif` ... `frame_07.tif` (short), `Input_1` (long), and `GT/GT_frame_00.hdr` ...; no
file tells the exposures.
"""

from pathlib import Path

from train.errors import DatasetError
from train.evaluation.benchmarks.files import SceneFiles, demand_files, find_root, read_encoded
from train.evaluation.benchmarks.scene import Benchmark, Request

NAME, SHORT_FIRST, FOLDER = "hdrv", "hdrv_short_first", "Test_Compack_8frames_50scenes"
SOURCE = "https://github.com/yungsyu99/Real-HDRV"
FRAMES, PUBLISHED_SCENES, RATIO = 8, 50, 8.0
STREAMS = ("Input_0", "Input_1")
PARTS = (*STREAMS, "GT")
EXPOSURES = (1.0, RATIO)
TRUTH = "GT/GT_frame_{:02d}.hdr"
PHASES = (
    "Even frames are short (Input_0), odd ones long (Input_1): the other phase than F2HDR's published scores have.",
    "Even frames are long (Input_1), odd ones short (Input_0), as F2HDR's loader alternates the two streams.",
)
NOTES = (
    "The set names no exposures; 1:8 is what the published loader of F2HDR takes.",
    "Windows of 5 score frames 2 to 5 of each scene; published scores of methods with windows of 3 are of frames 1 to "
    "6. Each truth is divided by its own maximum where that is above 1.",
)


def open_hdrv(data_dir: Path | None, request: Request) -> Benchmark:
    """Open the set with long frames at even numbers, as the loader of F2HDR alternates them.

    Args:
        data_dir: The folder Test_Compack_8frames_50scenes, or the one that holds it.
        request: Which part.

    Raises:
        DatasetError: If a file is missing, or another number of exposures than two is asked for.
    """
    return _opened(data_dir, request, name=NAME, first=1)


def open_hdrv_short_first(data_dir: Path | None, request: Request) -> Benchmark:
    """Open the set with short frames at even numbers; arguments and errors as of `open_hdrv`."""
    return _opened(data_dir, request, name=SHORT_FIRST, first=0)


def _opened(data_dir: Path | None, request: Request, *, name: str, first: int) -> Benchmark:
    if request.nexps != 2:
        raise DatasetError(f"Real-HDRV has two exposures, {request.nexps} are asked for: pass --nexps 2")
    root = find_root(data_dir, FOLDER, marks=[f"*/{part}" for part in PARTS], source=SOURCE)
    names = sorted({folder.parent.name for part in PARTS for folder in root.glob(f"*/{part}")})
    chosen = [root / names[place] for place in request.choose(names)]
    frames = [f"{stream}/frame_{number:02d}.tif" for stream in STREAMS for number in range(FRAMES)]
    published = [*frames, *(TRUTH.format(number) for number in range(FRAMES))]
    demand_files((folder / file for folder in chosen for file in published), root=root, source=SOURCE)
    scenes = tuple(
        _files(folder, request, first=first).scene(read_frame=read_encoded, normalize=True) for folder in chosen
    )
    fewer = f"The folder holds {len(names)} scenes, the published set {PUBLISHED_SCENES}."
    notes = (PHASES[first], *NOTES, *([] if len(names) == PUBLISHED_SCENES else [fewer]))
    return Benchmark(name, "Real-HDRV", 2, scenes, "truth", notes, SOURCE)


def _files(folder: Path, request: Request, *, first: int) -> SceneFiles:
    streams = [(number + first) % 2 for number in range(FRAMES)]
    frames = tuple(folder / STREAMS[stream] / f"frame_{number:02d}.tif" for number, stream in enumerate(streams))
    return SceneFiles(
        name=folder.name,
        exposures=tuple(EXPOSURES[stream] for stream in streams),
        frames=frames,
        truths={number: folder / TRUTH.format(number) for number in request.centers(FRAMES)},
    )
