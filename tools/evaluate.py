"""Scores methods on clips of a folder, without media libraries; `lanhdr eval --benchmark folder` does it and more."""

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import torch
from rich.console import Console

from model.device import resolve_device
from model.errors import LanHdrError
from train.errors import DatasetError
from train.evaluation.methods import Contender, baselines, noise_aware_merge, trained
from train.evaluation.metrics import BY_KEY
from train.evaluation.scoring import Rules


@dataclass(frozen=True)
class Plan:
    """What the command is asked for; see its help for the meaning.

    Args:
        data: Folder of held-out pictures and clips.
        nexps: Exposures in the cycle.
        weights: Files of weights.
        only_weights: Whether to leave out the methods that learn nothing.
        limit: Most clips, evenly chosen.
        device: Where networks run.
        threads: Threads of arithmetic.
        robustness: Whether to disturb the clips.
        per_clip: Keys of the measures shown clip by clip.
        json_path: File for the scores of every frame.
        markdown: File for the tables.
        save_pictures: Folder for pictures.
        worst: Number of pictures.
    """

    data: Path
    nexps: int
    weights: tuple[Path, ...]
    only_weights: bool
    limit: int | None
    device: str
    threads: int
    robustness: bool
    per_clip: tuple[str, ...]
    json_path: Path | None
    markdown: Path | None
    save_pictures: Path | None
    worst: int


@click.command()
@click.option("--data", type=click.Path(path_type=Path), required=True, help="Folder of held-out pictures and clips.")
@click.option("--nexps", type=click.IntRange(2, 3), default=2, show_default=True, help="Exposures in the cycle.")
@click.option("--weights", type=click.Path(path_type=Path), multiple=True, help="Weights to score; may be repeated.")
@click.option("--only-weights", is_flag=True, help="Leave out the methods that learn nothing.")
@click.option("--limit", type=click.IntRange(min=1), help="Use so many clips, evenly chosen.")
@click.option("--device", default="cpu", show_default=True, help="Where networks run: cpu, cuda, cuda:1 ...")
@click.option("--threads", type=click.IntRange(min=1), default=2, show_default=True, help="Threads of arithmetic.")
@click.option("--robustness", is_flag=True, help="Score the best simple method and the weights on disturbed clips.")
@click.option("--per-clip", type=click.Choice(list(BY_KEY)), multiple=True, default=("psnr_t",), show_default=True,
              help="Measure to show clip by clip; may be repeated.")  # fmt: skip
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="File for the scores of every frame.")
@click.option("--markdown", type=click.Path(path_type=Path), help="File for the tables in Markdown.")
@click.option("--save-pictures", type=click.Path(path_type=Path), help="Folder for pictures of the worst places.")
@click.option("--worst", type=click.IntRange(min=1), default=3, show_default=True, help="Number of these pictures.")
def main(**options: object) -> None:
    """Print how well methods reconstruct clips made from a folder: per clip, and the means of all measures."""
    plan = Plan(**options)  # type: ignore[arg-type]
    torch.set_num_threads(plan.threads)
    try:
        resolve_device(plan.device)
        if plan.robustness:
            _disturb(plan)
        else:
            _score(plan)
    except LanHdrError as error:
        raise click.ClickException(str(error)) from error


def _score(plan: Plan) -> None:
    from train.evaluation.benchmarks.catalog import open_benchmark
    from train.evaluation.evaluate import Wishes, evaluate_benchmark
    from train.evaluation.report import print_sheets, sheets, write_markdown, write_pictures
    from train.evaluation.results import write_results

    contenders = _contenders(plan, [] if plan.only_weights else baselines())
    benchmark = open_benchmark("folder", plan.data, nexps=plan.nexps, limit=plan.limit)
    wishes = Wishes(worst=plan.worst if plan.save_pictures else 0)
    found = evaluate_benchmark(benchmark, contenders, rules=Rules(plan.nexps), command=_command(), wishes=wishes)
    shown = sheets(found.results, per_scene=plan.per_clip)
    print_sheets(shown, _console(columns=len(shown[-1].columns)))
    if plan.json_path:
        write_results(plan.json_path, found.results)
    if plan.markdown:
        write_markdown(plan.markdown, shown)
    if plan.save_pictures:
        write_pictures(plan.save_pictures, found.examples)


def _disturb(plan: Plan) -> None:
    from train.evaluation.benchmarks.synthetic import test_clips
    from train.evaluation.evaluate import environment
    from train.evaluation.report import print_sheets, write_markdown
    from train.evaluation.results import Results, write_results
    from train.evaluation.robustness import disturbances, evaluate_disturbed, named_rows, robustness_sheet

    contenders = _contenders(plan, [] if plan.only_weights else [noise_aware_merge()])
    clips = test_clips(plan.data, plan.nexps, limit=plan.limit)
    scores = list(evaluate_disturbed(contenders, clips, disturbances(), nexps=plan.nexps))
    shown = [robustness_sheet(scores)]
    print_sheets(shown, _console(columns=len(shown[0].columns)))
    if plan.json_path:
        place = environment(contenders)
        results = Results("folder", "disturbed clips", plan.nexps, (), (), named_rows(scores), (), place, _command())
        write_results(plan.json_path, results)
    if plan.markdown:
        write_markdown(plan.markdown, shown)


def _contenders(plan: Plan, simple: Sequence[Contender]) -> list[Contender]:
    entered = [*simple, *trained(plan.weights, nexps=plan.nexps, device=plan.device)]
    if not entered:
        raise DatasetError("there is nothing to score: pass --weights FILE or leave out --only-weights")
    return entered


def _console(*, columns: int) -> Console:
    return Console(width=None if sys.stdout.isatty() else 40 + 12 * columns)


def _command() -> str:
    return shlex.join(["python", "-m", "tools.evaluate", *sys.argv[1:]])


if __name__ == "__main__":
    main()
