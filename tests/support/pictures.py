"""Small pictures for tests, with known code values, and what cameras write into them."""

import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import OpenEXR
from numpy.typing import NDArray

Codes = NDArray[np.uint8] | NDArray[np.uint16]
CODECS = {".png": "png", ".tif": "tiff", ".jpg": "mjpeg"}
LAYOUTS = {
    (".png", 1): "rgb24",
    (".png", 2): "rgb48be",
    (".tif", 1): "rgb24",
    (".tif", 2): "rgb48le",
    (".jpg", 1): "yuvj444p",
}


def write_picture(path: Path, codes: Codes) -> Path:
    """Write uint8 or uint16 codes, (H, W, 3), as PNG, TIFF or (nearly) JPEG; the suffix says which."""
    path.parent.mkdir(parents=True, exist_ok=True)
    layout = LAYOUTS[path.suffix, codes.itemsize]
    frame = av.VideoFrame.from_ndarray(codes, format="rgb48le" if codes.itemsize == 2 else "rgb24")
    context = av.CodecContext.create(CODECS[path.suffix], "w")
    assert isinstance(context, av.VideoCodecContext)
    context.width, context.height, context.pix_fmt = frame.width, frame.height, layout
    context.time_base = Fraction(1, 24)
    context.options = {"qscale": "1"}
    packets = [*context.encode(frame.reformat(format=layout)), *context.encode(None)]
    path.write_bytes(b"".join(bytes(packet) for packet in packets))
    return path


def random_codes(*, size: tuple[int, int] = (32, 24), bits: int = 8, seed: int = 0) -> Codes:
    """Random codes, (H, W, 3)."""
    generator, shape = np.random.default_rng(seed), (size[1], size[0], 3)
    if bits == 8:
        return generator.integers(0, 256, shape, dtype=np.uint8)
    return generator.integers(0, 65536, shape, dtype=np.uint16)


def write_flat(path: Path, level: int, *, size: tuple[int, int] = (32, 24)) -> Path:
    """Write an 8-bit picture of one gray."""
    return write_picture(path, np.full((size[1], size[0], 3), level, np.uint8))


def write_linear(path: Path, pixels: NDArray[np.float16], **attributes: object) -> Path:
    """Write an OpenEXR picture, (H, W, 3)."""
    header = {"type": OpenEXR.scanlineimage, "compression": OpenEXR.ZIP_COMPRESSION, **attributes}
    with OpenEXR.File(header, {"RGB": np.ascontiguousarray(pixels)}) as file:
        file.write(str(path))
    return path


def exif(*, time: tuple[int, int] | None = None, iso: int | None = None, orientation: int = 1) -> bytes:
    """A big-endian TIFF structure as cameras write it: orientation, and a directory with exposure and sensitivity."""
    first = struct.pack(">HHHIHH", 2, 0x0112, 3, 1, orientation, 0) + struct.pack(">HHIII", 0x8769, 4, 1, 38, 0)
    entries = []
    if time:
        entries.append(struct.pack(">HHII", 0x829A, 5, 1, 38 + 2 + 24 + 4))
    if iso:
        entries.append(struct.pack(">HHIHH", 0x8827, 3, 1, iso, 0))
    second = struct.pack(">H", len(entries)) + b"".join(entries) + b"\0" * 4
    head = b"MM\0*" + struct.pack(">I", 8) + first
    assert len(head) == 38
    return (head + second).ljust(68, b"\0") + struct.pack(">2I", *(time or (0, 1)))


def add_exif(jpeg: Path, tags: bytes) -> Path:
    """Put a TIFF structure into a JPEG file, before all else."""
    data = jpeg.read_bytes()
    content = b"Exif\0\0" + tags
    jpeg.write_bytes(data[:2] + b"\xff\xe1" + struct.pack(">H", len(content) + 2) + content + data[2:])
    return jpeg
