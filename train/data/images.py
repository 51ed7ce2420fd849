"""Still pictures in memory: linear HDR as half floats, LDR as bytes, each as an image pyramid."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from train.errors import DatasetError

# Last bytes of a complete file; some writers pad a few zeros behind it.
ENDINGS = {".png": b"IEND", ".jpg": b"\xff\xd9", ".jpeg": b"\xff\xd9"}
TAIL = 64
HALF_MAX = 65504.0
LEVEL_STEP = 2.0**0.5
SMALLEST_SIDE = 160

Pixels = NDArray[np.float32]
Stored = NDArray[Any]


def demand_whole(path: Path) -> None:
    """Raise a DatasetError if a file is missing or empty, or a PNG or JPEG has no end."""
    ending = ENDINGS.get(path.suffix.lower(), b"")
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - TAIL))
            tail = file.read()
    except OSError as error:
        raise DatasetError(f"{path} cannot be read ({error.strerror}): fetch it, or take it out of the list") from error
    if not size or ending not in tail:
        raise DatasetError(f"{path} is cut short ({size} bytes): fetch it again, or take it out of the folder and list")


def reduced(pixels: Stored, longest_side: int) -> Stored:
    """Reduce a picture (H, W, ...) by area averaging to at most `longest_side`, wide or high."""
    scale = longest_side / max(pixels.shape[:2])
    if scale >= 1:
        return pixels
    size = (round(pixels.shape[1] * scale), round(pixels.shape[0] * scale))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), pixels.dtype)


@dataclass(frozen=True)
class Picture:
    """One picture and its area-averaged smaller levels, each 1/sqrt(2) of the one before."""

    name: str
    levels: tuple[Stored, ...]  # (H, W, 3) R, G, B each; float16 linear radiance with median 1, or uint8 encoded
    panorama: bool = False  # whether it is an equirectangular view of all directions

    @property
    def encoded(self) -> bool:
        """Whether the pixels are 8-bit codes of an unknown camera response."""
        return self.levels[0].dtype == np.uint8

    def level_for(self, pixels_per_pixel: float) -> tuple[Stored, float]:
        """Choose the coarsest level that has no fewer pixels than asked for.

        Args:
            pixels_per_pixel: Full-size pixels per output pixel; above 1 is a reduction.

        Returns:
            The level and its size relative to the full one, in (0, 1].
        """
        index = int(np.log(max(pixels_per_pixel, 1.0)) / np.log(LEVEL_STEP))
        level = self.levels[min(index, len(self.levels) - 1)]
        return level, level.shape[1] / self.levels[0].shape[1]


def hdr_picture(name: str, radiance: NDArray[np.floating[Any]], *, panorama: bool = False) -> Picture:
    """Make a picture of linear R, G, B of any scale, (H, W, 3).

    Negatives become 0, the median becomes 1, what half floats cannot hold is clipped.
    """
    finite = np.nan_to_num(radiance.astype(np.float32), nan=0.0, posinf=HALF_MAX, neginf=0.0).clip(min=0)
    positive = finite[finite > 0]
    median = float(np.median(positive)) if positive.size else 1.0
    full: Pixels = np.minimum(finite / median, HALF_MAX).astype(np.float32)
    return Picture(name, tuple(level.astype(np.float16) for level in _levels(full)), panorama)


def ldr_picture(name: str, codes: NDArray[np.uint8]) -> Picture:
    """Make a picture of 8-bit R, G, B, (H, W, 3)."""
    return Picture(name, tuple(_levels(codes)))


def read_hdr_picture(path: Path) -> Picture:
    """Read a Radiance .hdr or an OpenEXR picture; one that is exactly twice as wide as high is a panorama."""
    pixels = read_radiance(path)
    height, width = pixels.shape[:2]
    return hdr_picture(path.stem, pixels, panorama=width == 2 * height)


def encode_radiance(pixels: Pixels) -> bytes:
    """Encode linear R, G, B, not negative, (H, W, 3), as a Radiance file, with 8 bits for the brightest channel.

    Raises:
        DatasetError: If OpenCV refuses.
    """
    # OpenCV drops what the mantissa can't hold, which would darken all by about 0.3 %: half a step is added, which may
    # need the next exponent.
    brightest = pixels.max(-1, keepdims=True)
    raised = brightest + _half_step(brightest)
    rounded = np.where(brightest > 0, pixels + _half_step(raised), pixels)
    encoded, data = cv2.imencode(".hdr", np.ascontiguousarray(rounded[..., ::-1]))
    if not encoded:
        raise DatasetError("a Radiance picture could not be encoded")
    return data.tobytes()


def _half_step(brightest: Pixels) -> Pixels:
    return np.asarray(np.ldexp(np.float32(1), np.frexp(brightest)[1] - 9), np.float32)


def read_radiance(path: Path) -> Stored:
    """Read linear R, G, B of a Radiance .hdr or an OpenEXR picture as it is, (H, W, 3), or raise a DatasetError."""
    if path.suffix.lower() != ".exr":
        return _read_with_opencv(path)
    try:
        import OpenEXR
    except ImportError as error:
        raise DatasetError(f"{path} needs the package OpenEXR, which is not installed: pip install OpenEXR") from error
    try:
        with OpenEXR.File(str(path)) as file:
            channels = file.channels()
            color = next((channels[name].pixels for name in ("RGB", "RGBA") if name in channels), None)
    except Exception as error:  # the binding raises RuntimeError, TypeError or ValueError on a damaged file
        raise DatasetError(f"{path} cannot be read as OpenEXR ({error}): repair it or take it out") from error
    if color is None:
        raise DatasetError(f"{path} has the channels {sorted(channels)}, not R, G, B: take it out of the folder")
    return np.array(color[..., :3])


def read_codes(path: Path) -> Stored:
    """Read 8-bit R, G, B of a JPEG, PNG or other picture, (H, W, 3).

    Raises:
        DatasetError: If the file is cut short, which OpenCV would fill up with gray, or cannot be read.
    """
    demand_whole(path)
    return _read_with_opencv(path, flags=cv2.IMREAD_COLOR)


def _levels(full: Stored) -> list[Stored]:
    levels = [full]
    height, width = full.shape[:2]
    scale = 1 / LEVEL_STEP
    while min(height, width) * scale >= SMALLEST_SIDE:
        size = (round(width * scale), round(height * scale))
        levels.append(cv2.resize(full, size, interpolation=cv2.INTER_AREA))
        scale /= LEVEL_STEP
    return levels


def _read_with_opencv(path: Path, *, flags: int = cv2.IMREAD_UNCHANGED) -> Stored:
    pixels = cv2.imread(str(path), flags)
    if pixels is None or pixels.ndim != 3 or pixels.shape[2] != 3:
        raise DatasetError(f"{path} cannot be read as a color picture: repair it or take it out of the folder")
    return np.ascontiguousarray(pixels[..., ::-1])
