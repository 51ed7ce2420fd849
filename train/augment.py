"""What a camera does to radiance: exposure, noise, response, quantisation and compression."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator

from model.exposure import GAMMA, GAMMA_8_BIT, CodePrecision
from model.response import gamma_curve
from train.camera_codes import CameraCodes, draw_codes
from train.compression import Codes, h264_passed, jpeg_passed, pyav_available
from train.datasets.pictures import Pixels
from train.sample_recipe import GuidedSampling

# Cameras with a curve of their own are consumers' cameras, and those compress: so often one draw decides both.
COMPRESSED_WITH_CURVE = 0.8
LOSSY_GAMMA = gamma_curve().precision(lossy=True)


@dataclass(frozen=True)
class Capture:
    """A camera, as the network must cope with it.

    The linear signal x = radiance * exposure is 1 at the clip level. Noise is added to it before clipping:
    variance = shot * x + read^2, in units of the clip level (Foi et al. 2008, Poissonian-Gaussian noise).

    Args:
        shot: Variance per unit of signal.
        read: Standard deviation at black.
        gamma: Exponent of the response; the network assumes 2.2.
        codes: A curve of the camera's own in place of `gamma` and `bits`, or None.
        ratio_errors: True over stated exposure, by stated exposure; 1 where absent.
        bits: Bits per code value; 0 leaves the picture unquantised.
        jpeg_quality: Quality of a JPEG pass with 4:2:0 chroma for the middle of all exposures, or None.
        jpeg_slope: Quality gained with every doubling of the exposure.
        h264_crf: Constant rate factor of an H.264 pass, or None; without PyAV a JPEG pass stands in for it.
    """

    shot: float = 0.0
    read: float = 0.0
    gamma: float = GAMMA
    codes: CameraCodes | None = None
    ratio_errors: tuple[tuple[float, float], ...] = ()
    bits: int = 8
    jpeg_quality: int | None = None
    jpeg_slope: float = 0.0
    h264_crf: int | None = None

    @property
    def precision(self) -> CodePrecision:
        """How precisely its codes state light, as far as is known."""
        if self.codes is not None:
            return self.codes.precision
        return LOSSY_GAMMA if self.jpeg_quality is not None or self.h264_crf is not None else GAMMA_8_BIT

    def light(self, code: float) -> float:
        """Return the light of a code of 0..255, 1.0 = clip level."""
        return (code / 255) ** self.gamma if self.codes is None else self.codes.light(code)


def expose(radiance: Pixels, exposures: Sequence[float], *, capture: Capture, rng: Generator) -> Pixels:
    """Take pictures of radiance.

    Args:
        radiance: Linear, 1.0 = clip level of the shortest exposure, (T, H, W, 3).
        exposures: Stated linear exposures relative to the shortest, T of them.
        capture: The camera.
        rng: Source of the noise.

    Returns:
        Pictures in 0..1, encoded with 1/gamma, or anew with 1/2.2 where the camera has a curve of its own,
        (T, H, W, 3).
    """
    errors = dict(capture.ratio_errors)
    factors = np.array([exposure * errors.get(exposure, 1.0) for exposure in exposures], np.float32)
    signal = radiance * factors[:, None, None, None]
    if capture.shot > 0 or capture.read > 0:
        deviation = np.sqrt(signal * np.float32(capture.shot) + np.float32(capture.read**2))
        deviation *= rng.standard_normal(signal.shape, dtype=np.float32)
        signal += deviation
    np.clip(signal, 0, 1, out=signal)
    if capture.codes is not None:
        return capture.codes.to_ldr(_compressed(capture.codes.encode(signal), exposures, capture=capture))
    encoded = cv2.pow(signal.reshape(-1, 3), 1 / capture.gamma).reshape(signal.shape).astype(np.float32)
    if capture.jpeg_quality is None and capture.h264_crf is None:
        return quantise(encoded, capture.bits)
    codes = np.rint(quantise(encoded, capture.bits) * 255).astype(np.uint8)
    return _compressed(codes, exposures, capture=capture).astype(np.float32) / np.float32(255)


def exposure_gain(
    radiance: Pixels, longest: float, *, long_clips: float, short_clips: float, darkest: float = 0.0
) -> float:
    """Find the gain that lets given shares of the pixels clip, unless the picture would be too dark for that.

    Args:
        radiance: Linear radiance of any scale, (H, W, 3).
        longest: Longest exposure relative to the shortest.
        long_clips: Share of the pixels that may clip in the longest exposure, 0..1.
        short_clips: Share of the pixels that may clip in the shortest; the smaller of the two gains is taken.
        darkest: Signal that half of the pixels reach in the longest exposure, even if more must clip for it.
    """
    brightest = np.maximum(radiance[::3, ::3].max(2), 1e-6)
    middle, long_level, short_level = np.quantile(brightest, [0.5, 1 - long_clips, 1 - short_clips])
    return float(max(min(1 / (longest * long_level), 1 / short_level), darkest / (longest * middle)))


def draw_capture(rng: Generator, exposures: Sequence[float], *, sampling: GuidedSampling) -> Capture:
    """Draw a camera: shot noise 1e-5..4e-4 and read noise 2e-4..3e-3 log-uniform, mostly 8 bits.

    Args:
        rng: Source of all randomness.
        exposures: Stated exposures.
        sampling: How many cameras are noisy, are not what they are taken for, or compress.
    """
    kind = rng.random()
    curved = kind < sampling.camera_curve_share
    compression = kind if rng.random() < COMPRESSED_WITH_CURVE else rng.random()
    still = rng.random() * (sampling.jpeg_share + sampling.h264_share) < sampling.jpeg_share
    compressed = compression < sampling.jpeg_share + sampling.h264_share
    noisy = rng.random() < sampling.noisy_share
    stated = sorted(set(exposures))[1:]
    errors = (1 + rng.uniform(-1, 1, len(stated)) * sampling.wrong_exposure).tolist()
    wrong_gamma = GAMMA * (1 + float(rng.uniform(-1, 1)) * sampling.wrong_response)
    return Capture(
        shot=_log_uniform(rng, 1e-5, 4e-4) if noisy else 0.0,
        read=_log_uniform(rng, 2e-4, 3e-3) if noisy else 0.0,
        gamma=wrong_gamma if rng.random() < sampling.wrong_response_share else GAMMA,
        codes=draw_codes(rng) if curved else None,
        ratio_errors=tuple(zip(stated, errors, strict=True)) if rng.random() < sampling.wrong_exposure_share else (),
        bits=10 if rng.random() < 0.15 else 8,
        jpeg_quality=int(rng.integers(70, 96)) if compressed and still else None,
        jpeg_slope=float(rng.uniform(-4, 4)),
        h264_crf=int(rng.integers(14, 31)) if compressed and not still else None,
    )


def draw_white_balance(rng: Generator) -> Pixels:
    """Draw a gain per channel, about 1, (3,)."""
    return np.exp(rng.normal(0, 0.12, 3)).astype(np.float32)


def _log_uniform(rng: Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def quantise(values: Pixels, bits: int) -> Pixels:
    """Round values of 0..1 to 2^bits - 1 steps; 0 bits leave them as they are."""
    if bits == 0:
        return values
    top = np.float32(2**bits - 1)
    rounded = np.multiply(values, top, dtype=np.float32)
    np.rint(rounded, out=rounded)
    rounded /= top
    return rounded


def _compressed(codes: Codes, exposures: Sequence[float], *, capture: Capture) -> Codes:
    if capture.jpeg_quality is None and capture.h264_crf is None:
        return codes
    if capture.h264_crf is not None and pyav_available():
        return h264_passed(codes, capture.h264_crf)
    return jpeg_passed(codes, _qualities(exposures, capture=capture))


def _qualities(exposures: Sequence[float], *, capture: Capture) -> list[int]:
    # measured on a photo: x264 loses at 18 and at 24 what JPEG loses at about 84 and 70
    middle = 124 - 2.25 * capture.h264_crf if capture.h264_crf is not None else float(capture.jpeg_quality or 0)
    doublings = np.log2(exposures)
    values = middle + capture.jpeg_slope * (doublings - (doublings.min() + doublings.max()) / 2)
    return [int(value) for value in np.clip(np.rint(values), 30, 100)]
