"""The published sampling of LAN-HDR: real clips, cropped, re-exposed around the reference, with Gaussian noise.

H. Chung and N. I. Cho, ICCV 2023; for clips that are HDR already, the numbers of DeepHDRVideo (Chen et al., ICCV 2021).
"""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.random import Generator

from model.exposure import GAMMA
from train.augment import quantise
from train.datasets.clip import Clip, draw_indices
from train.datasets.inverse_curve import InverseCurve
from train.datasets.pictures import Pixels, Stored
from train.sample_recipe import PaperSampling
from train.views import linear


def draw_frames(rng: Generator, clip: Clip, *, frames: int, patch: int, sampling: PaperSampling) -> Pixels:
    """Draw consecutive frames of a clip and crop a patch of them; half of the draws run backward.

    Clips that are too short, as septuplets are for two windows of three exposures, are mirrored in time.

    Args:
        rng: Source of all randomness.
        clip: LDR, brought to linear light by one inverse curve per draw, or HDR.
        frames: Number of frames.
        patch: Side of the patch in pixels.
        sampling: The numbers.

    Returns:
        Linear light, 0..1, 1 = the brightest of the whole clip (LDR) or of the middle frame (HDR), (T, P, P, 3).
    """
    indices = draw_indices(rng, clip.count, wanted=frames)
    if rng.random() < sampling.reverse_share:
        indices.reverse()
    stored = clip.load(indices)
    left, top, side = _draw_box(rng, stored[0].shape, patch=patch, sampling=sampling)
    table = draw_paper_curve(rng, sampling).table() if stored[0].dtype == np.uint8 else None
    brightest = 1.0 if table is not None else max(float(stored[len(stored) // 2].max()), 1e-6)
    cut = [_cut(frame, (left, top, side), table=table) / np.float32(brightest) for frame in stored]
    quantised = (quantise(frame.clip(0, 1), sampling.quantise_bits) for frame in cut)
    return np.stack([_resized(frame, patch) for frame in quantised])


def draw_paper_curve(rng: Generator, sampling: PaperSampling) -> InverseCurve:
    """Draw the inverse of y = (1 + s) x^n / (x^n + s)."""
    n, s = (
        float(np.clip(rng.normal(mean, deviation), low, high))
        for mean, deviation, low, high in (sampling.curve_n, sampling.curve_s)
    )
    return InverseCurve(n=n, s=s)


def flipped_and_turned(rng: Generator, radiance: Pixels) -> Pixels:
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

    Args:
        rng: Source of all randomness.
        reference: Radiance of the reference frame, 0..1, any shape.
        exposure: Of the reference, relative to the shortest.
        is_hdr: Whether the clip was HDR before, which has numbers of its own.
        sampling: The numbers.
    """
    if exposure == 1 and not is_hdr:
        return float(rng.uniform(*sampling.short_peak))
    if exposure == 1:
        return float(rng.uniform(*sampling.hdr_short_factor))
    percentile = rng.uniform(*(sampling.hdr_long_percentile if is_hdr else sampling.long_percentile))
    level = min(max(float(np.percentile(reference, percentile)), 1e-4), 1.0)
    return float(rng.uniform(level, 1)) / level


def expose_with_noise(
    rng: Generator, radiance: Pixels, exposures: Sequence[float], *, sampling: PaperSampling
) -> Pixels:
    """Take pictures: clip(H e)^(1/2.2), with noise in linear light on all frames but the longest exposures'.

    Args:
        rng: Source of the noise.
        radiance: 1.0 = clip level of the shortest exposure, (T, P, P, 3).
        exposures: Relative to the shortest, T of them.
        sampling: Deviation of the noise, in units of a frame's clip level, and how many samples have any.

    Returns:
        Encoded with 1/2.2, 0..1, (T, P, P, 3).
    """
    signal = np.clip(radiance * np.array(exposures, np.float32)[:, None, None, None], 0, 1)
    if rng.random() < sampling.noise_share:
        shorter = [index for index, exposure in enumerate(exposures) if exposure < max(exposures)]
        noise = rng.standard_normal((len(shorter), *signal.shape[1:]), dtype=np.float32)
        signal[shorter] = np.clip(signal[shorter] + noise * np.float32(sampling.noise), 0, 1)
    return np.asarray(cv2.pow(signal.reshape(-1, 3), 1 / GAMMA).reshape(signal.shape), np.float32)


def _draw_box(rng: Generator, shape: tuple[int, ...], *, patch: int, sampling: PaperSampling) -> tuple[int, int, int]:
    """Draw left, top and side of the square that becomes the patch: scaling first and cropping then, in one."""
    height, width = shape[:2]
    side = min(round(patch / rng.uniform(*sampling.scale)), height, width)
    return int(rng.integers(width - side + 1)), int(rng.integers(height - side + 1)), side


def _cut(frame: Stored, box: tuple[int, int, int], *, table: Pixels | None) -> Pixels:
    left, top, side = box
    return linear(frame[top : top + side, left : left + side], table)


def _resized(frame: Pixels, patch: int) -> Pixels:
    method = cv2.INTER_AREA if frame.shape[0] > patch else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(frame, (patch, patch), interpolation=method), np.float32)
