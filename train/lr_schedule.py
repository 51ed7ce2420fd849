"""Learning-rate schedules, by steps or by the clock."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from train.config import TrainConfig


@dataclass(frozen=True, kw_only=True)
class TimeBudget:
    """The time that a process may train."""

    length_s: float = math.inf
    reserve_s: float = 0.0  # seconds of it that are kept to validate and save; less than all
    began: float = 0.0  # when it began, by `now`
    now: Callable[[], float] = time.monotonic  # a clock in seconds

    @property
    def used_share(self) -> float:
        """Share of the time for training that is over, 0..1."""
        return min(1.0, (self.now() - self.began) / (self.length_s - self.reserve_s))


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """Learning rates of a run and its end: after a number of steps, or by the clock over one or more time budgets.

    Where steps count, the end of the time budget interrupts the run. By the clock, a budget counts as its whole length
    when it is used up: starting, loading and saving take time too.
    """

    config: TrainConfig
    budget: TimeBudget = field(default_factory=TimeBudget)
    total_s: float | None = None  # length of the run by the clock over all budgets; None counts steps
    before_s: float = 0.0  # seconds that earlier budgets count

    @property
    def elapsed_s(self) -> float:
        """Seconds of this and earlier budgets; 0 where steps count."""
        return 0.0 if self.total_s is None else self.before_s + self.budget.length_s * self.budget.used_share

    def progress(self, step: int) -> float:
        """Return the share of the run that is over after `step` finished steps, 0..1."""
        return min(1.0, step / self.config.steps if self.total_s is None else self.elapsed_s / self.total_s)

    def rate(self, step: int) -> float:
        """Return the learning rate of the step after `step` finished ones.

        It rises linearly over the warm-up, then falls along half a cosine to 0 at the end of the run, or stays.
        """
        config = self.config
        if step < config.warmup:
            return config.lr * (step + 1) / config.warmup
        if config.schedule == "constant":
            return config.lr
        since_warmup = (step - config.warmup) / max(1, config.steps - config.warmup)
        progress = since_warmup if self.total_s is None else self.progress(step)
        return config.lr * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))

    def is_finished(self, step: int) -> bool:
        """Return whether the whole run is over after `step` finished steps."""
        return self.progress(step) >= 1

    def should_stop(self, step: int) -> bool:
        """Return whether to stop after `step` finished steps, at the end of the run or of the time budget."""
        return self.is_finished(step) or self.budget.used_share >= 1

    def expected_steps(self, step: int) -> int:
        """Return the length of the run in steps; by the clock, the pace so far is extrapolated."""
        if self.total_s is None:
            return self.config.steps
        return max(1, step, round(step / max(self.progress(step), 1e-9)))
