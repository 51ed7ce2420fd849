"""Simulated capture: exposure, noise, response, quantisation and compression."""

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import cv2
import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from torch import Tensor

from model.analysis.camera_curves import draw_curve, light_of
from model.exposure import GAMMA, GAMMA_8_BIT, CodePrecision
from model.response import BLACK_CODE, ResponseCurve, gamma_curve, table_curve
from train.data.images import Pixels
from train.data.videos import pyav_available
from train.sampling_config import GuidedSampling

Codes = NDArray[np.uint8]

# As a camera encodes: no frames out of order, a whole picture now and then.
X264_OPTIONS = {"preset": "superfast", "tune": "zerolatency", "bf": "0", "g": "12", "threads": "1"}
TOP = 255
ROOTS = 1 << 16  # light is looked up by its square root: so fine that no curve is off by a tenth of a code
EXACT_SHARE = 0.25  # of the users know the curve as if they had made it
# Of the others by so many stops, root mean square over the middle codes; estimates from clips lie there.
CURVE_ERROR = (0.01, 0.1)
MIDDLE = (0.2, 0.85)
LARGEST_ERROR = 1.0  # stops, in the darks
CRUSHED_SHARE, HIGHEST_BLACK = 0.35, 10
BLACK_KNOWN_SHARE = 0.8  # of those that are crushed
PEDESTAL_SHARE, HIGHEST_PEDESTAL = 0.06, 20
PEDESTAL_ERROR = 1.5  # codes
# Cameras with a curve of their own are consumers' cameras, and those compress: so often one draw decides both.
COMPRESSED_WITH_CURVE = 0.8
LOSSY_GAMMA = gamma_curve().precision(lossy=True)


def jpeg_passed(frames: Codes, qualities: Sequence[int]) -> Codes:
    """Compress and decompress R, G, B frames, (T, H, W, 3), as JPEG with 4:2:0 chroma and T qualities of 1 to 100."""
    sampling = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420]
    decoded = []
    for frame, quality in zip(frames, qualities, strict=True):
        # The order of the channels matters to JPEG, and OpenCV's is B, G, R.
        _, data = cv2.imencode(".jpg", frame[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality, *sampling])
        decoded.append(np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)[..., ::-1])
    return np.stack(decoded)


def h264_passed(frames: Codes, crf: int) -> Codes:
    """Encode frames as one H.264 clip with 4:2:0 chroma by x264, and decode it; needs PyAV.

    Alternating exposures are what its motion search is worst at, so dark texture goes first, as in camera files.
    Y'CbCr is full range, which the encoder neither knows nor minds.

    Args:
        frames: R, G, B, (T, H, W, 3).
        crf: Constant rate factor of x264; 18 is near transparent, 30 poor.
    """
    import av
    from av.video.stream import VideoStream

    height, width = frames.shape[1:3]
    even = np.pad(frames, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    rows, columns = even.shape[1:3]
    half = (columns // 2, rows // 2)
    stream = io.BytesIO()
    with av.open(stream, "w", format="h264") as container:
        track = container.add_stream("libx264", rate=Fraction(24), options=X264_OPTIONS | {"crf": str(crf)})
        assert isinstance(track, VideoStream)
        track.height, track.width = rows, columns
        track.pix_fmt = "yuv420p"
        for frame in even:
            luma, red, blue = cv2.split(cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2YCrCb))
            chroma = [cv2.resize(plane, half, interpolation=cv2.INTER_AREA).reshape(-1) for plane in (blue, red)]
            planes = np.concatenate([luma.reshape(-1), *chroma]).astype(np.uint8).reshape(-1, columns)
            container.mux(track.encode(av.VideoFrame.from_ndarray(planes, format="yuv420p")))
        container.mux(track.encode(None))
    stream.seek(0)
    decoded = []
    with av.open(stream, "r", format="h264") as container:
        container.streams.video[0].codec_context.thread_count = 1
        for picture in container.decode(video=0):
            planes = np.asarray(picture.to_ndarray(), np.uint8)
            blue, red = planes.reshape(-1)[rows * columns :].reshape(2, half[1], half[0])
            whole = [cv2.resize(plane, (columns, rows)) for plane in (red, blue)]
            decoded.append(cv2.cvtColor(cv2.merge([planes[:rows], *whole]), cv2.COLOR_YCrCb2RGB))
    return np.asarray(np.stack(decoded)[:, :height, :width], np.uint8)


@dataclass(frozen=True, eq=False)
class CameraCodes:
    """8-bit codes by a camera's own curve, and what its user knows of it."""

    table: NDArray[np.float64]  # light at equally spaced codes from black to white, 0..1, never falling, (N,)
    known: ResponseCurve  # the response that the user states: the camera's or nearly
    black: int = 0  # code that all darker ones become
    known_black: int = 0  # the same as the user knows it; 0 if not at all
    pedestal: tuple[float, float, float] = (0.0, 0.0, 0.0)  # codes that the camera adds to black, R, G, B
    subtracted: tuple[float, float, float] = (0.0, 0.0, 0.0)  # codes that the user subtracts for it

    def light(self, code: float) -> float:
        """Return the light of a code of 0..255, 1.0 = clip level."""
        return float(np.interp(code / TOP, np.linspace(0, 1, len(self.table)), self.table))

    def encode(self, light: Pixels) -> Codes:
        """Encode linear light, 0..1 = clip level, (T, H, W, 3), as the camera does."""
        roots = (np.sqrt(light) * np.float32(ROOTS - 1) + np.float32(0.5)).astype(np.uint16)
        light_by_root = (np.arange(ROOTS) / (ROOTS - 1)) ** 2
        code_by_root = np.interp(light_by_root, self.table, np.linspace(0, TOP, len(self.table)))
        codes = np.empty(light.shape, np.uint8)
        for channel, pedestal in enumerate(self.pedestal):
            raised = np.rint(pedestal + code_by_root * (1 - pedestal / TOP)).astype(np.uint8).clip(min=self.black)
            codes[..., channel] = raised[roots[..., channel]]
        return codes

    def to_ldr(self, codes: Codes) -> Pixels:
        """Encode anew with 1/2.2, by what is known: 0..1, (T, H, W, 3)."""
        floor = torch.tensor(self.subtracted).view(3, 1, 1)
        unit_codes = (torch.arange(TOP + 1) - floor) / (TOP - floor)  # (3, 1, 256)
        ldr_by_code = np.ascontiguousarray(self.known.to_ldr(unit_codes.clamp(0, 1)).numpy().transpose(1, 2, 0))
        rows = codes.reshape(-1, *codes.shape[2:])
        return np.asarray(cv2.LUT(rows, ldr_by_code), np.float32).reshape(codes.shape)

    @property
    def precision(self) -> CodePrecision:
        """How precisely the codes state light, as far as the user knows."""
        stated = self.known.precision()
        if self.known_black == 0:
            return stated
        code = torch.full((3, 1, 1), self.known_black / TOP + BLACK_CODE)
        black = max(stated.black, float(self.known.linearize(code).mean()))
        return replace(stated, black=black, most=max(stated.most, 2 * black))


def draw_codes(rng: Generator) -> CameraCodes:
    """Draw a camera's curve, black and pedestal, and a user who knows them more or less."""
    generator = torch.Generator().manual_seed(int(rng.integers(1 << 62)))
    table = draw_curve(generator).table()
    other = draw_curve(generator).table()
    error = float(np.exp(rng.uniform(*np.log(CURVE_ERROR)))) if rng.random() >= EXACT_SHARE else 0.0
    black = int(rng.integers(1, HIGHEST_BLACK + 1)) if rng.random() < CRUSHED_SHARE else 0
    pedestal = rng.uniform(0, HIGHEST_PEDESTAL, 3) if rng.random() < PEDESTAL_SHARE else np.zeros(3)
    subtracted = np.where(pedestal > 0, pedestal + rng.uniform(-PEDESTAL_ERROR, PEDESTAL_ERROR, 3), 0).clip(0)
    return CameraCodes(
        table=table.numpy(),
        known=table_curve("camera", leaning(table, other, by=error)),
        black=black,
        known_black=black if rng.random() < BLACK_KNOWN_SHARE else 0,
        pedestal=tuple(pedestal.tolist()),
        subtracted=tuple(subtracted.tolist()),
    )


def leaning(table: Tensor, other: Tensor, *, by: float) -> Tensor:
    """Make a curve that is off in the way in which another one is: little in the middle, more in the darks.

    Args:
        table: Light at equally spaced codes, 1 at code 1, (N,).
        by: Error over the middle codes, root mean square, in stops.
    """
    logs = table.clamp(min=1e-12).log()
    stops = (other.clamp(min=1e-12).log() - logs) / np.log(2)
    start, stop = (round(code * (len(table) - 1)) for code in MIDDLE)
    typical = float(stops[start:stop].square().mean().sqrt())
    errors = (stops * (by / max(typical, 1e-3))).clamp(-LARGEST_ERROR, LARGEST_ERROR)
    return light_of(logs + errors * np.log(2))


@dataclass(frozen=True)
class Capture:
    """A camera.

    The linear signal x = radiance * exposure is 1 at the clip level. Noise is added to it before clipping:
    variance = shot * x + read^2, in units of the clip level (Foi et al. 2008, Poissonian-Gaussian noise).
    """

    shot: float = 0.0  # variance per unit of signal
    read: float = 0.0  # standard deviation at black
    gamma: float = GAMMA  # exponent of the response; the network assumes 2.2
    codes: CameraCodes | None = None  # a curve of the camera's own in place of `gamma` and `bits`, or None
    ratio_errors: tuple[tuple[float, float], ...] = ()  # true over stated exposure, by stated exposure; 1 where absent
    bits: int = 8  # bits per code value; 0 leaves the picture unquantised
    jpeg_quality: int | None = None  # quality of a JPEG pass with 4:2:0 chroma for the middle of all exposures, or None
    jpeg_slope: float = 0.0  # quality gained with every doubling of the exposure
    # constant rate factor of an H.264 pass, or None; without PyAV a JPEG pass stands in for it
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

    def compress(self, codes: Codes, exposures: Sequence[float]) -> Codes:
        """Compress and decompress R, G, B, (T, H, W, 3), if the camera does; `exposures` are T stated ones."""
        if self.jpeg_quality is None and self.h264_crf is None:
            return codes
        if self.h264_crf is not None and pyav_available():
            return h264_passed(codes, self.h264_crf)
        # Measured on a photo: x264 loses at 18 and at 24 what JPEG loses at about 84 and 70.
        middle = 124 - 2.25 * self.h264_crf if self.h264_crf is not None else float(self.jpeg_quality or 0)
        doublings = np.log2(exposures)
        qualities = middle + self.jpeg_slope * (doublings - (doublings.min() + doublings.max()) / 2)
        return jpeg_passed(codes, [int(quality) for quality in np.clip(np.rint(qualities), 30, 100)])


def expose(radiance: Pixels, exposures: Sequence[float], *, capture: Capture, rng: Generator) -> Pixels:
    """Take pictures of radiance.

    Args:
        radiance: Linear, 1.0 = clip level of the shortest exposure, (T, H, W, 3).
        exposures: Stated linear exposures relative to the shortest, T of them.

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
        return capture.codes.to_ldr(capture.compress(capture.codes.encode(signal), exposures))
    encoded = cv2.pow(signal.reshape(-1, 3), 1 / capture.gamma).reshape(signal.shape).astype(np.float32)
    if capture.jpeg_quality is None and capture.h264_crf is None:
        return quantise(encoded, capture.bits)
    codes = np.rint(quantise(encoded, capture.bits) * 255).astype(np.uint8)
    return capture.compress(codes, exposures).astype(np.float32) / np.float32(255)


def exposure_gain(
    radiance: Pixels, longest: float, *, long_clips: float, short_clips: float, darkest: float = 0.0
) -> float:
    """Find the gain that lets given shares of the pixels clip, unless the picture would be too dark for that.

    Args:
        radiance: Linear radiance of any scale, (H, W, 3).
        long_clips: Share of the pixels that may clip in the longest exposure, 0..1.
        short_clips: Share of the pixels that may clip in the shortest; the smaller of the two gains is taken.
        darkest: Signal that half of the pixels reach in the longest exposure, even if more must clip for it.
    """
    brightest = np.maximum(radiance[::3, ::3].max(2), 1e-6)
    middle, long_level, short_level = np.quantile(brightest, [0.5, 1 - long_clips, 1 - short_clips])
    return float(max(min(1 / (longest * long_level), 1 / short_level), darkest / (longest * middle)))


def draw_capture(rng: Generator, exposures: Sequence[float], *, sampling: GuidedSampling) -> Capture:
    """Draw a camera: shot noise 1e-5..4e-4 and read noise 2e-4..3e-3 log-uniform, mostly 8 bits."""
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
        shot=float(np.exp(rng.uniform(*np.log((1e-5, 4e-4))))) if noisy else 0.0,
        read=float(np.exp(rng.uniform(*np.log((2e-4, 3e-3))))) if noisy else 0.0,
        gamma=wrong_gamma if rng.random() < sampling.wrong_response_share else GAMMA,
        codes=draw_codes(rng) if curved else None,
        ratio_errors=tuple(zip(stated, errors, strict=True)) if rng.random() < sampling.wrong_exposure_share else (),
        bits=10 if rng.random() < 0.15 else 8,
        jpeg_quality=int(rng.integers(70, 96)) if compressed and still else None,
        jpeg_slope=float(rng.uniform(-4, 4)),
        h264_crf=int(rng.integers(14, 31)) if compressed and not still else None,
    )


def quantise(values: Pixels, bits: int) -> Pixels:
    """Round values of 0..1 to 2^bits - 1 steps; 0 bits leave them as they are."""
    if bits == 0:
        return values
    top = np.float32(2**bits - 1)
    rounded = np.multiply(values, top, dtype=np.float32)
    np.rint(rounded, out=rounded)
    rounded /= top
    return rounded
