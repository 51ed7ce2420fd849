"""HDR_Synthetic_Test_Dataset of DeepHDRVideo: two graded videos of HdM-HDR-2014, exposed by computation.

Layout: `scenes_2expo.txt` and `scenes_3expo.txt` name folders below `Images`; each has `img_list.txt` (names without
suffix), `Exposures.txt`, `<name>.tif`, 16 bits, `<name>.hdr` for inner frames, and `hdr_expos.txt`, which lists these.
"""

from pathlib import Path

from train.benchmarks.exposures import demand_equal, read_exposures, to_number
from train.benchmarks.frames import SceneFiles, as_stored, read_encoded, unscored
from train.benchmarks.request import Request
from train.benchmarks.scene import Benchmark
from train.benchmarks.tree import demand_files, find_root, read_names, read_rows

NAME, FOLDER = "cinematic", "HDR_Synthetic_Test_Dataset"
SOURCE = "https://huggingface.co/datasets/guanyingc/DeepHDRVideo_Dataset"
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
    root = find_root(data_dir, FOLDER, marks=(scene_list, "Images"), source=SOURCE)
    names = read_names(root / scene_list, source=SOURCE)
    found = [_files(root / "Images" / names[place], request) for place in request.choose(names)]
    demand_files((path for files in found for path in files.paths), root=root, source=SOURCE)
    scenes = tuple(files.scene(read_frame=read_encoded, rescale=as_stored) for files in found)
    notes = (*NOTES, *unscored(found, request))
    return Benchmark(NAME, "Cinematic Video (synthetic)", request.nexps, scenes, "truth", notes, SOURCE)


def _files(folder: Path, request: Request) -> SceneFiles:
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
