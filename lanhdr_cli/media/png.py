"""PNG pictures from tensors, with the standard library alone."""

import struct
import zlib
from pathlib import Path

from torch import Tensor

from lanhdr_cli.media.output import complete_file

SIGNATURE = b"\x89PNG\r\n\x1a\n"
RGB_8_BIT = (8, 2, 0, 0, 0)  # depth, color type, compression, filter, interlace
UNFILTERED = b"\0"


def write_png(path: Path, picture: Tensor) -> None:
    """Write an 8-bit sRGB picture (W3C PNG, clauses 5 and 11).

    Args:
        path: The file; it appears under its name only when complete.
        picture: sRGB-encoded, 0..1, (3, H, W).

    Raises:
        MediaError: If it can't be written.
    """
    codes = picture.clamp(0, 1).mul(255).round().byte().permute(1, 2, 0).contiguous()  # (H, W, 3)
    height, width, _ = codes.shape
    rows = b"".join(UNFILTERED + row.tobytes() for row in codes.numpy())
    chunks = (
        (b"IHDR", struct.pack(">2I5B", width, height, *RGB_8_BIT)),
        (b"sRGB", b"\0"),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    )
    with complete_file(path) as unfinished:
        unfinished.write_bytes(SIGNATURE + b"".join(_chunk(kind, data) for kind, data in chunks))


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
