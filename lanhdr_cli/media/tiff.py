"""Pages of TIFF files, BigTIFF among them, each as a small file of its own that FFmpeg reads."""

import os
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from lanhdr_cli.media.errors import MediaError

MAGICS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
# Tags of TIFF 6.0, and of its extensions by Adobe and the ICC.
SUBFILE, WIDTH, LENGTH, BITS, COMPRESSION, PHOTOMETRIC, DESCRIPTION = 254, 256, 257, 258, 259, 262, 270
STRIP_OFFSETS, ORIENTATION, SAMPLES, STRIP_BYTES, PLANES, PREDICTOR = 273, 274, 277, 279, 284, 317
WHITE_POINT, PRIMARIES, TILE_WIDTH, EXTRA_SAMPLES, SAMPLE_FORMAT, ICC_PROFILE = 318, 319, 322, 338, 339, 34675
FILL_ORDER, ROWS_PER_STRIP, COLOR_MAP, JPEG_TABLES, CHROMA = 266, 278, 320, 347, (529, 530, 531, 532)
CODED = (WIDTH, LENGTH, BITS, COMPRESSION, PHOTOMETRIC, FILL_ORDER, ORIENTATION, SAMPLES, ROWS_PER_STRIP, PLANES)
COPIED = (*CODED, PREDICTOR, COLOR_MAP, EXTRA_SAMPLES, SAMPLE_FORMAT, JPEG_TABLES, *CHROMA)
READ = (*COPIED, SUBFILE, DESCRIPTION, STRIP_OFFSETS, STRIP_BYTES, WHITE_POINT, PRIMARIES, TILE_WIDTH, ICC_PROFILE)
KINDS = {1: "B", 2: "c", 3: "H", 4: "I", 5: "2I", 7: "B", 13: "I", 16: "Q", 18: "Q"}  # of fields, as struct has them
REDUCED, MASK = 1, 4  # bits of SUBFILE
UNSIGNED, FLOAT, UNDEFINED = 1, 3, 4  # values of SAMPLE_FORMAT
FLOAT_PREDICTOR, UNCOMPRESSED, SHORT, LONG = 3, 1, 3, 4
MOST_PAGES = 1 << 20
_IMAGEJ = re.compile(rb"ImageJ=.*?\bimages=(\d+)", re.DOTALL)

Fields = Mapping[int, tuple[int, bytes]]  # kind and content by tag


@dataclass(frozen=True, kw_only=True)
class TiffPage:
    """One page of a TIFF file.

    Args:
        order: Byte order, as struct writes it.
        fields: Kind and content of the tags that matter.
        shift: Bytes from where the tags place the samples to where they are.
    """

    order: str
    fields: Fields
    shift: int = 0

    def values(self, tag: int) -> tuple[int, ...]:
        """Whole numbers of a tag, numerator and denominator of fractions one after the other; empty if it is absent."""
        kind, content = self.fields.get(tag, (SHORT, b""))
        unit = self.order + KINDS[kind]
        return tuple(number for part in struct.iter_unpack(unit, content) for number in part)

    def value(self, tag: int, default: int = 0) -> int:
        """First number of a tag."""
        return next(iter(self.values(tag)), default)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height as stored."""
        return self.value(WIDTH), self.value(LENGTH)

    @property
    def is_float(self) -> bool:
        """Whether samples are floating-point numbers."""
        return self.value(SAMPLE_FORMAT) == FLOAT

    @property
    def channels(self) -> int:
        """Number of samples of a pixel."""
        return self.value(SAMPLES, 1)

    def refusal(self) -> str:
        """Why it can't be read, with advice; empty if it can."""
        if TILE_WIDTH in self.fields:  # FFmpeg would make black of them
            return "is a TIFF in tiles, which can't be read: write it in strips"
        bits = set(self.values(BITS))
        plain = self.value(PLANES, 1) == 1 and self.value(PREDICTOR, 1) in (1, FLOAT_PREDICTOR)
        if self.is_float and not (plain and bits in ({16}, {32}, {64})):
            return "holds floats of an unusual layout: write R, G and B of 16 or 32 bits side by side"
        if self.value(SAMPLE_FORMAT, UNSIGNED) not in (UNSIGNED, FLOAT, UNDEFINED):
            return "has signed or complex samples, which can't be read: write unsigned ones, or floats"
        if not self.is_float and max(bits, default=1) > 16:
            return f"has samples of {max(bits)} bits, which can't be read: write 8 or 16 bits, or floats"
        return ""

    def alone(self, file: BinaryIO) -> bytes:
        """Write the page as a TIFF file of one page; floats become bytes of gray, for `floats` to put together.

        Raises:
            ValueError: If parts of it are missing.
        """
        offsets, lengths = self.values(STRIP_OFFSETS), self.values(STRIP_BYTES)
        if not offsets or len(offsets) != len(lengths):
            raise ValueError("no samples")
        if sum(lengths) > os.fstat(file.fileno()).st_size:
            raise ValueError("strips that overlap")
        strips = []
        for offset, length in zip(offsets, lengths, strict=True):
            file.seek(offset + self.shift)
            strips.append(_read(file, length))
        copied = {tag: field for tag, field in self.fields.items() if tag in COPIED}
        if self.is_float:
            width = self.value(WIDTH) * self.channels * self.value(BITS) // 8
            copied = {tag: copied[tag] for tag in (LENGTH, COMPRESSION, FILL_ORDER, ROWS_PER_STRIP) if tag in copied}
            for tag, number in ((WIDTH, width), (BITS, 8), (SAMPLES, 1), (PHOTOMETRIC, 1)):
                copied[tag] = LONG, struct.pack(self.order + "I", number)
        return _single_page(self.order, copied, strips)

    def floats(self, rows: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Put floats together from the bytes of their rows, (H, W * channels * bytes).

        Returns:
            (H, W, channels).
        """
        width, height = self.size
        depth = self.value(BITS) // 8
        kind = np.dtype(f"{self.order}f{depth}")
        if self.value(PREDICTOR, 1) == FLOAT_PREDICTOR:  # Adobe Photoshop TIFF Technical Note 3
            sums = rows.reshape(height, -1, self.channels).cumsum(axis=1, dtype=np.uint8)
            rows = sums.reshape(height, depth, -1).transpose(0, 2, 1)  # most significant bytes first
            kind = np.dtype(f">f{depth}")
        numbers = np.ascontiguousarray(rows).reshape(height, -1).view(kind)
        return numbers.reshape(height, width, self.channels).astype(np.float32)


def _single_page(order: str, fields: Fields, strips: list[bytes]) -> bytes:
    """Write a classic TIFF: header, strips, what does not fit into the directory, the directory."""
    body = bytearray((b"II*\0" if order == "<" else b"MM\0*") + bytes(4))
    offsets = []
    for strip in strips:
        offsets.append(len(body))
        body += strip + bytes(len(strip) % 2)
    numbers = {STRIP_OFFSETS: offsets, STRIP_BYTES: [len(strip) for strip in strips]}
    packed = {tag: (LONG, struct.pack(f"{order}{len(values)}I", *values)) for tag, values in numbers.items()}
    entries = b""
    for tag, (kind, content) in sorted({**fields, **packed}.items()):
        count = len(content) // struct.calcsize(order + KINDS[kind])
        if len(content) > 4:
            place, content = len(body), content + bytes(len(content) % 2)
            body += content
            content = struct.pack(order + "I", place)
        entries += struct.pack(order + "HHI", tag, kind, count) + content.ljust(4, b"\0")
    struct.pack_into(order + "I", body, 4, len(body))
    return bytes(body) + struct.pack(order + "H", len(entries) // 12) + entries + bytes(4)


def read_pages(path: Path) -> tuple[TiffPage, ...]:
    """Find the pages of a TIFF file that are pictures: previews and masks are left out.

    Raises:
        MediaError: If a page can't be read, or they differ in size or kind.
        ValueError: If the file is damaged.
        OSError: If it can't be read.
    """
    with path.open("rb") as file:
        pages = _pages(file)
    named = re.match(_IMAGEJ, pages[0].fields.get(DESCRIPTION, (2, b""))[1])
    if named and len(pages) == 1 and int(named[1]) > 1:
        pages = _stack_of_imagej(pages[0], int(named[1]))
    if b'"truncated": true' in pages[0].fields.get(DESCRIPTION, (2, b""))[1]:
        raise MediaError(f"{path} describes its first page only: write a page per frame")
    first = pages[0]
    for number, page in enumerate(pages, 1):
        if refusal := page.refusal():
            raise MediaError(f"{path} {refusal}")
        if page.size != first.size:
            sizes = "{}x{}, the first is {}x{}".format(*page.size, *first.size)
            raise MediaError(f"{path}: page {number} is {sizes}: write the pages of one size into a file of their own")
    return pages


def _pages(file: BinaryIO) -> tuple[TiffPage, ...]:
    magic = _read(file, 4)
    order, big = "<" if magic.startswith(b"II") else ">", magic in MAGICS[2:]
    pointer, count, width = ("Q", "Q", 8) if big else ("I", "H", 4)
    file.seek(8 if big else 4)
    seen: set[int] = set()
    pages = []
    while offset := struct.unpack(order + pointer, _read(file, width))[0]:
        if offset in seen or len(seen) >= MOST_PAGES:
            raise ValueError("pages in a circle")
        seen.add(offset)
        file.seek(offset)
        number = struct.unpack(order + count, _read(file, struct.calcsize(order + count)))[0]
        entries = _read(file, number * (4 + 2 * width))
        following = file.tell()
        page = TiffPage(order=order, fields=_fields(file, entries, order=order, pointer=pointer))
        if not page.value(SUBFILE) & (REDUCED | MASK):
            pages.append(page)
        file.seek(following)
    if not pages:
        raise ValueError("no pages")
    return tuple(pages)


def _fields(file: BinaryIO, entries: bytes, *, order: str, pointer: str) -> dict[int, tuple[int, bytes]]:
    fields = {}
    inline = struct.calcsize(pointer)
    for tag, kind, count, content in struct.iter_unpack(f"{order}HH{pointer}{inline}s", entries):
        if tag not in READ or kind not in KINDS:
            continue
        length = count * struct.calcsize(order + KINDS[kind])
        if length > inline:
            file.seek(struct.unpack(order + pointer, content)[0])
            content = _read(file, length)
        fields[tag] = kind, content[:length]
        if kind in (13, 16, 18) and tag in COPIED:  # numbers of BigTIFF
            numbers = struct.unpack(f"{order}{count}{KINDS[kind]}", content[:length])
            fields[tag] = LONG, struct.pack(f"{order}{count}I", *numbers)
    return fields


def _stack_of_imagej(first: TiffPage, count: int) -> tuple[TiffPage, ...]:
    """Make pages of a stack that ImageJ describes as one page, the others following without directories."""
    if first.value(COMPRESSION, UNCOMPRESSED) != UNCOMPRESSED:
        return (first,)
    length = sum(first.values(STRIP_BYTES))
    return tuple(replace(first, shift=number * length) for number in range(count))


def _read(file: BinaryIO, length: int) -> bytes:
    """Read bytes; a length is held against the file's before memory is taken for it."""
    content = file.read(length) if length <= os.fstat(file.fileno()).st_size else b""
    if len(content) < length:
        raise ValueError("the file ends early")
    return content


def open_alone(path: Path, page: TiffPage) -> BytesIO:
    """Open a page as a file of its own.

    Raises:
        ValueError: If the file is damaged.
        OSError: If it can't be read.
    """
    with path.open("rb") as file:
        return BytesIO(page.alone(file))
