"""ICC profiles and PNG chunks for tests, made from their specifications."""

import struct
import zlib
from pathlib import Path

import colour
import numpy as np
from numpy.typing import NDArray
from PIL import Image

D50 = np.array([0.9642, 1.0, 0.8249])  # of the profile connection space


def parametric(form: int, *numbers: float) -> bytes:
    """A curve of a formula."""
    return b"para" + struct.pack(">IHH", 0, form, 0) + b"".join(struct.pack(">i", round(n * 65536)) for n in numbers)


def sampled_curve(values: NDArray[np.floating] | float | None) -> bytes:
    """A curve of samples, of one exponent, or of none, which is linear."""
    if values is None:
        return b"curv" + struct.pack(">II", 0, 0)
    if isinstance(values, float):
        return b"curv" + struct.pack(">IIH", 0, 1, round(values * 256))
    codes = (np.asarray(values) * 65535).round().astype(">u2")
    return b"curv" + struct.pack(">II", 0, len(codes)) + codes.tobytes()


SRGB_CURVE = parametric(3, 2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)


def icc_profile(space: str, curve: bytes = SRGB_CURVE, **tags: bytes) -> bytes:
    """A profile with the colorants of one of colour-science's spaces, adapted to D50."""
    known = colour.RGB_COLOURSPACES[space]
    white = colour.xy_to_XYZ(known.whitepoint)
    adapted = colour.adaptation.matrix_chromatic_adaptation_VonKries(white, D50, "Bradford") @ known.matrix_RGB_to_XYZ
    content = {f"{name}XYZ": xyz_tag(adapted[:, column]) for column, name in enumerate("rgb")}
    content |= {f"{name}TRC": curve for name in "rgb"}
    return profile_of({name.encode(): tag for name, tag in {**content, **tags}.items()})


def xyz_tag(xyz: NDArray[np.float64]) -> bytes:
    """Three numbers."""
    return b"XYZ " + bytes(4) + struct.pack(">3i", *(round(float(number) * 65536) for number in xyz))


def profile_of(tags: dict[bytes, bytes]) -> bytes:
    """A profile of any tags."""
    place, table, body = 132 + 12 * len(tags), b"", b""
    for name, content in tags.items():
        padded = content + bytes(-len(content) % 4)
        table += struct.pack(">4sII", name, place + len(body), len(content))
        body += padded
    header = struct.pack(">I", place + len(body)).ljust(12, b"\0") + b"mntrRGB XYZ "
    header = header.ljust(36, b"\0") + b"acsp"
    return header.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


def add_chunks(png: Path, **chunks: bytes) -> Path:
    """Put chunks behind a PNG file's first."""
    data = png.read_bytes()
    added = b"".join(
        struct.pack(">I", len(content))
        + name.encode()
        + content
        + struct.pack(">I", zlib.crc32(name.encode() + content))
        for name, content in chunks.items()
    )
    png.write_bytes(data[:33] + added + data[33:])
    return png


def write_with_profile(path: Path, codes: NDArray[np.uint8], profile: bytes | None) -> Path:
    """Write 8-bit codes, (H, W, 3), with a profile; the suffix says the format."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(codes).save(path, quality=95, subsampling=0, icc_profile=profile)
    return path
