"""Progress, plans and processes of a training run on the command line."""

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from lanhdr_cli.console import set_verbosity
from train.config import TrainConfig
from train.dry_run import Plan, format_sources

if TYPE_CHECKING:
    from train.distributed import DistributedContext


Row = dict[str, float]

SECONDS_PER_LINE = 10.0
# Of figures that jump from batch to batch the terminal shows a running mean over about this many steps.
STEPS_OF_MEAN = 50
GIB = 2**30


class TrainingConsole:
    """Shows loss, PSNR_T, samples per second, how much time was spent waiting for them, and what time is left.

    A context that closes its bar.

    Args:
        batch: Samples per step.
        first_step: Steps done before.
        steps: Steps in all.
    """

    def __init__(self, batch: int, first_step: int, *, steps: int) -> None:
        self._batch, self._first_step, self._steps = batch, first_step, steps
        self._started = self._line_at = time.monotonic()
        self._means: Row = {}
        self._validation = ""
        self._bar: tuple[Progress, TaskID] | None = None

    def __enter__(self) -> "TrainingConsole":
        self._started = self._line_at = time.monotonic()
        if sys.stderr.isatty():
            progress = _progress()
            task = progress.add_task("", total=self._steps, completed=self._first_step, figures="starting")
            progress.start()
            self._bar = progress, task
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar[0].stop()

    def __call__(self, row: Row) -> None:
        """Take the figures of one step or of one validation."""
        if "val_psnr_t" in row:
            self._take_validation(row)
        else:
            self._take_step(row)

    def _take_validation(self, row: Row) -> None:
        start = f" (start {row['val_start_psnr_t']:.2f})" if "val_start_psnr_t" in row else ""
        self._validation = f"held out {row['val_psnr_t']:.2f}{start} dB"
        if self._bar is None:
            _say(f"step {row['step']:.0f}/{self._steps}  {self._validation}")

    def _take_step(self, row: Row) -> None:
        share = 1 / STEPS_OF_MEAN
        for name in row.keys() & {"loss", "psnr_t", "waiting"}:
            self._means[name] = (1 - share) * self._means.get(name, row[name]) + share * row[name]
        step = int(row["step"])
        if self._bar:
            self._bar[0].update(self._bar[1], completed=step, figures=self._figures(step))
        elif time.monotonic() - self._line_at > SECONDS_PER_LINE or step in (self._first_step + 1, self._steps):
            self._line_at = time.monotonic()
            _say(f"step {step}/{self._steps}  {self._figures(step)}  {self._left(step)} left")

    def _figures(self, step: int) -> str:
        speed = self._batch * (step - self._first_step) / (time.monotonic() - self._started)
        figures = f"loss {self._means['loss']:.4g}  PSNR_T {self._means['psnr_t']:.2f} dB  {speed:.2f} samples/s"
        if "waiting" in self._means:
            figures += f" ({self._means['waiting']:.0%} waiting)"
        return f"{figures}  {self._validation}".rstrip()

    def _left(self, step: int) -> str:
        seconds = (time.monotonic() - self._started) / (step - self._first_step) * (self._steps - step)
        return f"{hours(seconds)} h"


def hours(seconds: float) -> str:
    """Write a duration as hours and minutes, `2:05`."""
    minutes = round(seconds / 60)
    return f"{minutes // 60}:{minutes % 60:02d}"


def _progress() -> Progress:
    return Progress(
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TextColumn("{task.fields[figures]}"),
        TimeRemainingColumn(elapsed_when_finished=True),
        console=Console(stderr=True),
    )


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


@contextmanager
def training_context(device: str, *, processes: int, more: Sequence[str] = ()) -> Iterator["DistributedContext"]:
    """Join the process group that `torchrun` started, or start one and exit when it ends, or be alone.

    Args:
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        processes: How many to start on this machine; one that was started with others starts none.
        more: Words for them that the command line does not hold.

    Raises:
        LanHdrError: If the device is not there, or another process ends before its time.
    """
    from model.device import resolve_device
    from train.distributed import init_distributed, is_distributed, launch, local_device

    if processes > 1 and not is_distributed():
        sys.exit(launch(["-m", "lanhdr_cli", *sys.argv[1:], *more], processes))
    with init_distributed(local_device(resolve_device(device))) as context:
        set_verbosity(quiet=not context.is_main, verbose=False)
        yield context


def report(context: "DistributedContext", line: str) -> None:
    """Print a line on stderr in the main process."""
    if context.is_main:
        click.echo(line, err=True)


def plan_lines(plan: Plan, config: TrainConfig, *, path: Path) -> list[str]:
    """Say what a run would do, in lines of a name and its value.

    Args:
        plan: What was measured.
        config: What the run is told.
        path: The run's folder.
    """
    network, left = plan.network, config.steps - plan.first_step
    begun = f", going on after step {plan.first_step}" if plan.first_step else ""
    told = {
        "network": f"{network.design}, {network.output}, {network.nexps} exposures, windows of "
        f"{network.window_length} frames, {plan.parameters / 1e6:.2f} M parameters",
        "data": _data(plan, config),
        "batch": f"{config.batch} samples of two windows of {config.patch}x{config.patch} pixels",
        "steps": f"{left}{begun}: {left * config.batch} samples, {2 * left * config.batch} windows",
        "held out": _validation(config),
        "time": f"{plan.step_s:.2f} s a step on {plan.device}, {hours(plan.left_s)} h in all",
        "memory": _memory(plan),
        "disk": f"{path}: about {_mib(plan.disk)} and pictures, {plan.disk_free / GIB:.1f} GiB are free",
    }
    return [f"{name:<9} {value}" for name, value in told.items()]


def _data(plan: Plan, config: TrainConfig) -> str:
    if not plan.sources:
        return "procedural scenes alone; --data FOLDER brings pictures and clips"
    return f"{format_sources(plan.sources)} in {config.data}"


def _validation(config: TrainConfig) -> str:
    if not config.validation_samples:
        return "none"
    origin = config.validation_data or "other draws of the training data"
    return f"{config.validation_samples} samples every {config.validate_every} steps, {origin}"


def _memory(plan: Plan) -> str:
    if plan.memory is None:
        return "not reported by this system"
    parts = [f"{plan.memory / GIB:.2f} GiB"]
    if plan.device_memory is not None:
        parts.append(f"{plan.device_memory / GIB:.2f} GiB of the device's")
    return ", ".join(parts)


def _mib(size: int) -> str:
    return f"{size / 2**20:.0f} MiB"
