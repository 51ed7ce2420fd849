"""Which exposures the samples of a training have."""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from model.errors import ExposureError


@dataclass(frozen=True)
class ExposureDraws:
    """Cycles of exposures, and how often each is drawn.

    Args:
        cycles: Linear exposures of one cycle relative to its shortest, in the order of the frames.
        shares: How often each cycle is drawn, re-normalised.
        free_share: Share of the draws that take none of these cycles, but one with free steps.
        free_step: Smallest and largest ratio of neighboring exposures of a free cycle; log-uniform in between.
        backward_share: Share of the cycles that run the other way.
    """

    cycles: tuple[tuple[float, ...], ...]
    shares: tuple[float, ...]
    free_share: float = 0.0
    free_step: tuple[float, float] = (2.0, 8.0)
    backward_share: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what no sample can be drawn from."""
        periods = {len(cycle) for cycle in self.cycles}
        if len(periods) != 1 or not periods <= {2, 3}:
            raise ExposureError(f"cycles of {sorted(periods)} exposures are listed: give cycles of 2, or of 3")
        if len(self.shares) != len(self.cycles) or min(self.shares) < 0 or sum(self.shares) <= 0:
            raise ExposureError(f"{len(self.cycles)} cycles have the shares {self.shares}: give each 0 or more")
        wrong = [cycle for cycle in self.cycles if min(cycle) != 1 or len(set(cycle)) != len(cycle)]
        if wrong:
            raise ExposureError(f"the cycle {wrong[0]} is not relative to its shortest: begin it at 1, e.g. 1, 4")
        if not 1 < self.free_step[0] <= self.free_step[1]:
            raise ExposureError(f"free_step is {self.free_step}: give the smaller ratio first, above 1")

    @property
    def nexps(self) -> int:
        """Number of distinct exposures."""
        return len(self.cycles[0])

    def draw(self, rng: Generator, frames: int) -> list[float]:
        """Draw a cycle and where in it the first frame is.

        Args:
            rng: Source of all randomness.
            frames: Number of frames.

        Returns:
            Linear exposure of each frame relative to the shortest of the cycle.
        """
        cycle = self._free_cycle(rng) if rng.random() < self.free_share else self._listed_cycle(rng)
        if rng.random() < self.backward_share:
            cycle = cycle[::-1]
        phase = int(rng.integers(self.nexps))
        return [float(cycle[(frame + phase) % self.nexps]) for frame in range(frames)]

    def _listed_cycle(self, rng: Generator) -> tuple[float, ...]:
        shares = np.array(self.shares) / sum(self.shares)
        return self.cycles[int(rng.choice(len(self.cycles), p=shares))]

    def _free_cycle(self, rng: Generator) -> tuple[float, ...]:
        smallest, largest = np.log(self.free_step)
        steps = np.exp(rng.uniform(smallest, largest, self.nexps - 1))
        return (1.0, *np.cumprod(steps).tolist())


# Most cameras keep to no round number: cinema cameras go six stops apart, phones one.
GUIDED_DRAWS = {
    2: ExposureDraws(
        cycles=((1, 4), (1, 8), (1, 16)),
        shares=(0.33, 0.34, 0.33),
        free_share=0.6,
        free_step=(2, 64),
        backward_share=0.2,
    ),
    3: ExposureDraws(
        cycles=((1, 4, 16), (1, 2, 4), (1, 8, 64)),
        shares=(0.8, 0.1, 0.1),
        free_share=0.5,
        free_step=(2, 8),
        backward_share=0.2,
    ),
}
