"""The job of `lanhdr eval`: methods on a benchmark, and the files of the results."""

import logging
import re
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal

import torch
from rich.console import Console
from torch import Tensor

from lanhdr_cli.console import frame_progress
from lanhdr_cli.media.paths import complete_file, prepare_folder, refuse_existing
from model.device import resolve_device
from model.errors import DeviceError, WeightsError
from model.pretrained import Size, bundled_path
from model.reconstruct import in_file_range
from train.data.images import encode_radiance
from train.environment import lanhdr_version
from train.errors import DatasetError
from train.evaluation.benchmarks.catalog import open_benchmark
from train.evaluation.benchmarks.scene import Scene, Truth
from train.evaluation.benchmarks.synthetic import make_test_clips
from train.evaluation.compare import compare, comparison_sheets, demand_same_set
from train.evaluation.evaluate import Evaluation, count_frames, environment, evaluate_benchmark
from train.evaluation.methods import Method, baselines, load_methods, noise_aware_merge
from train.evaluation.protocols import PROTOCOLS
from train.evaluation.report import print_sheets, sheets, write_report
from train.evaluation.results import FrameScore, Protocol, Results, read_results, write_csv, write_results
from train.evaluation.robustness import disturbances, evaluate_disturbed, named_rows, robustness_sheet
from train.evaluation.scoring import Rules
from train.evaluation.tables import Sheet

LIST = "hdr_list.txt"
SCALE = 1.0


class HdrFiles:
    """Writes `METHOD/SCENE/LABEL.exr` and `.hdr`, and `METHOD/hdr_list.txt`, which lists the latter in order.

    In all files 1.0 is the clip level of the shortest exposure, as in the truths; `lanhdr convert` writes the same
    frames with `--scale 1`. Other characters of a name than letters, digits, points and dashes become underscores, for
    the published scripts split lists at spaces.

    Raises:
        MediaError: From calls as well, if a file cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._listed: dict[Path, list[str]] = {}
        prepare_folder(folder)

    def __call__(self, method: str, scene: Scene, frame: int, radiance: Tensor) -> None:
        """Write one frame; radiance is linear, as the method returns it, (3, H, W)."""
        from lanhdr_cli.media.exr import ClipRecord, frame_header, write_exr  # needs OpenEXR, which scores do not

        root, *parts = (re.sub(r"[^\w.-]+", "_", name) for name in (method, scene.name, scene.labels[frame]))
        folder, name = self._folder / root, "/".join(parts)
        prepare_folder((folder / name).parent)
        kept = in_file_range(radiance).cpu()
        cycle = tuple(sorted(set(scene.exposures)))
        record = ClipRecord(scale=SCALE, exposures=cycle, weights=method, version=lanhdr_version())
        header = frame_header(record, Fraction(frame), index=frame, number=frame, exposure=scene.exposures[frame])
        write_exr(folder / f"{name}.exr", kept, SCALE, header=header)
        write_radiance(folder / f"{name}.hdr", kept)
        self._listed.setdefault(folder, []).append(f"{name}.hdr")
        with complete_file(folder / LIST) as unfinished:
            unfinished.write_text("".join(f"{line}\n" for line in self._listed[folder]), encoding="utf-8")


def write_radiance(path: Path, radiance: Tensor) -> None:
    """Write linear radiance, not negative, (3, H, W), as a Radiance file.

    Raises:
        MediaError: If it can't be written.
    """
    encoded = encode_radiance(radiance.permute(1, 2, 0).numpy())
    with complete_file(path) as unfinished:
        unfinished.write_bytes(encoded)


WORST, BEST = 3, 1
# Measures that are shown scene by scene.
PER_SCENE: dict[Truth, tuple[str, ...]] = {
    "truth": ("psnr_t",),
    "estimate": ("warping_error", "psnr_t"),
    "none": ("own", "fill", "warping_error"),
}

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class EvaluationOptions:
    """The options of `lanhdr eval`; its help explains them."""

    benchmark: str
    data_dir: Path | None = None
    nexps: int = 2
    scene: str | None = None
    limit: int | None = None
    no_truth: bool = False
    weights: tuple[Path, ...] = ()
    size: Size | None = None
    with_baselines: bool = False
    protocol: Literal["lanhdr", "hdrflow", "all"] = "all"
    robustness: bool = False
    against: Path | None = None
    report: Path | None = None
    json_path: Path | None = None
    save_hdr: Path | None = None
    overwrite: bool = False
    device: str = "auto"
    threads: int | None = None
    show_progress: bool = False

    @property
    def protocols(self) -> tuple[Protocol, ...]:
        """The protocols; a reference that is pasted would be compared with itself where there is no truth."""
        if self.no_truth:
            return ("lanhdr",)
        return tuple(name for name in PROTOCOLS if self.protocol in (name, "all"))


def run(options: EvaluationOptions) -> None:
    """Score, and write and print the results; whatever can be refused is refused before the first frame is computed.

    Raises:
        LanHdrError: If an option, the data or a file does not fit.
    """
    if options.threads:
        torch.set_num_threads(options.threads)
    before = read_results(options.against) if options.against else None
    if not options.overwrite:
        targets = [target for target in (options.report, options.save_hdr, options.json_path) if target]
        refuse_existing([target for target in targets if target.exists()])
    try:
        if options.robustness:
            _score_disturbed(options)
        else:
            _score(options, before)
    except torch.cuda.OutOfMemoryError as error:
        raise DeviceError(f"{options.device} has too little memory: try --size lite or --device cpu") from error


def _score(options: EvaluationOptions, before: Results | None) -> None:
    benchmark = open_benchmark(
        options.benchmark,
        options.data_dir,
        nexps=options.nexps,
        scene=options.scene,
        limit=options.limit,
        no_truth=options.no_truth,
    )
    if before:
        demand_same_set(before, benchmark.name, nexps=options.nexps)
    methods = _load_methods(options, baselines() if options.with_baselines else [])
    _prepare_folders(options)
    worst, best = (WORST, BEST) if options.report else (0, 0)
    with frame_progress(count_frames(benchmark, methods), show=options.show_progress) as advance:
        evaluation = evaluate_benchmark(
            benchmark,
            methods,
            rules=Rules(nexps=options.nexps, protocols=options.protocols),
            worst=worst,
            best=best,
            sink=HdrFiles(options.save_hdr) if options.save_hdr else None,
            advance=advance,
        )
    results = evaluation.results
    shown = sheets(results, per_scene=PER_SCENE[results.truth])
    if before:
        shown += comparison_sheets(compare(results, before), results)
    for note in results.notes:
        logger.info("%s", note)
    _print(shown)
    if options.json_path:
        write_results(options.json_path, results)
    if options.report:
        _write_report(options.report, evaluation, shown)


def _score_disturbed(options: EvaluationOptions) -> None:
    if options.benchmark != "folder" or options.data_dir is None:
        raise DatasetError("--robustness disturbs clips made of a folder: pass --benchmark folder --data-dir DIR")
    if options.report or options.save_hdr or options.against or options.scene or options.no_truth:
        raise DatasetError(
            "--robustness has a table of its own: leave out --report, --save-hdr, --against, --scene and --no-truth"
        )
    methods = _load_methods(options, [noise_aware_merge()])
    clips = make_test_clips(options.data_dir, options.nexps, limit=options.limit)
    _prepare_folders(options)
    scores: list[tuple[str, FrameScore]] = []
    with frame_progress(None, show=options.show_progress, label="disturbed clip") as advance:
        for clip in clips:
            for disturbance in disturbances():
                scores += evaluate_disturbed(methods, [clip], [disturbance], nexps=options.nexps)
                advance()
    _print([robustness_sheet(scores)])
    if options.json_path:
        results = Results(
            benchmark="folder",
            title="disturbed clips",
            nexps=options.nexps,
            notes=(),
            methods=(),
            scores=named_rows(scores),
            environment=environment(methods),
            command=shlex.join(["lanhdr", *sys.argv[1:]]),
        )
        write_results(options.json_path, results)


def _load_methods(options: EvaluationOptions, simple: Sequence[Method]) -> list[Method]:
    device = resolve_device(options.device)
    weights = options.weights
    if not weights:
        try:
            weights = (bundled_path(nexps=options.nexps, size=options.size, on_gpu=device.type != "cpu"),)
        except WeightsError as error:
            if not simple:
                raise
            logger.warning("%s; the other methods are scored without any", error)
    return [*simple, *load_methods(weights, nexps=options.nexps, device=str(device))]


def _prepare_folders(options: EvaluationOptions) -> None:
    for folder in (options.report, options.json_path and options.json_path.parent):
        if folder:
            prepare_folder(folder)


def _print(shown: list[Sheet]) -> None:
    widest = max(len(sheet.columns) for sheet in shown)
    print_sheets(shown, Console(width=None if sys.stdout.isatty() else 60 + 14 * widest))


def _write_report(folder: Path, evaluation: Evaluation, shown: list[Sheet]) -> None:
    from train.evaluation.html.page import write_html

    write_results(folder / "results.json", evaluation.results)
    write_csv(folder / "scores.csv", evaluation.results)
    write_report(folder / "report.md", evaluation.results, shown)
    write_html(folder / "report.html", evaluation.results, evaluation.examples)
    logger.info("%s", f"report: {folder / 'report.html'}, report.md, results.json, scores.csv")
