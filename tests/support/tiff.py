"""TIFF files of several pages as scientific software writes them: classic and big, either byte order, floats."""

import struct
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Field = bytes | str | int | Sequence[int] | Sequence[tuple[int, int]]  # of kinds 7, 2, 4, 4 and 5
Fields = Mapping[int, Field]


def write_tiff(
    path: Path,
    pages: Sequence[NDArray[np.generic]],
    *,
    order: Literal["<", ">"] = "<",
    big: bool = False,
    deflate: bool = False,
    float_predictor: bool = False,
    strips: int = 2,
    kinds: Sequence[int] = (),
    extra: Fields | None = None,
) -> Path:
    """Write pictures, (H, W) or (H, W, 3), as pages.

    Args:
        order: Byte order, as struct writes it.
        big: Whether to write BigTIFF.
        float_predictor: Whether floats are coded as differences of their bytes.
        strips: Number of strips of a page.
        kinds: NewSubfileType of each page.
        extra: Further fields of each page.
    """
    pointer, count, width = ("Q", "Q", 8) if big else ("I", "H", 4)
    mark = b"II" if order == "<" else b"MM"
    data = bytearray(mark + (struct.pack(order + "HHH", 43, 8, 0) if big else struct.pack(order + "H", 42)))
    link, data = len(data), data + bytes(width)
    for index, page in enumerate(pages):
        channels = page.shape[2] if page.ndim == 3 else 1
        parts = _strips(page, order=order, deflate=deflate, float_predictor=float_predictor, strips=strips)
        offsets = []
        for part in parts:
            offsets.append(len(data))
            data += part
        fields: dict[int, Field] = {
            254: kinds[index] if kinds else 0,
            256: page.shape[1],
            257: page.shape[0],
            258: [page.itemsize * 8] * channels,
            259: 8 if deflate else 1,
            262: 2 if channels == 3 else 1,
            273: offsets,
            277: channels,
            278: -(-page.shape[0] // strips),
            279: [len(part) for part in parts],
            317: 3 if float_predictor else 1,
            339: [3 if page.dtype.kind == "f" else 1] * channels,
            **(extra or {}),
        }
        entries = b""
        for tag, value in sorted(fields.items()):
            kind, number, content = _packed(value, order)
            if len(content) > width:
                place, data = len(data), data + content
                content = struct.pack(order + pointer, place)
            entries += struct.pack(order + "HH" + pointer, tag, kind, number) + content.ljust(width, b"\0")
        struct.pack_into(order + pointer, data, link, len(data))
        data += struct.pack(order + count, len(fields)) + entries
        link, data = len(data), data + bytes(width)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def _packed(value: Field, order: str) -> tuple[int, int, bytes]:
    if isinstance(value, bytes):
        return 7, len(value), value
    if isinstance(value, str):
        return 2, len(value) + 1, value.encode() + b"\0"
    if not isinstance(value, int) and isinstance(value[0], tuple):
        parts = [part for pair in value if isinstance(pair, tuple) for part in pair]
        return 5, len(value), struct.pack(f"{order}{len(parts)}I", *parts)
    numbers = [value] if isinstance(value, int) else list(value)
    return 4, len(numbers), struct.pack(f"{order}{len(numbers)}I", *numbers)


def _strips(
    page: NDArray[np.generic], *, order: Literal["<", ">"], deflate: bool, float_predictor: bool, strips: int
) -> list[bytes]:
    rows = -(-len(page) // strips)
    parts = []
    for first in range(0, len(page), rows):
        part = page[first : first + rows]
        if float_predictor:
            channels = part.shape[2] if part.ndim == 3 else 1
            flat = part.reshape(len(part), -1).astype(part.dtype.newbyteorder(">"))
            planes = flat.view(np.uint8).reshape(len(part), -1, part.itemsize).transpose(0, 2, 1)
            coded = planes.reshape(len(part), -1, channels).copy()
            coded[:, 1:] -= planes.reshape(len(part), -1, channels)[:, :-1]
            content = coded.tobytes()
        else:
            content = part.astype(part.dtype.newbyteorder(order)).tobytes()
        parts.append(zlib.compress(content) if deflate else content)
    return parts
