"""Which part of a benchmark is asked for."""

from collections.abc import Sequence
from dataclasses import dataclass

from model.network import NetworkConfig
from train.clips import evenly
from train.datasets.listed import shortened
from train.errors import DatasetError


@dataclass(frozen=True)
class Request:
    """What to open of a benchmark.

    Args:
        nexps: Number of distinct exposures, 2 or 3.
        scene: Name of the only scene, None for all.
        limit: Most scenes, evenly chosen.
        no_truth: Whether truths are left aside, where there are any.
    """

    nexps: int
    scene: str | None = None
    limit: int | None = None
    no_truth: bool = False

    @property
    def window(self) -> int:
        """Frames of a window: 5 for two exposures, 7 for three."""
        return NetworkConfig(self.nexps).window_length

    def centers(self, frames: int) -> range:
        """Return the numbers of the frames of a clip that have a whole window around them."""
        return range(self.window // 2, frames - self.window // 2)

    def choose(self, names: Sequence[str]) -> list[int]:
        """Return the places of the scenes that are asked for.

        Raises:
            DatasetError: If there is no scene of that name.
        """
        if self.scene is None:
            return evenly(len(names), limit=self.limit)
        if self.scene not in names:
            raise DatasetError(f"no scene is called {self.scene}: pass one of {shortened(names)} as --scene")
        return [list(names).index(self.scene)]
