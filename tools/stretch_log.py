"""Progress of a stretch of training, a line every twenty seconds."""

import math
import sys
import time
from collections.abc import Callable

from train.checkpoint import Row
from train.lr_schedule import Schedule, TimeSchedule

SECONDS_PER_LINE = 20.0


class StretchLog:
    """Takes the figures of steps and validations, and prints their means since the line before.

    Args:
        schedule: Decides how much of the run is over.
        batch: Samples per step.
        steps: Length of the run; shown where the schedule counts steps.
        began: When the stretch began, by `now`.
        now: A clock in seconds.
        say: Prints a line.
    """

    def __init__(
        self,
        schedule: Schedule,
        batch: int,
        *,
        steps: int,
        began: float,
        now: Callable[[], float] = time.monotonic,
        say: Callable[[str], None] = lambda line: print(line, file=sys.stderr, flush=True),
    ) -> None:
        self._schedule, self._batch, self._steps = schedule, batch, steps
        self._began, self._now, self._say = began, now, say
        self._line_at = -math.inf
        self._rows: list[Row] = []
        self._held_out = ""

    def __call__(self, row: Row) -> None:
        """Take the figures of one step or of one validation."""
        if "val_psnr_t" in row:
            start = f" (start {row['val_start_psnr_t']:.2f})" if "val_start_psnr_t" in row else ""
            self._held_out = f"  held out {row['val_psnr_t']:.2f}{start} dB"
            self._say(f"{self._time()}  step {row['step']:.0f}{self._held_out}")
            return
        self._rows.append(row)
        if self._now() - self._line_at >= SECONDS_PER_LINE:
            self._say(self._line(row))
            self._line_at, self._rows = self._now(), []

    def _line(self, row: Row) -> str:
        means = {name: sum(row[name] for row in self._rows) / len(self._rows) for name in ("loss", "psnr_t", "waiting")}
        pace = self._batch * len(self._rows) / (self._now() - max(self._began, self._line_at))
        return (
            f"{self._time()}  step {row['step']:.0f} ({self._progress(row)})  loss {means['loss']:.4g}  "
            f"PSNR_T {means['psnr_t']:.2f} dB{self._held_out}  lr {row['lr']:.2g}  "
            f"{pace:.2f} samples/s ({means['waiting']:.0%} waiting)"
        )

    def _progress(self, row: Row) -> str:
        schedule = self._schedule
        done = schedule.progress if isinstance(schedule, TimeSchedule) else row["step"] / self._steps
        return f"{done:.0%}"

    def _time(self) -> str:
        return clock(self._now() - self._began)


def clock(seconds: float) -> str:
    """Write a duration as minutes and seconds, `2:05`."""
    whole = round(seconds)
    return f"{whole // 60}:{whole % 60:02d}"
