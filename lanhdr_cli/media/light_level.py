"""Static metadata of HDR10: the mastering display, and light levels measured on what was encoded."""

import struct
from dataclasses import dataclass

import torch
from av import VideoFrame

from lanhdr_cli.media.yuv_planes import brightest
from model.color import P3_D65, Primaries
from model.transfer import pq_decode

DARKEST_NITS = 0.0001
LEVELS = 1 << 16
HIGHEST_FIELD = 65535


@dataclass(frozen=True)
class MasteringDisplay:
    """SMPTE ST 2086: the display that the light is meant for.

    Args:
        peak_nits: Its maximum in cd/m2.
        darkest_nits: Its minimum in cd/m2.
        primaries: Its colors; all of Rec.709 lies within P3.
    """

    peak_nits: float
    darkest_nits: float = DARKEST_NITS
    primaries: Primaries = P3_D65

    def packed(self) -> bytes:
        """Rec. ITU-T H.265 clause D.2.28: green, blue, red, white in units of 0.00002; light in 0.0001 cd/m2."""
        own = self.primaries
        points = [round(50000 * value) for point in (own.green, own.blue, own.red, own.white) for value in point]
        return struct.pack(">8H2I", *points, round(10000 * self.peak_nits), round(10000 * self.darkest_nits))


@dataclass(frozen=True)
class LightLevel:
    """CTA-861.3 annex P: whole cd/m2.

    Args:
        max_cll: Brightest pixel of all frames, by max(R, G, B).
        max_fall: Highest mean of max(R, G, B) of a frame.
    """

    max_cll: int
    max_fall: int

    def packed(self) -> bytes:
        """Rec. ITU-T H.265 clause D.2.35."""
        return struct.pack(">2H", self.max_cll, self.max_fall)


@dataclass(frozen=True)
class StaticMetadata:
    """What HDR10 says of a whole file."""

    display: MasteringDisplay
    light: LightLevel


class LightMeter:
    """Measures decoded PQ frames as they pass."""

    def __init__(self) -> None:
        self.max_cll_nits = 0.0
        self.max_fall_nits = 0.0
        self._nits = pq_decode(torch.arange(LEVELS, dtype=torch.float64) / (LEVELS - 1))

    def add(self, frame: VideoFrame) -> None:
        """Take one frame into account."""
        signal = brightest(frame)  # (H, W)
        # PQ rises: the brightest is found in the signal, and the mean over a table, instead of a power per pixel.
        self.max_cll_nits = max(self.max_cll_nits, pq_decode(signal.max().double()).item())
        counts = torch.bincount((signal * (LEVELS - 1) + 0.5).int().flatten(), minlength=LEVELS)
        self.max_fall_nits = max(self.max_fall_nits, (counts.double() @ self._nits).item() / signal.numel())

    def level(self) -> LightLevel:
        """What has been measured; at least 1, because 0 would mean unknown."""
        cll, fall = (min(max(1, round(nits)), HIGHEST_FIELD) for nits in (self.max_cll_nits, self.max_fall_nits))
        return LightLevel(cll, fall)
