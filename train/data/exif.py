"""What cameras note in a picture about its exposure: EXIF, which is TIFF wherever it is kept."""

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

# Tags of TIFF 6.0 section 8 and of EXIF 2.32 (CIPA DC-008) tables 4 and 8.
IMAGE_WIDTH, IMAGE_LENGTH, ORIENTATION, TILE_WIDTH, EXIF_IFD = 0x0100, 0x0101, 0x0112, 0x0142, 0x8769
EXPOSURE_TIME, F_NUMBER, ISO = 0x829A, 0x829D, 0x8827
BYTE_ORDERS = {b"II": "<", b"MM": ">"}
TIFF_MAGIC, BIG_TIFF_MAGIC = 42, 43
# Types of TIFF 6.0 section 2 (and LONG8 of BigTIFF) that the tags above may have: format, bytes.
NUMBER_TYPES = {1: ("B", 1), 3: ("H", 2), 4: ("I", 4), 5: ("II", 8), 16: ("Q", 8)}
MOST_ENTRIES = 4096
PNG_MAGIC, JPEG_MAGIC = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"
JPEG_APP1, JPEG_SCAN = 0xE1, 0xDA
EXIF_MARK = b"Exif\0\0"
SAME_EXPOSURE = 1.01  # a factor; cameras round what they note


@dataclass(frozen=True)
class ShotExposure:
    """How a picture was exposed, as far as its file says.

    Args:
        time_s: Shutter time in seconds.
        iso: Sensitivity.
        f_number: Focal length over the aperture's diameter.
    """

    time_s: float | None = None
    iso: float | None = None
    f_number: float | None = None


def read_shot(path: Path) -> ShotExposure:
    """Read what a JPEG or PNG file says of its exposure; nothing if it is neither, damaged or silent."""
    try:
        with path.open("rb") as file:
            magic = file.read(8)
            if magic.startswith(JPEG_MAGIC):
                begins = (begin + 6 for kind, begin in jpeg_segments(file) if kind == JPEG_APP1 and is_exif(file))
            else:
                begins = (begin for kind, begin in png_chunks(file) if kind == b"eXIf" and magic == PNG_MAGIC)
            return shot_exposure(next((read_tags(file, base=begin) for begin in begins), {}))
    except (OSError, struct.error, ValueError):
        return ShotExposure()


def jpeg_segments(file: BinaryIO) -> Iterator[tuple[int, int]]:
    """Yield marker and beginning of each segment's content before the picture's data: ITU-T T.81, annex B.

    The file stands at the beginning of the content.

    Raises:
        ValueError: If no marker stands where one belongs.
        struct.error: If the file ends.
    """
    position = 2
    while True:
        file.seek(position)
        lead, marker, length = struct.unpack(">BBH", file.read(4))
        if lead != 0xFF:
            raise ValueError("no marker where one belongs")
        if marker == 0xFF:  # a byte of padding
            position += 1
            continue
        if marker == JPEG_SCAN:
            return
        yield marker, position + 4
        position += 2 + length


def is_exif(file: BinaryIO) -> bool:
    """Tell whether the content of an APP1 segment, where the file stands, is EXIF."""
    return file.read(len(EXIF_MARK)) == EXIF_MARK


def png_chunks(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """Yield kind and beginning of each chunk's content before the picture's data: W3C PNG, clauses 5.3 and 11.

    The file stands at the beginning of the content.

    Raises:
        struct.error: If the file ends within a chunk's head.
    """
    position = len(PNG_MAGIC)
    file.seek(position)
    while head := file.read(8):
        length, kind = struct.unpack(">I4s", head)
        if kind == b"IDAT":
            return
        yield kind, position + 8
        position += length + 12  # a checksum ends each chunk
        file.seek(position)


def read_tags(file: BinaryIO, *, base: int = 0) -> dict[int, float]:
    """Read the numeric tags of a TIFF structure's first directory and of its EXIF directory.

    Args:
        file: Positioned anywhere.
        base: Where in the file the structure begins.

    Returns:
        The first value of each tag; empty if it is no TIFF or damaged.
    """
    try:
        file.seek(base)
        head = file.read(16)
        order = BYTE_ORDERS[head[:2]]
        (magic,) = struct.unpack(order + "H", head[2:4])
        reader = _Directory(file, base, order, magic == BIG_TIFF_MAGIC)
        if magic not in (TIFF_MAGIC, BIG_TIFF_MAGIC):
            return {}
        tags = reader.read(struct.unpack(order + "Q", head[8:16])[0] if reader.big else _u32(order, head[4:8]))
        return tags | (reader.read(int(tags[EXIF_IFD])) if EXIF_IFD in tags else {})
    except (KeyError, struct.error, OverflowError, OSError, ValueError):
        return {}


def _u32(order: str, data: bytes) -> int:
    value: int = struct.unpack(order + "I", data)[0]
    return value


@dataclass(frozen=True)
class _Directory:
    """Reads directories of one TIFF structure; `big` is BigTIFF's layout with 8-byte counts and offsets."""

    file: BinaryIO
    base: int
    order: str
    big: bool

    def read(self, offset: int) -> dict[int, float]:
        self.file.seek(self.base + offset)
        count_format, entry_size = ("Q", 20) if self.big else ("H", 12)
        (count,) = struct.unpack(self.order + count_format, self.file.read(struct.calcsize(count_format)))
        if count > MOST_ENTRIES:
            return {}
        entries = [self.file.read(entry_size) for _ in range(count)]
        values = ((struct.unpack(self.order + "H", entry[:2])[0], self._value(entry)) for entry in entries)
        return {tag: value for tag, value in values if value is not None}

    def _value(self, entry: bytes) -> float | None:
        kind = struct.unpack(self.order + "H", entry[2:4])[0]
        if kind not in NUMBER_TYPES:
            return None
        form, size = NUMBER_TYPES[kind]
        field = entry[12:20] if self.big else entry[8:12]
        if size > len(field):
            self.file.seek(self.base + struct.unpack(self.order + ("Q" if self.big else "I"), field)[0])
            field = self.file.read(size)
        numbers = struct.unpack(self.order + form, field[:size])
        if len(numbers) == 2:  # a fraction
            return numbers[0] / numbers[1] if numbers[1] else None
        return float(numbers[0])


def shot_exposure(tags: Mapping[int, float]) -> ShotExposure:
    """Pick what concerns the exposure out of tags."""
    return ShotExposure(*(tags.get(tag) or None for tag in (EXPOSURE_TIME, ISO, F_NUMBER)))


def relative_exposures(shots: Sequence[ShotExposure]) -> list[float] | None:
    """Linear exposures of pictures relative to the shortest: time x ISO / f-number^2 (ISO 2721, reciprocity).

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
