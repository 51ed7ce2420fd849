"""The noise model of the noise-aware baseline; its own, so that the bar does not move when the product's changes."""

import torch
from torch import Tensor
from torch.nn import functional as F

from model.exposure import GAMMA

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
