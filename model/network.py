"""The network as the paper's figure has it, and the values that distinguish its sizes."""

from dataclasses import dataclass
from typing import Literal

from model.errors import WeightsError


@dataclass(frozen=True)
class NetworkConfig:
    """What distinguishes one network from another; two and three exposures are values, never files.

    Args:
        nexps: Number of exposures in the cycle, 2 or 3.
        design: `lanhdr` is the published network, `lite` the one for CPUs and real time.
        output: `direct` predicts radiance by itself, `guided` corrects a physically merged start.
        channels: Width of full-size features (C of the paper's code).
        pyramid_channels: Width of the finest pyramid level (T of the paper's code).
    """

    nexps: int = 2
    design: Literal["lanhdr", "lite"] = "lanhdr"
    output: Literal["direct", "guided"] = "direct"
    channels: int = 64
    pyramid_channels: int = 16

    def __post_init__(self) -> None:
        if self.nexps not in (2, 3):
            raise WeightsError(f"networks exist for 2 and 3 exposures, not for {self.nexps}")

    @property
    def window_length(self) -> int:
        """Frames per window: 5 for two exposures, 7 for three."""
        return 2 * self.nexps + 1
