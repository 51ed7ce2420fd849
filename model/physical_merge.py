"""The physical merge: candidates, their noise, and their average by inverse variance."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

from model import kernels
from model.exposure import GAMMA_8_BIT
from model.motion import box_mean, double, halve, warp_cubic

# Variances of the exposed signal in squared units of its clip level; a clip's own level multiplies them.
SHOT_NOISE = 8e-5  # times the signal
READ_NOISE = 1.44e-6
# Exposures and responses are not known better than to some hundredths of the radiance.
TOLERANCE = 0.04
# A pixel whose brightest channel is so many times the black level begins to be a color, and its dark channels count.
SATURATED = 12
# Light spread evenly from none to the black level has this variance around none, in squared units of that level.
CRUSHED_VARIANCE = 1 / 3
# A code that may be clipped, in part, may stand for light that is brighter by so many clip levels.
CLIPPED_DEVIATION = 2.0
DARKEST_BLOCK = 1e-4  # signal of a block whose noise black has not cut off
# Logarithmic curves have no light at black, and others no width between the clip level and what counts as clipped.
DARKEST, STEEPEST = 1e-9, 1e-6


@dataclass(frozen=True, kw_only=True)
class NoiseModel:
    """The uncertainty of a frame's linearised codes: noise, code steps, and the bounds at black and at the clip level.

    Args:
        level: Noise level of the clip (`noise_level`), (B, 1, 1, 1).
        precision: `CodePrecision.tensor` per sample, (B, 6).
    """

    level: Tensor
    precision: Tensor

    @cached_property
    def limits(self) -> tuple[Tensor, ...]:
        """The fields of `CodePrecision` in their order, each (B, 1, 1, 1)."""
        return self.precision.to(self.level)[:, :, None, None, None].unbind(1)

    @cached_property
    def numbers(self) -> Tensor:
        """The model of a single clip as the kernels take it, (9,)."""
        level, (black, most, begins, ends, floor, slope) = self.level.item(), (limit.item() for limit in self.limits)
        black = max(black, DARKEST)
        return torch.tensor(
            [
                1 / black,
                1 / (SATURATED * black),
                ends,
                1 / max(ends - begins, STEEPEST),
                SHOT_NOISE * level + slope,
                READ_NOISE * level + floor,
                CRUSHED_VARIANCE * most**2,
                most,
                CLIPPED_DEVIATION**2,
            ]
        )

    def variance(self, linear: Tensor) -> Tensor:
        """Variance of the exposed signal, in squared units of its clip level.

        Args:
            linear: Exposed signal, 0..1 = its clip level, (B, C, H, W).
        """
        _, most, _, _, floor, slope = self.limits
        noise = linear * (SHOT_NOISE * self.level + slope) + (READ_NOISE * self.level + floor)
        return noise.addcmul(self.crushed(linear), CRUSHED_VARIANCE * most.square())

    def crushed(self, linear: Tensor) -> Tensor:
        """Degree to which a code is a bound, "at most this", 0..1, shape of `linear`."""
        black = self.limits[0].clamp_min(DARKEST)
        crushed = (2 - linear / black).clamp(0, 1)
        # A dark channel of a bright pixel is a saturated color before it is crushed.
        return crushed * (2 - linear.amax(1, keepdim=True) / (SATURATED * black)).clamp(0, 1)

    def unclipped(self, linear: Tensor) -> Tensor:
        """Degree to which a code is more than a bound, "at least this", 0..1, shape of `linear`."""
        _, _, begins, ends, *_ = self.limits
        # A curve may be flat below the clip level.
        return ((ends - linear) / (ends - begins).clamp_min(STEEPEST)).clamp(0, 1)


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A frame aligned to the reference.

    Args:
        linear: Aligned, linearised, not divided by the exposure, 0..1, (B, 3, H, W).
        exposure: Linear exposure relative to the shortest, (B, 1, 1, 1).
        trust: Trust in the alignment, 0 outside of the frame, 0..1, at half size, (B, 1, h, w).
    """

    linear: Tensor
    exposure: Tensor
    trust: Tensor

    @cached_property
    def radiance(self) -> Tensor:
        """1.0 = clip level of the shortest exposure, (B, 3, H, W)."""
        return self.linear / self.exposure

    def variance(self, noise: NoiseModel) -> Tensor:
        """Variance of the radiance, shape of it."""
        return noise.variance(self.linear) / self.exposure.square()

    def unclipped(self, noise: NoiseModel) -> Tensor:
        """Degree to which the codes are more than a bound, "at least this", 0..1, shape of `linear`.

        The result ends at the clip level of the shortest exposure, so its clipped codes are no bounds.
        """
        return torch.where(self.exposure <= 1, 1.0, noise.unclipped(self.linear))

    def clipped_variance(self, unclipped: Tensor) -> Tensor:
        """Variance of the radiance, beyond that by noise, from what `unclipped` tells of the codes, shape of it."""
        return (CLIPPED_DEVIATION * (1 - unclipped) / self.exposure).square()

    @cached_property
    def small(self) -> Tensor:
        """The radiance at half size, (B, 3, h, w)."""
        return halve(self.radiance)


@dataclass(frozen=True, kw_only=True)
class MergedStart:
    """The physical merge of a window.

    Args:
        radiance: 1.0 = clip level of the shortest exposure, (B, 3, H, W).
        deviation: Standard deviation of `radiance` by noise and by disagreement of the candidates, same units, at half
            size, (B, 3, h, w).
        reference_deviation: That of the reference alone; large where it is black or clipped, (B, 3, h, w).
        agreement: Agreement of each neighbor with the reference, 0..1, one (B, 1, h, w) per neighbor.
        smalls: Radiance at half size of the reference and of each neighbor, (B, 3, h, w).
        clipped: Share of the reference's codes that are clipped, 0..1, (B, 1, h, w).
        crushed: Share of them that are black, likewise.
    """

    radiance: Tensor
    deviation: Tensor
    reference_deviation: Tensor
    agreement: tuple[Tensor, ...]
    smalls: tuple[Tensor, ...]
    clipped: Tensor
    crushed: Tensor


def align(linear: Tensor, exposure: Tensor, flow: Tensor, *, trust: Tensor | None = None) -> Candidate:
    """Align a linearised neighbor to the reference.

    Args:
        linear: The neighbor, 0..1, (B, 3, H, W).
        exposure: Its linear exposure, (B, 1, 1, 1).
        flow: From the reference to the neighbor at half size, in pixels of that size, (B, 2, h, w).
        trust: Trust in the flow, 0..1, (B, 1, h, w); None is 1 everywhere.
    """
    if kernels.usable_for_one(linear, flow):
        sure = torch.ones_like(flow[:, :1]) if trust is None else trust
        aligned, kept = kernels.align(linear, flow, sure)
        return Candidate(linear=aligned, exposure=exposure, trust=kept)
    height, width = linear.shape[-2:]
    xs = torch.arange(flow.shape[-1], device=flow.device) + flow[:, :1]
    ys = torch.arange(flow.shape[-2], device=flow.device).unsqueeze(1) + flow[:, 1:]
    inside = (xs > -0.5) & (xs < width / 2 - 0.5) & (ys > -0.5) & (ys < height / 2 - 0.5)
    aligned = warp_cubic(linear, 2 * double(flow, (height, width))).clamp(0, 1)
    return Candidate(linear=aligned, exposure=exposure, trust=inside.to(linear) if trust is None else trust * inside)


def noise_level(linear: Tensor, precision: Tensor | None = None) -> Tensor:
    """Estimate how noisy a picture is against the nominal noise, from its quietest blocks.

    A Laplacian difference that ignores planes (Immerkaer, CVIU 1996) is compared with what the nominal noise would
    leave there; the quiet quarter of all 8x8 blocks is taken to hold noise alone.

    Args:
        linear: Exposed signal, 0..1 = its clip level, (B, 3, H, W), at least 10x10.
        precision: What `CodePrecision.tensor` holds, (B, 6); None is 8 bits encoded with 1/2.2.

    Returns:
        Factor on the nominal variance, 0.05..30, (B, 1, 1, 1).
    """
    precision = GAMMA_8_BIT.tensor().expand(len(linear), -1) if precision is None else precision
    nominal = NoiseModel(level=linear.new_ones(1, 1, 1, 1), precision=precision)
    green = linear[:, 1:2]
    if kernels.usable_for_one(linear):
        ratio = kernels.noise_of_blocks(green[0, 0], noise=nominal.numbers, darkest=DARKEST_BLOCK)[None]
        return _quiet_level(ratio)
    # Second differences down, then across: the 3x3 kernel 1 -2 1, -2 4 -2, 1 -2 1.
    down = green[..., 2:, :] + green[..., :-2, :] - 2 * green[..., 1:-1, :]
    residual = F.avg_pool2d((down[..., 2:] + down[..., :-2] - 2 * down[..., 1:-1]).square(), 8) / 36
    inner = green[..., 1:-1, 1:-1]
    # Black and clipped blocks show no noise, whatever there was.
    darkest, brightest = -F.max_pool2d(-inner, 8), F.max_pool2d(inner, 8)
    usable = (darkest > DARKEST_BLOCK) & (nominal.crushed(darkest) == 0) & (nominal.unclipped(brightest) == 1)
    ratio = residual / nominal.variance(F.avg_pool2d(inner, 8))
    return _quiet_level(torch.where(usable, ratio, torch.full_like(ratio, torch.nan)))


def _quiet_level(ratio: Tensor) -> Tensor:
    quiet = torch.nanquantile(ratio.flatten(1), 0.25, dim=1).nan_to_num(1.0)
    return (1.2 * quiet).clamp(0.05, 30).view(-1, 1, 1, 1)


def merge_by_variance(reference: Candidate, neighbors: Sequence[Candidate], noise: NoiseModel) -> MergedStart:
    """Average the radiance of candidates by inverse variance; disagreement with the reference adds to a variance.

    That variance goes with the radiance of each channel, so that a dark noisy channel still gains from a neighbor whose
    brighter channels lie a little off. A clipped reference contradicts only what is darker than the clip level, a black
    one only what is brighter than its black can be.
    """
    if kernels.usable_for_one(reference.linear):
        frames = (reference, *neighbors)
        merged = kernels.merge(
            [frame.linear for frame in frames],
            [frame.exposure.item() for frame in frames],
            [frame.trust for frame in neighbors],
            noise=noise.numbers,
            tolerance=TOLERANCE,
        )
        return MergedStart(**merged)
    size = (reference.linear.shape[-2], reference.linear.shape[-1])
    unclipped, crushed = reference.unclipped(noise), noise.crushed(reference.linear)
    noise_alone = reference.variance(noise)
    variance = noise_alone + reference.clipped_variance(unclipped)
    total = (unclipped + 1e-5 / reference.exposure.square()) / variance
    weighted = total * reference.radiance
    test = _AgreementTest(
        radiance=reference.small,
        variance=halve(noise_alone),
        clipped=1 - halve(unclipped),
        crushed=halve(crushed),
        most=halve(torch.maximum(reference.linear, noise.limits[1])) / reference.exposure,
    )
    floor = (1 - unclipped) / reference.exposure
    shown = (1 - torch.maximum(test.clipped, test.crushed)).clamp_min(1e-3)
    reference_deviation = halve(variance).sqrt() / shown
    # Sums of weights, first and second moments over candidates at half size; differences from the reference keep small
    # variances of great values exact.
    weights, first, second = halve(total), torch.zeros_like(reference.small), torch.zeros_like(reference.small)
    agreement = []
    for neighbor in neighbors:
        variance = neighbor.variance(noise)
        excess = test.excess(neighbor.small, halve(variance))
        agreement.append(neighbor.trust / (1 + (excess / 4).square()))
        brighter = torch.maximum(reference.small, neighbor.small)
        misfit = 0.7 * (excess - 4).clamp_min(0) * (TOLERANCE * brighter).square()  # variance beyond chance
        unclipped = neighbor.unclipped(noise)
        variance = variance + neighbor.clipped_variance(unclipped) + double(misfit, size)
        trust = double(neighbor.trust.expand_as(excess), size)
        weight = unclipped * trust / variance
        total, weighted = total + weight, weighted.addcmul(weight, neighbor.radiance)
        half_weight, difference = halve(weight), neighbor.small - reference.small
        weights = weights + half_weight
        first = first.addcmul(half_weight, difference)
        second = second.addcmul(half_weight, difference.square())
    spread = second / weights - (first / weights).square()
    return MergedStart(
        radiance=torch.maximum(weighted / total, floor).clamp(0, 1),
        deviation=(1 / weights + spread.clamp_min(0)).sqrt(),
        reference_deviation=reference_deviation,
        agreement=tuple(agreement),
        smalls=(reference.small, *(neighbor.small for neighbor in neighbors)),
        clipped=1 - halve(noise.unclipped(reference.linear)).mean(1, keepdim=True),
        crushed=test.crushed.mean(1, keepdim=True),
    )


@dataclass(frozen=True, kw_only=True)
class _AgreementTest:
    """The reference at half size, against which neighbors are tested in units of noise, (B, 3, h, w) each.

    Args:
        variance: Variance of the full-size radiance; four pixels share a place, so a quarter of it is left.
        clipped: Share of clipped pixels, 0..1.
        crushed: Share of pixels at black, 0..1.
        most: Largest radiance that the codes can stand for where they are not clipped.
    """

    radiance: Tensor
    variance: Tensor
    clipped: Tensor
    crushed: Tensor
    most: Tensor

    def excess(self, radiance: Tensor, variance: Tensor) -> Tensor:
        """Return the factor by which a neighbor's squared difference exceeds the expected one, (B, 1, h, w)."""
        difference = radiance - self.radiance
        # Where the reference is clipped, only a neighbor darker than the clip level disagrees; where it is black, only
        # one that is brighter than black can be.
        below = difference.clamp(max=0)
        above = difference.clamp_min(0) * (1 - self.clipped)
        above = torch.lerp(above, (radiance - self.most).clamp_min(0), self.crushed)
        difference = below * (1 - self.crushed) + above
        expected = (variance + self.variance) / 4 + (TOLERANCE * self.radiance).square()
        excess = (difference.square() / expected).mean(1, keepdim=True)
        strict = 4 * F.max_pool2d(excess, 3, stride=1, padding=1)
        lenient = box_mean(excess, 3)
        censored = torch.maximum(self.clipped, self.crushed).mean(1, keepdim=True)
        return torch.lerp(strict, lenient, censored)
