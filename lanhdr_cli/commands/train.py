"""`lanhdr train`: training of a network."""

import sys
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import cloup
from cloup import option, option_group

from lanhdr_cli.console import INTERRUPTED, opencv_needed, set_verbosity
from lanhdr_cli.options import DEVICE, FILE, SIZES

if TYPE_CHECKING:
    from train.config import TrainConfig


_POSITIVE = click.IntRange(min=1)
_FOLDER = click.Path(file_okay=False)


@cloup.command()
@option_group(
    "Run",
    option("-o", "--output", type=FILE, help="Folder of the new run.  [default: runs/RECIPE]"),
    option("--resume", type=FILE, metavar="RUN", help="Continue the run in this folder."),
    option("--init", type=click.Path(dir_okay=False), help="Start from these weights, for two or three exposures."),
    option("--dry-run", is_flag=True, help="Take a few steps and report what the run would cost; leave nothing."),
    option("--seed", type=click.IntRange(min=0), help="Seed of every random draw.  [default: 0]"),
)
@option_group(
    "Data",
    option("--data", type=_FOLDER, help="Folder of pictures and clips.  [default: procedural scenes]"),
    option("--validation-data", type=_FOLDER, help="Folder of held-out pictures."),
    option("--workers", type=click.IntRange(min=0), help="Processes that prepare samples.  [default: 1]"),
)
@option_group(
    "Network and optimization",
    option("--recipe", metavar="NAME|FILE.toml", help="Recipe.  [default: guided_2e or guided_3e]"),
    option("--nexps", type=click.IntRange(2, 3), help="Exposures in the cycle.  [default: the recipe's]"),
    option("--size", type=click.Choice(SIZES), help="Network size.  [default: the recipe's]"),
    option("--steps", type=_POSITIVE, help="Steps of the run, also of a resumed one.  [default: the recipe's]"),
    option("--batch", type=_POSITIVE, help="Samples per step, two windows each.  [default: the recipe's]"),
    option("--patch", type=click.IntRange(min=32), help="Patch size in pixels.  [default: the recipe's]"),
    option("--lr", type=click.FloatRange(min=0, min_open=True), help="Peak learning rate.  [default: the recipe's]"),
    option("--warmup", type=click.IntRange(min=0), help="Steps of linear warmup.  [default: the recipe's]"),
    option("--loss", type=click.Choice(["log_mse", "paper"]), help="Loss.  [default: the recipe's]"),
)
@option_group(
    "Hardware",
    option("--device", type=DEVICE, default="cpu", show_default=True, help="auto, cpu, cuda or cuda:N."),
    option("--processes", type=_POSITIVE, default=1, help="Processes that train together, one per GPU.  [default: 1]"),
    option("--threads", type=_POSITIVE, help="Threads of the network's arithmetic.  [default: 2]"),
    option(
        "--precision",
        type=click.Choice(["auto", "float32", "bf16"]),
        help="Number format of the convolutions.  [default: auto]",
    ),
    option("--accumulate", type=_POSITIVE, help="Parts that a batch is computed in, to save memory.  [default: 1]"),
    option("--checkpointing", is_flag=True, default=None, help="Save memory of base by recomputing activations."),
)
@option_group(
    "Reports",
    option("--log-every", type=_POSITIVE, help="Steps per row of metrics.jsonl.  [default: 20]"),
    option("--validate-every", type=_POSITIVE, help="Steps between validations.  [default: 500]"),
    option("--validation-samples", type=click.IntRange(min=0), help="Held-out samples.  [default: 16]"),
    option(
        "--checkpoint-minutes",
        type=click.FloatRange(min=0, min_open=True),
        help="Minutes between checkpoints.  [default: 5]",
    ),
    option("--tensorboard/--no-tensorboard", default=True, help="Write TensorBoard logs.  [default: tensorboard]"),
)
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
    """Train a network; its folder holds weights, metrics and the state to resume from.

    Ctrl-C finishes the step, saves, and exits with 130; --resume continues exactly there.
    """
    from train.config import resolved_config
    from train.distributed import is_distributed, launch

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
    if resume:
        config, folder = None, resume
    else:
        config = resolved_config(given)
        folder = output or _new_folder(config)
    if processes > 1 and not is_distributed():
        command = ["-m", "lanhdr_cli", *sys.argv[1:], *([] if output or resume else ["-o", str(folder)])]
        click.get_current_context().exit(launch(command, processes))
    finished = _train(folder, config, changes=given, device=device, tensorboard=tensorboard, dry_run=dry_run)
    if not finished:
        click.get_current_context().exit(INTERRUPTED)


def _new_folder(config: "TrainConfig") -> Path:
    """Name a folder after the recipe, with a number if there is one already."""
    from train.distributed import is_distributed

    if is_distributed():  # each process would choose its own, and one that is started anew a new one
        raise click.UsageError("processes that torchrun starts need the folder of their run: pass -o FOLDER")
    name = Path(str(config.recipe)).stem
    choices = (Path("runs") / (name if number == 1 else f"{name}-{number}") for number in count(1))
    return next(folder for folder in choices if not folder.exists())


def _train(
    folder: Path,
    config: "TrainConfig | None",
    *,
    changes: dict[str, Any],
    device: str,
    tensorboard: bool,
    dry_run: bool,
) -> bool:
    """Begin a run, or resume it with changes where there is no config; return whether it is finished."""
    with opencv_needed("training"):
        from lanhdr_cli.training import TrainingConsole, plan_lines
        from train import run
        from train.dry_run import make_plan
    from model.device import resolve_device
    from train.distributed import init_distributed, local_device
    from train.logger import tensorboard_found

    with init_distributed(local_device(resolve_device(device))) as context:
        set_verbosity(quiet=not context.is_main, verbose=False)

        def say(line: str) -> None:
            if context.is_main:
                click.echo(line, err=True)

        if tensorboard and not dry_run and not tensorboard_found():
            say("TensorBoard is not installed, metrics.jsonl alone is written: pip install 'lanhdr[train]' brings it")
            tensorboard = False
        options: Any = {"device": context.device, "tensorboard": tensorboard, "dry": dry_run, "context": context}
        trainer = run.resume(folder, changes, **options) if config is None else run.start(config, folder, **options)
        if dry_run:
            say("taking a few steps to see what they cost")
            plan = make_plan(trainer, folder)
            for line in plan_lines(plan, trainer.config, path=folder):
                click.echo(line)
            return True
        going_on = f"going on after step {trainer.step} of {trainer.config.steps}"
        say(f"{'training' if config else going_on}: {folder}")
        if context.is_main:
            with TrainingConsole(trainer.config.batch, trainer.step, steps=trainer.config.steps) as console:
                finished = trainer.run(console)
        else:
            finished = trainer.run(lambda _row: None)
    if finished:
        say(f"finished at step {trainer.step}: {folder}")
    else:
        say(f"Interrupted: saved at step {trainer.step}, go on with: lanhdr train --resume {folder}")
    return finished
