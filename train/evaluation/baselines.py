"""Classical baselines: the reference frame alone, and merges that learn nothing.

Each takes a window, encoded with 1/2.2 in 0..1, (N, 3, H, W), and its linear exposures relative to the shortest,
(N); each returns the linear radiance at the middle frame, 1.0 = clip level of the shortest exposure, (3, H, W).
"""

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from model.color import luma
from model.exposure import GAMMA, match_exposure, to_radiance

# A camera of the middle kind, in units of the clip level: variance per unit of signal, deviation at black.
SHOT_NOISE = 8e-5
READ_NOISE = 1.2e-3
CODE = 1 / 255
DARKEST, BRIGHTEST = 0.02, 0.95


def noise_variance(ldr: Tensor, level: Tensor | float) -> Tensor:
    """Variance that shot noise, read noise and 8-bit quantisation leave in the linearised picture.

    Args:
        ldr: Encoded with 1/2.2, 0..1, any shape.
        level: Factor on the nominal variance of shot and read noise.

    Returns:
        Variance in squared units of the clip level, shape of `ldr`.
    """
    signal = ldr.clamp(0, 1).pow(GAMMA)
    slope = GAMMA * ldr.clamp(DARKEST, 1).pow(GAMMA - 1)  # of the linearisation
    return (SHOT_NOISE * signal + READ_NOISE**2) * level + (slope * CODE).square() / 12


def noise_level(ldr: Tensor) -> Tensor:
    """Estimate the noise of frames against the nominal one, as the median over the frames.

    What a Laplacian difference leaves (Immerkaer, CVIU 1996) in the quietest quarter of all 8x8 blocks is noise.

    Args:
        ldr: Encoded with 1/2.2, 0..1, (N, 3, H, W), at least 10x10.

    Returns:
        Factor on the nominal variance, 0.05..30, a scalar.
    """
    green = ldr[:, 1:2].clamp(0, 1)
    kernel = ldr.new_tensor([[1.0, -2.0, 1.0], [-2.0, 4.0, -2.0], [1.0, -2.0, 1.0]]).view(1, 1, 3, 3)
    residual = F.conv2d(green.pow(GAMMA), kernel).square() / 36
    inner = green[..., 1:-1, 1:-1]
    usable = F.avg_pool2d(((inner > DARKEST) & (inner < BRIGHTEST)).to(ldr), 8) > 0.9
    ratio = F.avg_pool2d(residual, 8) / F.avg_pool2d(noise_variance(inner, 1.0), 8)
    ratio = torch.where(usable, ratio, torch.full_like(ratio, torch.nan))
    quiet = torch.nanquantile(ratio.flatten(1), 0.25, dim=1).nan_to_num(1.0)
    return (1.2 * quiet).clamp(0.05, 30).median()  # 1.2: a low quantile lies below the mean


CLIPPED = 0.98
# Where a reference begins to show something itself, and where it does so well: encoded, of its brightest channel.
DARK, SHOWN = 12 / 255, 48 / 255
REFINEMENTS = 3
# What an aligned neighbor may differ beyond noise, relative to its radiance: sampling and small misalignment.
TOLERANCE = 0.03


def reference_alone(ldr: Tensor, exposures: Tensor) -> Tensor:
    """Linearise the middle frame and divide by its exposure."""
    middle = len(ldr) // 2
    return to_radiance(ldr[middle], exposures[middle])


def merge_unaligned(ldr: Tensor, exposures: Tensor) -> Tensor:
    """Average the radiance of all frames, weighted by how well each is exposed, as for a still camera and scene."""
    return _hat_merge(ldr, exposures)


def merge_by_flow(ldr: Tensor, exposures: Tensor) -> Tensor:
    """Align the neighbors by optical flow, then average as `merge_unaligned` does."""
    aligned, inside = _align(ldr, exposures)
    return _hat_merge(aligned, exposures, inside)


def merge_by_flow_and_noise(ldr: Tensor, exposures: Tensor, *, level: Tensor | float | None = None) -> Tensor:
    """Align by optical flow, then weight by inverse noise variance where neighbors agree with the reference.

    A sample of variance v counts 1 / v; it counts less the more it differs from the reference in units of what
    noise would let them differ. Clipped pixels do not count.

    Args:
        ldr: Frames of the window, (N, 3, H, W).
        exposures: Their exposures, (N).
        level: Factor on the nominal noise variance; None estimates it from the frames.
    """
    if level is None:
        level = noise_level(ldr)
    aligned, inside = _align(ldr, exposures)
    exposure = exposures.view(-1, 1, 1, 1)
    radiance = to_radiance(aligned, exposure)
    variance = noise_variance(aligned, level) / exposure.square()
    weights = inside * _unclipped(aligned) * _agreement(ldr, radiance, variance) / variance
    return _mean_or_reference(weights * variance.amin(0), radiance, ldr, exposures)


def interpolate_equal_exposures(ldr: Tensor, exposures: Tensor) -> Tensor:
    """Keep what the reference shows well; fill its blacks and clipped parts from frames of equal exposure around it.

    For every other exposure, the nearest frame before and the nearest after are brought to the moment of the
    reference along the flow between those two, which see the same things. Of what is not clipped, the longest exposure
    fills first. Blacks of the longest and clipped parts of the shortest exposure stay as they are.
    """
    middle = len(ldr) // 2
    own = float(exposures[middle])
    others = sorted({float(exposure) for exposure in exposures} - {own}, reverse=True)
    reference = reference_alone(ldr, exposures)
    # The reference counts where it shows things itself; blacks and clipped parts count that no exposure can fill.
    brightest = ldr[middle].amax(0, keepdim=True)
    weight = torch.ones_like(brightest) if others[0] < own else ((brightest - DARK) / (SHOWN - DARK)).clamp(0, 1)
    weight = weight if others[-1] > own else weight * _whole(ldr[middle])
    total, radiance = weight, weight * reference
    for exposure in others:
        between = _between(ldr, exposures, exposure)
        share = (1 - total) * (1 if exposure == others[-1] < own else _whole(between))
        total, radiance = total + share, radiance + share * to_radiance(between, exposure)
    return radiance + (1 - total) * reference


def _whole(picture: Tensor) -> Tensor:
    """Weigh how far all channels are from the clip level, (1, H, W)."""
    return _unclipped(picture).amin(0, keepdim=True)


def _between(ldr: Tensor, exposures: Tensor, exposure: float) -> Tensor:
    """Bring the nearest frames of an exposure before and after the middle one to its moment, (3, H, W)."""
    middle = len(ldr) // 2
    before, after = ([n for n in side if exposures[n] == exposure] for side in (range(middle), range(middle, len(ldr))))
    if not before or not after:
        return ldr[before[-1] if before else after[0]]
    first, last = before[-1], after[0]
    return interpolate(ldr[first], ldr[last], moment=(middle - first) / (last - first)).picture


@dataclass(frozen=True)
class Interpolation:
    """The picture between two of equal exposure, and its certainty.

    Args:
        picture: Encoded with 1/2.2, 0..1, (3, H, W).
        contradiction: Distance of the flows forth and back, in pixels, (1, H, W).
        difference: Difference of the two pictures at its moment in their worst channel, (1, H, W).
        inside: 1 where both of them show the place, (1, H, W).
    """

    picture: Tensor
    contradiction: Tensor
    difference: Tensor
    inside: Tensor


def interpolate(before: Tensor, after: Tensor, *, moment: float) -> Interpolation:
    """Make the picture between two of equal exposure.

    Args:
        before: Encoded with 1/2.2, 0..1, (3, H, W).
        after: Likewise.
        moment: Time of the new picture, 0 at the one before, 1 at the one after.
    """
    still = torch.ones(())
    forth = _at_moment(optical_flow(before, after, exposures=(still, still)), moment)
    back = _at_moment(optical_flow(after, before, exposures=(still, still)), 1 - moment)
    early, early_inside = fetch(before, -moment * forth)
    late, late_inside = fetch(after, -(1 - moment) * back)
    weights = (1 - moment) * early_inside + 1e-6, moment * late_inside + 1e-6
    contradiction = torch.from_numpy(np.linalg.norm(forth + back, axis=-1))[None].to(before)
    picture = (weights[0] * early + weights[1] * late) / (weights[0] + weights[1])
    difference = (early - late).abs().amax(0, keepdim=True)
    return Interpolation(picture, contradiction, difference, early_inside * late_inside)


def _at_moment(flow: NDArray[np.float32], moment: float) -> NDArray[np.float32]:
    """Find the flow of what is at each pixel at a later moment, by fixed-point iteration from the flow at moment 0."""
    field = torch.from_numpy(np.concatenate([flow, np.zeros_like(flow[..., :1])], axis=-1)).permute(2, 0, 1)
    found = flow
    for _ in range(REFINEMENTS):
        found = fetch(field, -moment * found)[0][:2].permute(1, 2, 0).numpy()
    return np.ascontiguousarray(found)


def _hat_merge(ldr: Tensor, exposures: Tensor, inside: Tensor | float = 1.0) -> Tensor:
    # Debevec and Malik's hat (SIGGRAPH 1997): most in the middle of the range, nothing at its ends.
    weights = inside * (1 - (2 * ldr - 1).abs())
    return _mean_or_reference(weights, to_radiance(ldr, exposures.view(-1, 1, 1, 1)), ldr, exposures)


def _mean_or_reference(weights: Tensor, radiance: Tensor, ldr: Tensor, exposures: Tensor) -> Tensor:
    """Average over frames; where no frame has any weight the reference stands in."""
    total = weights.sum(0)
    mean = (weights * radiance).sum(0) / total.clamp(min=1e-6)
    return torch.where(total > 1e-3, mean, reference_alone(ldr, exposures))


def _agreement(ldr: Tensor, radiance: Tensor, variance: Tensor) -> Tensor:
    """Weigh how well each frame agrees with the middle one, (N, 1, H, W) in 0..1."""
    middle = len(ldr) // 2
    difference = radiance - radiance[middle]
    # A clipped reference says "at least": only a darker neighbor contradicts it.
    difference = torch.where(ldr[middle] > CLIPPED, difference.clamp(max=0), difference)
    allowed = (variance + variance[middle]) / 5 + (TOLERANCE * radiance[middle]).square()
    excess = (_smooth(difference).square() / _smooth(allowed)).mean(1, keepdim=True)
    agreement = 1 / (1 + (excess / 4).square())
    agreement[middle] = 1
    return agreement


def _smooth(values: Tensor) -> Tensor:
    return F.avg_pool2d(values, 3, stride=1, padding=1, count_include_pad=False)


def _unclipped(ldr: Tensor) -> Tensor:
    return ((CLIPPED - ldr) / 0.03).clamp(0, 1)


def _align(ldr: Tensor, exposures: Tensor) -> tuple[Tensor, Tensor]:
    """Bring all frames to the middle one's place; say where they lie inside the picture, (N, 1, H, W)."""
    middle = len(ldr) // 2
    aligned, inside = ldr.clone(), torch.ones_like(ldr[:, :1])
    for place in range(len(ldr)):
        if place != middle:
            flow = optical_flow(ldr[middle], ldr[place], exposures=(exposures[middle], exposures[place]))
            aligned[place], inside[place] = fetch(ldr[place], flow)
    return aligned, inside


def optical_flow(reference: Tensor, neighbor: Tensor, *, exposures: tuple[Tensor, Tensor]) -> NDArray[np.float32]:
    """Find where each pixel of the reference lies in the neighbor, by OpenCV's DIS flow at its medium preset.

    Args:
        reference: Encoded with 1/2.2, 0..1, (3, H, W).
        neighbor: Likewise.
        exposures: Linear exposures of the two.

    Returns:
        Displacement in pixels, x and y, (H, W, 2).
    """
    longest = torch.maximum(*exposures)  # the darker is brightened: both then clip at the same radiance
    pair = zip((reference, neighbor), exposures, strict=True)
    lumas = [luma(match_exposure(image, exposure, target=longest))[0] for image, exposure in pair]
    codes = [(values * 255).round().to(torch.uint8).cpu().numpy() for values in lumas]
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    return np.asarray(search.calc(codes[0], codes[1], None), np.float32)  # type: ignore[call-overload]


def fetch(image: Tensor, flow: NDArray[np.float32]) -> tuple[Tensor, Tensor]:
    """Fetch a picture from where a flow points.

    Args:
        image: (3, H, W).
        flow: Displacement in pixels, x and y, (H, W, 2).

    Returns:
        What was found, the nearest pixel beyond the border, (3, H, W), and 1 where it lies inside, (1, H, W).
    """
    height, width = flow.shape[:2]
    xs = np.arange(width, dtype=np.float32) + flow[..., 0]
    ys = np.arange(height, dtype=np.float32)[:, None] + flow[..., 1]
    pixels = np.ascontiguousarray(image.permute(1, 2, 0).cpu().numpy())  # (H, W, 3)
    fetched = cv2.remap(pixels, xs, ys, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    inside = (xs >= 0) & (xs <= width - 1) & (ys >= 0) & (ys <= height - 1)
    return torch.from_numpy(fetched).permute(2, 0, 1).to(image), torch.from_numpy(inside)[None].to(image)
