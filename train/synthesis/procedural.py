"""Dead leaves: procedural pictures of occluding shapes with the statistics of natural ones.

After Lee, Mumford and Huang, "Occlusion models for natural images" (2001): sizes follow a power law of
exponent -3; here with log-normal luminance, so that the dynamic range is that of a real scene.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator

from train.data.images import Picture, Pixels, hdr_picture

Clipped = tuple[float, float, float, float]  # mean, deviation, smallest and largest of a normal distribution

LEAVES_PER_PIXEL = 0.004
SMALLEST_RADIUS = 7.0


def dead_leaves(rng: Generator, *, side: int = 288) -> Picture:
    """Draw one picture of overlapping textured shapes, `side` pixels high and wide."""
    count = round(LEAVES_PER_PIXEL * side * side)
    canvas: Pixels = np.full((side, side, 3), _colors(rng, 1)[0], np.float32)
    # Radii have a density proportional to r^-3, drawn by its inverse distribution function; large ones come first.
    nearest, farthest = 1 / SMALLEST_RADIUS**2, 1 / (side / 2) ** 2
    radii = np.sort(1 / np.sqrt(farthest + rng.random(count) * (nearest - farthest)))[::-1]
    # Ellipses and irregular polygons of up to 20 corners about the origin; few distinct angles make few corners.
    corners = 20
    round_angles = np.broadcast_to(np.linspace(0, 2 * np.pi, corners), (count, corners))
    sharp_angles = np.sort(rng.uniform(0, 2 * np.pi, (count, 6)), 1)[:, np.arange(corners) * 6 // corners]
    angles = np.where(rng.random((count, 1)) < 0.5, round_angles, sharp_angles)
    x = radii[:, None] * np.cos(angles)
    y = radii[:, None] * np.sin(angles) * rng.uniform(0.3, 1.0, (count, 1))
    turn = rng.uniform(0, np.pi, (count, 1))
    outlines = np.stack([x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn)], -1)
    outlines += rng.uniform(0, side, (count, 1, 2))
    points = np.ascontiguousarray(np.round(outlines * 16), np.int32)
    for outline, color in zip(points, _colors(rng, count).tolist(), strict=True):
        cv2.fillPoly(canvas, [outline], color, lineType=cv2.LINE_8, shift=4)
    canvas = np.asarray(cv2.GaussianBlur(canvas, (0, 0), 0.6), np.float32)  # edges as a lens would draw them
    # A gain of noise of several scales and a slow gradient, as surfaces and light have.
    log_gain = np.zeros((side, side), np.float32)
    for cells, strength in ((3, 0.5), (12, 0.15), (48, 0.12), (side, 0.06)):
        grid = rng.standard_normal((cells, cells), dtype=np.float32) * np.float32(strength * rng.uniform(0, 1.5))
        log_gain += cv2.resize(grid, (side, side), interpolation=cv2.INTER_CUBIC)
    return hdr_picture("dead leaves", canvas * np.exp(log_gain)[..., None])


def _colors(rng: Generator, count: int) -> Pixels:
    """Draw log-normal luminance, a few lamps among it, with some color, (N, 3)."""
    lamps = np.where(rng.random((count, 1)) < 0.04, rng.uniform(8, 60, (count, 1)), 1)
    luminance = rng.lognormal(0, 1.4, (count, 1)) * lamps
    return np.asarray(luminance * rng.lognormal(0, 0.35, (count, 3)), np.float32)


@dataclass(frozen=True)
class InverseCurve:
    """Inverse of the camera curve y = (1 + s) x^n / (x^n + s), with highlights raised beyond it.

    Source: the training recipe of LAN-HDR (ICCV 2023), after Eilertsen et al. 2017.
    """

    n: float = 0.65
    s: float = 0.6
    boost: float = 1.0  # factor on radiance at code 255; it fades to 1 at 85 % of it, as what clipped was brighter

    def table(self) -> Pixels:
        """Return the linear radiance of each 8-bit code, 0..boost, (256,)."""
        y = np.arange(256) / 255
        linear = (self.s * y / (1 + self.s - y)) ** (1 / self.n)
        ramp = np.clip((y - 0.85) / 0.15, 0, 1)
        smooth = ramp * ramp * (3 - 2 * ramp)
        return np.asarray(linear * (1 + (self.boost - 1) * smooth), np.float32)


def draw_curve(
    rng: Generator,
    *,
    n: Clipped = (0.65, 0.1, 0.4, 0.9),
    s: Clipped = (0.6, 0.1, 0.4, 0.8),
    largest_boost: float = 12.0,
) -> InverseCurve:
    """Draw n and s from normal distributions, clipped, and a boost of 1 to `largest_boost`, log-uniform."""
    values = [float(np.clip(rng.normal(mean, deviation), low, high)) for mean, deviation, low, high in (n, s)]
    boost = float(np.exp(rng.uniform(0, np.log(largest_boost)))) if largest_boost > 1 else 1.0
    return InverseCurve(values[0], values[1], boost)
