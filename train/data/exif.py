"""Exposure settings of pictures: EXIF, the TIFF structure that cameras write into JPEG, PNG and TIFF files."""

import math
import struct
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

# Tags of TIFF 6.0 section 8 and of EXIF 2.32 (CIPA DC-008) tables 4 and 8.
ORIENTATION, EXIF_IFD = 0x0112, 0x8769
EXPOSURE_TIME, F_NUMBER, ISO = 0x829A, 0x829D, 0x8827
TAGS = (ORIENTATION, EXIF_IFD, EXPOSURE_TIME, F_NUMBER, ISO)
PNG_MAGIC, JPEG_MAGIC, EXIF_MARK = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"Exif\0\0"
# What Pillow says of a directory that ends within an entry.
DIRECTORY_ENDS = r"Corrupt EXIF data\.  Expecting to read (12|20) "
SAME_EXPOSURE = 1.01  # a factor; cameras round what they note


@dataclass(frozen=True, kw_only=True)
class ShotExposure:
    """Exposure settings of a picture, each None where its file does not give it."""

    time_s: float | None = None  # shutter time
    iso: float | None = None
    f_number: float | None = None  # focal length over the aperture's diameter


def read_shot(path: Path) -> ShotExposure:
    """Read the exposure settings of a JPEG or PNG file; nothing if it is neither, damaged or has none."""
    try:
        with path.open("rb") as file:
            image = open_image(file)
            return shot_exposure(image_tags(image)) if image else ShotExposure()
    except (OSError, SyntaxError, ValueError):
        return ShotExposure()


def open_image(file: BinaryIO) -> "ImageFile | None":
    """Read the header of a JPEG or PNG file, at its beginning; None if it is neither.

    Pillow raises a SyntaxError or ValueError if it is damaged or too large, an OSError if it can't be read.
    """
    from PIL.JpegImagePlugin import JpegImageFile
    from PIL.PngImagePlugin import PngImageFile

    magic = file.read(len(PNG_MAGIC))
    file.seek(0)
    with warnings.catch_warnings(action="ignore"):  # of damaged EXIF
        # Not by Image.open, which refuses large pictures.
        if magic == PNG_MAGIC:
            return PngImageFile(file)
        return JpegImageFile(file) if magic.startswith(JPEG_MAGIC) else None


def image_tags(image: "ImageFile") -> dict[int, float]:
    """Read the numeric tags of a JPEG or PNG file's EXIF; empty if it has none, or they are damaged."""
    return read_tags(BytesIO(image.info.get("exif", b"").removeprefix(EXIF_MARK)))


def read_tags(file: BinaryIO) -> dict[int, float]:
    """Read the numeric tags of a TIFF structure, at the beginning of the file, and of its EXIF directory.

    Returns:
        The first value of each of `TAGS`; empty if it is not TIFF, or damaged.
    """
    from PIL.TiffImagePlugin import ImageFileDirectory_v2

    head = file.read(16)
    big = head[2:4] in (b"+\0", b"\0+")
    # Pillow knows BigTIFF by its little-endian magic alone; the byte order is given apart.
    header = b"II+\0" + head[4:16] if big else head[:8]
    tags: dict[int, float] = {}
    try:
        with warnings.catch_warnings(action="ignore"):  # of single tags that are damaged: they are left out
            warnings.filterwarnings("error", DIRECTORY_ENDS)
            directory = ImageFileDirectory_v2(header, prefix=head[:2])
            offset: float = directory.next
            for group in (None, EXIF_IFD):
                directory = ImageFileDirectory_v2(header, prefix=head[:2], group=group)
                file.seek(int(offset))
                directory.load(file)
                tags |= {tag: number for tag in TAGS if (number := _number(directory.get(tag))) is not None}
                if (offset := tags.get(EXIF_IFD, 0)) == 0:
                    break
    except (SyntaxError, LookupError, TypeError, ValueError, OverflowError, OSError, struct.error, UserWarning):
        return {}
    return tags


def _number(value: object) -> float | None:
    """Take the first of a tag's values; None if it is not a finite number."""
    first = value[0] if isinstance(value, tuple) and value else value
    try:
        number = float(first)  # type: ignore[arg-type]  # fractions of Pillow have no common type
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return number if math.isfinite(number) else None


def shot_exposure(tags: Mapping[int, float]) -> ShotExposure:
    """Pick the exposure settings out of tags."""
    return ShotExposure(
        time_s=tags.get(EXPOSURE_TIME) or None, iso=tags.get(ISO) or None, f_number=tags.get(F_NUMBER) or None
    )


def relative_exposures(shots: Sequence[ShotExposure]) -> list[float] | None:
    """Find linear exposures relative to the shortest: time x ISO / f-number^2 (ISO 2721, reciprocity).

    A quantity that some pictures lack is taken as the same for all.

    Returns:
        One value per picture, the smallest 1; None if neither times nor sensitivities are known, or all are equal.
    """
    known = [
        [value if all(values) else 1.0 for value in values]
        for values in ([shot.time_s for shot in shots], [shot.iso for shot in shots], [shot.f_number for shot in shots])
    ]
    exposures = [(time or 1.0) * (iso or 1.0) / (stop or 1.0) ** 2 for time, iso, stop in zip(*known, strict=True)]
    if not exposures or max(exposures) <= SAME_EXPOSURE * min(exposures):
        return None
    return [exposure / min(exposures) for exposure in exposures]
