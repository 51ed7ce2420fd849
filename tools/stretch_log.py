"""Progress of a stretch of training, a line every twenty seconds."""

import math
import sys
import time
from collections.abc import Callable

from train.checkpoint import Row
from train.lr_schedule import Schedule

SECONDS_PER_LINE = 20.0


class StretchLog:
    """Takes the figures of steps and validations, and prints their means since the line before.

    Args:
        schedule: Decides how much of the run is over.
        batch: Samples per step.
        began: When the stretch began, by `now`.
        now: A clock in seconds.
        say: Prints a line.
    """

    def __init__(
        self,
        schedule: Schedule,
        batch: int,
        *,
        began: float,
        now: Callable[[], float] = time.monotonic,
        say: Callable[[str], None] = lambda line: print(line, file=sys.stderr, flush=True),
    ) -> None:
        self._schedule = schedule
        self._batch = batch
        self._began = began
        self._now = now
        self._say = say
        self._line_at = -math.inf
        self._rows: list[Row] = []
        self._held_out = ""

    def __call__(self, row: Row) -> None:
        """Take the figures of one step or of one validation."""
        now, step = self._now(), int(row["step"])
        head = f"{clock(now - self._began)}  step {step}"
        if "val_psnr_t" in row:
            start = f" (start {row['val_start_psnr_t']:.2f})" if "val_start_psnr_t" in row else ""
            self._held_out = f"  held out {row['val_psnr_t']:.2f}{start} dB"
            self._say(f"{head}{self._held_out}")
            return
        self._rows.append(row)
        if now - self._line_at < SECONDS_PER_LINE:
            return
        means = {name: sum(row[name] for row in self._rows) / len(self._rows) for name in ("loss", "psnr_t", "waiting")}
        pace = self._batch * len(self._rows) / (now - max(self._began, self._line_at))
        self._say(
            f"{head} ({self._schedule.progress(step):.0%})  loss {means['loss']:.4g}  "
            f"PSNR_T {means['psnr_t']:.2f} dB{self._held_out}  lr {row['lr']:.2g}  "
            f"{pace:.2f} samples/s ({means['waiting']:.0%} waiting)"
        )
        self._line_at, self._rows = now, []


def clock(seconds: float) -> str:
    """Write a duration as minutes and seconds, `2:05`."""
    whole = round(seconds)
    return f"{whole // 60}:{whole % 60:02d}"
