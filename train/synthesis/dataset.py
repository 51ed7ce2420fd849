"""Training samples made on the fly: alternating exposures of synthetic motion, with ground truth."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.random import Generator, SeedSequence
from torch import Tensor

from model.exposure import GAMMA, GAMMA_8_BIT, CodePrecision
from train.data.clips import Clip, draw_indices
from train.data.folder import CLIP_KINDS, LDR_KINDS, Sources
from train.data.images import Pixels
from train.data.loader import Sample
from train.sampling_config import GuidedSampling, PaperSampling, SampleRecipe
from train.synthesis.camera import linear
from train.synthesis.capture import draw_capture, expose, quantise
from train.synthesis.procedural import draw_curve
from train.synthesis.scene import CompositeScene, draw_scene

# Hard clips: so large a share of the shortest exposure lies at or below the code, unless the longest were dark as well.
DARK_CODE, DARK_PIXELS, DARK_RATIO, DARK_IN_LONGEST = 8, (0.5, 0.85), 24, 0.04


@dataclass(frozen=True)
class TrainingSet:
    """An endless set of samples, each a function of (seed, step, index) alone."""

    sources: Sources
    samples: SampleRecipe
    patch: int  # height and width of a sample in pixels
    frames: int  # consecutive frames of a sample; two windows need the window's length plus 1
    seed: int

    def sample(self, step: int, index: int) -> Sample:
        """Make sample `index` of the batch of `step`, the same one in any process."""
        cv2.setNumThreads(0)  # patches are too small to share out, and the workers have the cores already
        rng = np.random.Generator(np.random.PCG64(SeedSequence([self.seed, step, index])))
        exposures = self.samples.exposures.draw(rng, self.frames)
        shares = self.samples.mixture.shares(self.sources.offered)
        kind = list(shares)[rng.choice(len(shares), p=list(shares.values()))]
        sampling = self.samples.sampling
        if isinstance(sampling, PaperSampling):
            ldr, radiance = self._draw_published(rng, kind, exposures=exposures, sampling=sampling)
            precision = GAMMA_8_BIT
        else:
            ldr, radiance, precision = self._draw_guided(rng, kind, exposures=exposures, sampling=sampling)
        stated = torch.tensor(exposures, dtype=torch.float32)
        return Sample(to_tensor(ldr), stated, to_tensor(radiance), precision.tensor())

    def _draw_guided(
        self, rng: Generator, kind: str, *, exposures: list[float], sampling: GuidedSampling
    ) -> tuple[Pixels, Pixels, CodePrecision]:
        """Draw pictures, their radiance, (T, P, P, 3) each, and the precision of the camera's codes."""
        times = draw_times(rng, self.frames, dropped_share=sampling.dropped_share)
        size = (self.patch, self.patch)
        scene = draw_scene(rng, kind, sources=self.sources, size=size, times=times, longest=max(exposures))
        is_blurred = rng.random() < sampling.blurred_share
        frames = _render(rng, scene, times=times, exposures=exposures, is_blurred=is_blurred)
        # Flips, turns and swaps of colors cost nothing, and no direction or color is special.
        if rng.random() < 0.5:
            frames = frames[:, :, ::-1]
        if rng.random() < 0.5:
            frames = frames.transpose(0, 2, 1, 3)
        if rng.random() < 0.5:
            frames = frames[..., rng.permutation(3)]
        frames = np.ascontiguousarray(frames)
        capture = draw_capture(rng, exposures, sampling=sampling)
        if max(exposures) >= DARK_RATIO and rng.random() < sampling.dark_share:
            # Half of the shortest exposure or more comes to lie at or below the code; what is darker stays.
            black = max(capture.light(DARK_CODE), DARK_IN_LONGEST / max(exposures))
            brightest = frames[self.frames // 2, ::2, ::2].max(2)
            level = float(np.quantile(brightest, rng.uniform(*DARK_PIXELS)))
            frames *= np.float32(min(1.0, black / max(level, 1e-6)))
        if rng.random() < sampling.flicker_share:
            # The truth flickers too: what a frame shows well is right as it is, and its neighbors are off.
            lamps, drift = rng.random() < 0.5, np.linspace(-1.5, 1.5, self.frames)
            errors = rng.normal(size=self.frames) if lamps else drift * rng.choice([-1, 1])
            frames *= np.exp(errors * rng.uniform(0, sampling.flicker)).astype(np.float32)[:, None, None, None]
        radiance = np.clip(frames, 0, 1)
        ldr = expose(radiance, exposures, capture=capture, rng=rng)
        return ldr, radiance, capture.precision

    def _draw_published(
        self, rng: Generator, kind: str, *, exposures: list[float], sampling: PaperSampling
    ) -> tuple[Pixels, Pixels]:
        """Draw pictures and their radiance as the paper does, (T, P, P, 3) each.

        Of still pictures, which it has none of, a moving camera makes clips.
        """
        if kind in CLIP_KINDS:
            clips = self.sources.clips(kind)
            clip = clips[int(rng.integers(len(clips)))]
            frames = draw_frames(rng, clip, frames=self.frames, patch=self.patch, sampling=sampling)
        else:
            times, size = draw_times(rng, self.frames, dropped_share=0), (self.patch, self.patch)
            scene = draw_scene(rng, kind, sources=self.sources, size=size, times=times, longest=max(exposures))
            frames = np.clip(_render(rng, scene, times=times, exposures=exposures, is_blurred=False), 0, 1)
        middle = (self.frames - 1) // 2
        is_hdr = kind not in LDR_KINDS
        frames = flip_and_turn(rng, frames)
        factor = draw_rescaling(rng, frames[middle], exposures[middle], is_hdr=is_hdr, sampling=sampling)
        radiance = np.clip(frames * np.float32(factor), 0, 1)
        return expose_with_noise(rng, radiance, exposures, sampling=sampling), radiance


def draw_times(rng: Generator, frames: int, *, dropped_share: float) -> list[float]:
    """Draw the times of the frames, one apart, 0 at the middle one; where a frame was dropped, two apart once."""
    lost = int(rng.integers(1, frames)) if rng.random() < dropped_share else frames
    return [float(frame - frames // 2 + (frame >= lost)) for frame in range(frames)]


def draw_frames(rng: Generator, clip: Clip, *, frames: int, patch: int, sampling: PaperSampling) -> Pixels:
    """Draw consecutive frames of a clip and crop a patch of them; half of the draws run backward.

    Clips that are too short, as septuplets are for two windows of three exposures, are mirrored in time.

    Args:
        clip: LDR, brought to linear light by one inverse curve per draw, or HDR.

    Returns:
        Linear light, 0..1, 1 = the brightest of the whole clip (LDR) or of the middle frame (HDR), (T, P, P, 3).
    """
    indices = draw_indices(rng, clip.count, frames=frames)
    if rng.random() < sampling.reverse_share:
        indices.reverse()
    stored = clip.load(indices)
    # Scaling first and cropping then, in one: the square that becomes the patch.
    height, width = stored[0].shape[:2]
    side = min(round(patch / rng.uniform(*sampling.scale)), height, width)
    left, top = int(rng.integers(width - side + 1)), int(rng.integers(height - side + 1))
    table = None
    if stored[0].dtype == np.uint8:
        table = draw_curve(rng, n=sampling.curve_n, s=sampling.curve_s, largest_boost=1.0).table()
    brightest = 1.0 if table is not None else max(float(stored[len(stored) // 2].max()), 1e-6)
    method = cv2.INTER_AREA if side > patch else cv2.INTER_LINEAR
    patches = []
    for frame in stored:
        light = linear(frame[top : top + side, left : left + side], table) / np.float32(brightest)
        quantised = quantise(light.clip(0, 1), sampling.quantise_bits)
        patches.append(np.asarray(cv2.resize(quantised, (patch, patch), interpolation=method), np.float32))
    return np.stack(patches)


def flip_and_turn(rng: Generator, radiance: Pixels) -> Pixels:
    """Flip, turn by 90 degrees and swap channels at random, the same way in all frames of a square patch."""
    if rng.random() < 0.5:
        radiance = radiance[:, :, ::-1]
    radiance = np.rot90(radiance, int(rng.integers(4)), axes=(1, 2))
    return np.ascontiguousarray(radiance[..., rng.permutation(3)])


def draw_rescaling(
    rng: Generator, reference: Pixels, exposure: float, *, is_hdr: bool, sampling: PaperSampling
) -> float:
    """Draw the factor on a clip's radiance that gives its reference a brightness worth learning from.

    A short reference peaks at a part of itself; of a longer one, a high percentile moves to between itself and 1. Of a
    short one that is HDR, a percentile moves to up to 1.2 of itself, so that some of it clips.
    """
    if exposure == 1:
        return float(rng.uniform(*(sampling.hdr_short_factor if is_hdr else sampling.short_peak)))
    percentile = rng.uniform(*(sampling.hdr_long_percentile if is_hdr else sampling.long_percentile))
    level = min(max(float(np.percentile(reference, percentile)), 1e-4), 1.0)
    return float(rng.uniform(level, 1)) / level


def expose_with_noise(
    rng: Generator, radiance: Pixels, exposures: Sequence[float], *, sampling: PaperSampling
) -> Pixels:
    """Take pictures: clip(H e)^(1/2.2), with noise in linear light on all frames but the longest exposures'.

    Args:
        radiance: 1.0 = clip level of the shortest exposure, (T, P, P, 3).

    Returns:
        Encoded with 1/2.2, 0..1, (T, P, P, 3).
    """
    signal = np.clip(radiance * np.array(exposures, np.float32)[:, None, None, None], 0, 1)
    if rng.random() < sampling.noise_share:
        shorter = [index for index, exposure in enumerate(exposures) if exposure < max(exposures)]
        noise = rng.standard_normal((len(shorter), *signal.shape[1:]), dtype=np.float32)
        signal[shorter] = np.clip(signal[shorter] + noise * np.float32(sampling.noise), 0, 1)
    return np.asarray(cv2.pow(signal.reshape(-1, 3), 1 / GAMMA).reshape(signal.shape), np.float32)


def to_tensor(frames: Pixels) -> Tensor:
    """Turn frames, (T, H, W, 3), into a tensor, (T, 3, H, W)."""
    return torch.from_numpy(np.ascontiguousarray(frames.transpose(0, 3, 1, 2)))


def _render(
    rng: Generator, scene: CompositeScene, *, times: list[float], exposures: list[float], is_blurred: bool
) -> Pixels:
    """Render all frames, (T, P, P, 3), not clipped; motion may blur them, in time with the exposure or all alike."""
    shutter = float(rng.uniform(0.1, 0.7)) if is_blurred else 0.0
    by_time = rng.random() < 0.5
    longest = max(exposures)
    shutters = [shutter * exposure / longest if by_time else shutter for exposure in exposures]
    return np.stack([scene.render(time, shutter=opened) for time, opened in zip(times, shutters, strict=True)])
