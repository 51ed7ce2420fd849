"""Training in stretches of a few minutes on a machine that is lent: `python -m tools.stretch --help`.

Needs torch, NumPy, safetensors, click, rich and OpenCV, and data as `python -m tools.pack` leaves it.
"""

import logging
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    import torch

    from train.lr_schedule import Schedule
    from train.trainer import Trainer


# Importing torch can take half a minute where the disk is cold; that is lent time as well.
BEGAN = time.monotonic()
_POSITIVE = click.IntRange(min=1)
_MORE_THAN_0 = click.FloatRange(min=0, min_open=True)


@dataclass(frozen=True, kw_only=True)
class Terms:
    """Times and sizes of a stretch, as the command's help describes them."""

    minutes: float
    total_minutes: float | None  # None if steps count, or there is but one stretch
    reserve_s: float
    part_mib: float
    out_mib: float | None  # None for everything

    def __post_init__(self) -> None:
        if self.reserve_s >= 60 * self.minutes:
            raise click.UsageError(f"--reserve {self.reserve_s:g} s leaves nothing of --minutes {self.minutes:g}")


@click.command()
@click.option("--state", type=click.Path(path_type=Path), required=True, help="Folder of the run, begun if need be.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for what is to be taken home.")
@click.option("--minutes", type=_MORE_THAN_0, default=9, show_default=True, help="Length of this stretch in all.")
@click.option("--total-minutes", type=_MORE_THAN_0, help="Length of the run over all stretches.  [default: this one's]")
@click.option("--reserve", "reserve_s", type=click.FloatRange(min=0), default=30, show_default=True,
              help="Seconds of the stretch that are kept for validating and saving.")  # fmt: skip
@click.option("--part-mib", type=_MORE_THAN_0, default=14, show_default=True, help="Largest part of the state.")
@click.option("--out-mib", type=_MORE_THAN_0, help="Leave no more in --out; other parts stay in STATE/parts.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option("--recipe", metavar="NAME|FILE.toml", help="What and how to train.  [default: guided_2e or guided_3e]")
@click.option("--nexps", type=click.IntRange(2, 3), help="Number of exposures in the cycle.")
@click.option("--size", type=click.Choice(["lite", "small", "base"]), help="Size of the network.")
@click.option("--data", type=click.Path(file_okay=False), help="Pictures and clips; without it, procedural scenes.")
@click.option("--validation-data", type=click.Path(file_okay=False), help="Held-out pictures.")
@click.option("--init", type=click.Path(dir_okay=False), help="Start from these weights.")
@click.option("--steps", type=_POSITIVE, help="Count steps in place of time: length of the run over all stretches.")
@click.option("--batch", type=_POSITIVE, help="Samples per step.")
@click.option("--patch", type=click.IntRange(min=32), help="Side of the patches in pixels.")
@click.option("--lr", type=_MORE_THAN_0, help="Highest learning rate.")
@click.option("--warmup", type=click.IntRange(min=0), help="Steps until the highest rate.")
@click.option("--precision", type=click.Choice(["auto", "float32", "bf16"]), help="Of the convolutions.")
@click.option("--seed", type=click.IntRange(min=0), help="Every random draw derives from it.")
@click.option("--workers", type=click.IntRange(min=0), help="Processes that prepare samples.  [default: cores - 1]")
@click.option("--threads", type=_POSITIVE, help="Threads of the network's arithmetic on a CPU.")
@click.option("--accumulate", type=_POSITIVE, help="Parts that a batch is computed in.")
@click.option("--checkpointing", is_flag=True, default=None, help="Base in less memory, by computing more.")
@click.option("--validate-every", type=_POSITIVE, help="Steps between validations.")
@click.option("--validation-samples", type=click.IntRange(min=0), help="Held-out samples.")
def main(state: Path, out: Path, *, device: str, **options: Any) -> None:
    """Train for some minutes, then save; the same command again goes on, with STATE or with the parts from OUT in it.

    The schedule follows the clock: its cosine ends with --total-minutes, a stretch counting as its --minutes.
    Options of the training that are left out come from the recipe, and later from STATE.
    """
    terms = Terms(**{name: options.pop(name) for name in Terms.__dataclass_fields__})
    given = {name: value for name, value in options.items() if value is not None}
    if terms.total_minutes and "steps" in given:
        raise click.UsageError("pass either --total-minutes or --steps")
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    from model.errors import LanHdrError

    try:
        _train(state, out, given, terms=terms, device=device)
    except LanHdrError as error:
        raise click.ClickException(str(error)) from error


def _train(state: Path, out: Path, given: dict[str, Any], *, terms: Terms, device: str) -> None:
    import torch

    from model.device import resolve_device
    from tools.delivery import MIB, deliver
    from tools.stretch_log import StretchLog, clock
    from train.checkpoint import RunFolder

    torch.backends.cudnn.benchmark = True  # patches have one size
    torch.set_float32_matmul_precision("high")  # TF32 where bfloat16 is not used
    trainer = open_run(state, given, device=resolve_device(device))
    schedule = choose_schedule(trainer, terms, by_steps="steps" in given)
    trainer.schedule = schedule
    finished = schedule.is_finished(trainer.step)
    if not finished:
        workers, batch = trainer.config.workers, trainer.config.batch
        _say(f"{clock(time.monotonic() - BEGAN)}  step {trainer.step}: {workers} workers, batches of {batch}")
        finished = trainer.run(StretchLog(schedule, batch, began=BEGAN))
    most = None if terms.out_mib is None else int(terms.out_mib * MIB)
    for line in deliver(RunFolder(state), out, part_bytes=int(terms.part_mib * MIB), most_bytes=most):
        _say(line)
    end = "the run is finished" if finished else "to be gone on with"
    _say(f"{clock(time.monotonic() - BEGAN)}  {end} at step {trainer.step}")


def open_run(state: Path, given: dict[str, Any], *, device: "torch.device") -> "Trainer":
    """Begin a run, or go on with the one in the folder `state`, whole or in parts; `given` are values of its config.

    Raises:
        LanHdrError: If the state is incomplete or damaged, or a value is not possible.
    """
    from tools.delivery import fetch_state
    from train import run
    from train.checkpoint import RunFolder
    from train.config import resolved_config

    values = {"workers": max(1, (os.cpu_count() or 2) - 1)} | given
    fetched = fetch_state(RunFolder(state))
    if fetched:
        _say(f"going on from the parts of {fetched}")
    if RunFolder(state).checkpoint.exists():
        return run.resume(state, values, device=device)
    return run.start(resolved_config(values), state, device=device)


def choose_schedule(trainer: "Trainer", terms: Terms, *, by_steps: bool) -> "Schedule":
    """Let the run follow the clock, unless steps are given or it counted steps before.

    Raises:
        TrainError: If the run follows the clock, and its length is not given.
    """
    from train.errors import TrainError
    from train.lr_schedule import Schedule, TimeBudget

    budget = TimeBudget(length_s=60 * terms.minutes, reserve_s=terms.reserve_s, began=BEGAN)
    counted = trainer.step > 0 and trainer.elapsed_s == 0 and terms.total_minutes is None
    if by_steps or counted:
        return Schedule(config=trainer.config, budget=budget)
    if trainer.elapsed_s and terms.total_minutes is None:
        raise TrainError(
            f"the run follows the clock, {trainer.elapsed_s / 60:.4g} minutes so far: say its length by --total-minutes"
        )
    total = 60 * (terms.total_minutes or terms.minutes)
    return Schedule(config=trainer.config, budget=budget, total_s=total, before_s=trainer.elapsed_s)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
