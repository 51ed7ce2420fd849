"""Dead leaves: pictures of occluding shapes with the statistics of natural ones, made from nothing.

After Lee, Mumford and Huang, "Occlusion models for natural images" (2001): sizes follow a power law of
exponent -3; here with log-normal luminance, so that the dynamic range is that of a real scene.
"""

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from train.datasets.pictures import Picture, Pixels, hdr_picture

LEAVES_PER_PIXEL = 0.004
SMALLEST_RADIUS = 7.0


def dead_leaves(rng: Generator, *, side: int = 288) -> Picture:
    """Draw one picture of overlapping textured shapes.

    Args:
        rng: Source of all randomness.
        side: Height and width in pixels.
    """
    count = round(LEAVES_PER_PIXEL * side * side)
    canvas: Pixels = np.full((side, side, 3), _colors(rng, 1)[0], np.float32)
    outlines = _outlines(rng, _radii(rng, count, largest=side / 2)) + rng.uniform(0, side, (count, 1, 2))
    points = np.ascontiguousarray(np.round(outlines * 16), np.int32)
    for outline, color in zip(points, _colors(rng, count).tolist(), strict=True):
        cv2.fillPoly(canvas, [outline], color, lineType=cv2.LINE_8, shift=4)
    canvas = np.asarray(cv2.GaussianBlur(canvas, (0, 0), 0.6), np.float32)  # edges as a lens would draw them
    return hdr_picture("dead leaves", canvas * _texture(rng, side)[..., None])


def _radii(rng: Generator, count: int, *, largest: float) -> NDArray[np.float64]:
    """Draw from a density proportional to r^-3 by its inverse distribution function; large ones first."""
    nearest, farthest = 1 / SMALLEST_RADIUS**2, 1 / largest**2
    return np.sort(1 / np.sqrt(farthest + rng.random(count) * (nearest - farthest)))[::-1]


def _outlines(rng: Generator, radii: NDArray[np.float64]) -> NDArray[np.float64]:
    """Draw ellipses and irregular polygons of up to 20 corners about the origin, (N, 20, 2)."""
    count, corners = len(radii), 20
    round_angles = np.broadcast_to(np.linspace(0, 2 * np.pi, corners), (count, corners))
    # few distinct angles make few corners
    sharp_angles = np.sort(rng.uniform(0, 2 * np.pi, (count, 6)), 1)[:, np.arange(corners) * 6 // corners]
    angles = np.where(rng.random((count, 1)) < 0.5, round_angles, sharp_angles)
    x = radii[:, None] * np.cos(angles)
    y = radii[:, None] * np.sin(angles) * rng.uniform(0.3, 1.0, (count, 1))
    turn = rng.uniform(0, np.pi, (count, 1))
    return np.stack([x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn)], -1)


def _colors(rng: Generator, count: int) -> Pixels:
    """Draw log-normal luminance, a few lamps among it, with some color, (N, 3)."""
    lamps = np.where(rng.random((count, 1)) < 0.04, rng.uniform(8, 60, (count, 1)), 1)
    luminance = rng.lognormal(0, 1.4, (count, 1)) * lamps
    return np.asarray(luminance * rng.lognormal(0, 0.35, (count, 3)), np.float32)


def _texture(rng: Generator, side: int) -> Pixels:
    """Draw a gain of noise of several scales and a slow gradient, as surfaces and light have, (H, W)."""
    log_gain = np.zeros((side, side), np.float32)
    for cells, strength in ((3, 0.5), (12, 0.15), (48, 0.12), (side, 0.06)):
        grid = rng.standard_normal((cells, cells), dtype=np.float32) * np.float32(strength * rng.uniform(0, 1.5))
        log_gain += cv2.resize(grid, (side, side), interpolation=cv2.INTER_CUBIC)
    return np.exp(log_gain)
