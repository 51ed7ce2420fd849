"""Grading of radiance for an HDR display: the one place where light gets its unit, cd/m2."""

from dataclasses import dataclass

from torch import Tensor

from lanhdr_cli.media.errors import MediaError
from model.color import (
    HLG_PEAK_NITS,
    PQ_PEAK_NITS,
    REC709,
    REC2020,
    Primaries,
    convert_primaries,
    hlg_encode,
    pq_encode,
    roll_off,
)

WHITE_NITS = 203.0  # diffuse white, ITU-R BT.2408-7 clause 2.2
PEAK_NITS = 1000.0


@dataclass(frozen=True, kw_only=True)
class Grading:
    """Brightness of a display.

    Args:
        white_nits: Light of value 1.0, the clip level of the longest exposure, in cd/m2.
        peak_nits: Highlights are rolled off to stay below it, in cd/m2.
        hlg: Encode as HLG instead of PQ.

    Raises:
        MediaError: If the peak lies below white, or above what the signal can carry.
    """

    white_nits: float = WHITE_NITS
    peak_nits: float = PEAK_NITS
    hlg: bool = False

    def __post_init__(self) -> None:
        top, name = (HLG_PEAK_NITS, "HLG") if self.hlg else (PQ_PEAK_NITS, "PQ")
        if self.peak_nits < self.white_nits:
            raise MediaError(
                f"--peak-nits {self.peak_nits:g} is below --white-nits {self.white_nits:g}: "
                "raise the peak or lower the white"
            )
        if self.peak_nits > top:
            raise MediaError(f"--peak-nits {self.peak_nits:g}: {name} ends at {top:g} cd/m2, pass {top:g} or less")

    def signal(self, radiance: Tensor, *, scale: float, primaries: Primaries = REC709) -> Tensor:
        """Encode a picture for the display.

        Args:
            radiance: Linear, 1.0 = clip level of the shortest exposure, (3, H, W).
            scale: Factor on radiance that makes 1.0 diffuse white.
            primaries: Of the radiance.

        Returns:
            PQ or HLG signal, BT.2020 primaries, 0..1, (3, H, W).
        """
        nits_per_unit = scale * self.white_nits
        nits = convert_primaries(radiance * nits_per_unit, primaries, target=REC2020).clamp_(min=0)
        nits = roll_off(nits, source_peak_nits=nits_per_unit, peak_nits=self.peak_nits)
        return hlg_encode(nits) if self.hlg else pq_encode(nits)
