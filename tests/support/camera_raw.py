"""Small DNG files: a mosaic of 14-bit codes with the tags that LibRaw needs."""

import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

BLACK, WHITE = 512, 16383
SRGB_FROM_XYZ = (3.2405, -1.5371, -0.4985, -0.9693, 1.8760, 0.0416, 0.0556, -0.2040, 1.0572)
BYTE, TEXT, SHORT, LONG, RATIONAL, SIGNED_RATIONAL = 1, 2, 3, 4, 5, 10
FORMS = {BYTE: "B", SHORT: "H", LONG: "I", RATIONAL: "I", SIGNED_RATIONAL: "i"}


def write_dng(
    path: Path,
    light: NDArray[np.float64],
    *,
    time_s: float = 0.01,
    white: tuple[float, float, float] = (0.5, 1.0, 0.6),
) -> Path:
    """Write linear light of sRGB primaries, 1.0 = clip level, (H, W, 3).

    Args:
        white: Signals of R, G and B for white, as the camera notes them.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width = light.shape[:2]
    signals = light * np.asarray(white)
    mosaic = signals[..., 1].copy()
    mosaic[0::2, 0::2], mosaic[1::2, 1::2] = signals[0::2, 0::2, 0], signals[1::2, 1::2, 2]
    codes = np.rint(mosaic.clip(0, 1) * (WHITE - BLACK) + BLACK).astype("<u2").tobytes()
    tags: list[tuple[int, int, Sequence[float] | bytes]] = [
        (254, LONG, [0]),
        (256, LONG, [width]),
        (257, LONG, [height]),
        (258, SHORT, [16]),
        (259, SHORT, [1]),
        (262, SHORT, [32803]),  # color filter array
        (273, LONG, [8]),
        (277, SHORT, [1]),
        (278, LONG, [height]),
        (279, LONG, [len(codes)]),
        (33421, SHORT, [2, 2]),
        (33422, BYTE, [0, 1, 1, 2]),
        (33434, RATIONAL, [time_s]),
        (50706, BYTE, [1, 4, 0, 0]),
        (50708, TEXT, b"Test\0"),
        (50714, SHORT, [BLACK]),
        (50717, SHORT, [WHITE]),
        (50721, SIGNED_RATIONAL, SRGB_FROM_XYZ),
        (50728, RATIONAL, white),
        (50778, SHORT, [21]),
    ]
    begin = 8 + len(codes)
    entries, rest = b"", b""
    for tag, kind, values in tags:
        content = values if isinstance(values, bytes) else _packed(kind, values)
        count = len(content) if kind == TEXT else len(values)
        if len(content) > 4:
            offset = begin + 2 + 12 * len(tags) + 4 + len(rest)
            rest += content
            content = struct.pack("<I", offset)
        entries += struct.pack("<HHI", tag, kind, count) + content.ljust(4, b"\0")
    directory = struct.pack("<H", len(tags)) + entries + struct.pack("<I", 0)
    path.write_bytes(b"II*\0" + struct.pack("<I", begin) + codes + directory + rest)
    return path


def _packed(kind: int, values: Sequence[float]) -> bytes:
    if kind in (RATIONAL, SIGNED_RATIONAL):
        values = [part for value in values for part in (round(value * 1_000_000), 1_000_000)]
    return struct.pack(f"<{len(values)}{FORMS[kind]}", *map(int, values))
