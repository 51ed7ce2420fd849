"""Training samples made on the fly: alternating exposures of synthetic motion, with the truth."""

from dataclasses import dataclass, field
from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.random import Generator, SeedSequence
from torch import Tensor

from model.errors import ExposureError
from train.augment import draw_capture, expose
from train.datasets.pictures import Pixels
from train.datasets.sources import Sources
from train.exposure_draws import GUIDED_DRAWS
from train.scenes import Scene, draw_scene

MIX = {"panorama": 0.35, "hdr_photo": 0.15, "ldr_photo": 0.15, "ldr_video": 0.25, "procedural": 0.1}

# how often a frame was lost and the order of exposures repaired
DROPPED_SHARE = 0.04


class Sample(NamedTuple):
    """One training sample: T consecutive frames.

    Args:
        ldr: Encoded with 1/2.2, 0..1, (T, 3, P, P).
        exposures: Linear, relative to the shortest of the cycle, (T,).
        radiance: The truth of each frame, linear, 1.0 = clip level of the shortest exposure, 0..1, (T, 3, P, P).
    """

    ldr: Tensor
    exposures: Tensor
    radiance: Tensor


@dataclass(frozen=True)
class TrainingSet:
    """An endless set of samples, each a function of (seed, step, index) alone.

    Args:
        sources: What scenes are made of.
        nexps: Number of distinct exposures, 2 or 3.
        patch: Height and width of a sample in pixels.
        frames: Consecutive frames of a sample; two windows need the window's length plus 1.
        seed: Seed of all randomness.
        mix: How often each kind of scene is drawn; re-normalised over what the sources offer.
    """

    sources: Sources
    nexps: int
    patch: int
    frames: int
    seed: int
    mix: dict[str, float] = field(default_factory=lambda: dict(MIX))

    def __post_init__(self) -> None:
        """Refuse exposure counts that no cycle is known for."""
        if self.nexps not in GUIDED_DRAWS:
            raise ExposureError(f"training needs 2 or 3 exposures, found {self.nexps}: pass --nexps 2 or --nexps 3")

    def sample(self, step: int, index: int) -> Sample:
        """Make one sample; the same arguments give the same sample in any process.

        Args:
            step: Number of the training step.
            index: Position in the batch of that step.
        """
        cv2.setNumThreads(0)  # patches are too small to share out, and the workers have the cores already
        rng = np.random.Generator(np.random.PCG64(SeedSequence([self.seed, step, index])))
        exposures = GUIDED_DRAWS[self.nexps].draw(rng, self.frames)
        times = draw_times(rng, self.frames)
        kinds, shares = self._kinds()
        kind = kinds[rng.choice(len(kinds), p=shares)]
        size = (self.patch, self.patch)
        scene = draw_scene(rng, kind, sources=self.sources, size=size, times=times, longest=max(exposures))
        radiance = _flipped(rng, _render(rng, scene, times=times, exposures=exposures))
        ldr = expose(radiance, exposures, capture=draw_capture(rng, exposures), rng=rng)
        return Sample(to_tensor(ldr), torch.tensor(exposures, dtype=torch.float32), to_tensor(radiance))

    def _kinds(self) -> tuple[list[str], list[float]]:
        offered = {
            "panorama": bool(self.sources.panoramas),
            "hdr_photo": bool(self.sources.hdr_photos),
            "ldr_photo": bool(self.sources.ldr_photos),
            "ldr_video": bool(self.sources.videos),
            "procedural": True,
        }
        kinds = [kind for kind, share in self.mix.items() if offered[kind] and share > 0] or ["procedural"]
        shares = [self.mix.get(kind, 1.0) or 1.0 for kind in kinds]
        return kinds, [share / sum(shares) for share in shares]


def draw_times(rng: Generator, frames: int) -> list[float]:
    """Draw the times of the frames, one apart, 0 at the middle one; where a frame was lost, two apart once."""
    lost = int(rng.integers(1, frames)) if rng.random() < DROPPED_SHARE else frames
    return [float(frame - frames // 2 + (frame >= lost)) for frame in range(frames)]


def _render(rng: Generator, scene: Scene, *, times: list[float], exposures: list[float]) -> Pixels:
    """Render all frames, (T, P, P, 3) in 0..1; some are blurred by motion, in time with the exposure or all alike."""
    shutter = float(rng.uniform(0.1, 0.7)) if rng.random() < 0.35 else 0.0
    by_time = rng.random() < 0.5
    longest = max(exposures)
    shutters = [shutter * exposure / longest if by_time else shutter for exposure in exposures]
    frames = [scene.render(time, shutter=opened) for time, opened in zip(times, shutters, strict=True)]
    return np.clip(np.stack(frames), 0, 1)


def _flipped(rng: Generator, radiance: Pixels) -> Pixels:
    """Flip, turn and swap colors at random: they cost nothing and no direction or color is special."""
    if rng.random() < 0.5:
        radiance = radiance[:, :, ::-1]
    if rng.random() < 0.5:
        radiance = radiance.transpose(0, 2, 1, 3)
    if rng.random() < 0.5:
        radiance = radiance[..., rng.permutation(3)]
    return np.ascontiguousarray(radiance)


def to_tensor(frames: Pixels) -> Tensor:
    """Turn frames, (T, H, W, 3), into a tensor, (T, 3, H, W)."""
    return torch.from_numpy(np.ascontiguousarray(frames.transpose(0, 3, 1, 2)))
