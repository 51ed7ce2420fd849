"""The filmed sets of DeepHDRVideo with truth: dynamic scenes, and static ones that were shifted afterwards.

Layout: `scene_all.txt` names folders; each has `Exposures.txt` and `img_hdr_list.txt`, lines of a frame and its truth.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from model.errors import ResponseError
from model.exposure import GAMMA
from train.data.images import Pixels
from train.data.response_curve import read_matlab_table
from train.errors import DatasetError
from train.evaluation.benchmarks.files import (
    ReadFrame,
    SceneFiles,
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


def open_dynamic(data_dir: Path | None, request: Request) -> Benchmark:
    """Open the dynamic scenes: the middle frame of each is scored.

    Args:
        data_dir: The folder dynamic_RGB_data_2exp_release (or 3exp), or the one that holds it.
        request: Which part.

    Raises:
        DatasetError: If a file is missing, or lists contradict each other.
    """
    root = find_root(data_dir, f"dynamic_RGB_data_{request.nexps}exp_release", marks=("scene_all.txt",), source=SOURCE)
    # The set's own list has the exposure of each middle frame; without the list nothing is compared.
    listed, path = {}, root / "hdr_expos.txt"
    if path.is_file():
        rows = read_rows(path, columns=2, source=SOURCE)
        listed = {Path(row[0]).parent.name: to_number(row[1], path=path) for row in rows}
    chosen = []
    for files in _scene_files(root, request):
        middle = len(files.exposures) // 2
        if middle not in files.truths:
            folder, count = root / files.name, len(files.exposures)
            raise DatasetError(f"{folder} has {count} frames, a window needs {request.window}: fetch it again")
        if files.name in listed:
            name = f"the middle frame of {files.name}"
            demand_equal(files.exposures[middle], listed[files.name], path=path, name=name)
        chosen.append(replace(files, truths={middle: files.truths[middle]}))
    title, notes = "DeepHDRVideo, dynamic scenes", (CENTER, SCALED, TOGETHER)
    return Benchmark(DYNAMIC, title, request.nexps, _open(chosen, root), "truth", notes, SOURCE)


def open_static(data_dir: Path | None, request: Request) -> Benchmark:
    """Open the static scenes with random shifts: two frames of each are scored with two exposures, three with three.

    Args:
        data_dir: The folder static_RGB_data_2exp_rand_motion_release (or 3exp), or the one that holds it.
        request: Which part.

    Raises:
        DatasetError: If a file is missing, or lists contradict each other.
    """
    folder = f"static_RGB_data_{request.nexps}exp_rand_motion_release"
    root = find_root(data_dir, folder, marks=("scene_all.txt",), source=SOURCE)
    scenes = _open(_scene_files(root, request), root)
    title, notes = "DeepHDRVideo, static scenes shifted at random", (SCALED, TOGETHER)
    return Benchmark(STATIC, title, request.nexps, scenes, "truth", notes, SOURCE)


def _scene_files(root: Path, request: Request) -> list[SceneFiles]:
    names = read_names(root / "scene_all.txt", source=SOURCE)
    found = []
    for place in request.choose(names):
        folder = root / names[place]
        rows = read_rows(folder / "img_hdr_list.txt", columns=2, source=SOURCE)
        files = SceneFiles(
            name=folder.name,
            exposures=read_exposures(folder / "Exposures.txt", len(rows), nexps=request.nexps),
            frames=tuple(folder / row[0] for row in rows),
            truths={number: folder / rows[number][1] for number in request.centers(len(rows))},
        )
        found.append(files)
    return found


def _open(
    found: Sequence[SceneFiles], root: Path, *, read_frame: ReadFrame = read_encoded, normalize: bool = True
) -> tuple[Scene, ...]:
    demand_files((path for files in found for path in files.paths), root=root, source=SOURCE)
    return tuple(files.scene(read_frame=read_frame, normalize=normalize) for files in found)


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
    scenes = _open(found, root, normalize=False)
    notes = (*NOTES, *unscored(found, request))
    return Benchmark(CINEMATIC, "Cinematic Video (synthetic)", request.nexps, scenes, "truth", notes, SOURCE)


def _cinematic_files(folder: Path, request: Request) -> SceneFiles:
    names = read_names(folder / "img_list.txt", source=SOURCE)
    exposures = read_exposures(folder / "Exposures.txt", len(names), nexps=request.nexps)
    rows = read_rows(folder / "hdr_expos.txt", columns=2, source=SOURCE)
    listed = {
        Path(file).name.removesuffix(".hdr"): to_number(word, path=folder / "hdr_expos.txt") for file, word in rows
    }
    for name, exposure in zip(names, exposures, strict=True):
        if name in listed:
            demand_equal(exposure, listed[name], path=folder / "hdr_expos.txt", name=name)
    centers = (number for number in request.centers(len(names)) if names[number] in listed)
    return SceneFiles(
        name=folder.name,
        exposures=exposures,
        frames=tuple(folder / f"{name}.tif" for name in names),
        truths={number: folder / f"{names[number]}.hdr" for number in centers},
    )


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
    read_frame = partial(read_by_table, table=encoding_table(root / "BaslerCRF.mat"))
    scenes = _open(found, root, read_frame=read_frame)
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
    return SceneFiles(
        name=folder.name,
        exposures=exposures,
        frames=tuple(folder / row[0] for row in rows),
        truths={number: folder / rows[number][1] for number in (request.centers(len(rows)) if paired else ())},
    )
