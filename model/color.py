"""Ranges and color: conversions of values, each with its units and source."""

import math

import torch
from torch import Tensor

MU = 5000.0
LUMA_BT601 = (0.299, 0.587, 0.114)


def mu_law(radiance: Tensor) -> Tensor:
    """Compress linear values: log(1 + mu x) / log(1 + mu), mu = 5000 (Kalantari and Ramamoorthi 2017).

    Args:
        radiance: Linear values, 0..1 expected, any shape.

    Returns:
        Compressed values, 0..1, same shape.
    """
    return torch.log1p(MU * radiance) / math.log1p(MU)


def mu_law_inverse(compressed: Tensor) -> Tensor:
    """Expand values that `mu_law` compressed."""
    return torch.expm1(compressed * math.log1p(MU)) / MU


def luma(encoded: Tensor) -> Tensor:
    """Weigh gamma-encoded R, G, B to luma, ITU-R BT.601: 0.299 R + 0.587 G + 0.114 B.

    Args:
        encoded: Encoded pictures, (..., 3, H, W).

    Returns:
        Luma, (..., 1, H, W).
    """
    weights = encoded.new_tensor(LUMA_BT601).view(3, 1, 1)
    return (encoded * weights).sum(-3, keepdim=True)
