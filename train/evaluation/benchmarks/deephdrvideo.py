"""The filmed sets of DeepHDRVideo with truth: dynamic scenes, and static ones that were shifted afterwards.

Layout: `scene_all.txt` names folders; each has `Exposures.txt` and `img_hdr_list.txt`, lines of a frame and its truth.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from model.errors import ResponseError
from model.exposure import GAMMA
from train.data.images import Pixels
from train.data.response_curve import read_matlab_table
from train.errors import DatasetError
from train.evaluation.benchmarks.files import (
    SceneFiles,
    as_stored,
    by_own_maximum,
    demand_equal,
    demand_files,
    find_root,
    read_by_table,
    read_encoded,
    read_exposures,
    read_names,
    read_rows,
    to_number,
    unscored,
)
from train.evaluation.benchmarks.scene import Benchmark, Request, Scene, Truth

DYNAMIC, STATIC = "dynamic", "static"
SOURCE = "https://huggingface.co/datasets/guanyingc/DeepHDRVideo_Dataset"
SCALED = "Each truth is divided by its own maximum where that is above 1, as the published loaders do."
TOGETHER = (
    "What papers call DeepHDRVideo is dynamic and static together; how they join the two is not published, so that no "
    "single number here stands for it."
)
CENTER = "The set pairs every frame with one truth, which is that of the middle frame: only this one is scored."

Truths = dict[int, Path]


def open_dynamic(data_dir: Path | None, request: Request) -> Benchmark:
    """Open the dynamic scenes: the middle frame of each is scored.

    Args:
        data_dir: The folder dynamic_RGB_data_2exp_release (or 3exp), or the one that holds it.
        request: Which part.

    Raises:
        DatasetError: If a file is missing, or lists contradict each other.
    """
    root = _root(data_dir, f"dynamic_RGB_data_{request.nexps}exp_release")
    listed = _center_exposures(root / "hdr_expos.txt")

    def middle_only(folder: Path, exposures: tuple[float, ...], truths: Truths) -> Truths:
        middle = len(exposures) // 2
        if middle not in truths:
            raise DatasetError(f"{folder} has {len(exposures)} frames, a window needs {request.window}: fetch it again")
        if folder.name in listed:
            path, name = root / "hdr_expos.txt", f"the middle frame of {folder.name}"
            demand_equal(exposures[middle], listed[folder.name], path=path, name=name)
        return {middle: truths[middle]}

    scenes = _scenes(root, request, keep=middle_only)
    title, notes = "DeepHDRVideo, dynamic scenes", (CENTER, SCALED, TOGETHER)
    return Benchmark(DYNAMIC, title, request.nexps, scenes, "truth", notes, SOURCE)


def open_static(data_dir: Path | None, request: Request) -> Benchmark:
    """Open the static scenes with random shifts: two frames of each are scored with two exposures, three with three.

    Args:
        data_dir: The folder static_RGB_data_2exp_rand_motion_release (or 3exp), or the one that holds it.
        request: Which part.

    Raises:
        DatasetError: If a file is missing, or lists contradict each other.
    """
    root = _root(data_dir, f"static_RGB_data_{request.nexps}exp_rand_motion_release")
    scenes = _scenes(root, request, keep=lambda _folder, _exposures, truths: truths)
    title, notes = "DeepHDRVideo, static scenes shifted at random", (SCALED, TOGETHER)
    return Benchmark(STATIC, title, request.nexps, scenes, "truth", notes, SOURCE)


def _root(data_dir: Path | None, folder: str) -> Path:
    return find_root(data_dir, folder, marks=("scene_all.txt",), source=SOURCE)


def _scenes(
    root: Path, request: Request, *, keep: Callable[[Path, tuple[float, ...], Truths], Truths]
) -> tuple[Scene, ...]:
    names = read_names(root / "scene_all.txt", source=SOURCE)
    found = [_files(root / names[place], request, keep=keep) for place in request.choose(names)]
    demand_files((path for files in found for path in files.paths), root=root, source=SOURCE)
    return tuple(files.scene(read_frame=read_encoded, rescale=by_own_maximum) for files in found)


def _files(folder: Path, request: Request, *, keep: Callable[[Path, tuple[float, ...], Truths], Truths]) -> SceneFiles:
    rows = read_rows(folder / "img_hdr_list.txt", columns=2, source=SOURCE)
    exposures = read_exposures(folder / "Exposures.txt", len(rows), nexps=request.nexps)
    truths = {number: folder / rows[number][1] for number in request.centers(len(rows))}
    kept = keep(folder, exposures, truths)
    return SceneFiles(folder.name, exposures, tuple(folder / row[0] for row in rows), kept)


def _center_exposures(path: Path) -> dict[str, float]:
    """Exposure of the middle frame by scene, as the set's own list has it; without the list nothing is compared."""
    if not path.is_file():
        return {}
    rows = read_rows(path, columns=2, source=SOURCE)
    return {Path(row[0]).parent.name: to_number(row[1], path=path) for row in rows}


CINEMATIC, CINEMATIC_FOLDER = "cinematic", "HDR_Synthetic_Test_Dataset"
NOTES = (
    "Exposed by computation from two graded videos of HdM-HDR-2014; the truth is stored in 0..1 and not renormalised.",
    "The published loader of HDRFlow reads the list of the two-exposure scenes for three exposures too.",
)


def open_cinematic(data_dir: Path | None, request: Request) -> Benchmark:
    """Open the set: 56 frames of each scene are scored with two exposures, 54 with three.

    Args:
        data_dir: The folder HDR_Synthetic_Test_Dataset, or the one that holds it.
        request: Which part.

    Raises:
        DatasetError: If a file is missing, or lists contradict each other.
    """
    scene_list = f"scenes_{request.nexps}expo.txt"
    root = find_root(data_dir, CINEMATIC_FOLDER, marks=(scene_list, "Images"), source=SOURCE)
    names = read_names(root / scene_list, source=SOURCE)
    found = [_cinematic_files(root / "Images" / names[place], request) for place in request.choose(names)]
    demand_files((path for files in found for path in files.paths), root=root, source=SOURCE)
    scenes = tuple(files.scene(read_frame=read_encoded, rescale=as_stored) for files in found)
    notes = (*NOTES, *unscored(found, request))
    return Benchmark(CINEMATIC, "Cinematic Video (synthetic)", request.nexps, scenes, "truth", notes, SOURCE)


def _cinematic_files(folder: Path, request: Request) -> SceneFiles:
    names = read_names(folder / "img_list.txt", source=SOURCE)
    exposures = read_exposures(folder / "Exposures.txt", len(names), nexps=request.nexps)
    listed = _with_truth(folder / "hdr_expos.txt", dict(zip(names, exposures, strict=True)))
    centers = (number for number in request.centers(len(names)) if names[number] in listed)
    truths = {number: folder / f"{names[number]}.hdr" for number in centers}
    return SceneFiles(folder.name, exposures, tuple(folder / f"{name}.tif" for name in names), truths)


def _with_truth(path: Path, exposures: dict[str, float]) -> set[str]:
    """Names of the frames that have a truth; their exposures are compared."""
    rows = read_rows(path, columns=2, source=SOURCE)
    listed = {Path(file).name.removesuffix(".hdr"): to_number(word, path=path) for file, word in rows}
    for name in listed.keys() & exposures.keys():
        demand_equal(exposures[name], listed[name], path=path, name=name)
    return set(listed)


TOG13, TOG13_FOLDER = "tog13", "TOG13_Dynamic_Dataset"
CODES = 1 << 16
RESPONSE = "Frames are linearised by BaslerCRF.mat and encoded with 1/2.2."
ESTIMATE = (
    "There is no truth in this set. PSNR and SSIM are relative to the output of Kalantari et al. 2013 (divided by its "
    "own maximum, as the published loaders do), so a better method may score worse; no published numbers exist."
)
NOTHING = "There is no truth in this set, and the output of Kalantari et al. 2013 is not there either."


def open_tog13(data_dir: Path | None, request: Request) -> Benchmark:
    """Open the set; its `truth` is another method's estimate, or nothing where its folders `HDR` were left out.

    Args:
        data_dir: The folder TOG13_Dynamic_Dataset, or the one that holds it.
        request: Which part.

    Raises:
        DatasetError: If a file is missing, or lists contradict each other.
    """
    scene_list = f"{request.nexps}Exp_scenes.txt"
    root = find_root(data_dir, TOG13_FOLDER, marks=(scene_list, "BaslerCRF.mat"), source=SOURCE)
    names = read_names(root / scene_list, source=SOURCE)
    found = [_tog13_files(root / names[place], request) for place in request.choose(names)]
    demand_files((path for files in found for path in files.paths), root=root, source=SOURCE)
    read_frame = partial(read_by_table, table=encoding_table(root / "BaslerCRF.mat"))
    scenes = tuple(files.scene(read_frame=read_frame, rescale=by_own_maximum) for files in found)
    truth: Truth = "estimate" if any(scene.truths for scene in scenes) else "none"
    notes = (ESTIMATE if truth == "estimate" else NOTHING, RESPONSE)
    return Benchmark(TOG13, "TOG13 (Kalantari et al. 2013)", request.nexps, scenes, truth, notes, SOURCE)


def encoding_table(path: Path) -> Pixels:
    """Read the camera's response as what each 16-bit code becomes when encoded with 1/2.2.

    Args:
        path: BaslerCRF.mat.

    Returns:
        0..1 by code and channel, 1.0 = greatest light of the table, (65536, 3).

    Raises:
        DatasetError: If it is damaged or of another size.
    """
    try:
        light = read_matlab_table(path.read_bytes(), str(path))
    except OSError as error:
        raise DatasetError(f"{path} cannot be read ({error.strerror}): fetch it from {SOURCE}") from error
    except ResponseError as error:
        raise DatasetError(str(error)) from error
    if light.shape != (CODES, 3) or not np.isfinite(light).all() or not light.max() > 0:
        shape = "x".join(map(str, light.shape))
        raise DatasetError(f"{path} holds a table of {shape}, {CODES}x3 light values are needed: fetch it again")
    return np.asarray((light / light.max()).clip(0, 1) ** (1 / GAMMA), np.float32)


def _tog13_files(folder: Path, request: Request) -> SceneFiles:
    """Estimates are looked for only where a whole window is, for the method made none at the ends."""
    paired = (folder / "img_hdr_list.txt").is_file() and (folder / "HDR").is_dir()
    name, columns = ("img_hdr_list.txt", 2) if paired else ("img_list.txt", 1)
    rows = read_rows(folder / name, columns=columns, source=SOURCE)
    exposures = read_exposures(folder / "Exposures.txt", len(rows), nexps=request.nexps)
    centers = request.centers(len(rows)) if paired else ()
    truths = {number: folder / rows[number][1] for number in centers}
    return SceneFiles(folder.name, exposures, tuple(folder / row[0] for row in rows), truths)
