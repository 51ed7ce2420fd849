"""How fast a network learns at every moment of a run, and when to stop: by counting steps, or by the clock."""

import dataclasses
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from train.config import TrainConfig

# A run by the clock ends when its time is over, however many steps that makes.
ENDLESS = 10**9


class Course(Protocol):
    """What decides the learning rate and the end."""

    @property
    def most_steps(self) -> int:
        """No run takes more steps than these."""

    @property
    def seconds(self) -> float:
        """Time that counts so far, for the checkpoint; 0 where only steps count."""

    def rate(self, step: int) -> float:
        """Learning rate of the step after `step` finished ones."""

    def over(self, step: int) -> bool:
        """Whether to stop after `step` finished steps, at the end of the run or only for now."""

    def finished(self, step: int) -> bool:
        """Whether `step` steps are the whole run."""

    def settled(self, config: TrainConfig, step: int) -> TrainConfig:
        """Return the config with the number of steps that the run will have as far as is known."""


def learning_rate(config: TrainConfig, step: int, *, progress: float | None = None) -> float:
    """Rise linearly over the warm-up, then fall along half a cosine to 0 at the end of the run, or stay there.

    Args:
        config: Decides the highest value, the warm-up, the schedule and the length.
        step: Number of finished steps.
        progress: How much of the run is over, 0..1; None counts steps after the warm-up.
    """
    if step < config.warmup:
        return config.lr * (step + 1) / config.warmup
    if config.schedule == "constant":
        return config.lr
    if progress is None:
        progress = (step - config.warmup) / max(1, config.steps - config.warmup)
    return config.lr * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


@dataclass(frozen=True)
class Stretch:
    """The time that a process may train before something ends it.

    Args:
        length_s: All of it, in seconds.
        reserve_s: What is kept of it to validate and save; less than all.
        began: When it began, by `now`.
        now: A clock in seconds.
    """

    length_s: float = math.inf
    reserve_s: float = 0.0
    began: float = 0.0
    now: Callable[[], float] = time.monotonic

    @property
    def share(self) -> float:
        """How much of the time for training is over, 0..1."""
        return min(1.0, (self.now() - self.began) / (self.length_s - self.reserve_s))

    @property
    def over(self) -> bool:
        """Whether no step should begin any more."""
        return self.share >= 1


@dataclass(frozen=True)
class StepCourse:
    """Follow the number of steps; a stretch may interrupt it.

    Args:
        config: Decides the schedule and the length.
        stretch: The time at hand.
    """

    config: TrainConfig
    stretch: Stretch = field(default_factory=Stretch)
    seconds: float = 0.0

    @property
    def most_steps(self) -> int:
        """Those of the config."""
        return self.config.steps

    def rate(self, step: int) -> float:
        """Learning rate of the step after `step` finished ones."""
        return learning_rate(self.config, step)

    def over(self, step: int) -> bool:
        """Whether all steps are done, or the time at hand is over."""
        return self.finished(step) or self.stretch.over

    def finished(self, step: int) -> bool:
        """Whether all steps are done."""
        return step >= self.config.steps

    def settled(self, config: TrainConfig, _step: int) -> TrainConfig:
        """Leave the config as it is."""
        return config


@dataclass(frozen=True)
class TimeCourse:
    """Follow the clock, so that the schedule ends when the time that a machine is lent for does, whatever its pace.

    A stretch counts as its whole length when it is used up: starting, loading and saving are part of lent time too.

    Args:
        config: Decides the schedule; its number of steps is not asked.
        stretch: The time at hand.
        total_s: Length of the run over all stretches, in seconds.
        before_s: Seconds that earlier stretches count.
    """

    config: TrainConfig
    stretch: Stretch
    total_s: float
    before_s: float = 0.0
    most_steps: int = ENDLESS

    @property
    def seconds(self) -> float:
        """Seconds of this and earlier stretches."""
        return self.before_s + self.stretch.length_s * self.stretch.share

    @property
    def progress(self) -> float:
        """How much of the run is over, 0..1."""
        return min(1.0, self.seconds / self.total_s)

    def rate(self, step: int) -> float:
        """Learning rate of the step after `step` finished ones, by the clock but for the warm-up."""
        return learning_rate(self.config, step, progress=self.progress)

    def over(self, _step: int) -> bool:
        """Whether the whole time or the time at hand is over."""
        return self.progress >= 1 or self.stretch.over

    def finished(self, _step: int) -> bool:
        """Whether the whole time is over."""
        return self.progress >= 1

    def settled(self, config: TrainConfig, step: int) -> TrainConfig:
        """Put in the steps that the pace so far makes of the whole time."""
        return dataclasses.replace(config, steps=max(1, step, round(step / max(self.progress, 1e-9))))
