"""All benchmarks by name."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path

from train.data.clips import shortened
from train.errors import DatasetError
from train.evaluation.benchmarks.deephdrvideo import open_cinematic, open_dynamic, open_static, open_tog13
from train.evaluation.benchmarks.folder import open_folder
from train.evaluation.benchmarks.real_hdrv import open_hdrv, open_hdrv_short_first
from train.evaluation.benchmarks.scene import Benchmark, Request, without_truth
from train.evaluation.benchmarks.synthetic import open_selftest

Opener = Callable[[Path | None, Request], Benchmark]

# The aliases are what loaders of LAN-HDR and DeepHDRVideo are called.
NAMES: Mapping[str, tuple[str, ...]] = {
    "cinematic": ("synthetic_dataset", "syn_test_dataset"),
    "dynamic": ("dynamic_dataset", "deephdrvideo_dynamic"),
    "static": ("static_dataset", "deephdrvideo_static"),
    "tog13": ("tog13_online_align_dataset",),
    "hdrv": ("real_hdrv",),
    "hdrv_short_first": (),
    "folder": (),
    "selftest": (),
}
_OPENERS: Mapping[str, Opener] = {
    "cinematic": open_cinematic,
    "dynamic": open_dynamic,
    "static": open_static,
    "tog13": open_tog13,
    "hdrv": open_hdrv,
    "hdrv_short_first": open_hdrv_short_first,
    "folder": open_folder,
    "selftest": open_selftest,
}


def open_benchmark(
    name_or_alias: str,
    data_dir: Path | None,
    *,
    nexps: int,
    scene: str | None = None,
    limit: int | None = None,
    no_truth: bool = False,
) -> Benchmark:
    """Look through the files of a benchmark and make ready to read them.

    Args:
        name_or_alias: A key of `NAMES`, or one of its aliases.
        data_dir: Where the set lies; None for what needs no files.
        nexps: Number of distinct exposures, 2 or 3.
        scene: Name of the only scene, None for all.
        limit: Most scenes, evenly chosen.
        no_truth: Whether truths are left aside, where there are any.

    Returns:
        Scenes whose frames are read when they are asked for.

    Raises:
        DatasetError: If there is no such benchmark, files are missing, lists are damaged, or exposures don't fit.
    """
    request = Request(nexps, scene, limit, no_truth)
    benchmark = _OPENERS[canonical_name(name_or_alias)](data_dir, request)
    if no_truth or benchmark.truth == "none":
        return without_truth(benchmark)
    if not benchmark.samples:
        length = request.window
        raise DatasetError(f"{data_dir} has no frame with a truth and a whole window of {length}: pass longer clips")
    short = [scene.name for scene in benchmark.scenes if not scene.truths]
    words = f"Scenes without a frame that can be scored ({len(short)}): {shortened(short)}."
    return replace(benchmark, notes=(*benchmark.notes, words)) if short else benchmark


def canonical_name(name_or_alias: str) -> str:
    """Return the name of a benchmark by its name or an alias.

    Raises:
        DatasetError: If there is no such benchmark.
    """
    wanted = name_or_alias.lower().replace("-", "_")
    for name, aliases in NAMES.items():
        if wanted == name or wanted in aliases:
            return name
    near = get_close_matches(wanted, [name for names in NAMES.items() for name in (names[0], *names[1])], n=1)
    hint = f" (did you mean {near[0]}?)" if near else ""
    raise DatasetError(f"no benchmark is called {name_or_alias}{hint}: pass one of {', '.join(NAMES)}")
