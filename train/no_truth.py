"""Scores of real clips without truth: what the reference shows well must stay, the rest is asked of its neighbors.

A frame has two parts. `own` is what the reference itself shows well: a result is compared with the reference. `fill` is
what it cannot show, because it is black there and a longer exposure is not, or clipped and a shorter one is not: a
result is compared with the picture between the two frames of equal exposure around it, only where their motion is sure:
flow forth and back agree, and so do the two pictures.

What this can say: whether what the camera saw well is altered, and whether the rest is filled with what was there. What
it cannot: anything of the places that it leaves out (fast motion, what is uncovered, what no exposure shows), and of
noise in `own`, for the reference's own noise counts as right. `equal-exposure interpolation` fills as this measures,
so its `fill` is flattered: compare others with each other.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from model.color import mu_law
from model.exposure import GAMMA, to_radiance
from train.baselines import interpolate
from train.benchmarks.scene import Scene
from train.metrics import psnr

# Between codes of the camera's 8 bits, of the brightest channel; for what is clipped, of the darkest.
BLACK, CLIPPED = 11.5 / 255, 250.5 / 255
SHOWN = (40.5 / 255, 234.5 / 255)
WITNESSED = (12.5 / 255, 234.5 / 255)
# Where an interpolation is sure: pixels, and a difference of encoded values; none within two pixels that is not.
LARGEST_CONTRADICTION, LARGEST_DIFFERENCE, BORDER = 0.5, 12 / 255, 2
LEAST_SHARE = 0.005  # of the pixels, or a part is not scored
HIGHEST = 120.0  # dB, of what is left as it was


@dataclass(frozen=True)
class Part:
    """A part of a frame, and what it should be.

    Args:
        wanted: Linear radiance, 1.0 = clip level of the shortest exposure, (3, H, W).
        where: Which pixels belong to it, (1, H, W).
    """

    wanted: Tensor
    where: Tensor

    def psnr_t(self, output: Tensor) -> Tensor | None:
        """Score a result, linear radiance, 0..1, (3, H, W), in dB up to 120; None if the part is too small."""
        if self.where.float().mean() < LEAST_SHARE:
            return None
        inside = self.where.expand_as(output)
        return psnr(mu_law(output[inside])[None], mu_law(self.wanted[inside])[None])[0].clamp(max=HIGHEST)


@dataclass(frozen=True)
class Evidence:
    """What stands in for the truth of a frame.

    Args:
        own: What the reference shows well itself.
        fill: What it cannot show.
    """

    own: Part
    fill: Part


def evidence_of(scene: Scene, frame: int) -> Evidence:
    """Gather what a clip says of a frame.

    Args:
        scene: The clip.
        frame: Number of a frame.
    """
    reference, exposure = scene.read_ldr(frame), scene.exposures[frame]
    codes = _codes(scene, reference)
    shown = _between(codes.amax(0, keepdim=True), SHOWN)
    own = Part(to_radiance(reference, exposure), shown)
    wanted, where = torch.zeros_like(reference), torch.zeros_like(shown)
    for other in sorted(set(scene.exposures) - {exposure}, reverse=True):  # the longest tells most, unless it clips
        lacking = codes.amax(0, keepdim=True) < BLACK if other > exposure else codes.amin(0, keepdim=True) > CLIPPED
        around = _nearest(scene, frame, other)
        if around is None:
            continue
        first, last = around
        found = interpolate(scene.read_ldr(first), scene.read_ldr(last), moment=(frame - first) / (last - first))
        well = _between(_codes(scene, found.picture).amax(0, keepdim=True), WITNESSED)
        sure = (found.contradiction < LARGEST_CONTRADICTION) & (found.difference < LARGEST_DIFFERENCE)
        more = lacking & ~where & well & _eroded(sure & (found.inside > 0))
        wanted, where = torch.where(more, to_radiance(found.picture, other), wanted), where | more
    return Evidence(own, Part(wanted, where))


def _codes(scene: Scene, ldr: Tensor) -> Tensor:
    """Bring a picture back to what the camera stored, 0..1."""
    return scene.response.encode(ldr.clamp(0, 1).pow(GAMMA))


def _between(values: Tensor, ends: tuple[float, float]) -> Tensor:
    return (values > ends[0]) & (values < ends[1])


def _nearest(scene: Scene, frame: int, exposure: float) -> tuple[int, int] | None:
    """Numbers of the nearest frames of an exposure before and after one; None if there is none on a side."""
    numbers = [number for number, other in enumerate(scene.exposures) if other == exposure]
    before, after = ([n for n in numbers if n < frame], [n for n in numbers if n > frame])
    return (before[-1], after[0]) if before and after else None


def _eroded(where: Tensor) -> Tensor:
    return F.max_pool2d(1 - where.float()[None], 2 * BORDER + 1, stride=1, padding=BORDER)[0] == 0
