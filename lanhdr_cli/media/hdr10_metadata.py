"""Static metadata of HDR10: the mastering display, and light levels measured on what was encoded."""

import struct
from dataclasses import dataclass
from pathlib import Path

import torch
from av import VideoFrame

from lanhdr_cli.media.errors import MediaError
from lanhdr_cli.media.yuv import brightest
from model.color import P3_D65, Primaries, pq_decode

DARKEST_NITS = 0.0001
LEVELS = 1 << 16
HIGHEST_FIELD = 65535
# Rec. ITU-T H.265: table 7-1, and payload types of annex D.2.1.
PREFIX_SEI = 39
FIRST_NON_VCL = 32
DISPLAY_PAYLOAD, LIGHT_PAYLOAD = 137, 144
TRAILING_BITS = b"\x80"
# AV1 Bitstream & Decoding Process Specification: obu_type (6.2.2) and metadata_type (6.7.1).
FRAME_OBUS = {3, 4, 6, 7}  # frame header, tile group, frame, redundant frame header
METADATA_OBU = 5
LIGHT_METADATA, DISPLAY_METADATA = 1, 2
HVCC_LENGTH_SIZE = 21  # byte of HEVCDecoderConfigurationRecord that holds lengthSizeMinusOne
TO_ENTRY = (b"trak", b"mdia", b"minf", b"stbl", b"stsd")  # below moov; ISO/IEC 14496-12 table 1
BOX_HEADER = 8
STSD_FIELDS = 8  # version and flags, number of entries


@dataclass(frozen=True, kw_only=True)
class MasteringDisplay:
    """SMPTE ST 2086: the display that the light is meant for; all of Rec.709 lies within P3."""

    peak_nits: float
    darkest_nits: float = DARKEST_NITS
    primaries: Primaries = P3_D65

    def packed(self) -> bytes:
        """Rec. ITU-T H.265 clause D.2.28: green, blue, red, white in units of 0.00002; light in 0.0001 cd/m2."""
        own = self.primaries
        points = [round(50000 * value) for point in (own.green, own.blue, own.red, own.white) for value in point]
        return struct.pack(">8H2I", *points, round(10000 * self.peak_nits), round(10000 * self.darkest_nits))


@dataclass(frozen=True, kw_only=True)
class LightLevel:
    """CTA-861.3 annex P: whole cd/m2.

    Args:
        max_cll: Brightest pixel of all frames, by max(R, G, B).
        max_fall: Highest mean of max(R, G, B) of a frame.
    """

    max_cll: int
    max_fall: int

    @classmethod
    def of(cls, *, max_cll_nits: float, max_fall_nits: float) -> "LightLevel":
        """Round measured levels; at least 1, because 0 would mean unknown."""
        cll, fall = (min(max(1, round(nits)), HIGHEST_FIELD) for nits in (max_cll_nits, max_fall_nits))
        return cls(max_cll=cll, max_fall=fall)

    def packed(self) -> bytes:
        """Rec. ITU-T H.265 clause D.2.35."""
        return struct.pack(">2H", self.max_cll, self.max_fall)


@dataclass(frozen=True, kw_only=True)
class StaticMetadata:
    """HDR10 metadata of a whole file."""

    display: MasteringDisplay
    light: LightLevel


class ContentLightMeter:
    """Measures decoded PQ frames as they pass."""

    def __init__(self) -> None:
        self.max_cll_nits = 0.0
        self.max_fall_nits = 0.0
        self._nits = pq_decode(torch.arange(LEVELS, dtype=torch.float64) / (LEVELS - 1))

    def add(self, frame: VideoFrame) -> None:
        """Take one frame into account."""
        signal = brightest(frame)  # (H, W)
        # PQ rises: the brightest is found in the signal, and the mean over a table, instead of a power per pixel.
        self.max_cll_nits = max(self.max_cll_nits, pq_decode(signal.max().double()).item())
        counts = torch.bincount((signal * (LEVELS - 1) + 0.5).int().flatten(), minlength=LEVELS)
        self.max_fall_nits = max(self.max_fall_nits, (counts.double() @ self._nits).item() / signal.numel())


def hevc_length_size(configuration: bytes) -> int:
    """Bytes of the length before each NAL unit, from an hvcC record (ISO/IEC 14496-15 clause 8.3.2.1)."""
    return (configuration[HVCC_LENGTH_SIZE] & 3) + 1


def with_hevc_metadata(sample: bytes, metadata: StaticMetadata, *, length_size: int = 4) -> bytes:
    """Put two SEI NAL units before the picture of a sample.

    Args:
        sample: NAL units, each behind its length, as mp4 and Matroska store them.
        length_size: Bytes of each length.

    Raises:
        MediaError: If the sample is damaged.
    """
    begin = 0
    while begin + length_size < len(sample):
        if sample[begin + length_size] >> 1 & 0x3F < FIRST_NON_VCL:
            units = (_sei(DISPLAY_PAYLOAD, metadata.display.packed()), _sei(LIGHT_PAYLOAD, metadata.light.packed()))
            added = b"".join(len(unit).to_bytes(length_size, "big") + unit for unit in units)
            return sample[:begin] + added + sample[begin:]
        begin += length_size + int.from_bytes(sample[begin : begin + length_size], "big")
    raise MediaError("the encoder made a key frame without a picture: try another --codec")


def _sei(kind: int, payload: bytes) -> bytes:
    """Prefix SEI NAL unit with one message (H.265 clauses 7.3.1.2, 7.3.5)."""
    unit = bytearray([PREFIX_SEI << 1, 1])  # layer 0, temporal id 0
    for byte in bytes([kind, len(payload)]) + payload + TRAILING_BITS:
        if byte <= 3 and unit[-2:] == b"\0\0":  # clause 7.4.2: emulation_prevention_three_byte
            unit.append(3)
        unit.append(byte)
    return bytes(unit)


def with_av1_metadata(unit: bytes, metadata: StaticMetadata) -> bytes:
    """Put two metadata OBUs before the first frame of a temporal unit.

    Args:
        unit: OBUs that say their size (low-overhead format), as mp4 and Matroska store them.

    Raises:
        MediaError: If the unit holds no frame.
    """
    begin = 0
    while begin < len(unit):
        header = unit[begin]  # AV1 clauses 5.3.1, 5.3.2
        if header >> 3 & 0xF in FRAME_OBUS:
            # Clause 6.7.4: red, green, blue, white as 0.16 fixed point; luminance as 24.8 and 18.14.
            display = metadata.display
            points = [round(65536 * value) for value in display.primaries.chromaticities]
            nits = round(256 * display.peak_nits), round(16384 * display.darkest_nits)
            added = _metadata_obu(DISPLAY_METADATA, struct.pack(">8H2I", *points, *nits))
            return unit[:begin] + added + _metadata_obu(LIGHT_METADATA, metadata.light.packed()) + unit[begin:]
        has_extension, has_size = header >> 2 & 1, header >> 1 & 1
        if not has_size:
            break
        size, after = _leb128(unit, begin + 1 + has_extension)
        begin = after + size
    raise MediaError("the encoder made a key frame without a picture: try another --codec")


def _leb128(data: bytes, position: int) -> tuple[int, int]:
    """Read a number (AV1 clause 4.10.5); return it and the position behind it."""
    value = 0
    for count in range(8):
        byte = data[position + count]
        value |= (byte & 0x7F) << (7 * count)
        if not byte & 0x80:
            return value, position + count + 1
    raise MediaError("the encoder made a damaged AV1 stream: try another --codec")


def _metadata_obu(kind: int, payload: bytes) -> bytes:
    content = bytes([kind]) + payload + TRAILING_BITS
    return bytes([METADATA_OBU << 3 | 2, len(content)]) + content


def add_light_boxes(path: Path, metadata: StaticMetadata) -> None:
    """Add the boxes to the first track of a file whose `moov` comes last.

    Args:
        path: The file, changed in place; nothing but the end of `moov` moves.

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
