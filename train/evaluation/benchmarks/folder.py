"""Any clips of one's own: filmed ones with their truth, or HDR pictures, videos and brackets of which clips are made.

Layout of filmed ones: `<scene>/` holds numbered frames (.png, .tif, .jpg encoded with 1/2.2, or .exr), `exposures.txt`
(stops of one cycle) and `truth/` with .exr or .hdr files that have the stems of their frames; where frames are not
encoded with 1/2.2, the camera's curve lies beside them as `response.csv` (code, light).
"""

import re
from collections.abc import Iterable
from pathlib import Path

from train.data.clips import shortened
from train.errors import DatasetError
from train.evaluation.benchmarks.files import (
    SceneFiles,
    demand_files,
    read_encoded,
    read_exposures,
    unscored,
)
from train.evaluation.benchmarks.scene import Benchmark, Request
from train.evaluation.benchmarks.synthetic import ClipFolder, bracket_scene, made_scenes, usable_brackets

NAME, TITLE = "folder", "clips of a folder"
FRAME_SUFFIXES = frozenset({".png", ".tif", ".tiff", ".jpg", ".jpeg", ".exr"})
TRUTH_SUFFIXES = frozenset({".exr", ".hdr"})
LISTS = ("exposures.txt", "Exposures.txt")
LAYOUT = "one folder per scene with numbered frames, exposures.txt and truth/"
KINDS = "HDR pictures, videos or folders of exposure brackets"
MADE = (
    "Clips are made of the folder's HDR pictures and videos: camera moves with things moving in front, re-exposed with "
    "noise and 8 bits.",
)
FILMED = ("Truths are taken as they are, 1.0 = clip level of the shortest exposure; what is brighter is clipped.",)
OF_BRACKETS = (
    "Clips are made of brackets of still scenes: a moving window over the pictures of {nexps} exposures, linearised by "
    "the curve that the bracket shows; the truth is the merge of all its exposures.",
)
RESPONSE = "response.csv"
_NUMBER = re.compile(r"\d+$")


def open_folder(data_dir: Path | None, request: Request) -> Benchmark:
    """Open one's own clips.

    Args:
        data_dir: A folder of scenes, one scene, or a folder of HDR pictures, videos and brackets.
        request: Which part.

    Raises:
        DatasetError: If there is nothing of this, files are missing, or truths fit no frame.
    """
    if data_dir is None or not data_dir.is_dir():
        found = "no folder is given" if data_dir is None else f"{data_dir} is no folder"
        raise DatasetError(f"{found}: pass {LAYOUT} as --data-dir")
    children = sorted(child for child in data_dir.iterdir() if child.is_dir())
    folders = [place for place in (data_dir, *children) if _list_of(place).is_file() or (place / "truth").is_dir()]
    return _filmed(data_dir, folders, request) if folders else _made(data_dir, request)


def _list_of(folder: Path) -> Path:
    return next((folder / name for name in LISTS if (folder / name).is_file()), folder / LISTS[0])


def _filmed(data_dir: Path, folders: list[Path], request: Request) -> Benchmark:
    chosen = [folders[place] for place in request.choose([folder.name for folder in folders])]
    found = [_files(folder, request) for folder in chosen]
    lacking = [files.name for files in found if not files.truths]
    if 0 < len(lacking) < len(found) and not request.no_truth:
        raise DatasetError(
            f"{data_dir}: scenes without a truth to score: {shortened(lacking)}; take them out, or pass --no-truth"
        )
    demand_files((path for files in found for path in files.paths), root=data_dir, source="")
    scenes = tuple(files.scene(read_frame=read_encoded, normalize=False) for files in found)
    if lacking:
        return Benchmark(NAME, TITLE, request.nexps, scenes, "none", (), "")
    return Benchmark(NAME, TITLE, request.nexps, scenes, "truth", (*FILMED, *unscored(found, request)), "")


def _files(folder: Path, request: Request) -> SceneFiles:
    frames = _frames(folder)
    exposures = read_exposures(_list_of(folder), len(frames), nexps=request.nexps)
    numbers = {path.stem: number for number, path in enumerate(frames)}
    truths = {path.stem: path for path in _with(folder / "truth", TRUTH_SUFFIXES)}
    strangers = sorted(truths.keys() - numbers.keys())
    if strangers:
        raise DatasetError(
            f"{folder / 'truth'}: no frame is called {shortened(strangers)}: truths must have the stems of their frames"
        )
    centers = set(request.centers(len(frames)))
    scored = {numbers[stem]: path for stem, path in truths.items() if numbers[stem] in centers}
    response = folder / RESPONSE
    return SceneFiles(
        name=folder.name,
        exposures=exposures,
        frames=frames,
        truths=scored,
        response=response if response.is_file() else None,
    )


def _frames(folder: Path) -> tuple[Path, ...]:
    """Frames in order of their numbers.

    Raises:
        DatasetError: If there are none, one has no number, numbers are missing, or two have the same.
    """
    by_number: dict[int, Path] = {}
    for path in _with(folder, FRAME_SUFFIXES):
        digits = _NUMBER.search(path.stem)
        if digits is None:
            raise DatasetError(f"{path} has no number at the end of its name: name frames as in frame_0001.png")
        twin = by_number.setdefault(int(digits[0]), path)
        if twin != path:
            raise DatasetError(f"{path} and {twin.name} have the same number: leave one of them")
    if not by_number:
        raise DatasetError(f"{folder} holds no frames (.png, .tif, .jpg, .exr): the layout is {LAYOUT}")
    gaps = [f"{number}" for number in range(min(by_number), max(by_number)) if number not in by_number]
    if gaps:
        raise DatasetError(f"{folder}: {len(gaps):,} numbers have no frame: {shortened(gaps)}; copy all frames")
    return tuple(by_number[number] for number in sorted(by_number))


def _with(folder: Path, suffixes: Iterable[str]) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(
        path for path in folder.iterdir() if path.suffix.lower() in suffixes and not path.name.startswith(".")
    )


def _made(data_dir: Path, request: Request) -> Benchmark:
    folder, brackets = ClipFolder(data_dir), usable_brackets(data_dir, request.nexps)
    names = [path.stem for path in folder.paths]
    if not names and not brackets:
        raise DatasetError(f"{data_dir} holds neither scenes ({LAYOUT}) nor {KINDS}: pass another")
    chosen = request.choose([*names, *(bracket.name for bracket in brackets)])
    of_pictures = [place for place in chosen if place < len(names)]
    of_brackets = [brackets[place - len(names)] for place in chosen if place >= len(names)]
    scenes = made_scenes(names, of_pictures, request, make=lambda index: folder.clip(index, request.nexps))
    scenes += tuple(bracket_scene(bracket, request) for bracket in of_brackets)
    notes = (*(MADE if of_pictures else ()), *(OF_BRACKETS if of_brackets else ()))
    said = tuple(note.format(nexps=request.nexps) for note in notes)
    return Benchmark(NAME, TITLE, request.nexps, scenes, "truth", said, "")
