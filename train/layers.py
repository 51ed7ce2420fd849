"""Things in front of the camera: soft-edged shapes cut from other pictures, that move, turn and deform."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from train.datasets.inverse_curve import draw_curve
from train.datasets.pictures import Picture, Pixels
from train.motion import Motion, draw_motion
from train.views import LIMIT, Size, linear

DEFORMATION_CELLS = 5


@dataclass(frozen=True)
class Layer:
    """One cut-out thing.

    Args:
        pixels: Linear radiance times opacity, and opacity, (h, w, 4).
        home: Where its middle is at time 0, in pixels of the view, x and y.
        motion: In pixels of the view.
        swell: Two displacement fields in pixels, (2, H, W, 2), or None for a rigid thing.
        rhythm: Radians per frame and phase of the deformation.
    """

    pixels: Pixels
    home: tuple[float, float]
    motion: Motion
    swell: Pixels | None
    rhythm: tuple[float, float]

    def over(self, behind: Pixels, time: float) -> Pixels:
        """Paint the thing over what is behind it at a time in frames, (H, W, 3)."""
        matrix = self._matrix(time)
        if self.swell is None:
            size = (behind.shape[1], behind.shape[0])
            flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
            painted = cv2.warpAffine(self.pixels, matrix, size, flags=flags, borderMode=cv2.BORDER_CONSTANT)
        else:
            x, y = self._bent(matrix, time)
            painted = cv2.remap(self.pixels, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
        return np.asarray(painted[..., :3] + behind * (1 - painted[..., 3:]), np.float32)

    def _matrix(self, time: float) -> NDArray[np.float64]:
        angle, zoom = self.motion.angle(time), self.motion.zoom(time)
        turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]) / zoom
        middle = np.array([self.pixels.shape[1] - 1, self.pixels.shape[0] - 1]) / 2
        at = np.array(self.home) + self.motion.offset(time)
        return np.concatenate([turn, (middle - turn @ at)[:, None]], 1)

    def _bent(self, matrix: NDArray[np.float64], time: float) -> tuple[Pixels, Pixels]:
        assert self.swell is not None
        _, height, width, _ = self.swell.shape
        u = np.arange(width, dtype=np.float32)
        v = np.arange(height, dtype=np.float32)[:, None]
        phase = self.rhythm[0] * time + self.rhythm[1]
        bend = self.swell[0] * np.float32(np.sin(phase)) + self.swell[1] * np.float32(np.cos(phase))
        m = matrix.astype(np.float32)
        return m[0, 0] * u + m[0, 1] * v + m[0, 2] + bend[..., 0], m[1, 0] * u + m[1, 1] * v + m[1, 2] + bend[..., 1]


def draw_layer(rng: Generator, picture: Picture, *, size: Size, speed: float, longest_exposure: float) -> Layer:
    """Cut a random shape out of a random place of a picture, with a brightness and a motion of its own.

    Args:
        rng: Source of all randomness.
        picture: What it is cut from.
        size: Height and width of the view.
        speed: Pixels per frame.
        longest_exposure: Relative to the shortest; things go from dim in the long frame to clipped in the short.
    """
    side = int(min(size) * rng.uniform(0.2, 0.85))
    table = draw_curve(rng).table() if picture.encoded else None
    texture = _texture(rng, picture, side=side, table=table)
    level = np.exp(rng.uniform(np.log(0.1 / longest_exposure), np.log(1.2)))
    opacity = _shape(rng, side)
    painted = np.minimum(texture * np.float32(level), LIMIT) * opacity[..., None]
    home = (float(rng.uniform(0, size[1])), float(rng.uniform(0, size[0])))
    swell = _swell(rng, size=size, strength=0.04 * side) if rng.random() < 0.6 else None
    rhythm = (float(rng.uniform(0.2, 1.2)), float(rng.uniform(0, 2 * np.pi)))
    motion = draw_motion(rng, speed, turning=4.0)
    return Layer(np.dstack([painted, opacity]), home, motion, swell, rhythm)


def _texture(rng: Generator, picture: Picture, *, side: int, table: Pixels | None) -> Pixels:
    """Cut a square out of one of the copies of a picture and bring its median to 1."""
    fitting = [level for level in picture.levels if min(level.shape[:2]) >= side]
    if not fitting:
        return np.ones((side, side, 3), np.float32)
    level = fitting[rng.integers(len(fitting))]
    top, left = (int(rng.integers(length - side + 1)) for length in level.shape[:2])
    cut = linear(level[top : top + side, left : left + side], table)
    return np.asarray(cut / max(float(np.median(cut[::3, ::3])), 1e-3), np.float32)


def _shape(rng: Generator, side: int) -> Pixels:
    """Draw opacity: a blob with a wavy outline or a polygon, round to thin, crisp to out of focus, (side, side)."""
    corners = int(rng.integers(3, 8)) if rng.random() < 0.35 else 64
    theta = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    radius = np.ones(corners)
    for wave in range(2, 7):
        radius += rng.normal(0, 0.5 / wave) * np.cos(wave * theta + rng.uniform(0, 2 * np.pi))
    radius = np.clip(radius, 0.15, 2.0)
    radius *= 0.44 * side / radius.max()
    thin = 1.0 if rng.random() < 0.6 else rng.uniform(0.08, 0.6)
    turn = rng.uniform(0, np.pi)
    outline = np.stack([radius * np.cos(theta), thin * radius * np.sin(theta)], 1)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    points = np.round((outline @ rotation.T + side / 2) * 16).astype(np.int32)
    opacity = np.zeros((side, side), np.float32)
    cv2.fillPoly(opacity, [points.reshape(-1, 1, 2)], 1.0, lineType=cv2.LINE_8, shift=4)
    sharpness = 0.6 if rng.random() < 0.7 else rng.uniform(0.8, 3.0)
    return np.asarray(cv2.GaussianBlur(opacity, (0, 0), sharpness, borderType=cv2.BORDER_CONSTANT), np.float32)


def _swell(rng: Generator, *, size: Size, strength: float) -> Pixels:
    """Draw two smooth displacement fields, (2, H, W, 2)."""
    cells = rng.normal(0, strength, (2, DEFORMATION_CELLS, DEFORMATION_CELLS, 2)).astype(np.float32)
    fields = [cv2.resize(cell, (size[1], size[0]), interpolation=cv2.INTER_CUBIC) for cell in cells]
    return np.stack(fields)
