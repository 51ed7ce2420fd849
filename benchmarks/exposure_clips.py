"""Synthetic clips whose exposures, slips, response and light are known, for the table of `cycles`."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from torch import Tensor

from model.exposure import GAMMA
from train.synthesis.procedural import dead_leaves

Pixels = NDArray[np.float64]
HEIGHT, WIDTH, SIDE = 96, 160, 288
RATE = 24
FILM_STRENGTH = 0.6


def _srgb(linear: Pixels) -> Pixels:
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear.clip(1e-9) ** (1 / 2.4) - 0.055)


def _film(linear: Pixels) -> Pixels:
    """A gamma curve with an S upon it, as picture styles have it."""
    encoded = linear ** (1 / GAMMA)
    return (1 - FILM_STRENGTH) * encoded + FILM_STRENGTH * encoded**2 * (3 - 2 * encoded)


CURVES: dict[str, Callable[[Pixels], Pixels]] = {"gamma": lambda x: x ** (1 / GAMMA), "srgb": _srgb, "film": _film}
GRID = np.linspace(0, 1, 4097)


@dataclass(frozen=True)
class Case:
    """One clip.

    Args:
        ratios: Exposures from the first frame on; all equal for a clip that does not alternate.
        response: Name of the camera response.
        told: Whether the response is known, so that pictures come as the product gets them: encoded with 1/2.2.
        noise: Standard deviation at black, linear.
        speed: Pixels per frame that the camera pans.
        cuts: Frames at which a new scene begins.
        dropped: Frames before which one is missing.
        doubled: Frames that show their predecessor again.
        light: What the light does: `steady`, `flicker`, `fade` or `flash`.
        gaps: Whether the times of frames tell of those that are missing.
        frames: Length.
        seed: Of the scene and the noise.
    """

    ratios: tuple[float, ...]
    response: str = "gamma"
    told: bool = False
    noise: float = 1.2e-3
    speed: float = 1.5
    cuts: tuple[int, ...] = ()
    dropped: tuple[int, ...] = ()
    doubled: tuple[int, ...] = ()
    light: str = "steady"
    gaps: bool = False
    frames: int = 48
    seed: int = 0

    @property
    def slips(self) -> tuple[int, ...]:
        """First frame after each break in the order."""
        return tuple(sorted(self.dropped + self.doubled))


def shots(case: Case) -> Iterator[tuple[int, Fraction]]:
    """Yield the number of the camera's frame and the time of each frame of the file."""
    camera = 0
    moment = 0
    for index in range(case.frames):
        if index > 0 and index not in case.doubled:
            camera += 2 if index in case.dropped else 1
        if index > 0:
            moment += 2 if case.gaps and index in case.dropped else 1
        yield camera, Fraction(moment, RATE)


def pictures(case: Case) -> Iterator[tuple[Tensor, Fraction]]:
    """Yield the encoded frames of a clip, (3, H, W), with their times."""
    rng = np.random.default_rng(case.seed)
    starts = (0, *case.cuts)
    scenes = [_scene(rng, max(case.ratios) / min(case.ratios)) for _ in starts]
    last, picture = -1, torch.empty(0)
    for index, (camera, moment) in enumerate(shots(case)):
        if camera != last:
            scene = scenes[sum(index >= start for start in starts) - 1]
            gain = _light(case, camera, rng) * case.ratios[camera % len(case.ratios)] / min(case.ratios)
            picture = torch.from_numpy(_expose(_view(scene, camera, case) * gain, case, rng=rng))
        last = camera
        yield picture, moment


def _scene(rng: Generator, ratio: float) -> Pixels:
    """A picture, (SIDE, SIDE, 3), of which a short frame clips little and a long one not all."""
    picture = dead_leaves(rng, side=SIDE)
    radiance = np.asarray(picture.levels[0], np.float64)
    highlight = np.quantile(radiance.max(-1), rng.uniform(0.97, 0.995))
    dark = np.quantile(radiance.mean(-1), 0.4)
    exposed: Pixels = radiance / max(highlight, dark * ratio)
    return exposed


def _view(scene: Pixels, camera: int, case: Case) -> Pixels:
    """What the panning camera sees, with a dark block that moves the other way."""
    reach = SIDE - WIDTH
    shift = round(abs((case.speed * camera + reach) % (2 * reach) - reach))
    top = (SIDE - HEIGHT) // 2
    view: Pixels = scene[top : top + HEIGHT, shift : shift + WIDTH].copy()
    left = int(2 * case.speed * camera) % (WIDTH - 30)
    view[30:60, left : left + 30] *= 0.4
    return view


def _light(case: Case, camera: int, rng: Generator) -> float:
    if case.light == "flicker":
        return float(rng.normal(1, 0.05))
    if case.light == "fade":
        return float(2.0 ** (-0.12 * max(0, camera - 20)))
    return 3.0 if case.light == "flash" and camera == 17 else 1.0


def _expose(linear: Pixels, case: Case, *, rng: Generator) -> NDArray[np.float32]:
    noisy = linear + rng.standard_normal(linear.shape) * np.sqrt(case.noise**2 + 8e-5 * linear)
    codes = np.round(CURVES[case.response](noisy.clip(0, 1)) * 255) / 255
    if case.told:
        codes = np.interp(codes, CURVES[case.response](GRID), GRID) ** (1 / GAMMA)
    return codes.transpose(2, 0, 1).astype(np.float32)
