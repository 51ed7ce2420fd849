"""The job of `lanhdr eval`: which methods on which benchmark, and where what is found goes."""

import logging
import re
import shlex
import sys
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import torch
from rich.console import Console
from torch import Tensor

from lanhdr_cli.console import frame_progress
from lanhdr_cli.media.errors import MediaError
from lanhdr_cli.media.exr import ClipRecord, frame_header, write_exr
from lanhdr_cli.media.paths import complete_file, prepare_folder, refuse_existing
from model.device import resolve_device
from model.errors import DeviceError, WeightsError
from model.pretrained import Size, bundled_path
from model.reconstruct import in_file_range
from train.environment import lanhdr_version
from train.evaluation.benchmarks.catalog import open_benchmark
from train.evaluation.benchmarks.scene import Benchmark, Scene, Truth
from train.evaluation.compare import compare, comparison_sheets, demand_same_set
from train.evaluation.evaluate import Evaluation, Wishes, evaluate_benchmark, frames_to_do
from train.evaluation.methods import Contender, baselines, trained
from train.evaluation.protocols import PROTOCOLS
from train.evaluation.report import print_sheets, sheets, write_report
from train.evaluation.results import Protocol, Results, read_results, write_csv, write_results
from train.evaluation.scoring import Rules
from train.evaluation.tables import Sheet

LIST = "hdr_list.txt"
SCALE = 1.0


class HdrFiles:
    """Writes `METHOD/SCENE/LABEL.exr` and `.hdr`, and `METHOD/hdr_list.txt`, which lists the latter in order.

    In all files 1.0 is the clip level of the shortest exposure, as in the truths; `lanhdr convert` writes the same
    frames with `--scale 1`. What is in a name besides letters, digits, points and dashes becomes an underscore, for the
    scripts split lists at spaces.

    Args:
        folder: Where all goes; made if it does not exist.

    Raises:
        MediaError: From calls as well, if a file cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._listed: dict[Path, list[str]] = {}
        prepare_folder(folder)

    def __call__(self, method: str, scene: Scene, frame: int, radiance: Tensor) -> None:
        """Write one frame.

        Args:
            method: Name of the method.
            scene: The scene.
            frame: Number of the frame in it.
            radiance: Linear, as the method returns it, (3, H, W).
        """
        root, name = self._folder / _plain(method), f"{_plain(scene.name)}/{_plain(scene.labels[frame])}"
        prepare_folder((root / name).parent)
        kept = in_file_range(radiance)
        write_exr(root / f"{name}.exr", kept, SCALE, header=_header(method, scene, frame))
        write_radiance(root / f"{name}.hdr", kept)
        self._listed.setdefault(root, []).append(f"{name}.hdr")
        with complete_file(root / LIST) as unfinished:
            unfinished.write_text("".join(f"{line}\n" for line in self._listed[root]), encoding="utf-8")


def write_radiance(path: Path, radiance: Tensor) -> None:
    """Write a Radiance file (RGBE: 8 bits of mantissa for the brightest channel, which the others share).

    Args:
        path: The file.
        radiance: Linear, not negative, (3, H, W).

    Raises:
        MediaError: If it can't be written.
    """
    pixels = np.ascontiguousarray(_rounded(radiance).permute(1, 2, 0).numpy()[..., ::-1])  # (H, W, 3), B first
    encoded, data = cv2.imencode(".hdr", pixels)
    if not encoded:
        raise MediaError(f"can't write {path}: the frame could not be encoded")
    with complete_file(path) as unfinished:
        unfinished.write_bytes(data.tobytes())


def _rounded(radiance: Tensor) -> Tensor:
    """Add half a step: OpenCV drops what the mantissa can't hold, which would darken all by about 0.3 %."""
    brightest = radiance.amax(0, keepdim=True)
    raised = brightest + _half_step(brightest)  # which may need the next exponent
    return torch.where(brightest > 0, radiance + _half_step(raised), radiance)


def _half_step(brightest: Tensor) -> Tensor:
    return torch.ldexp(torch.ones_like(brightest), torch.frexp(brightest).exponent - 9)


def _plain(name: str) -> str:
    return re.sub(r"[^\w.-]+", "_", name)


def _header(method: str, scene: Scene, frame: int) -> dict[str, object]:
    cycle = tuple(sorted(set(scene.exposures)))
    record = ClipRecord(scale=SCALE, exposures=cycle, weights=method, version=lanhdr_version())
    exposure = scene.exposures[frame]
    return frame_header(record, Fraction(frame), index=frame, number=frame, exposure=exposure)


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
    sink = HdrFiles(request.save_hdr) if request.save_hdr else None
    pictures = (WORST, BEST) if request.report else (0, 0)
    total = frames_to_do(benchmark, contenders, rules=rules)
    with frame_progress(total, show=request.show_progress, label="frame") as advance:
        wishes = Wishes(*pictures, sink, advance)
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
        from train.evaluation.html.page import write_html

        write_results(request.report / "results.json", found.results)
        write_csv(request.report / "scores.csv", found.results)
        write_report(request.report / "report.md", found.results, shown)
        write_html(request.report / "report.html", found.results, found.examples)
        logger.info("%s", f"report: {request.report / 'report.html'}, report.md, results.json, scores.csv")


def _command() -> str:
    return shlex.join(["lanhdr", *sys.argv[1:]])
