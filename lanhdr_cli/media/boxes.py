"""HDR10 metadata in the container: `mdcv` and `clli` boxes in the description of an mp4 or mov file's video."""

import struct
from pathlib import Path

from lanhdr_cli.media.light_level import StaticMetadata

TO_ENTRY = (b"trak", b"mdia", b"minf", b"stbl", b"stsd")  # below moov; ISO/IEC 14496-12 table 1
BOX_HEADER = 8
STSD_FIELDS = 8  # version and flags, number of entries


def add_light_boxes(path: Path, metadata: StaticMetadata) -> None:
    """Add the boxes to the first track of a file whose `moov` comes last.

    Args:
        path: The file, changed in place; nothing but the end of `moov` moves.
        metadata: What to say.

    Raises:
        ValueError: If `moov` is not the last box, or holds no track.
    """
    with path.open("r+b") as file:
        content_end = path.stat().st_size
        position, kind = 0, b""
        while position < content_end:
            begin = position
            file.seek(begin)
            size, kind = struct.unpack(">I4s", file.read(BOX_HEADER))
            position += struct.unpack(">Q", file.read(8))[0] if size == 1 else size or content_end - begin
        if kind != b"moov":
            raise ValueError(f"the last box is {kind!r}, not moov")
        file.seek(begin)
        moov = file.read()
        file.seek(begin)
        file.write(with_light_boxes(moov, metadata))


def with_light_boxes(moov: bytes, metadata: StaticMetadata) -> bytes:
    """Put both boxes at the end of the first sample entry, and grow all boxes around it.

    Raises:
        ValueError: If there is no sample entry.
    """
    begins = [0]
    inside = BOX_HEADER
    for kind in TO_ENTRY:
        begins.append(_find(moov, kind, begin=inside, end=begins[-1] + _size(moov, begins[-1])))
        inside = begins[-1] + BOX_HEADER
    entry = inside + STSD_FIELDS
    begins.append(entry)
    added = _box(b"mdcv", metadata.display.packed()) + _box(b"clli", metadata.light.packed())
    grown = bytearray(moov)
    for begin in begins:
        struct.pack_into(">I", grown, begin, _size(moov, begin) + len(added))
    end = entry + _size(moov, entry)
    return bytes(grown[:end] + added + grown[end:])


def _box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", BOX_HEADER + len(content), kind) + content


def _find(data: bytes, kind: bytes, *, begin: int, end: int) -> int:
    while begin + BOX_HEADER <= end:
        if data[begin + 4 : begin + 8] == kind:
            return begin
        begin += max(BOX_HEADER, _size(data, begin))
    raise ValueError(f"there is no box {kind!r}")


def _size(data: bytes, begin: int) -> int:
    return int.from_bytes(data[begin : begin + 4], "big")
