"""Virtual cameras that move over pictures and videos or inside panoramas."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from train.data.images import Picture, Pixels, Stored

Point = NDArray[np.float64]
Size = tuple[int, int]
Box = tuple[int, int, int, int]

SPEEDS = ((0.0, 2.0, 0.45), (2.0, 8.0, 0.4), (8.0, 24.0, 0.15))  # pixels per frame, and share of the draws
# Brighter than this times the clip level of the shortest exposure is of no consequence; limiting it before
# interpolation keeps the ringing around a sun within reason.
LIMIT = 3.0
MARGIN = 3


@dataclass(frozen=True)
class Motion:
    """Position, angle and zoom as functions of time, zero at time 0: a steady motion and three sines."""

    velocity: Point  # pixels per frame, (2,) x and y
    acceleration: Point  # pixels per frame squared, (2,)
    shake: Point  # amplitudes in pixels, (3, 2), of three sines
    frequency: Point  # radians per frame of the sines, (3, 2)
    phase: Point  # radians, (3, 2)
    spin: float  # radians per frame
    growth: float  # natural logarithm of the zoom per frame

    def offset(self, time: float) -> Point:
        """Return x and y in pixels, (2,), at a time in frames."""
        drift = self.velocity * time + self.acceleration * (time * abs(time) / 2)
        sines = np.sin(self.frequency * time + self.phase) - np.sin(self.phase)
        return np.asarray(drift + (self.shake * sines).sum(0))

    def zoom(self, time: float) -> float:
        """Return the magnification relative to time 0."""
        return float(np.exp(self.growth * time))


STILL = Motion(np.zeros(2), np.zeros(2), np.zeros((3, 2)), np.zeros((3, 2)), np.zeros((3, 2)), 0.0, 0.0)


def draw_speed(rng: Generator) -> float:
    """Draw pixels per frame: mostly small, sometimes large."""
    slow, fast, _ = SPEEDS[rng.choice(len(SPEEDS), p=[share for *_, share in SPEEDS])]
    return float(rng.uniform(slow, fast))


def draw_motion(rng: Generator, speed: float, *, turning: float = 1.0) -> Motion:
    """Draw a motion of about `speed` pixels per frame; `turning` scales spin and zoom, 0 is a pure translation."""
    heading = rng.uniform(0, 2 * np.pi)
    velocity = speed * np.array([np.cos(heading), np.sin(heading)])
    return Motion(
        velocity=velocity,
        acceleration=rng.normal(0, 0.12 * speed + 1e-3, 2),
        shake=rng.exponential(0.15 + 0.08 * speed, (3, 2)) * (rng.random() < 0.7),
        frequency=rng.uniform(0.3, 2.2, (3, 2)),
        phase=rng.uniform(0, 2 * np.pi, (3, 2)),
        spin=float(rng.normal(0, 0.002 + 0.002 * speed) * turning),
        growth=float(rng.normal(0, 0.002 + 0.002 * speed) * turning),
    )


@dataclass(frozen=True)
class Camera:
    """A moving rectangle over a plane."""

    center: tuple[float, float]  # its center at time 0, in pixels of the plane, x and y
    scale: float  # pixels of the plane per pixel of the rectangle
    angle: float  # turn at time 0 in radians
    motion: Motion  # in pixels of the rectangle
    size: Size  # height and width of the rectangle

    def matrix(self, time: float) -> NDArray[np.float64]:
        """Return the affine map from pixels of the rectangle to pixels of the plane, (2, 3)."""
        angle = self.angle + self.motion.spin * time
        scale = self.scale / self.motion.zoom(time)
        turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        middle = np.array([self.size[1] - 1, self.size[0] - 1]) / 2
        center = np.array(self.center) + self.scale * self.motion.offset(time)
        return np.concatenate([turn, (center - turn @ middle)[:, None]], 1)

    def bounding_box(self, times: Sequence[float], *, shape: tuple[int, ...]) -> Box:
        """Return left, top, right, bottom of what is seen of a plane (H, W, ...) at some times, with a margin."""
        height, width = self.size
        corners = np.array([[0, 0, 1], [width, 0, 1], [0, height, 1], [width, height, 1]])
        positions = np.concatenate([np.asarray(corners @ self.matrix(time).T) for time in times])
        starts = np.floor(positions.min(0)).astype(int) - MARGIN
        stops = np.ceil(positions.max(0)).astype(int) + MARGIN
        # Some of the plane is kept even where nothing of it is seen, for the border is mirrored.
        lengths = np.array([shape[1], shape[0]])
        starts = np.minimum(np.maximum(starts, 0), np.maximum(0, lengths - 2 * MARGIN))
        stops = np.maximum(np.minimum(stops, lengths), np.minimum(starts + 2 * MARGIN, lengths))
        return int(starts[0]), int(starts[1]), int(stops[0]), int(stops[1])


@dataclass(frozen=True)
class Crop:
    """The part of a picture or video that a camera sees."""

    frames: tuple[Pixels, ...]  # linear radiance, (h, w, 3) each; one for a picture
    origin: tuple[int, int]  # its position in the whole, x and y in pixels; x may exceed the ends of a panorama

    def exposed(self, gain: Pixels) -> Self:
        """Return the same times a gain per channel, (3,), limited to `LIMIT`."""
        return replace(self, frames=tuple(np.minimum(frame * gain, LIMIT) for frame in self.frames))


@dataclass(frozen=True)
class PlaneView(Crop):
    """A camera over a still picture or a video."""

    camera: Camera
    first: float = 0.0  # time of the first frame; the next is one later

    def render(self, time: float) -> Pixels:
        """Return linear radiance of the frame nearest to a time, by cubic interpolation, (H, W, 3)."""
        index = min(max(round(time - self.first), 0), len(self.frames) - 1)
        matrix = self.camera.matrix(time)
        matrix[:, 2] -= self.origin
        flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
        size = (self.camera.size[1], self.camera.size[0])
        view = cv2.warpAffine(self.frames[index], matrix, size, flags=flags, borderMode=cv2.BORDER_REFLECT_101)
        return np.maximum(view, 0, out=view)


def view_picture(picture: Picture, camera: Camera, *, times: Sequence[float], table: Pixels | None = None) -> PlaneView:
    """Cut out of a picture what a camera will see of it; an encoded one needs a table of radiance by code, (256,)."""
    level, size = picture.level_for(camera.scale)
    center = (camera.center[0] * size, camera.center[1] * size)
    camera = replace(camera, center=center, scale=camera.scale * size)
    left, top, right, bottom = camera.bounding_box(times, shape=level.shape)
    return PlaneView((linear(level[top:bottom, left:right], table),), (left, top), camera)


def view_video(frames: Sequence[Stored], camera: Camera, *, first: float, table: Pixels | None) -> PlaneView:
    """Cut out of a video what a camera will see of it, reduced by area averaging to the camera's scale.

    Args:
        frames: Frames of one size in the order of time, (H, W, 3) each; 8-bit codes or linear radiance.
        first: Time of the first frame; the next is one later.
        table: Linear radiance of each 8-bit code, (256,), or None if the frames are linear.
    """
    times = [first + step for step in range(len(frames))]
    left, top, right, bottom = camera.bounding_box(times, shape=frames[0].shape)
    size = (max(2, round((right - left) / camera.scale)), max(2, round((bottom - top) / camera.scale)))
    ratio = size[0] / (right - left)
    center = (camera.center[0] * ratio, camera.center[1] * ratio)
    camera = replace(camera, center=center, scale=camera.scale * ratio)
    origin = (round(left * ratio), round(top * ratio))
    cuts = (linear(frame[top:bottom, left:right], table) for frame in frames)
    reduced = (np.asarray(cv2.resize(cut, size, interpolation=cv2.INTER_AREA), np.float32) for cut in cuts)
    return PlaneView(tuple(reduced), origin, camera, first)


@dataclass(frozen=True)
class PanoramaView(Crop):
    """A perspective camera inside a panorama."""

    width: int  # width of the whole panorama in pixels
    look: tuple[float, float]  # yaw and pitch at time 0, in radians
    focal: float  # focal length in pixels of the view, at time 0
    motion: Motion  # in pixels of the view
    size: Size

    def render(self, time: float) -> Pixels:
        """Return linear radiance at a time in frames, (H, W, 3)."""
        x, y = self.positions(time)
        x -= np.float32(self.origin[0])
        y -= np.float32(self.origin[1])
        view = cv2.remap(self.frames[0], x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        return np.maximum(view, 0, out=view)

    def positions(self, time: float, *, every: int = 1) -> tuple[Pixels, Pixels]:
        """Return the pixels of the panorama that are seen: x and y, (H, W) each; x goes on beyond the seam."""
        height, width = self.size
        focal = np.float32(self.focal * self.motion.zoom(time))
        u = (np.arange(0, width - 1 + every, every, dtype=np.float32) - (width - 1) / 2) / focal
        v = ((np.arange(0, height - 1 + every, every, dtype=np.float32) - (height - 1) / 2) / focal)[:, None]
        yaw, pitch = np.array(self.look) + self.motion.offset(time) / self.focal
        sine, cosine = np.sin(self.motion.spin * time), np.cos(self.motion.spin * time)
        right, down = u * np.float32(cosine) - v * np.float32(sine), u * np.float32(sine) + v * np.float32(cosine)
        ahead = np.float32(np.cos(pitch)) - down * np.float32(np.sin(pitch))
        below = np.float32(np.sin(pitch)) + down * np.float32(np.cos(pitch))
        longitude = np.arctan2(right, ahead) + np.float32(yaw)
        latitude = np.arctan2(below, np.hypot(right, ahead))
        per_radian = np.float32(self.width / (2 * np.pi))
        return longitude * per_radian + (self.width - 1) / 2, latitude * per_radian + (self.width / 2 - 1) / 2


View = PlaneView | PanoramaView


def view_panorama(
    picture: Picture, *, look: tuple[float, float], scale: float, motion: Motion, size: Size, times: Sequence[float]
) -> PanoramaView:
    """Cut out of a panorama what a camera inside it will see.

    Args:
        look: Yaw and pitch at time 0, in radians; pitch is positive downward.
        scale: Pixels of the panorama per pixel of the view, in its middle.
    """
    level, _ = picture.level_for(scale)
    width = level.shape[1]
    focal = picture.levels[0].shape[1] / (2 * np.pi * scale)
    whole = PanoramaView((), (0, 0), width, look, focal, motion, size)
    samples = [whole.positions(time, every=15) for time in times]
    left = int(np.floor(min(x.min() for x, _ in samples))) - MARGIN
    right = int(np.ceil(max(x.max() for x, _ in samples))) + MARGIN
    top = max(0, int(np.floor(min(y.min() for _, y in samples))) - MARGIN)
    bottom = min(level.shape[0], int(np.ceil(max(y.max() for _, y in samples))) + MARGIN)
    columns = np.arange(left, right + 1) % width
    return replace(whole, frames=(linear(level[top:bottom][:, columns], None),), origin=(left, top))


def linear(pixels: Stored, table: Pixels | None) -> Pixels:
    """Return linear radiance as float32: by table for 8-bit codes, unchanged otherwise."""
    if table is not None and pixels.dtype == np.uint8:
        return np.asarray(cv2.LUT(np.ascontiguousarray(pixels), table), np.float32)
    return np.asarray(pixels, np.float32)
