"""Ranges and color: conversions of values, each with its units and source."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

MU = 5000.0
LUMA_BT601 = (0.299, 0.587, 0.114)
# Cone responses of the Bradford chromatic adaptation (K. M. Lam 1985; ICC.1 annex E).
BRADFORD = ((0.8951, 0.2664, -0.1614), (-0.7502, 1.7135, 0.0367), (0.0389, -0.0685, 1.0296))
D65 = (0.3127, 0.3290)
ACES_WHITE = (0.32168, 0.33767)


@dataclass(frozen=True)
class Primaries:
    """What R, G and B of a linear picture stand for.

    Args:
        red: CIE 1931 x and y.
        green: CIE 1931 x and y.
        blue: CIE 1931 x and y.
        white: CIE 1931 x and y of R = G = B.
    """

    red: tuple[float, float]
    green: tuple[float, float]
    blue: tuple[float, float]
    white: tuple[float, float]

    @property
    def chromaticities(self) -> tuple[float, ...]:
        """The eight numbers in the order of OpenEXR's `chromaticities`."""
        return (*self.red, *self.green, *self.blue, *self.white)


REC709 = Primaries((0.64, 0.33), (0.30, 0.60), (0.15, 0.06), D65)  # ITU-R BT.709-6 items 1.3, 1.4
REC2020 = Primaries((0.708, 0.292), (0.170, 0.797), (0.131, 0.046), D65)  # ITU-R BT.2020-2 table 3
P3_D65 = Primaries((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), D65)  # SMPTE EG 432-1
ACESCG = Primaries((0.713, 0.293), (0.165, 0.830), (0.128, 0.044), ACES_WHITE)  # AP1, Academy S-2014-004
ACES2065_1 = Primaries((0.7347, 0.2653), (0.0, 1.0), (0.0001, -0.0770), ACES_WHITE)  # AP0, SMPTE ST 2065-1


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


def rgb_to_xyz(primaries: Primaries) -> Tensor:
    """Matrix from linear R, G, B to CIE XYZ, white at Y = 1 (SMPTE RP 177), float64, (3, 3)."""
    ends = torch.stack([_xyz(xy) for xy in (primaries.red, primaries.green, primaries.blue)], dim=1)
    gains: Tensor = torch.linalg.solve(ends, _xyz(primaries.white))
    return ends * gains


def conversion_matrix(source: Primaries, target: Primaries) -> Tensor:
    """Matrix from one set of primaries to another; white stays white, adapted by Bradford's method.

    Args:
        source: Primaries of what is to be converted.
        target: Primaries wanted.

    Returns:
        For columns of linear R, G, B; float64, (3, 3); exactly the identity between equal primaries.
    """
    if source == target:
        return torch.eye(3, dtype=torch.float64)
    adapted = _adaptation(source.white, target.white) @ rgb_to_xyz(source)
    matrix: Tensor = torch.linalg.solve(rgb_to_xyz(target), adapted)
    return matrix


def convert_primaries(picture: Tensor, source: Primaries, *, target: Primaries) -> Tensor:
    """Express a linear picture in other primaries; colors outside of the target's become negative.

    Args:
        picture: Linear R, G, B of any scale, (..., 3, H, W).
        source: Its primaries.
        target: Primaries wanted.

    Returns:
        Same shape; the very same tensor between equal primaries.
    """
    if source == target:
        return picture
    matrix = conversion_matrix(source, target).to(picture)
    return torch.einsum("ij,...jhw->...ihw", matrix, picture)


def _xyz(xy: tuple[float, float]) -> Tensor:
    x, y = xy
    return torch.tensor([x / y, 1.0, (1 - x - y) / y], dtype=torch.float64)


def _adaptation(source: tuple[float, float], target: tuple[float, float]) -> Tensor:
    """Von Kries adaptation in Bradford's cone space, XYZ to XYZ."""
    cones = torch.tensor(BRADFORD, dtype=torch.float64)
    gains = (cones @ _xyz(target)) / (cones @ _xyz(source))
    adaptation: Tensor = torch.linalg.solve(cones, gains[:, None] * cones)
    return adaptation
