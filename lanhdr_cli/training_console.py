"""Tells on stderr how a training run goes: a moving bar on a terminal, now and then a line elsewhere."""

import sys
import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

Row = dict[str, float]

SECONDS_PER_LINE = 10.0
# Of figures that jump from batch to batch the terminal shows a running mean over about this many steps.
STEPS_OF_MEAN = 50


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
