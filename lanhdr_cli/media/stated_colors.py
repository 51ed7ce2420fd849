"""Primaries and transfer functions that headers of pictures name: ICC profiles, PNG chunks, chromaticities."""

import math
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import BinaryIO

import torch

from model.color import (
    ACES2065_1,
    ACESCG,
    ADOBE_RGB,
    P3_D65,
    P3_DCI,
    REC709,
    REC2020,
    Primaries,
    conversion_matrix,
    hlg_oetf,
    hlg_oetf_inverse,
    pq_decode,
    pq_encode,
)
from model.errors import ResponseError
from model.response import ResponseCurve, bt709_curve, linear_curve, power_curve, srgb_curve, table_curve

NAMES = {
    "bt709": REC709,
    "bt2020": REC2020,
    "smpte432": P3_D65,
    "smpte431": P3_DCI,
    "adobergb": ADOBE_RGB,
    "acescg": ACESCG,
    "aces2065-1": ACES2065_1,
}
SAME_PRIMARIES = 0.004  # of the elements of a matrix to a standard's: profiles round, or adapt white with other digits
SAME_LIGHT = 0.003  # of the clip level
SAMPLES = 4096
POWERS = (1.0, 3.0)
PQ, HLG = ResponseCurve("pq", pq_decode, pq_encode), ResponseCurve("hlg", hlg_oetf_inverse, hlg_oetf)
# ITU-T H.273 tables 2 and 3.
CODED_PRIMARIES = {1: REC709, 9: REC2020, 11: P3_DCI, 12: P3_D65}
CODED_TRANSFERS = {
    **dict.fromkeys((1, 6, 14, 15), bt709_curve()),
    4: power_curve(2.2),
    5: power_curve(2.8),
    8: linear_curve(),
    13: srgb_curve(),
    16: PQ,
    18: HLG,
}


@dataclass(frozen=True, kw_only=True)
class StatedColors:
    """Colors as the header of a picture names them.

    Args:
        gamut: None if it names no primaries.
        response: From codes to light; None if it names no transfer function.
        origin: What names them, in words.
        trouble: What can't be read of it, in words.
        assumed: Whether the response is a convention of the format, and not named.
        is_rough: Whether the response stands for others near to it, as PNG's gAMA does for sRGB and BT.709.
    """

    gamut: Primaries | None = None
    response: ResponseCurve | None = None
    origin: str = ""
    trouble: str = ""
    assumed: bool = False
    is_rough: bool = False

    @property
    def names(self) -> tuple[str, str]:
        """The primaries and the response by their names, empty if there are none."""
        return name_of(self.gamut) if self.gamut else "", self.response.name if self.response else ""


NOT_STATED = StatedColors()
LINEAR_RAW = StatedColors(gamut=REC2020, response=linear_curve(), origin="camera raw")
LINEAR_FLOATS = StatedColors(response=linear_curve(), origin="floats", assumed=True)


def name_of(gamut: Primaries) -> str:
    """Name primaries as FFmpeg does, or list their coordinates."""
    known = next((name for name, primaries in NAMES.items() if primaries == gamut), None)
    return known or " ".join(f"{number:.4g}" for number in gamut.chromaticities)


def standard_of(gamut: Primaries) -> Primaries:
    """Return the standard's primaries where they are the same but for rounding.

    Raises:
        ValueError: If the primaries span no triangle.
    """
    matrices = ((known, conversion_matrix(gamut, known)) for known in NAMES.values())
    same = torch.eye(3, dtype=torch.float64)
    try:
        near = [(float((matrix - same).abs().max()), known) for known, matrix in matrices]
    except RuntimeError as error:
        raise ValueError("no triangle") from error
    distance, known = min(near, key=lambda pair: pair[0])
    if not math.isfinite(distance):
        raise ValueError("no triangle")
    return known if distance < SAME_PRIMARIES else gamut


def of_exr(chromaticities: Sequence[float] | None) -> StatedColors:
    """Take OpenEXR's attribute: x and y of red, green, blue and white; OpenEXR is linear."""
    gamut, trouble = None, ""
    if chromaticities:
        red_x, red_y, green_x, green_y, blue_x, blue_y, white_x, white_y = map(float, chromaticities)
        try:
            gamut = standard_of(Primaries((red_x, red_y), (green_x, green_y), (blue_x, blue_y), (white_x, white_y)))
        except (ValueError, ZeroDivisionError):
            trouble = "its chromaticities span no triangle"
    return StatedColors(gamut=gamut, response=linear_curve(), origin="OpenEXR", trouble=trouble)


def of_tiff(white: Sequence[int], primaries: Sequence[int]) -> StatedColors:
    """Take the fractions of TIFF's WhitePoint and PrimaryChromaticities, numerators and denominators in turn."""
    try:
        numbers = [top / bottom for top, bottom in zip(*[iter((*primaries, *white))] * 2, strict=True)]
        red, green, blue, center = zip(*[iter(numbers)] * 2, strict=True)
        return StatedColors(gamut=standard_of(Primaries(red, green, blue, center)), origin="TIFF tags")
    except (ValueError, ZeroDivisionError):
        return NOT_STATED


def of_png(file: BinaryIO) -> StatedColors:
    """Read the chunks before the samples: cICP counts before iCCP, that before sRGB, and that before gAMA and cHRM."""
    chunks = dict(_chunks(file))
    if coded := chunks.get(b"cICP"):
        gamut, transfer = CODED_PRIMARIES.get(coded[0]), CODED_TRANSFERS.get(coded[1])
        return StatedColors(gamut=gamut, response=transfer, origin="cICP")
    if profile := chunks.get(b"iCCP"):
        try:
            return of_icc(zlib.decompress(profile.partition(b"\0")[2][1:]))
        except zlib.error:
            return StatedColors(origin="ICC profile", trouble="its ICC profile is damaged")
    if b"sRGB" in chunks:
        return StatedColors(gamut=REC709, response=srgb_curve(), origin="sRGB chunk")
    gamut = response = None
    if len(chunks.get(b"cHRM", b"")) == 32:
        white_x, white_y, *rest = (number / 1e5 for number in struct.unpack(">8I", chunks[b"cHRM"]))
        gamut = of_exr((*rest, white_x, white_y)).gamut
    if len(chunks.get(b"gAMA", b"")) == 4:
        power = 1e5 / max(1, struct.unpack(">I", chunks[b"gAMA"])[0])
        response = power_curve(round(power, 2)) if POWERS[0] <= round(power, 2) <= POWERS[1] else None
    origin = " and ".join(name for name, found in (("cHRM", gamut), ("gAMA", response)) if found)
    is_rough = response is not None and response.power != 1
    return StatedColors(gamut=gamut, response=response, origin=origin, is_rough=is_rough)


def _chunks(file: BinaryIO) -> Iterator[tuple[bytes, bytes]]:
    file.seek(8)
    while len(head := file.read(8)) == 8:
        length, name = struct.unpack(">I4s", head)
        if name in (b"IDAT", b"IEND"):
            return
        yield name, file.read(length)
        file.seek(4, 1)


@lru_cache(maxsize=8)
def of_icc(profile: bytes) -> StatedColors:
    """Read an ICC profile of three colorants and curves, or of gray.

    Colorants are relative to D50; their own white does not matter, as it is adapted by the same method to any other.
    """
    origin = "ICC profile"
    try:
        count = struct.unpack_from(">I", profile, 128)[0]
        table = [struct.unpack_from(">4sII", profile, 132 + 12 * number) for number in range(min(count, 200))]
        tags = {name: profile[offset : offset + length] for name, offset, length in table}
        if coded := tags.get(b"cicp"):
            gamut, transfer = CODED_PRIMARIES.get(coded[8]), CODED_TRANSFERS.get(coded[9])
            return StatedColors(gamut=gamut, response=transfer, origin=origin)
        gamut = _colorants(tags) if b"rXYZ" in tags else None
        response = _transfer(tags.get(b"gTRC", tags.get(b"kTRC", b"")))
    except (struct.error, ValueError, IndexError, KeyError, ZeroDivisionError, ResponseError):
        return StatedColors(origin=origin, trouble="its ICC profile is damaged")
    if response is None and gamut is None:
        return StatedColors(origin=origin, trouble="its ICC profile holds tables, which can't be used")
    return StatedColors(gamut=gamut, response=response, origin=origin)


def _colorants(tags: Mapping[bytes, bytes]) -> Primaries:
    corners = [struct.unpack_from(">3i", tags[name], 8) for name in (b"rXYZ", b"gXYZ", b"bXYZ")]
    red, green, blue, white = (
        (x / (x + y + z), y / (x + y + z)) for x, y, z in (*corners, tuple(map(sum, zip(*corners, strict=True))))
    )
    return standard_of(Primaries(red, green, blue, white))


def _transfer(tag: bytes) -> ResponseCurve | None:
    """Read a curve (ICC.1 10.6) or a parametric one (10.18); None if there is none."""
    kind = tag[:4]
    codes = torch.linspace(0, 1, SAMPLES, dtype=torch.float64)
    if kind == b"curv":
        count = struct.unpack_from(">I", tag, 8)[0]
        if count <= 1:
            return power_curve(round(struct.unpack_from(">H", tag, 12)[0] / 256, 2) if count else 1.0)
        values = torch.tensor(struct.unpack_from(f">{count}H", tag, 12), dtype=torch.float64) / 65535
        return _standard_curve(table_curve("ICC profile", values))
    if kind != b"para":
        return None
    form = struct.unpack_from(">H", tag, 8)[0]
    numbers = [number / 65536 for number in struct.unpack_from(f">{(1, 3, 4, 5, 7)[form]}i", tag, 12)]
    power, *rest = numbers
    if form == 0:
        return power_curve(round(power, 2))
    a, b = rest[:2]
    if form in (1, 2):
        c = offset = rest[2] if form == 2 else 0.0
        linear, knee = 0.0, -b / a
    else:
        linear, knee = rest[2:4]
        c, offset = rest[4:] or (0.0, 0.0)
    upper = (a * codes + b).clamp(min=0).pow(power) + c
    values = torch.where(codes >= knee, upper, linear * codes + offset)
    return _standard_curve(table_curve("ICC profile", values))


def _standard_curve(curve: ResponseCurve) -> ResponseCurve:
    """Return the standard's curve, or a power, where it is the same but for rounding."""
    codes = torch.linspace(0, 1, SAMPLES).expand(3, 1, -1)
    light = curve.linearize(codes)
    middle = float(light[1, 0, SAMPLES // 2].log() / codes[1, 0, SAMPLES // 2].log())
    powers = [power_curve(round(middle, 2))] if POWERS[0] <= round(middle, 2) <= POWERS[1] else []

    def off(other: ResponseCurve) -> float:
        return float((other.linearize(codes) - light).abs().max())

    nearest = min((srgb_curve(), bt709_curve(), *powers), key=off)
    return nearest if off(nearest) < SAME_LIGHT else curve
