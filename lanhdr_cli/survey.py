"""One pass over a clip: what is measured of each frame, for inspection."""

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import Tensor

from lanhdr_cli.media.decode import DecodedFrame
from model.brightness import FrameLight, LightMeter
from model.exposure import to_radiance
from model.guide import noise_level

CLIP_CODE = 0.96  # encoded; as the exposure finder has it
BLACK_CODE = 1.5 / 255  # encoded; the lowest code of 8 bits but black itself still counts as black
DARKEST_STOP = -14  # of the histogram, below the clip level
BINS_PER_STOP = 4
BINS = -DARKEST_STOP * BINS_PER_STOP
MOST_SAMPLES = 300_000
NOISE_EVERY = 8  # frames, two at a time, so that every exposure comes by
NOISE_CROP = 768


@dataclass(frozen=True)
class Surveyed:
    """What is kept of a frame.

    Args:
        index: Position in the clip, from 0.
        light: Brightness against its neighbors.
        clipped: Share of samples at white, 0..1.
        black: Share of samples at black, 0..1.
        bright: The quantile 0.999 of linear light, 0..1 = clip level of this frame.
        histogram: Shares of samples per quarter stop below the clip level, darkest first, (56,).
        noise: Factor on the nominal noise, None where it was not measured.
    """

    index: int
    light: FrameLight
    clipped: float
    black: float
    bright: float
    histogram: Tensor
    noise: float | None

    @property
    def time(self) -> Fraction:
        """Presentation time in seconds."""
        return self.light.time


def survey(frames: Iterable[DecodedFrame]) -> list[Surveyed]:
    """Measure all frames; about 1 KiB of each is kept.

    Args:
        frames: Encoded with 1/2.2, in order.
    """
    meter = LightMeter()
    return [_measure(frame, meter.measure(frame.image, frame.time)) for frame in frames]


def _measure(frame: DecodedFrame, light: FrameLight) -> Surveyed:
    height, width = frame.image.shape[1:]
    stride = max(1, round((height * width / MOST_SAMPLES) ** 0.5))
    samples = frame.image[:, ::stride, ::stride].flatten()
    linear = to_radiance(samples, 1.0)
    bins = ((linear.clamp_min(1e-9).log2() - DARKEST_STOP) * BINS_PER_STOP).floor().clamp(0, BINS - 1)
    histogram = torch.bincount(bins.long(), minlength=BINS).float() / bins.numel()
    bright = float(linear.kthvalue(max(1, round(0.999 * linear.numel()))).values)
    measured = frame.index // 2 % (NOISE_EVERY // 2) == 0 or frame.index < NOISE_EVERY
    return Surveyed(
        index=frame.index,
        light=light,
        clipped=float((samples >= CLIP_CODE).float().mean()),
        black=float((samples <= BLACK_CODE).float().mean()),
        bright=bright,
        histogram=histogram,
        noise=_noise(frame.image) if measured and min(height, width) >= 10 else None,
    )


def _noise(image: Tensor) -> float:
    """Noise of the middle of a picture against the nominal one."""
    height, width = image.shape[1:]
    top, left = max(0, (height - NOISE_CROP) // 2), max(0, (width - NOISE_CROP) // 2)
    crop = image[:, top : top + NOISE_CROP, left : left + NOISE_CROP]
    return float(noise_level(to_radiance(crop, 1.0)[None]))
