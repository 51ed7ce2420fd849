"""The physically merged start: neighbors aligned by a search, weighted by inverse noise variance where they agree."""

from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

from model.exposure import GAMMA
from model.motion import warp

# Variances of the exposed signal in squared units of its clip level; a clip's own level multiplies the first two.
SHOT_NOISE = 8e-5  # times the signal
READ_NOISE = 1.44e-6
# 8 bits encoded with 1/2.2: a step is 2.2 x^(6/5) / 255 wide in linear light, its variance that squared over 12.
# The power 12/5 of the code is taken as the signal itself, which is at most twice too much above a tenth.
QUANTIZATION_NOISE = (GAMMA / 255) ** 2 / 12  # times the signal
# Exposures and responses are not known better than to some hundredths of the radiance.
TOLERANCE = 0.04
CLIP_BEGINS = 0.887
CLIP_ENDS = 0.967


@dataclass(frozen=True)
class Candidate:
    """One frame as seen from the reference's place.

    Args:
        linear: Aligned, linearised, not divided by the exposure, 0..1, (B, 3, H, W).
        exposure: Linear exposure relative to the shortest, (B, 1, 1, 1).
        inside: 1 where the aligned place lies in the frame and counts, else 0, at half size, (B, 1, h, w).
    """

    linear: Tensor
    exposure: Tensor
    inside: Tensor

    @cached_property
    def radiance(self) -> Tensor:
        """1.0 = clip level of the shortest exposure, (B, 3, H, W)."""
        return self.linear / self.exposure

    @cached_property
    def small(self) -> Tensor:
        """The radiance at half size, (B, 3, h, w)."""
        return halve(self.radiance)

    def variance(self, level: Tensor) -> Tensor:
        """Variance of the radiance at a noise level of the clip (`noise_level`), shape of it."""
        return noise_variance(self.linear, level) / self.exposure.square()


@dataclass(frozen=True)
class Start:
    """What the physical merge knows about the reference's moment.

    Args:
        radiance: 1.0 = clip level of the shortest exposure, (B, 3, H, W).
        deviation: Standard deviation expected of `radiance`, same units, at half size, (B, 3, h, w).
        agreement: How far each neighbor agrees with the reference, 0..1, one (B, 1, h, w) per neighbor.
    """

    radiance: Tensor
    deviation: Tensor
    agreement: tuple[Tensor, ...]


def halve(full: Tensor) -> Tensor:
    """Average 2x2 pixels; an odd last row or column counts by itself."""
    return F.avg_pool2d(full, 2, ceil_mode=True)


def double(half: Tensor, size: tuple[int, int]) -> Tensor:
    """Interpolate what `halve` made back to its place in a frame of `size`."""
    return F.interpolate(half, scale_factor=2, mode="bilinear", align_corners=False)[..., : size[0], : size[1]]


def align(linear: Tensor, exposure: Tensor, flow: Tensor) -> Candidate:
    """Bring a neighbor to the reference's place.

    Args:
        linear: The linearised neighbor, 0..1, (B, 3, H, W).
        exposure: Its linear exposure, (B, 1, 1, 1).
        flow: From the reference to the neighbor at half size, in pixels of that size, (B, 2, h, w).
    """
    height, width = linear.shape[-2:]
    xs = torch.arange(flow.shape[-1], device=flow.device) + flow[:, :1]
    ys = torch.arange(flow.shape[-2], device=flow.device).unsqueeze(1) + flow[:, 1:]
    inside = (xs > -0.5) & (xs < width / 2 - 0.5) & (ys > -0.5) & (ys < height / 2 - 0.5)
    return Candidate(warp(linear, 2 * double(flow, (height, width))), exposure, inside.to(linear))


def noise_variance(linear: Tensor, level: Tensor | float = 1.0) -> Tensor:
    """Variance that shot, read and quantization noise leave in the linearised picture.

    Args:
        linear: Exposed signal, 0..1 = its clip level, (B, C, H, W).
        level: Factor on the nominal shot and read noise, broadcastable.

    Returns:
        Variance in squared units of the clip level, shape of `linear`.
    """
    return linear * (SHOT_NOISE * level + QUANTIZATION_NOISE) + READ_NOISE * level


def noise_level(linear: Tensor) -> Tensor:
    """Estimate how noisy a picture is against the nominal noise, from its quietest blocks.

    A Laplacian difference that ignores planes (Immerkaer, CVIU 1996) is compared with what the nominal noise would
    leave there; the quiet quarter of all 8x8 blocks is taken to hold noise alone.

    Args:
        linear: Exposed signal, 0..1 = its clip level, (B, 3, H, W), at least 10x10.

    Returns:
        Factor on the nominal variance, 0.05..30, (B, 1, 1, 1).
    """
    green = linear[:, 1:2]
    kernel = linear.new_tensor([[1.0, -2.0, 1.0], [-2.0, 4.0, -2.0], [1.0, -2.0, 1.0]]).view(1, 1, 3, 3)
    # Half precision would drown the noise that is measured.
    with torch.autocast(linear.device.type, enabled=False):
        residual = F.avg_pool2d(F.conv2d(green, kernel).square(), 8) / 36
    inner = green[..., 1:-1, 1:-1]
    # Black and clipped blocks show no noise, whatever there was.
    usable = (-F.max_pool2d(-inner, 8) > 1e-4) & (F.max_pool2d(inner, 8) < 0.9)
    ratio = residual / noise_variance(F.avg_pool2d(inner, 8))
    ratio = torch.where(usable, ratio, torch.full_like(ratio, torch.nan))
    quiet = torch.nanquantile(ratio.flatten(1), 0.25, dim=1).nan_to_num(1.0)
    return (1.2 * quiet).clamp(0.05, 30).view(-1, 1, 1, 1)


def merge(reference: Candidate, neighbors: tuple[Candidate, ...], level: Tensor) -> Start:
    """Average radiance by inverse variance; what a neighbor disagrees with the reference counts as variance of its own.

    That variance goes with the radiance of each channel, so that a dark noisy channel still gains from a neighbor whose
    brighter channels lie a little off.

    Args:
        reference: The frame whose moment is wanted.
        neighbors: Frames aligned to it.
        level: Noise level of the clip (`noise_level`), (B, 1, 1, 1).
    """
    size = (reference.linear.shape[-2], reference.linear.shape[-1])
    variance = reference.variance(level)
    unclipped = _unclipped(reference.linear)
    total = (unclipped + 1e-4) / variance
    weighted = total * reference.radiance
    test = _AgreementTest(reference.small, halve(variance), 1 - halve(unclipped))
    floor = (1 - unclipped) / reference.exposure
    agreement = []
    for neighbor in neighbors:
        variance = neighbor.variance(level)
        excess = test.excess(neighbor.small, halve(variance))
        agreement.append(neighbor.inside / (1 + (excess / 4).square()))
        variance = variance + double(test.misfit(neighbor.small, excess), size)
        inside = double(neighbor.inside.expand_as(excess), size)
        weight = _unclipped(neighbor.linear) * inside / variance
        total, weighted = total + weight, weighted.addcmul(weight, neighbor.radiance)
    radiance = torch.maximum(weighted / total, floor).clamp(0, 1)
    return Start(radiance, halve(total).rsqrt(), tuple(agreement))


@dataclass(frozen=True)
class _AgreementTest:
    """The reference at half size, against which neighbors are tested in units of noise.

    Args:
        radiance: (B, 3, h, w).
        variance: Of the full-size radiance; four pixels share a place, so a quarter of it is left.
        clipped: Share of clipped pixels, 0..1.
    """

    radiance: Tensor
    variance: Tensor
    clipped: Tensor

    def excess(self, radiance: Tensor, variance: Tensor) -> Tensor:
        """Tell by what factor a neighbor's squared difference exceeds what is expected, (B, 1, h, w)."""
        difference = radiance - self.radiance
        # Where the reference is clipped, only a neighbor darker than the clip level disagrees.
        difference = difference - difference.clamp_min(0) * self.clipped
        expected = (variance + self.variance) / 4 + (TOLERANCE * self.radiance).square()
        excess = (difference.square() / expected).mean(1, keepdim=True)
        strict = 4 * F.max_pool2d(excess, 3, stride=1, padding=1)
        lenient = F.avg_pool2d(excess, 3, stride=1, padding=1, count_include_pad=False)
        return torch.lerp(strict, lenient, self.clipped.mean(1, keepdim=True))

    def misfit(self, radiance: Tensor, excess: Tensor) -> Tensor:
        """Estimate the variance that an excess beyond chance adds to a neighbor's radiance, (B, 3, h, w)."""
        brighter = torch.maximum(self.radiance, radiance)
        return 0.7 * (excess - 4).clamp_min(0) * (TOLERANCE * brighter).square()


def _unclipped(linear: Tensor) -> Tensor:
    return ((CLIP_ENDS - linear) / (CLIP_ENDS - CLIP_BEGINS)).clamp(0, 1)
