"""Bounded correction of the physical merge by what a network predicts at half size."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from model import kernels
from model.color import MU, mu_law, mu_law_inverse
from model.motion import box_mean, double, halve
from model.neighbors import AlignedWindow, candidate_keys
from model.physical_merge import Candidate, MergedStart, NoiseModel, merge_by_variance

# Noise, as a part of the mu-law range, at which a frame is blended in by half.
NOISE_TO_TRUST = 0.03
TRUST_SIDE = 9  # side of the square, in pixels of half size, over which a frame's own brightness is averaged
# The start is changed by no more than this many of its standard deviations, whatever the network says.
MOST_DEVIATIONS = 3.0
# The reference alone bounds the correction by this part of its deviation, three times over.
SHOWN_DEVIATIONS = 0.25
# No picture is known better than this, relative to the radiance.
RELATIVE_DEVIATION = 0.003
# Content of a channel, and the frame it comes from: its distance to the reference, 0 for all but neighbors.
Channel = tuple[str, int]
# Four pixels share a place at half size, and the coarsest of a network's maps are a quarter of that.
FULL_SIZE_MULTIPLE = 8


def correct_start(window: AlignedWindow, predict: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
    """Merge the frames of a window physically, and correct the result within its standard deviation.

    Args:
        window: Its neighbors are let go on the way, to save memory.
        predict: Maps what is known of the start, `guide_channels` at half size, padded, to `correction_channels` of
            the same height and width; where they are zero the start stays.

    Returns:
        Linear radiance, 1.0 = clip level of the shortest exposure, (B, 3, H, W): the corrected one and the start.
    """
    reference, frames = window.reference, (window.reference, *window.neighbors)
    start = merge_by_variance(reference, window.neighbors, window.noise)
    small = halve(start.radiance)
    evidence = _evidence(start, small, reference=reference, noise=window.noise)
    bound = _bound(start, small)
    if kernels.usable_for_one(start.radiance):
        linears, exposures = [frame.linear for frame in frames], [frame.exposure.item() for frame in frames]
        multiple, noise = FULL_SIZE_MULTIPLE // 2, window.noise.numbers
        guide, compressed = kernels.stack_guide(
            start.radiance, window.image, linears, exposures, evidence, multiple=multiple
        )
        trusts = [
            kernels.trust_in_frame(view, small, noise=noise, exposure=exposure, trusted=NOISE_TO_TRUST, side=TRUST_SIDE)
            for view, exposure in zip(start.smalls, exposures, strict=True)
        ]
        radiance = start.radiance
        # While the network computes, a fifth of the memory would be of what is not needed any more.
        window.neighbors.clear()
        del frames, linears, start, small, evidence
        prediction = predict(guide)
        blurred = box_mean(compressed, 3), box_mean(compressed, 5)
        return kernels.apply_correction(guide, prediction, blurred, trusts, bound=bound), radiance
    compressed = mu_law(start.radiance)
    views = [mu_law(frame.radiance) for frame in frames]
    full = torch.cat((compressed, window.image, *views), dim=1)
    guide = stack_guide(full, evidence)
    size = (compressed.shape[-2], compressed.shape[-1])
    correction, gates = unstack_correction(predict(guide), size)
    blur3_gate, blur5_gate, *view_gates = torch.split(gates, 1, dim=1)
    change = correction + blur3_gate * (box_mean(compressed, 3) - compressed)
    change = change + blur5_gate * (box_mean(compressed, 5) - compressed)
    for gate, view, frame in zip(view_gates, views, frames, strict=True):
        change = change + gate * double(_trust(frame, small, noise=window.noise), size) * (view - compressed)
    bound = double(bound, size)
    output = compressed + bound * torch.tanh(change / bound)
    return mu_law_inverse(output.clamp(0, 1)), start.radiance


def _bound(start: MergedStart, small: Tensor) -> Tensor:
    """Bound the correction, in the mu-law domain, at half size, (B, 3, h, w)."""
    # Where candidates disagree and the reference shows what is there, its own deviation bounds the correction.
    deviation = torch.minimum(start.deviation, SHOWN_DEVIATIONS * start.reference_deviation)
    deviation = deviation + RELATIVE_DEVIATION * small + 1e-6
    deviation = (deviation * _mu_law_slope(small + deviation)).clamp_max(1)
    return MOST_DEVIATIONS * deviation


def guide_channels(nexps: int) -> tuple[Channel, ...]:
    """List in order what `correct_start` tells a network."""
    candidates = candidate_keys(nexps)
    full = [channel for channel in (("start", 0), ("image", 0), ("view", 0), *candidates) for _ in range(3)]
    of_reference = [("deviation", 0), ("level", 0), ("exposure", 0), ("clipped", 0), ("crushed", 0)]
    agreement = [(f"agreement {way}", frame) for way, frame in candidates]
    return (*_four_of_each(full), *of_reference, *agreement)


def correction_channels(nexps: int) -> tuple[Channel, ...]:
    """List in order what `correct_start` asks of a network."""
    gates = [("gate", 0), *((f"gate {way}", frame) for way, frame in candidate_keys(nexps))]
    return _four_of_each([("correction", 0)] * 3 + [("blur 3", 0), ("blur 5", 0), *gates])


def stack_guide(full: Tensor, half: Tensor) -> Tensor:
    """Stack pictures of full and of half size at half size, padded."""
    full, half = padded(full, FULL_SIZE_MULTIPLE), padded(half, FULL_SIZE_MULTIPLE // 2)
    return torch.cat((F.pixel_unshuffle(full, 2), half), dim=1)


def unstack_correction(output: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Split what a network predicted into a correction (B, 3, H, W) and gates (B, G, H, W) of a frame of `size`."""
    output = F.pixel_shuffle(output, 2)[..., : size[0], : size[1]]
    return output[:, :3], output[:, 3:]


def padded(pictures: Tensor, multiple: int) -> Tensor:
    """Repeat the last row and column until height and width are multiples."""
    height, width = pictures.shape[-2:]
    margins = (0, -width % multiple, 0, -height % multiple)
    return F.pad(pictures, margins, mode="replicate") if any(margins) else pictures


def _four_of_each(full: list[Channel]) -> tuple[Channel, ...]:
    """Repeat channels as a shuffle between full and half size does."""
    return tuple(channel for channel in full for _ in range(4))


def _evidence(start: MergedStart, small: Tensor, *, reference: Candidate, noise: NoiseModel) -> Tensor:
    """Stack the inputs at half size: deviation of the start, constants, clipped and black codes, agreement."""
    deviation = (start.deviation * _mu_law_slope(small)).mean(1, keepdim=True).clamp_max(1)
    constants = torch.cat((noise.level.log10() / 2, reference.exposure.log2() / 4), dim=1)
    constants = constants.expand(-1, -1, *deviation.shape[-2:])
    return torch.cat((deviation, constants, start.clipped, start.crushed, *start.agreement), dim=1)


def _trust(frame: Candidate, small: Tensor, *, noise: NoiseModel) -> Tensor:
    """Trust a frame as far as it shows picture and not noise, 0..1, (B, 1, h, w).

    In the darks of a short frame noise is a large part of the mu-law range; the least bit of it blended in would
    spoil a start that long frames have already cleaned. Where the frame is brighter than the start on average,
    the start may be wrong, and the frame's own brightness counts.

    Args:
        small: Radiance of the start at half size, (B, 3, h, w).
    """
    brighter = torch.maximum(small, box_mean(frame.small, TRUST_SIDE))
    variance = noise.variance((brighter * frame.exposure).clamp_max(1)) / frame.exposure.square()
    variance = (variance * _mu_law_slope(brighter).square()).mean(1, keepdim=True)
    return NOISE_TO_TRUST**2 / (NOISE_TO_TRUST**2 + variance)


def _mu_law_slope(radiance: Tensor) -> Tensor:
    slope: Tensor = MU / (1 + MU * radiance) / math.log1p(MU)
    return slope
