"""`lanhdr eval`: scores on benchmarks, beside other methods and what others published."""

from pathlib import Path
from typing import Any

import click

from lanhdr_cli.console import opencv_needed
from lanhdr_cli.options import DEVICE

EPILOG = """Benchmarks: selftest (drawn on the spot, needs no files), folder (your own), cinematic, dynamic, static
(DeepHDRVideo), hdrv (Real-HDRV), tog13 (without truth). README says how they must lie."""

_FOLDER = click.Path(file_okay=False, path_type=Path)
_FILE = click.Path(dir_okay=False, path_type=Path)
_POSITIVE = click.IntRange(min=1)


@click.command(name="eval", epilog=EPILOG)
@click.option("--benchmark", required=True, metavar="NAME", help="What to be measured on.")
@click.option("--data-dir", type=_FOLDER, metavar="DIR", help="Where the benchmark's files lie.")
@click.option("--nexps", type=click.IntRange(2, 3), default=2, show_default=True, help="Exposures in the cycle.")
@click.option("--weights", type=_FILE, multiple=True, help="Weights to score; may be repeated.  [default: bundled]")
@click.option("--size", type=click.Choice(["lite", "base"]), help="Bundled weights.  [default: as the device suits]")
@click.option("--protocol", type=click.Choice(["lanhdr", "hdrflow", "all"]), default="all", show_default=True,
              help="Score as predicted, with the well-exposed reference pasted, or both.")  # fmt: skip
@click.option("--limit", type=_POSITIVE, metavar="N", help="Use so many scenes, evenly chosen.")
@click.option("--scene", metavar="NAME", help="Use this scene only.")
@click.option("--with-baselines", is_flag=True, help="Score methods that learn nothing as well.")
@click.option("--no-truth", is_flag=True, help="Score real clips by themselves: what each frame shows well must stay, "
              "the rest is compared with the frames of equal exposure around it.")  # fmt: skip
@click.option("--against", type=_FILE, metavar="FILE", help="Compare with results of an earlier run, scene by scene.")
@click.option("--report", type=_FOLDER, metavar="DIR", help="Write report.html, report.md, results.json, scores.csv.")
@click.option("--json", "json_path", type=_FILE, metavar="FILE", help="Write all results; --against reads them.")
@click.option("--save-hdr", type=_FOLDER, metavar="DIR", help="Write what was scored as .exr and .hdr with lists.")
@click.option("--device", type=DEVICE, default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option("--threads", type=_POSITIVE, help="Threads of arithmetic.")
@click.option("-y", "--overwrite", is_flag=True, help="Write to folders and files that exist.")
@click.option("--no-progress", is_flag=True, help="Don't tell how far it is.")
@click.option("-q", "--quiet", is_flag=True, help="Only tables and errors.")
def evaluate(*, no_progress: bool, quiet: bool, **wishes: Any) -> None:
    """Score weights on a benchmark: quality per exposure and scene, flicker, and what it costs.

    Tables go to stdout. Nothing is compared with a truth that is none: notes say what figures are relative to.
    """
    from lanhdr_cli.console import set_verbosity

    set_verbosity(quiet=quiet, verbose=False)
    with opencv_needed("evaluation"):
        from lanhdr_cli.evaluation import EvaluationRequest, run
    run(EvaluationRequest(show_progress=not (no_progress or quiet), **wishes))
