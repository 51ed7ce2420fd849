"""TOG13_Dynamic_Dataset: the videos of Kalantari et al. 2013, as DeepHDRVideo prepares them. There is no truth.

Layout: `2Exp_scenes.txt` and `3Exp_scenes.txt` name folders, `BaslerCRF.mat` is the camera's response; each folder has
`Exposures.txt`, `img_list.txt`, and `img_hdr_list.txt`, lines of a frame and what Kalantari's method made of it.
"""

from functools import partial
from pathlib import Path

import numpy as np

from model.errors import ResponseError
from model.exposure import GAMMA
from train.benchmarks.exposures import read_exposures
from train.benchmarks.frames import SceneFiles, by_own_maximum, read_by_table
from train.benchmarks.request import Request
from train.benchmarks.scene import Benchmark, Truth
from train.benchmarks.tree import demand_files, find_root, read_names, read_rows
from train.datasets.pictures import Pixels
from train.errors import DatasetError
from train.matlab import read_table

NAME, FOLDER = "tog13", "TOG13_Dynamic_Dataset"
SOURCE = "https://huggingface.co/datasets/guanyingc/DeepHDRVideo_Dataset"
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
    root = find_root(data_dir, FOLDER, marks=(scene_list, "BaslerCRF.mat"), source=SOURCE)
    names = read_names(root / scene_list, source=SOURCE)
    found = [_files(root / names[place], request) for place in request.choose(names)]
    demand_files((path for files in found for path in files.paths), root=root, source=SOURCE)
    read_frame = partial(read_by_table, table=encoding_table(root / "BaslerCRF.mat"))
    scenes = tuple(files.scene(read_frame=read_frame, rescale=by_own_maximum) for files in found)
    truth: Truth = "estimate" if any(scene.truths for scene in scenes) else "none"
    notes = (ESTIMATE if truth == "estimate" else NOTHING, RESPONSE)
    return Benchmark(NAME, "TOG13 (Kalantari et al. 2013)", request.nexps, scenes, truth, notes, SOURCE)


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
        light = read_table(path.read_bytes(), str(path))
    except OSError as error:
        raise DatasetError(f"{path} cannot be read ({error.strerror}): fetch it from {SOURCE}") from error
    except ResponseError as error:
        raise DatasetError(str(error)) from error
    if light.shape != (CODES, 3) or not np.isfinite(light).all() or not light.max() > 0:
        shape = "x".join(map(str, light.shape))
        raise DatasetError(f"{path} holds a table of {shape}, {CODES}x3 light values are needed: fetch it again")
    return np.asarray((light / light.max()).clip(0, 1) ** (1 / GAMMA), np.float32)


def _files(folder: Path, request: Request) -> SceneFiles:
    """Estimates are looked for only where a whole window is, for the method made none at the ends."""
    paired = (folder / "img_hdr_list.txt").is_file() and (folder / "HDR").is_dir()
    name, columns = ("img_hdr_list.txt", 2) if paired else ("img_list.txt", 1)
    rows = read_rows(folder / name, columns=columns, source=SOURCE)
    exposures = read_exposures(folder / "Exposures.txt", len(rows), nexps=request.nexps)
    centers = request.centers(len(rows)) if paired else ()
    truths = {number: folder / rows[number][1] for number in centers}
    return SceneFiles(folder.name, exposures, tuple(folder / row[0] for row in rows), truths)
