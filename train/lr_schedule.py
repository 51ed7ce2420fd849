"""Learning-rate schedules, by steps or by the clock."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from train.config import TrainConfig

ENDLESS = 10**9  # a run by the clock ends when its time is over, however many steps that makes


def learning_rate(config: TrainConfig, step: int, *, progress: float | None = None) -> float:
    """Rise linearly over the warm-up, then fall along half a cosine to 0 at the end of the run, or stay constant.

    Args:
        progress: Position in the run, 0..1; None counts steps after the warm-up.
    """
    if step < config.warmup:
        return config.lr * (step + 1) / config.warmup
    if config.schedule == "constant":
        return config.lr
    if progress is None:
        progress = (step - config.warmup) / max(1, config.steps - config.warmup)
    return config.lr * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


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
class StepSchedule:
    """A schedule that follows the number of steps; the end of its time budget interrupts it."""

    config: TrainConfig
    budget: TimeBudget = field(default_factory=TimeBudget)

    @property
    def max_steps(self) -> int:
        """Largest number of steps of the run."""
        return self.config.steps

    @property
    def elapsed_s(self) -> float:
        """Time that the schedule has counted, for the checkpoint; 0 where it counts steps."""
        return 0.0

    def rate(self, step: int) -> float:
        """Return the learning rate of the step after `step` finished ones."""
        return learning_rate(self.config, step)

    def is_finished(self, step: int) -> bool:
        """Return whether `step` steps are the whole run."""
        return step >= self.config.steps

    def should_stop(self, step: int) -> bool:
        """Return whether to stop after `step` finished steps, at the end of the run or of the time budget."""
        return self.is_finished(step) or self.budget.used_share >= 1

    def expected_steps(self, step: int) -> int:
        """Return the length of the run in steps, as far as is known after `step` of them."""
        return self.config.steps


@dataclass(frozen=True, kw_only=True)
class TimeSchedule(StepSchedule):
    """A schedule that follows the clock over one or more time budgets, whatever the pace.

    A budget counts as its whole length when it is used up: starting, loading and saving take time too.
    """

    total_s: float  # length of the run over all budgets, in seconds
    before_s: float = 0.0  # seconds that earlier budgets count

    @property
    def max_steps(self) -> int:
        """Unlimited."""
        return ENDLESS

    @property
    def elapsed_s(self) -> float:
        """Seconds of this and earlier budgets."""
        return self.before_s + self.budget.length_s * self.budget.used_share

    @property
    def progress(self) -> float:
        """Share of the run that is over, 0..1."""
        return min(1.0, self.elapsed_s / self.total_s)

    def rate(self, step: int) -> float:
        """Return the learning rate by the clock, but for the warm-up."""
        return learning_rate(self.config, step, progress=self.progress)

    def is_finished(self, step: int) -> bool:
        """Return whether the whole time is over."""
        return self.progress >= 1

    def expected_steps(self, step: int) -> int:
        """Extrapolate the pace so far to the whole time."""
        return max(1, step, round(step / max(self.progress, 1e-9)))


Schedule = StepSchedule | TimeSchedule
