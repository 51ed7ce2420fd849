"""`lanhdr train`: learn weights from pictures, clips, or from nothing but procedural scenes."""

from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lanhdr_cli.console import opencv_needed, set_verbosity
from lanhdr_cli.options import DEVICE
from lanhdr_cli.training import report, training_context

if TYPE_CHECKING:
    from train.distributed import DistributedContext
    from train.trainer import Trainer


_POSITIVE = click.IntRange(min=1)


@click.command()
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Folder of the new run.  [default: runs/RECIPE]")
@click.option("--resume", type=click.Path(path_type=Path), metavar="RUN", help="Go on with the run in this folder.")
@click.option("--init", type=click.Path(dir_okay=False), help="Start from these weights, for two or three exposures.")
@click.option("--recipe", metavar="NAME|FILE.toml", help="What and how to train.  [default: guided_2e or guided_3e]")
@click.option("--nexps", type=click.IntRange(2, 3), help="Number of exposures in the cycle.  [default: the recipe's]")
@click.option("--size", type=click.Choice(["lite", "base"]), help="Size of the network.  [default: the recipe's]")
@click.option("--data", type=click.Path(file_okay=False), help="Pictures and clips; without it, procedural scenes.")
@click.option("--validation-data", type=click.Path(file_okay=False), help="Held-out pictures.")
@click.option(
    "--steps", type=_POSITIVE, help="Length of the run; with --resume, its new length.  [default: the recipe's]"
)
@click.option("--batch", type=_POSITIVE, help="Samples per step, two windows each.  [default: the recipe's]")
@click.option("--patch", type=click.IntRange(min=32), help="Side of the patches in pixels.  [default: the recipe's]")
@click.option(
    "--lr", type=click.FloatRange(min=0, min_open=True), help="Highest learning rate.  [default: the recipe's]"
)
@click.option("--warmup", type=click.IntRange(min=0), help="Steps until the highest rate.  [default: the recipe's]")
@click.option("--loss", type=click.Choice(["log_mse", "paper"]), help="[default: the recipe's]")
@click.option(
    "--precision", type=click.Choice(["auto", "float32", "bf16"]), help="Of the convolutions.  [default: auto]"
)
@click.option("--seed", type=click.IntRange(min=0), help="Every random draw derives from it.  [default: 0]")
@click.option("--workers", type=click.IntRange(min=0), help="Processes that prepare samples.  [default: 1]")
@click.option("--threads", type=_POSITIVE, help="Threads of the network's arithmetic.  [default: 2]")
@click.option("--log-every", type=_POSITIVE, help="Steps per row of metrics.jsonl.  [default: 20]")
@click.option("--validate-every", type=_POSITIVE, help="Steps between validations.  [default: 500]")
@click.option("--validation-samples", type=click.IntRange(min=0), help="Held-out samples.  [default: 16]")
@click.option("--checkpoint-minutes", type=click.FloatRange(min=0, min_open=True), help="[default: 5]")
@click.option(
    "--accumulate", type=_POSITIVE, help="Parts that a batch is computed in, to need less memory.  [default: 1]"
)
@click.option("--checkpointing", is_flag=True, default=None, help="Base in less memory, by computing more.")
@click.option("--processes", type=_POSITIVE, default=1, help="Train together in so many, one per GPU.  [default: 1]")
@click.option("--device", type=DEVICE, default="cpu", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option("--tensorboard/--no-tensorboard", default=True, help="Curves and pictures to look at.  [default: on]")
@click.option("--dry-run", is_flag=True, help="Take a few steps, print what the run would do and take, leave nothing.")
def train(
    output: Path | None,
    resume: Path | None,
    device: str,
    *,
    processes: int,
    tensorboard: bool,
    dry_run: bool,
    **values: Any,
) -> None:
    """Train a network into a folder, which afterwards holds weights, metrics and the state to resume from.

    Ctrl-C finishes the step, saves, and exits with 130; --resume goes on exactly there.
    """
    set_verbosity(quiet=False, verbose=False)
    if output and resume:
        raise click.UsageError("pass either -o FOLDER for a new run or --resume RUN to go on with one")
    if dry_run and processes > 1:
        raise click.UsageError("--dry-run plans for one process: leave --processes out")
    given = {name: value for name, value in values.items() if value is not None}
    if given.get("recipe", "").endswith(".toml"):
        given["recipe"] = str(Path(given["recipe"]).resolve())
    for name in ("data", "validation_data", "init"):
        if name in given:
            given[name] = str(Path(given[name]).resolve())  # a run may be resumed from another folder
    named = output or resume
    folder = named or _new_folder(given)
    with training_context(device, processes=processes, more=[] if named else ["-o", str(folder)]) as context:
        curves = tensorboard and context.is_main and not dry_run and _tensorboard_usable()
        trainer = _trainer(folder, given, resumed=resume is not None, context=context, tensorboard=curves, dry=dry_run)
        if dry_run:
            _print_plan(trainer, folder)
            return
        going_on = f"going on after step {trainer.step} of {trainer.config.steps}"
        report(context, f"{going_on if resume else 'training'}: {folder}")
        finished = _run(trainer, context)
    if not finished:
        way_on = f"saved at step {trainer.step}, go on with: lanhdr train --resume {folder}"
        raise KeyboardInterrupt(way_on if context.is_main else "")
    report(context, f"finished at step {trainer.step}: {folder}")


def _new_folder(given: dict[str, Any]) -> Path:
    """Name a folder after the recipe, with a number if there is one already."""
    from train.config import default_recipe
    from train.distributed import is_distributed

    if is_distributed():  # each process would choose its own, and one that is started anew a new one
        raise click.UsageError("processes that torchrun starts need the folder of their run: pass -o FOLDER")
    name = Path(given.get("recipe") or default_recipe(given)).stem
    choices = (Path("runs") / (name if number == 1 else f"{name}-{number}") for number in count(1))
    return next(folder for folder in choices if not folder.exists())


def _trainer(
    folder: Path, given: dict[str, Any], *, resumed: bool, context: "DistributedContext", tensorboard: bool, dry: bool
) -> "Trainer":
    with opencv_needed("training"):
        from train import run
    from train.config import resolved_config

    options: Any = {"device": context.device, "context": context, "tensorboard": tensorboard, "dry": dry}
    if resumed:
        return run.resume(folder, given, **options)
    return run.start(resolved_config(given, recipe=given.get("recipe")), folder, **options)


def _tensorboard_usable() -> bool:
    from train.logger import tensorboard_found

    if tensorboard_found():
        return True
    click.echo(
        "TensorBoard is not installed, metrics.jsonl alone is written: pip install 'lanhdr[train]' brings it", err=True
    )
    return False


def _print_plan(trainer: "Trainer", folder: Path) -> None:
    from lanhdr_cli.training import plan_lines
    from train.dry_run import make_plan

    click.echo("taking a few steps to see what they cost", err=True)
    plan = make_plan(trainer, folder)
    for line in plan_lines(plan, trainer.config, path=folder):
        click.echo(line)


def _run(trainer: "Trainer", context: "DistributedContext") -> bool:
    from lanhdr_cli.training import TrainingConsole

    if not context.is_main:
        return trainer.run(lambda _row: None)
    with TrainingConsole(trainer.config.batch, trainer.step, steps=trainer.config.steps) as console:
        return trainer.run(console)
