"""What a picture's header says, read without decoding it: size and exposure."""

import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from lanhdr_cli.media.errors import MediaError
from train.datasets.exif import (
    IMAGE_LENGTH,
    IMAGE_WIDTH,
    JPEG_APP1,
    JPEG_MAGIC,
    ORIENTATION,
    PNG_MAGIC,
    TILE_WIDTH,
    ShotExposure,
    is_exif,
    jpeg_segments,
    png_chunks,
    read_tags,
    shot_exposure,
)

EXR_MAGIC = b"\x76\x2f\x31\x01"
TIFF_MAGICS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
# ITU-T T.81 table B.1: frames begin with SOF0 to SOF15, but for DHT, JPG and DAC among them.
JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
LYING = (5, 6, 7, 8)  # values of the orientation tag that swap width and height


@dataclass(frozen=True)
class PictureHeader:
    """Size and exposure of a picture.

    Args:
        width: Of the upright picture.
        height: Of the upright picture.
        shot: What the file says of its exposure.
        is_exr: Whether it is OpenEXR, and so linear.
    """

    width: int
    height: int
    shot: ShotExposure = field(default_factory=ShotExposure)
    is_exr: bool = False

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self.width, self.height


def read_header(path: Path) -> PictureHeader:
    """Read the header of a PNG, TIFF, JPEG or OpenEXR file; its content decides which, not its name.

    Raises:
        MediaError: If it is none of them, or damaged.
    """
    try:
        with path.open("rb") as file:
            magic = file.read(8)
            header = _parser(magic)(file)
    except (OSError, struct.error, KeyError, ValueError, RuntimeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "its header is damaged"
        raise MediaError(f"{path} can't be read as a picture ({reason}): replace or remove it") from error
    if header is None:
        found = "it is empty" if not magic else "it is no PNG, TIFF, JPEG or OpenEXR"
        raise MediaError(f"{path} can't be read as a picture ({found}): replace or remove it")
    return header


def _parser(magic: bytes) -> Callable[[BinaryIO], PictureHeader | None]:
    if magic == PNG_MAGIC:
        return _png
    if magic.startswith(JPEG_MAGIC):
        return _jpeg
    if magic.startswith(TIFF_MAGICS):
        return _tiff
    return _exr if magic.startswith(EXR_MAGIC) else lambda file: None


def _png(file: BinaryIO) -> PictureHeader:
    width, height, tags = 0, 0, {}
    for kind, begin in png_chunks(file):
        if kind == b"IHDR":
            width, height = struct.unpack(">2I", file.read(8))
        elif kind == b"eXIf":
            tags = read_tags(file, base=begin)
    return _checked(width, height, tags)


def _jpeg(file: BinaryIO) -> PictureHeader:
    tags: dict[int, float] = {}
    for marker, begin in jpeg_segments(file):
        if marker == JPEG_APP1 and is_exif(file):
            tags = read_tags(file, base=begin + 6)
        elif marker in JPEG_FRAMES:
            height, width = struct.unpack(">x2H", file.read(5))
            return _checked(width, height, tags)
    return _checked(0, 0, tags)


def _tiff(file: BinaryIO) -> PictureHeader:
    tags = read_tags(file)
    if TILE_WIDTH in tags:  # FFmpeg would make black of them
        raise MediaError(f"{file.name} is a TIFF in tiles, which can't be read: write it in strips")
    return _checked(int(tags[IMAGE_WIDTH]), int(tags[IMAGE_LENGTH]), tags)


def _checked(width: int, height: int, tags: dict[int, float]) -> PictureHeader:
    if width < 1 or height < 1:
        raise ValueError("no size")
    if tags.get(ORIENTATION) in LYING:
        width, height = height, width
    return PictureHeader(width, height, shot_exposure(tags))


def _exr(file: BinaryIO) -> PictureHeader:
    import OpenEXR

    with OpenEXR.File(str(file.name), header_only=True) as picture:
        header = dict(picture.header())  # the file empties its own on closing
    lowest, highest = header["dataWindow"]
    width, height = (int(high - low) + 1 for low, high in zip(lowest, highest, strict=True))
    shot = ShotExposure(*(_positive(header.get(name)) for name in ("expTime", "isoSpeed", "aperture")))
    return PictureHeader(width, height, shot, is_exr=True)


def _positive(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and value > 0 else None
