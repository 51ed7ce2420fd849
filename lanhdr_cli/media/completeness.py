"""Files that were cut off: lengths that containers state of themselves, held against the file's.

FFmpeg takes the end of a Matroska, MXF or MPEG-TS file for the end of the clip, wherever it is.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

# RFC 8794 (EBML), RFC 9559 (Matroska), SMPTE ST 377-1 (MXF), ISO/IEC 14496-12 (mp4, mov), ISO/IEC 13818-1 (MPEG-TS).
EBML, SEGMENT = b"\x1aE\xdf\xa3", b"\x18S\x80g"
PARTITION = b"\x06\x0e+4\x02\x05\x01\x01\x0d\x01\x02\x01\x01"
FOOTER_OFFSET, FOOTER_END = 24, 32  # of a partition pack's FooterPartition, behind its length
FIRST_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot", b"styp")
SYNC = 0x47
TS_PACKETS = ((188, 0), (192, 4), (204, 0))  # bytes, and where the sync byte is
SYNCS_SEEN = 4
MOST_BOXES = 100_000


def missing_end(path: Path) -> str:
    """Say that a file was cut off; empty if it is whole, or does not say how long it is."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(SYNCS_SEEN * max(length for length, _ in TS_PACKETS))
            if head.startswith(EBML):
                stated = _end_of_matroska(head)
            elif head.startswith(PARTITION):
                stated = _end_of_mxf(head)
            elif head[4:8] in FIRST_BOXES:
                stated = max(_ends_of_boxes(file, size))
            else:
                return "the file ends within a packet of MPEG-TS" if _breaks_ts(file, head, size) else ""
    except (OSError, IndexError, ValueError):
        return ""
    return f"the file has {size} bytes, {stated} are stated" if stated > size else ""


def _number(data: bytes, place: int) -> tuple[int, int]:
    """Read a number of EBML, and where it ends; the first bit that is set says how long it is."""
    length = 9 - data[place].bit_length()
    return int.from_bytes(data[place : place + length], "big") - (1 << 7 * length), place + length


def _end_of_matroska(head: bytes) -> int:
    """Where the segment ends, 0 if that is not known, as of a live recording."""
    length, begin = _number(head, len(EBML))
    place = begin + length
    if head[place : place + 4] != SEGMENT:
        return 0
    length, begin = _number(head, place + 4)
    unknown = length == (1 << 7 * (begin - place - 4)) - 1
    return 0 if unknown else begin + length


def _end_of_mxf(head: bytes) -> int:
    """Where the footer begins, 0 if the header does not say it."""
    length_bytes = 1 + (head[16] & 0x7F if head[16] & 0x80 else 0)
    begin = 16 + length_bytes
    footer = int.from_bytes(head[begin + FOOTER_OFFSET : begin + FOOTER_END], "big")
    return footer + 1 if footer else 0


def _ends_of_boxes(file: BinaryIO, size: int) -> Iterator[int]:
    """Where each box of the top level ends."""
    place = 0
    for _ in range(MOST_BOXES):
        file.seek(place)
        head = file.read(16)
        length = int.from_bytes(head[:4], "big")
        if length == 1:
            length = int.from_bytes(head[8:16], "big")
        yield place + length
        place += length
        if length < 8 or place >= size:  # a length of 0 means up to the end
            return


def _breaks_ts(file: BinaryIO, head: bytes, size: int) -> bool:
    """Whether a transport stream ends with something else than a whole packet."""
    sync = bytes([SYNC])
    for length, offset in TS_PACKETS:
        if all(head[offset + length * n : offset + length * n + 1] == sync for n in range(SYNCS_SEEN)):
            file.seek(size - length + offset)
            return size % length != 0 or file.read(1) != sync
    return False
