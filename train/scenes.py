"""Scenes: a view of something, with things moving in front of it, rendered over time."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.random import Generator

from train.augment import draw_white_balance, exposure_gain
from train.datasets.clip import Clip, draw_indices
from train.datasets.inverse_curve import draw_curve
from train.datasets.pictures import Picture, Pixels
from train.datasets.procedural import dead_leaves
from train.datasets.sources import CLIP_KINDS, Sources
from train.layers import Layer, draw_layer
from train.motion import STILL, Motion, draw_motion, draw_speed
from train.views import Camera, PlaneView, Size, VideoView, View, view_panorama, view_picture, view_video

MOST_SUBFRAMES = 6

T = TypeVar("T")


@dataclass(frozen=True)
class Scene:
    """A view, already exposed, and the layers over it, back to front.

    Args:
        view: What is behind everything.
        layers: Things in front of it.
    """

    view: View
    layers: tuple[Layer, ...]

    def render(self, time: float, *, shutter: float = 0.0) -> Pixels:
        """Render radiance, averaged over the time the shutter is open.

        Args:
            time: In frames.
            shutter: In frames; 0 is an instant.

        Returns:
            Linear radiance, 1.0 = clip level of the shortest exposure, (H, W, 3), not clipped.
        """
        count = min(max(round(10 * shutter), 1), MOST_SUBFRAMES)
        moments = time + shutter * ((np.arange(count) + 0.5) / count - 0.5)
        total = self._instant(float(moments[0]))
        for moment in moments[1:]:
            total += self._instant(float(moment))
        return total / np.float32(count)

    def _instant(self, time: float) -> Pixels:
        seen = self.view.render(time)
        for layer in self.layers:
            seen = layer.over(seen, time)
        return seen


def draw_scene(
    rng: Generator, kind: str, *, sources: Sources, size: Size, times: Sequence[float], longest: float
) -> Scene:
    """Draw a scene of a kind and expose it.

    Args:
        rng: Source of all randomness.
        kind: One of the kinds of `Mixture`.
        sources: What scenes are made of.
        size: Height and width in pixels.
        times: Times in frames at which it will be rendered, about 0.
        longest: Longest exposure relative to the shortest.
    """
    view = _draw_view(rng, kind, sources=sources, size=size, times=times)
    gain = np.float32(_draw_gain(rng, view.render(0.0), longest=longest)) * draw_white_balance(rng)
    count = int(rng.random() < 0.25) if kind in CLIP_KINDS else int(rng.choice(4, p=[0.2, 0.35, 0.3, 0.15]))
    layers = (_draw_layer(rng, sources, size=size, longest=longest) for _ in range(count))
    return Scene(view.exposed(gain), tuple(layers))


def _draw_view(rng: Generator, kind: str, *, sources: Sources, size: Size, times: Sequence[float]) -> View:
    motion = STILL if rng.random() < 0.12 else draw_motion(rng, draw_speed(rng))
    if kind == "panorama":
        return _inside_panorama(rng, sources.panoramas, motion=motion, size=size, times=times)
    if kind in CLIP_KINDS:
        return _over_video(rng, sources.clips(kind), size=size, times=times)
    pictures = {"hdr_photo": sources.hdr_photos, "ldr_photo": sources.ldr_photos}.get(kind, ())
    picture = _one_of(rng, pictures) if pictures else dead_leaves(rng)
    return _over_picture(rng, picture, motion=motion, size=size, times=times)


def _inside_panorama(
    rng: Generator, panoramas: Sequence[Picture], *, motion: Motion, size: Size, times: Sequence[float]
) -> View:
    picture = _one_of(rng, panoramas)
    # at 1024 pixels around, a scale of 1 is a field of view of 43 degrees for 128 pixels
    coarsest = max(1.4, picture.levels[0].shape[1] / 800)
    scale = float(np.exp(rng.uniform(np.log(0.85), np.log(coarsest))))
    look = (float(rng.uniform(-np.pi, np.pi)), float(np.clip(rng.normal(0, 0.35), -0.8, 0.8)))
    return view_panorama(picture, look=look, scale=scale, motion=motion, size=size, times=times)


def _over_picture(rng: Generator, picture: Picture, *, motion: Motion, size: Size, times: Sequence[float]) -> PlaneView:
    height, width = picture.levels[0].shape[:2]
    coarsest = max(1.0, min(4.0, height / (1.3 * size[0]), width / (1.3 * size[1])))
    scale = float(np.exp(rng.uniform(0, np.log(coarsest))))
    center = (_place(rng, width, reach=scale * size[1]), _place(rng, height, reach=scale * size[0]))
    camera = Camera(center, scale, float(rng.normal(0, 0.15)), motion, size)
    table = draw_curve(rng).table() if picture.encoded else None
    return view_picture(picture, camera, times=times, table=table)


def _over_video(rng: Generator, clips: Sequence[Clip], *, size: Size, times: Sequence[float]) -> VideoView:
    clip = _one_of(rng, clips)
    indices = draw_indices(rng, clip.count, wanted=round(times[-1] - times[0]) + 1, longest_stride=3)
    if rng.random() < 0.5:
        indices.reverse()
    frames = clip.load(indices)
    height, width = frames[0].shape[:2]
    coarsest = max(1.0, min(3.0, height / (1.2 * size[0]), width / (1.2 * size[1])))
    scale = float(np.exp(rng.uniform(0, np.log(coarsest))))
    center = (_place(rng, width, reach=scale * size[1]), _place(rng, height, reach=scale * size[0]))
    motion = STILL if rng.random() < 0.5 else draw_motion(rng, draw_speed(rng) / 2)
    camera = Camera(center, scale, 0.0, motion, size)
    return view_video(frames, camera, first=float(times[0]), table=draw_curve(rng).table())


def _draw_gain(rng: Generator, radiance: Pixels, *, longest: float) -> float:
    """Draw how bright the exposures are: mostly 0 to 40 % clip in the long one and up to 2 % in the short one."""
    extreme = rng.random() < 0.1
    long_clips = rng.uniform(0.3, 0.8) if extreme else rng.uniform(0, 0.4)
    short_clips = rng.uniform(0, 0.15) if extreme else 0.02 * rng.random() ** 2
    # a photographer lets lamps clip rather than lose half of the picture in noise; few do not
    darkest = float(np.exp(rng.uniform(np.log(0.001), np.log(0.05))))
    return exposure_gain(radiance, longest, long_clips=long_clips, short_clips=short_clips, darkest=darkest)


def _draw_layer(rng: Generator, sources: Sources, *, size: Size, longest: float) -> Layer:
    pictures = sources.pictures
    picture = _one_of(rng, pictures) if pictures else dead_leaves(rng, side=min(size))
    return draw_layer(rng, picture, size=size, speed=draw_speed(rng), longest_exposure=longest)


def _one_of(rng: Generator, items: Sequence[T]) -> T:
    return items[int(rng.integers(len(items)))]


def _place(rng: Generator, whole: int, *, reach: float) -> float:
    """Draw where an interval of length `reach` may be centered inside 0..whole, or the middle if it is too long."""
    margin = min(0.5 * whole, 0.55 * reach)
    return float(rng.uniform(margin, whole - margin))
