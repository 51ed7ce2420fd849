"""The job of `lanhdr eval`: which methods on which benchmark, and where what is found goes."""

import logging
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console

from lanhdr_cli.console import frame_progress
from lanhdr_cli.device import DeviceError, resolve_device
from lanhdr_cli.hdr_files import HdrFiles
from lanhdr_cli.media.output import prepare_folder, refuse_existing
from model.bundled import Size, bundled_path
from model.errors import WeightsError
from train.benchmarks.catalog import open_benchmark
from train.benchmarks.scene import Benchmark, Truth
from train.comparison import compare, comparison_sheets, demand_same_set
from train.contenders import Contender, baselines, trained
from train.evaluation import Evaluation, Wishes, evaluate_benchmark, frames_to_do
from train.protocols import PROTOCOLS
from train.report import print_sheets, sheets, write_report
from train.results import Protocol, Results
from train.results_file import read_results, write_csv, write_results
from train.score_cache import ScoreCache
from train.scoring import Rules
from train.sheets import Sheet

WORST, BEST = 3, 1
# Measures that are shown scene by scene.
PER_SCENE: dict[Truth, tuple[str, ...]] = {
    "truth": ("psnr_t",),
    "estimate": ("warping_error", "psnr_t"),
    "none": ("own", "fill", "warping_error"),
}

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class EvaluationRequest:
    """What `lanhdr eval` is asked for; see its help for the meaning.

    Args:
        benchmark: Name of the set, or an alias.
        data_dir: Where it lies.
        nexps: Exposures in the cycle.
        weights: Files of weights; none takes the bundled ones.
        size: Which bundled ones.
        protocol: `lanhdr`, `hdrflow` or `all`.
        limit: Most scenes, evenly chosen.
        scene: Name of the only scene.
        save_hdr: Folder for reconstructions.
        report: Folder for the report.
        json_path: File for all results.
        with_baselines: Whether methods that learn nothing take part.
        against: Results of an earlier run.
        no_truth: Whether truths are left aside, where there are any.
        device: Where networks compute.
        cache: Folder that keeps scores.
        threads: Threads of arithmetic.
        overwrite: Whether folders that exist are written to.
        show_progress: Whether to tell how far it is.
    """

    benchmark: str
    data_dir: Path | None
    nexps: int
    weights: tuple[Path, ...]
    size: Size | None
    protocol: str
    limit: int | None
    scene: str | None
    save_hdr: Path | None
    report: Path | None
    json_path: Path | None
    with_baselines: bool
    against: Path | None
    no_truth: bool
    device: str
    cache: Path | None
    threads: int | None
    overwrite: bool
    show_progress: bool

    @property
    def protocols(self) -> tuple[Protocol, ...]:
        """How to score; a reference that is pasted would be compared with itself where there is no truth."""
        if self.no_truth:
            return ("lanhdr",)
        return tuple(name for name in PROTOCOLS if self.protocol in (name, "all"))


def run(request: EvaluationRequest) -> None:
    """Score, and write and print what is asked for.

    Everything that can be refused is refused before the first frame is computed.

    Args:
        request: What to do.

    Raises:
        LanHdrError: If anything of the user's does not fit.
    """
    if request.threads:
        torch.set_num_threads(request.threads)
    before = read_results(request.against) if request.against else None
    places = [place for place in (request.report, request.save_hdr, request.json_path) if place]
    if not request.overwrite:
        refuse_existing([place for place in places if place.exists()])
    benchmark = open_benchmark(
        request.benchmark,
        request.data_dir,
        nexps=request.nexps,
        scene=request.scene,
        limit=request.limit,
        no_truth=request.no_truth,
    )
    if before:
        demand_same_set(before, benchmark.name, nexps=request.nexps)
    contenders = _contenders(request)
    for folder in filter(None, (request.report, request.json_path and request.json_path.parent)):
        prepare_folder(folder)
    try:
        found = _evaluate(request, benchmark, contenders)
    except torch.cuda.OutOfMemoryError as error:
        raise DeviceError(f"{request.device} has too little memory: try --size lite or --device cpu") from error
    shown = [*_sheets(found.results), *_compared(found.results, before)]
    _show(found.results, shown)
    _write(request, found, shown)


def _contenders(request: EvaluationRequest) -> list[Contender]:
    device = resolve_device(request.device)
    simple = baselines() if request.with_baselines else []
    try:
        weights = request.weights or (
            bundled_path(nexps=request.nexps, size=request.size, on_gpu=device.type != "cpu"),
        )
    except WeightsError as error:
        if not simple:
            raise
        logger.warning("%s; the other methods are scored without any", error)
        weights = ()
    return [*simple, *trained(weights, nexps=request.nexps, device=str(device))]


def _evaluate(request: EvaluationRequest, benchmark: Benchmark, contenders: list[Contender]) -> Evaluation:
    rules = Rules(request.nexps, request.protocols)
    store = ScoreCache(request.cache) if request.cache else None
    sink = HdrFiles(request.save_hdr) if request.save_hdr else None
    pictures = (WORST, BEST) if request.report else (0, 0)
    total = frames_to_do(benchmark, contenders, rules=rules)
    with frame_progress(total, show=request.show_progress, label="frame") as advance:
        wishes = Wishes(*pictures, store, sink, advance)
        return evaluate_benchmark(benchmark, contenders, rules=rules, command=_command(), wishes=wishes)


def _sheets(results: Results) -> list[Sheet]:
    return sheets(results, per_scene=PER_SCENE[results.truth])


def _compared(results: Results, before: Results | None) -> list[Sheet]:
    return comparison_sheets(compare(results, before), results) if before else []


def _show(results: Results, shown: list[Sheet]) -> None:
    for note in results.notes:
        logger.info("%s", note)
    widest = max(len(sheet.columns) for sheet in shown)
    print_sheets(shown, Console(width=None if sys.stdout.isatty() else 60 + 14 * widest))


def _write(request: EvaluationRequest, found: Evaluation, shown: list[Sheet]) -> None:
    if request.json_path:
        write_results(request.json_path, found.results)
    if request.report:
        from train.html.document import write_html

        write_results(request.report / "results.json", found.results)
        write_csv(request.report / "scores.csv", found.results)
        write_report(request.report / "report.md", found.results, shown)
        write_html(request.report / "report.html", found.results, found.examples)
        logger.info("%s", f"report: {request.report / 'report.html'}, report.md, results.json, scores.csv")


def _command() -> str:
    return shlex.join(["lanhdr", *sys.argv[1:]])
