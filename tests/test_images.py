"""Single pictures: exact codes, sizes from headers, exposures from what cameras note."""

import math
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from support.pictures import add_exif, exif, random_codes, write_flat, write_linear, write_picture

from lanhdr_cli.media.errors import MediaError
from lanhdr_cli.media.images import read_header, read_picture, write_png
from train.data.exif import ShotExposure, read_shot, relative_exposures

FLOAT32 = 2e-7  # one rounding


@pytest.mark.parametrize("name", ["a.png", "a.tif", "50%d#.png"])
@pytest.mark.parametrize("bits", [8, 16])
def test_every_code_is_exact(tmp_path: Path, name: str, bits: int) -> None:
    codes = random_codes(bits=bits)
    path = write_picture(tmp_path / name, codes)
    picture = read_picture(path)
    expected = codes.astype(np.float64).transpose(2, 0, 1) / (2**bits - 1)
    np.testing.assert_allclose(picture.image.numpy(), expected, atol=FLOAT32)
    assert read_header(path).size == (32, 24)


def test_jpeg_is_read_within_its_own_error(tmp_path: Path) -> None:
    path = write_flat(tmp_path / "a.jpg", 100)
    assert read_picture(path).image.mean().item() == pytest.approx(100 / 255, abs=1 / 255)
    assert read_header(path).size == (32, 24)


def test_linear_pictures_stay_and_are_clipped_at_one(tmp_path: Path) -> None:
    pixels = np.linspace(0, 1.25, 24 * 32 * 3, dtype=np.float16).reshape(24, 32, 3)
    path = write_linear(tmp_path / "a.exr", pixels, expTime=0.02, isoSpeed=400.0)
    picture = read_picture(path)
    expected = pixels.astype(np.float64).clip(0, 1).transpose(2, 0, 1)
    assert picture.is_float
    np.testing.assert_allclose(picture.image.numpy(), expected, atol=1e-6)
    assert picture.share_above_one == pytest.approx(0.2, abs=0.001)
    header = read_header(path)
    assert header.size == (32, 24)
    assert header.shot.time_s == pytest.approx(0.02)
    assert header.shot.iso == 400


def test_what_a_camera_notes(tmp_path: Path) -> None:
    path = add_exif(write_flat(tmp_path / "a.jpg", 100), exif(time=(1, 60), iso=800, orientation=6))
    header = read_header(path)
    assert header.shot == ShotExposure(time_s=1 / 60, iso=800)
    assert header.size == (24, 32)
    assert tuple(read_picture(path).image.shape) == (3, 32, 24)


@pytest.mark.parametrize("junk", [b"", b"MM", b"MM\0*\xff\xff\xff\xff", b"II*\0\x08\0\0\0\xff\xff", bytes(64)])
def test_damaged_notes_are_no_notes(tmp_path: Path, junk: bytes) -> None:
    path = add_exif(write_flat(tmp_path / "a.jpg", 100), junk)
    assert read_header(path).shot == ShotExposure()


def shot(time_s: float, iso: float | None = None, f_number: float | None = None) -> ShotExposure:
    return ShotExposure(time_s=time_s, iso=iso, f_number=f_number)


def test_exposures_relative_to_the_shortest() -> None:
    shots = [shot(1 / 400, 100, 4.0), shot(1 / 100, 200, 4.0), shot(1 / 400, 100, 2.0)]
    assert relative_exposures(shots) == pytest.approx([1, 8, 4])
    assert relative_exposures([ShotExposure(iso=100), ShotExposure(iso=1600)]) == pytest.approx([1, 16])
    assert relative_exposures([shot(1 / 50, 100), shot(1 / 400)]) == pytest.approx([8, 1])
    assert relative_exposures([shot(1 / 50), shot(1 / 50)]) is None
    assert relative_exposures([ShotExposure(), ShotExposure()]) is None


def test_pictures_that_can_not_be_read(tmp_path: Path) -> None:
    for suffix in (".png", ".tif", ".jpg"):
        path = write_picture(tmp_path / f"a{suffix}", random_codes())
        path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
        with pytest.raises(MediaError, match=rf"a\{suffix} .*replace"):
            read_header(path)
            read_picture(path)
    exr = write_linear(tmp_path / "a.exr", np.zeros((24, 32, 3), np.float16))
    exr.write_bytes(exr.read_bytes()[:200])
    with pytest.raises(MediaError, match=r"a.exr .*its header is damaged.*: replace or remove it"):
        read_header(exr)


def test_a_tiff_whose_directory_ends_early_is_refused(tmp_path: Path) -> None:
    path = write_picture(tmp_path / "a.tif", np.zeros((32, 48, 3), np.uint8))
    data = path.read_bytes()
    assert read_header(path).size == (48, 32)
    directory = struct.unpack("<I", data[4:8])[0]
    # Its first three entries, width and height among them, are whole; the fourth is cut.
    path.write_bytes(data[: directory + 2 + 3 * 12 + 5])
    with pytest.raises(MediaError, match="its header is damaged"):
        read_header(path)


def test_a_tiff_in_tiles_is_refused(tmp_path: Path) -> None:
    """FFmpeg makes black of it without a word."""
    entries = [(0x0100, 4, 64), (0x0101, 4, 32), (0x0142, 4, 32), (0x0143, 4, 32)]
    fields = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in entries)
    (tmp_path / "a.tif").write_bytes(b"II*\0" + struct.pack("<IH", 8, len(entries)) + fields + bytes(4))
    with pytest.raises(MediaError, match=r"a.tif is a TIFF in tiles, .*: write it in strips"):
        read_header(tmp_path / "a.tif")


@pytest.mark.parametrize(("content", "found"), [(b"", "it is empty"), (b"hello world", "it is none of PNG, TIFF")])
def test_what_is_no_picture(tmp_path: Path, content: bytes, found: str) -> None:
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(MediaError, match=rf"a.png can't be read as a picture .{found}"):
        read_header(tmp_path / "a.png")


def test_stops_of_a_camera_are_finite(tmp_path: Path) -> None:
    path = add_exif(write_flat(tmp_path / "a.jpg", 100), exif(time=(1, 0), iso=100))
    shot = read_header(path).shot
    assert shot.time_s is None
    assert shot.iso is not None
    assert math.isfinite(shot.iso)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("big", [False, True])
def test_tiff_of_either_byte_order(tmp_path: Path, order: str, big: bool) -> None:
    values = {0x0100: 64, 0x0101: 32, 0x0112: 6}
    count, field, magic = ("Q", "HHQQ", 43) if big else ("H", "HHII", 42)
    head = struct.pack(order + "2sH", b"II" if order == "<" else b"MM", magic)
    head += struct.pack(order + "HHQ", 8, 0, 16) if big else struct.pack(order + "I", 8)
    fields = b"".join(struct.pack(order + field, tag, 16 if big else 4, 1, value) for tag, value in values.items())
    (tmp_path / "a.tif").write_bytes(head + struct.pack(order + count, len(values)) + fields + bytes(8))
    assert read_header(tmp_path / "a.tif").size == (32, 64)


def test_exif_of_a_png(tmp_path: Path) -> None:
    path = write_flat(tmp_path / "a.png", 100)
    tags, data = b"eXIf" + exif(time=(1, 60), iso=800, orientation=6), path.read_bytes()
    chunk = struct.pack(">I", len(tags) - 4) + tags + struct.pack(">I", zlib.crc32(tags))
    path.write_bytes(data[:33] + chunk + data[33:])  # behind IHDR
    assert read_header(path).shot == read_shot(path) == shot(1 / 60, 800)
    assert read_header(path).size == (24, 32)


def test_a_written_png_is_srgb_and_exact(tmp_path: Path) -> None:
    codes = random_codes()
    write_png(tmp_path / "a.png", torch.from_numpy(codes.transpose(2, 0, 1) / np.float32(255)))
    assert b"sRGB\0" in (tmp_path / "a.png").read_bytes()
    written = read_picture(tmp_path / "a.png").image.numpy().transpose(1, 2, 0)
    assert ((written * 255).round() == codes).all()
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
