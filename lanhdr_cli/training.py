"""Progress and plans of a training run on the command line."""

import sys
import time
from pathlib import Path
from types import TracebackType

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from train.config import TrainConfig
from train.dry_run import Plan, format_sources

Row = dict[str, float]

SECONDS_PER_LINE = 10.0
# Of figures that jump from batch to batch the terminal shows a running mean over about this many steps.
STEPS_OF_MEAN = 50
MIB, GIB = 2**20, 2**30


class TrainingConsole:
    """Shows loss, PSNR_T, samples per second, the share of time spent waiting for them, and the time left.

    A context that closes its bar.

    Args:
        batch: Samples per step.
        first_step: Steps done before.
        steps: Steps in all.
    """

    def __init__(self, batch: int, first_step: int, *, steps: int) -> None:
        self._batch = batch
        self._first_step = first_step
        self._steps = steps
        self._started = self._line_at = time.monotonic()
        self._means: Row = {}
        self._validation = ""
        self._bar: tuple[Progress, TaskID] | None = None

    def __enter__(self) -> "TrainingConsole":
        self._started = self._line_at = time.monotonic()
        if sys.stderr.isatty():
            progress = Progress(
                BarColumn(bar_width=20),
                MofNCompleteColumn(),
                TextColumn("{task.fields[figures]}"),
                TimeRemainingColumn(elapsed_when_finished=True),
                console=Console(stderr=True),
            )
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
        step = int(row["step"])
        if "val_psnr_t" in row:
            start = f" (start {row['val_start_psnr_t']:.2f})" if "val_start_psnr_t" in row else ""
            self._validation = f"held out {row['val_psnr_t']:.2f}{start} dB"
            if self._bar is None:
                click.echo(f"step {step}/{self._steps}  {self._validation}", err=True)
            return
        share = 1 / STEPS_OF_MEAN
        for name in row.keys() & {"loss", "psnr_t", "waiting"}:
            self._means[name] = (1 - share) * self._means.get(name, row[name]) + share * row[name]
        if self._bar:
            self._bar[0].update(self._bar[1], completed=step, figures=self._figures(step))
        elif time.monotonic() - self._line_at > SECONDS_PER_LINE or step in (self._first_step + 1, self._steps):
            self._line_at = time.monotonic()
            left_s = (time.monotonic() - self._started) / (step - self._first_step) * (self._steps - step)
            click.echo(f"step {step}/{self._steps}  {self._figures(step)}  {hours(left_s)} h left", err=True)

    def _figures(self, step: int) -> str:
        speed = self._batch * (step - self._first_step) / (time.monotonic() - self._started)
        figures = f"loss {self._means['loss']:.4g}  PSNR_T {self._means['psnr_t']:.2f} dB  {speed:.2f} samples/s"
        if "waiting" in self._means:
            figures += f" ({self._means['waiting']:.0%} waiting)"
        return f"{figures}  {self._validation}".rstrip()


def hours(seconds: float) -> str:
    """Write a duration as hours and minutes, `2:05`."""
    minutes = round(seconds / 60)
    return f"{minutes // 60}:{minutes % 60:02d}"


def plan_lines(plan: Plan, config: TrainConfig, *, path: Path) -> list[str]:
    """Describe a run that has not begun, in lines of a name and its value; `path` is its folder."""
    network, left = plan.network, config.steps - plan.first_step
    begun = f", going on after step {plan.first_step}" if plan.first_step else ""
    data = "procedural scenes alone; --data FOLDER brings pictures and clips"
    if plan.sources:
        data = f"{format_sources(plan.sources)} in {config.data}"
    held_out = "none"
    if config.validation_samples:
        origin = config.validation_data or "other draws of the training data"
        held_out = f"{config.validation_samples} samples every {config.validate_every} steps, {origin}"
    memory = "not reported by this system"
    if plan.memory is not None:
        memory = f"{plan.memory / GIB:.2f} GiB"
        if plan.device_memory is not None:
            memory += f", {plan.device_memory / GIB:.2f} GiB of the device's"
    values = {
        "network": f"{network.design}, {network.output}, {network.nexps} exposures, windows of "
        f"{network.window_length} frames, {plan.parameters / 1e6:.2f} M parameters",
        "data": data,
        "batch": f"{config.batch} samples of two windows of {config.patch}x{config.patch} pixels",
        "steps": f"{left}{begun}: {left * config.batch} samples, {2 * left * config.batch} windows",
        "held out": held_out,
        "time": f"{plan.step_s:.2f} s a step on {plan.device}, {hours(plan.left_s)} h in all",
        "memory": memory,
        "disk": f"{path}: about {plan.disk / MIB:.0f} MiB and pictures, {plan.disk_free / GIB:.1f} GiB are free",
    }
    return [f"{name:<9} {value}" for name, value in values.items()]
