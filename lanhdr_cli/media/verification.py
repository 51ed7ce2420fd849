"""Verification of results: what was written is read again from the disk, and compared with what was handed over."""

import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import zip_longest
from pathlib import Path
from typing import Any

import av
import numpy as np
import OpenEXR
from torch import Tensor

from lanhdr_cli.media.errors import MediaError
from lanhdr_cli.media.hdr10_metadata import ContentLightMeter, LightLevel, StaticMetadata
from lanhdr_cli.media.paths import ffmpeg_name

MATROSKA_UNIT = Fraction(1, 1000)  # seconds
DISPLAY_NUMBERS = 10  # AVMasteringDisplayMetadata: x and y of R, G, B and white, darkest, brightest, as fractions
TOLERANCE = 2e-4  # of chromaticities and light: AV1 counts light in 1/256 and colors in 1/65536


@dataclass(frozen=True, kw_only=True)
class WrittenPixels:
    """Shape, (H, W, 3), and CRC-32 of the half floats of a frame that is handed to its writer."""

    shape: tuple[int, ...]
    checksum: int

    @classmethod
    def of(cls, pixels: Tensor) -> "WrittenPixels":
        """Take note of pixels, float16, contiguous."""
        return cls(shape=tuple(pixels.shape), checksum=zlib.crc32(pixels.numpy().tobytes()))


def verify_exr(path: Path, written: WrittenPixels) -> None:
    """Read a frame from the disk, and compare its pixels with those that were written.

    Raises:
        MediaError: If it can't be read, has another size, or other pixels.
    """
    with _failing(path):
        _forget_cached(path)
        with path.open("rb") as file, OpenEXR.File(file) as picture:
            pixels = np.ascontiguousarray(picture.channels()["RGB"].pixels)
    if pixels.shape != written.shape or pixels.dtype != np.float16:
        raise _failure(path, f"it holds {pixels.dtype} of shape {pixels.shape}, not float16 of {written.shape}")
    if not np.isfinite(pixels).all():
        raise _failure(path, "it holds pixels that are not finite")
    if zlib.crc32(pixels.tobytes()) != written.checksum:
        raise _failure(path, "its pixels are not those that were written")


@dataclass(frozen=True, kw_only=True)
class WrittenVideo:
    """A video as its writer means it to be.

    Args:
        times: Of its frames, in seconds.
        primaries: Code of ITU-T H.273 table 2.
        transfer: Code of ITU-T H.273 table 3.
        metadata: HDR10 metadata, None if there is none.
    """

    times: tuple[Fraction, ...]
    primaries: int
    transfer: int
    metadata: StaticMetadata | None


def verify_video(path: Path, written: WrittenVideo, *, container: str, shown: Path | None = None) -> None:
    """Decode a video from the disk, and compare number, times, colors and light of its frames with what was meant.

    Args:
        container: FFmpeg's name of its format.
        shown: Name that errors show, if it is another.

    Raises:
        MediaError: If anything differs.
    """
    shown = shown or path
    unit = MATROSKA_UNIT if container == "matroska" else Fraction(0)
    meter = ContentLightMeter() if written.metadata else None
    with _failing(shown):
        _forget_cached(path)
        for number, (frame, time) in enumerate(zip_longest(_decoded(path), written.times)):
            if frame is None or time is None:
                found = f"only {number}" if frame is None else f"more than {number}"
                raise _failure(shown, f"{found} of {len(written.times)} frames can be decoded")
            if frame.is_corrupt:
                raise _failure(shown, f"frame {number} is damaged")
            found_time = None if frame.pts is None or frame.time_base is None else frame.pts * frame.time_base
            if found_time is None or abs(found_time - time) > unit:
                raise _failure(shown, f"frame {number} has the time {found_time}, not {time} s")
            if (frame.color_primaries, frame.color_trc) != (written.primaries, written.transfer):
                raise _failure(shown, f"colors are tagged {frame.color_primaries}, {frame.color_trc} in frame {number}")
            if meter:
                meter.add(frame)
            if number == 0 and written.metadata:
                _check_metadata(shown, frame, written.metadata)
    if meter and written.metadata:
        light = LightLevel.of(max_cll_nits=meter.max_cll_nits, max_fall_nits=meter.max_fall_nits)
        if light != written.metadata.light:
            raise _failure(shown, f"its light is {light.max_cll}, {light.max_fall} cd/m2, not as its metadata say")


def _decoded(path: Path) -> Iterator[av.VideoFrame]:
    with av.open(ffmpeg_name(path)) as file:
        stream = file.streams.video[0]
        stream.thread_type = "AUTO"
        yield from file.decode(stream)


def _check_metadata(path: Path, frame: av.VideoFrame, meant: StaticMetadata) -> None:
    """Compare the HDR10 metadata that a player sees with the first frame."""
    side: Any = frame.side_data
    try:
        light = struct.unpack_from("<2I", bytes(side["CONTENT_LIGHT_LEVEL"]))
        numbers = struct.unpack_from(f"<{2 * DISPLAY_NUMBERS}i", bytes(side["MASTERING_DISPLAY_METADATA"]))
    except KeyError as error:
        raise _failure(path, f"it has no {str(error).lower()}") from None
    if light != (meant.light.max_cll, meant.light.max_fall):
        raise _failure(path, f"MaxCLL and MaxFALL are {light[0]}, {light[1]} cd/m2")
    found = [over / max(under, 1) for over, under in zip(numbers[::2], numbers[1::2], strict=True)]
    display = meant.display
    wanted = (*display.primaries.chromaticities, display.darkest_nits, display.peak_nits)
    if any(abs(a - b) > TOLERANCE * max(1.0, b) for a, b in zip(found, wanted, strict=True)):
        raise _failure(path, f"its mastering display is {[round(number, 4) for number in found]}")


@contextmanager
def _failing(path: Path) -> Iterator[None]:
    try:
        yield
    except (av.FFmpegError, OSError, RuntimeError, KeyError, ValueError) as error:
        raise _failure(path, f"it can't be read again ({getattr(error, 'strerror', None) or error})") from error


def _failure(path: Path, found: str) -> MediaError:
    return MediaError(f"--verify: {path} is not as written, {found}: check that disk, and convert it again")


def _forget_cached(path: Path) -> None:
    """Have what is read next come from the disk, as far as the system does so."""
    if hasattr(os, "posix_fadvise"):
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
