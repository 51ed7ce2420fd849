"""The filmed sets of DeepHDRVideo with truth: dynamic scenes, and static ones that were shifted afterwards.

Layout: `scene_all.txt` names folders; each has `Exposures.txt` and `img_hdr_list.txt`, lines of a frame and its truth.
"""

from collections.abc import Callable
from pathlib import Path

from train.benchmarks.exposures import demand_equal, read_exposures, to_number
from train.benchmarks.frames import SceneFiles, by_own_maximum, read_encoded
from train.benchmarks.request import Request
from train.benchmarks.scene import Benchmark, Scene
from train.benchmarks.tree import demand_files, find_root, read_names, read_rows
from train.errors import DatasetError

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
