"""Scenes: a view with moving foregrounds over it, rendered over time."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import cv2
import numpy as np
from numpy.random import Generator

from train.data.clips import draw_indices
from train.data.folder import CLIP_KINDS, Sources
from train.data.images import Picture, Pixels
from train.synthesis.camera import (
    LIMIT,
    STILL,
    Camera,
    Motion,
    Size,
    View,
    draw_motion,
    draw_speed,
    linear,
    view_panorama,
    view_picture,
    view_video,
)
from train.synthesis.capture import exposure_gain
from train.synthesis.procedural import dead_leaves, draw_curve

DEFORMATION_CELLS = 5
MAX_SUBFRAMES = 6

T = TypeVar("T")


@dataclass(frozen=True)
class Foreground:
    """A moving object cut from another picture."""

    pixels: Pixels  # linear radiance times opacity, and opacity, (h, w, 4)
    home: tuple[float, float]  # position of its middle at time 0, in pixels of the view, x and y
    motion: Motion  # in pixels of the view
    swell: Pixels | None  # two displacement fields in pixels, (2, H, W, 2), or None for a rigid object
    rhythm: tuple[float, float]  # radians per frame and phase of the deformation

    def over(self, background: Pixels, time: float) -> Pixels:
        """Paint the object over a background at a time in frames, (H, W, 3)."""
        angle, zoom = self.motion.spin * time, self.motion.zoom(time)
        turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]) / zoom
        middle = np.array([self.pixels.shape[1] - 1, self.pixels.shape[0] - 1]) / 2
        center = np.array(self.home) + self.motion.offset(time)
        matrix = np.concatenate([turn, (middle - turn @ center)[:, None]], 1)
        height, width = background.shape[:2]
        if self.swell is None:
            flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
            painted = cv2.warpAffine(self.pixels, matrix, (width, height), flags=flags, borderMode=cv2.BORDER_CONSTANT)
        else:
            u = np.arange(width, dtype=np.float32)
            v = np.arange(height, dtype=np.float32)[:, None]
            phase = self.rhythm[0] * time + self.rhythm[1]
            bend = self.swell[0] * np.float32(np.sin(phase)) + self.swell[1] * np.float32(np.cos(phase))
            m = matrix.astype(np.float32)
            x, y = (m[i, 0] * u + m[i, 1] * v + m[i, 2] + bend[..., i] for i in range(2))
            painted = cv2.remap(self.pixels, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
        return np.asarray(painted[..., :3] + background * (1 - painted[..., 3:]), np.float32)


def draw_foreground(
    rng: Generator, picture: Picture, *, size: Size, speed: float, longest_exposure: float
) -> Foreground:
    """Cut a random shape out of a random place of a picture, with a brightness and a motion of its own.

    Args:
        longest_exposure: Relative to the shortest; objects go from dim in the long frame to clipped in the short.
    """
    side = int(min(size) * rng.uniform(0.2, 0.85))
    table = draw_curve(rng).table() if picture.encoded else None
    texture: Pixels = np.ones((side, side, 3), np.float32)
    fitting = [level for level in picture.levels if min(level.shape[:2]) >= side]
    if fitting:
        level = fitting[rng.integers(len(fitting))]
        top, left = (int(rng.integers(length - side + 1)) for length in level.shape[:2])
        cut = linear(level[top : top + side, left : left + side], table)
        texture = np.asarray(cut / max(float(np.median(cut[::3, ::3])), 1e-3), np.float32)
    brightness = np.exp(rng.uniform(np.log(0.1 / longest_exposure), np.log(1.2)))
    opacity = _draw_opacity(rng, side)
    painted = np.minimum(texture * np.float32(brightness), LIMIT) * opacity[..., None]
    home = (float(rng.uniform(0, size[1])), float(rng.uniform(0, size[0])))
    swell = None
    if rng.random() < 0.6:
        cells = rng.normal(0, 0.04 * side, (2, DEFORMATION_CELLS, DEFORMATION_CELLS, 2)).astype(np.float32)
        swell = np.stack([cv2.resize(cell, (size[1], size[0]), interpolation=cv2.INTER_CUBIC) for cell in cells])
    rhythm = (float(rng.uniform(0.2, 1.2)), float(rng.uniform(0, 2 * np.pi)))
    motion = draw_motion(rng, speed, turning=4.0)
    return Foreground(np.dstack([painted, opacity]), home, motion, swell, rhythm)


def _draw_opacity(rng: Generator, side: int) -> Pixels:
    """Draw a blob with a wavy outline or a polygon, round to thin, crisp to out of focus, (side, side)."""
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


@dataclass(frozen=True)
class CompositeScene:
    """A view, already exposed, and the foregrounds over it, back to front."""

    view: View
    foregrounds: tuple[Foreground, ...]

    def render(self, time: float, *, shutter: float = 0.0) -> Pixels:
        """Render radiance, averaged over the time the shutter is open; time and shutter are in frames.

        Returns:
            Linear radiance, 1.0 = clip level of the shortest exposure, (H, W, 3), not clipped.
        """
        count = min(max(round(10 * shutter), 1), MAX_SUBFRAMES)
        total: Pixels | None = None
        for moment in time + shutter * ((np.arange(count) + 0.5) / count - 0.5):
            frame = self.view.render(float(moment))
            for foreground in self.foregrounds:
                frame = foreground.over(frame, float(moment))
            total = frame if total is None else np.add(total, frame, out=total)
        assert total is not None
        return total / np.float32(count)


def draw_scene(
    rng: Generator, kind: str, *, sources: Sources, size: Size, times: Sequence[float], longest: float
) -> CompositeScene:
    """Draw a scene of a kind and expose it; `longest` is the longest exposure relative to the shortest."""
    view = _draw_view(rng, kind, sources=sources, size=size, times=times)
    # Mostly 0 to 40 % clip in the longest exposure and up to 2 % in the shortest.
    extreme = rng.random() < 0.1
    long_clips = rng.uniform(0.3, 0.8) if extreme else rng.uniform(0, 0.4)
    short_clips = rng.uniform(0, 0.15) if extreme else 0.02 * rng.random() ** 2
    # A photographer lets lamps clip rather than lose half of the picture in noise; few do not.
    darkest = float(np.exp(rng.uniform(np.log(0.001), np.log(0.05))))
    level = exposure_gain(view.render(0.0), longest, long_clips=long_clips, short_clips=short_clips, darkest=darkest)
    gain = np.float32(level) * np.exp(rng.normal(0, 0.12, 3)).astype(np.float32)  # white balance
    count = int(rng.random() < 0.25) if kind in CLIP_KINDS else int(rng.choice(4, p=[0.2, 0.35, 0.3, 0.15]))
    foregrounds = []
    for _ in range(count):
        picture = _choose(rng, sources.pictures) if sources.pictures else dead_leaves(rng, side=min(size))
        speed = draw_speed(rng)
        foregrounds.append(draw_foreground(rng, picture, size=size, speed=speed, longest_exposure=longest))
    return CompositeScene(view.exposed(gain), tuple(foregrounds))


def _draw_view(rng: Generator, kind: str, *, sources: Sources, size: Size, times: Sequence[float]) -> View:
    motion = STILL if rng.random() < 0.12 else draw_motion(rng, draw_speed(rng))
    if kind == "panorama":
        panorama = _choose(rng, sources.panoramas)
        # At 1024 pixels around, a scale of 1 is a field of view of 43 degrees for 128 pixels.
        coarsest = max(1.4, panorama.levels[0].shape[1] / 800)
        scale = float(np.exp(rng.uniform(np.log(0.85), np.log(coarsest))))
        look = (float(rng.uniform(-np.pi, np.pi)), float(np.clip(rng.normal(0, 0.35), -0.8, 0.8)))
        return view_panorama(panorama, look=look, scale=scale, motion=motion, size=size, times=times)
    if kind in CLIP_KINDS:
        clip = _choose(rng, sources.clips(kind))
        indices = draw_indices(rng, clip.count, frames=round(times[-1] - times[0]) + 1, longest_stride=3)
        if rng.random() < 0.5:
            indices.reverse()
        frames = clip.load(indices)
        center, scale = _draw_framing(rng, frames[0].shape, size=size, coarsest=3.0, border=1.2)
        motion = STILL if rng.random() < 0.5 else draw_motion(rng, draw_speed(rng) / 2)
        camera = Camera(center, scale, 0.0, motion, size)
        return view_video(frames, camera, first=float(times[0]), table=draw_curve(rng).table())
    pictures = {"hdr_photo": sources.hdr_photos, "ldr_photo": sources.ldr_photos}.get(kind, ())
    picture = _choose(rng, pictures) if pictures else dead_leaves(rng)
    center, scale = _draw_framing(rng, picture.levels[0].shape, size=size, coarsest=4.0, border=1.3)
    camera = Camera(center, scale, float(rng.normal(0, 0.15)), motion, size)
    table = draw_curve(rng).table() if picture.encoded else None
    return view_picture(picture, camera, times=times, table=table)


def _draw_framing(
    rng: Generator, shape: tuple[int, ...], *, size: Size, coarsest: float, border: float
) -> tuple[tuple[float, float], float]:
    """Draw center and scale of a camera over a plane (H, W, ...); where it is too large for it, the middle."""
    height, width = shape[:2]
    coarsest = max(1.0, min(coarsest, height / (border * size[0]), width / (border * size[1])))
    scale = float(np.exp(rng.uniform(0, np.log(coarsest))))
    center = []
    for length, side in ((width, size[1]), (height, size[0])):
        margin = min(0.5 * length, 0.55 * (scale * side))
        center.append(float(rng.uniform(margin, length - margin)))
    return (center[0], center[1]), scale


def _choose(rng: Generator, items: Sequence[T]) -> T:
    return items[int(rng.integers(len(items)))]
