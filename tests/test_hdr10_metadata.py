"""HDR10 metadata put into streams and boxes, byte by byte."""

import struct
from pathlib import Path

import pytest

from lanhdr_cli.media.errors import MediaError
from lanhdr_cli.media.hdr10_metadata import (
    LightLevel,
    MasteringDisplay,
    StaticMetadata,
    add_light_boxes,
    hevc_length_size,
    with_av1_metadata,
    with_hevc_metadata,
    with_light_boxes,
)

DISPLAY_1000 = MasteringDisplay(peak_nits=1000.0)
METADATA = StaticMetadata(display=DISPLAY_1000, light=LightLevel(max_cll=1234, max_fall=321))
# Green, blue, red, white of P3-D65 in 1/50000, then 1000 and 0.0001 cd/m2 in 1/10000.
DISPLAY = struct.pack(">8H2I", 13250, 34500, 7500, 3000, 34000, 16000, 15635, 16450, 10_000_000, 1)
IDR, PARAMETERS = b"\x26\x01picture", b"\x40\x01vps"  # NAL types 19 and 32


def sample(*units: bytes, length_size: int = 4) -> bytes:
    return b"".join(len(unit).to_bytes(length_size, "big") + unit for unit in units)


@pytest.mark.parametrize("length_size", [2, 4])
def test_sei_stands_before_the_picture(length_size: int) -> None:
    found = with_hevc_metadata(sample(PARAMETERS, IDR, length_size=length_size), METADATA, length_size=length_size)
    display = b"\x4e\x01" + bytes([137, 24]) + DISPLAY.replace(b"\0\0\0\1", b"\0\0\3\0\1") + b"\x80"
    light = b"\x4e\x01" + bytes([144, 4]) + struct.pack(">2H", 1234, 321) + b"\x80"
    assert found == sample(PARAMETERS, display, light, IDR, length_size=length_size)


@pytest.mark.parametrize(
    ("level", "payload"),
    [
        (LightLevel(max_cll=256, max_fall=2), b"\x01\x00\x00\x03\x02"),
        (LightLevel(max_cll=1, max_fall=0), b"\x00\x01\x00\x00"),
        (LightLevel(max_cll=0, max_fall=1), b"\0\0\3\0\1"),
    ],
)
def test_start_codes_are_kept_out_of_sei(level: LightLevel, payload: bytes) -> None:
    found = with_hevc_metadata(sample(IDR), StaticMetadata(display=DISPLAY_1000, light=level))
    assert b"\x4e\x01\x90\x04" + payload + b"\x80" in found


def test_the_length_size_is_read_from_the_configuration() -> None:
    assert hevc_length_size(bytes(21) + b"\xff") == 4
    assert hevc_length_size(bytes(21) + b"\xfd") == 2


def test_obus_stand_before_the_frame() -> None:
    header = b"\x0a\x03abc"  # a sequence header with its size
    extended = b"\x16\x00\x02xy"  # a temporal layer's header: type 2, extension, size
    frame = b"\x32\x81\x01" + bytes(129)  # a size of two bytes
    found = with_av1_metadata(header + extended + frame, METADATA)
    points = [44564, 20972, 17367, 45220, 9830, 3932, 20493, 21561]  # red, green, blue, white in 1/65536
    display = b"\x2a\x1a\x02" + struct.pack(">8H2I", *points, 256_000, 2) + b"\x80"
    light = b"\x2a\x06\x01" + struct.pack(">2H", 1234, 321) + b"\x80"
    assert found == header + extended + display + light + frame


@pytest.mark.parametrize("unit", [b"\x0a\x03abc", b""])
def test_key_frames_without_a_picture_are_noticed(unit: bytes) -> None:
    with pytest.raises(MediaError, match="without a picture"):
        with_av1_metadata(unit, METADATA)
    with pytest.raises(MediaError, match="without a picture"):
        with_hevc_metadata(sample(PARAMETERS) if unit else b"", METADATA)


def box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), kind) + content


def nested(entry: bytes) -> bytes:
    stsd = box(b"stsd", struct.pack(">2I", 0, 1) + entry)
    media = box(
        b"mdia", box(b"mdhd", b"time") + box(b"minf", box(b"vmhd", b"v") + box(b"stbl", stsd + box(b"stts", b"t")))
    )
    return box(b"moov", box(b"mvhd", b"head") + box(b"trak", box(b"tkhd", b"track") + media) + box(b"trak", b"sound"))


def test_boxes_go_to_the_end_of_the_sample_entry() -> None:
    added = box(b"mdcv", DISPLAY) + box(b"clli", struct.pack(">2H", 1234, 321))
    before, after = nested(box(b"hvc1", b"fields")), nested(box(b"hvc1", b"fields" + added))
    assert with_light_boxes(before, METADATA) == after


def test_only_the_end_of_a_file_changes(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    data = box(b"ftyp", b"isom") + struct.pack(">I4sQ", 1, b"mdat", 16 + 5) + b"media"
    path.write_bytes(data + nested(box(b"hvc1", b"f")))
    add_light_boxes(path, METADATA)
    assert path.read_bytes() == data + with_light_boxes(nested(box(b"hvc1", b"f")), METADATA)


def test_files_of_another_build_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(nested(box(b"hvc1", b"f")) + box(b"mdat", b"media"))
    with pytest.raises(ValueError, match="the last box is b'mdat', not moov"):
        add_light_boxes(path, METADATA)
    with pytest.raises(ValueError, match="there is no box b'mdia'"):
        with_light_boxes(box(b"moov", box(b"trak", b"")), METADATA)
