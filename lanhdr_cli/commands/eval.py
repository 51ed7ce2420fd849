"""`lanhdr eval`: scores on benchmarks, beside other methods and published figures."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click
import cloup
from cloup import option, option_group

from lanhdr_cli.console import opencv_needed
from lanhdr_cli.options import DEVICE, OVERWRITE, SIZE

if TYPE_CHECKING:
    from model.pretrained import Size

EPILOG = """Benchmarks: selftest (drawn on the spot, needs no files), folder (your own), cinematic, dynamic, static
(DeepHDRVideo), hdrv (Real-HDRV), tog13 (without truth). docs/evaluate.md describes their layout."""

FOLDER = click.Path(file_okay=False, path_type=Path)
FILE = click.Path(dir_okay=False, path_type=Path)
POSITIVE = click.IntRange(min=1)


@cloup.command(name="eval", epilog=EPILOG)
@option_group(
    "Benchmark",
    option("--benchmark", required=True, metavar="NAME", help="Benchmark to score on."),
    option("--data-dir", type=FOLDER, metavar="DIR", help="Folder of the benchmark's files."),
    option("--nexps", type=click.IntRange(2, 3), default=2, show_default=True, help="Exposures in the cycle."),
    option("--limit", type=POSITIVE, metavar="N", help="Use so many scenes, evenly chosen."),
    option("--scene", metavar="NAME", help="Use this scene only."),
    option(
        "--no-truth",
        is_flag=True,
        help="Score real clips by themselves: what each frame shows well must stay, the rest is compared with the "
        "frames of equal exposure around it.",
    ),
)
@option_group(
    "Methods",
    option("--weights", type=FILE, multiple=True, help="Weights to score; repeatable.  [default: bundled]"),
    SIZE,
    option("--with-baselines", is_flag=True, help="Score methods that learn nothing as well."),
)
@option_group(
    "Scores",
    option(
        "--protocol",
        type=click.Choice(["lanhdr", "hdrflow", "all"]),
        default="all",
        show_default=True,
        help="Score as predicted, with the well-exposed reference pasted, or both.",
    ),
    option(
        "--robustness",
        is_flag=True,
        help="Score clips of a folder with wrong exposures and responses, compression, blur, lost frames and noise, "
        "beside the noise-aware merge.",
    ),
    option("--against", type=FILE, metavar="FILE", help="Compare with results of an earlier run, scene by scene."),
)
@option_group(
    "Output",
    option("--report", type=FOLDER, metavar="DIR", help="Write report.html, report.md, results.json, scores.csv."),
    option("--json", "json_path", type=FILE, metavar="FILE", help="Write all results; --against reads them."),
    option("--save-hdr", type=FOLDER, metavar="DIR", help="Write the scored frames as .exr and .hdr with lists."),
    OVERWRITE,
)
@option_group(
    "Run",
    option("--device", type=DEVICE, default="auto", show_default=True, help="auto, cpu, cuda or cuda:N."),
    option("--threads", type=POSITIVE, help="Number of threads for computing."),
    option("--progress/--no-progress", default=True, help="Report progress.  [default: progress]"),
    option("-q", "--quiet", is_flag=True, help="Print tables and errors only."),
)
def evaluate(
    *,
    benchmark: str,
    data_dir: Path | None,
    nexps: int,
    limit: int | None,
    scene: str | None,
    no_truth: bool,
    weights: tuple[Path, ...],
    size: "Size | None",
    with_baselines: bool,
    protocol: Literal["lanhdr", "hdrflow", "all"],
    robustness: bool,
    against: Path | None,
    report: Path | None,
    json_path: Path | None,
    save_hdr: Path | None,
    overwrite: bool,
    device: str,
    threads: int | None,
    progress: bool,
    quiet: bool,
) -> None:
    """Score weights on a benchmark: quality by exposure and scene, flicker, and cost.

    Tables go to stdout. Sets without ground truth get no reference scores; notes say what figures are relative to.
    """
    from lanhdr_cli.console import set_verbosity

    set_verbosity(quiet=quiet, verbose=False)
    with opencv_needed("evaluation"):
        from lanhdr_cli.evaluation import EvaluationOptions, run
    options = EvaluationOptions(
        benchmark=benchmark,
        data_dir=data_dir,
        nexps=nexps,
        scene=scene,
        limit=limit,
        no_truth=no_truth,
        weights=weights,
        size=size,
        with_baselines=with_baselines,
        protocol=protocol,
        robustness=robustness,
        against=against,
        report=report,
        json_path=json_path,
        save_hdr=save_hdr,
        overwrite=overwrite,
        device=device,
        threads=threads,
        show_progress=progress and not quiet,
    )
    run(options)
