"""HDR10 metadata inside the streams: SEI messages of HEVC and metadata OBUs of AV1, put into key frames."""

import struct
from collections.abc import Iterator

from lanhdr_cli.media.errors import MediaError
from lanhdr_cli.media.light_level import MasteringDisplay, StaticMetadata

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


def hevc_length_size(configuration: bytes) -> int:
    """Bytes of the length before each NAL unit, from an hvcC record (ISO/IEC 14496-15 clause 8.3.2.1)."""
    return (configuration[HVCC_LENGTH_SIZE] & 3) + 1


def with_hevc_metadata(sample: bytes, metadata: StaticMetadata, *, length_size: int = 4) -> bytes:
    """Put two SEI NAL units before the picture of a sample.

    Args:
        sample: NAL units, each behind its length, as mp4 and Matroska store them.
        metadata: What to say.
        length_size: Bytes of each length.

    Raises:
        MediaError: If the sample is damaged.
    """
    for begin, header in _nal_units(sample, length_size=length_size):
        if header >> 1 & 0x3F < FIRST_NON_VCL:
            units = (_sei(DISPLAY_PAYLOAD, metadata.display.packed()), _sei(LIGHT_PAYLOAD, metadata.light.packed()))
            added = b"".join(len(unit).to_bytes(length_size, "big") + unit for unit in units)
            return sample[:begin] + added + sample[begin:]
    raise MediaError("the encoder made a key frame without a picture: try another --codec")


def _nal_units(sample: bytes, *, length_size: int) -> Iterator[tuple[int, int]]:
    """Yield where each NAL unit's length begins, and the first byte of its header."""
    begin = 0
    while begin + length_size < len(sample):
        length = int.from_bytes(sample[begin : begin + length_size], "big")
        yield begin, sample[begin + length_size]
        begin += length_size + length


def _sei(kind: int, payload: bytes) -> bytes:
    """A prefix SEI NAL unit with one message (H.265 clauses 7.3.1.2, 7.3.5)."""
    header = bytes([PREFIX_SEI << 1, 1])  # layer 0, temporal id 0
    return header + _escaped(bytes([kind, len(payload)]) + payload + TRAILING_BITS)


def _escaped(payload: bytes) -> bytes:
    """Keep start codes out of a payload (H.265 clause 7.4.2: emulation_prevention_three_byte)."""
    escaped = bytearray()
    for byte in payload:
        if byte <= 3 and escaped[-2:] == b"\0\0":
            escaped.append(3)
        escaped.append(byte)
    return bytes(escaped)


def with_av1_metadata(unit: bytes, metadata: StaticMetadata) -> bytes:
    """Put two metadata OBUs before the first frame of a temporal unit.

    Args:
        unit: OBUs that say their size (low-overhead format), as mp4 and Matroska store them.
        metadata: What to say.

    Raises:
        MediaError: If the unit holds no frame.
    """
    for begin, kind in _obus(unit):
        if kind in FRAME_OBUS:
            display = _metadata_obu(DISPLAY_METADATA, _av1_display(metadata.display))
            return unit[:begin] + display + _metadata_obu(LIGHT_METADATA, metadata.light.packed()) + unit[begin:]
    raise MediaError("the encoder made a key frame without a picture: try another --codec")


def _obus(unit: bytes) -> Iterator[tuple[int, int]]:
    """Yield where each OBU begins and its type (AV1 clauses 5.3.1, 5.3.2)."""
    begin = 0
    while begin < len(unit):
        header = unit[begin]
        yield begin, header >> 3 & 0xF
        has_extension, has_size = header >> 2 & 1, header >> 1 & 1
        if not has_size:
            return
        size, after = _leb128(unit, begin + 1 + has_extension)
        begin = after + size


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


def _av1_display(display: MasteringDisplay) -> bytes:
    """AV1 clause 6.7.4: red, green, blue, white as 0.16 fixed point; luminance as 24.8 and 18.14."""
    points = [round(65536 * value) for value in display.primaries.chromaticities]
    return struct.pack(">8H2I", *points, round(256 * display.peak_nits), round(16384 * display.darkest_nits))
