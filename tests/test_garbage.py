"""Files that claim what they don't hold: refused in one line, in bounded time and memory, or repaired with a word."""

import json
import math
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from support.clips import REC709, counting_clip, frame_of, gray_frame, random_planes, write_clip
from support.converting import invoke, read_exr
from support.pictures import write_flat, write_linear

from lanhdr_cli.exposure_list import LARGEST_FILE, read_exposures
from lanhdr_cli.media.errors import MediaError
from lanhdr_cli.media.image_sequence import ImageSequence, find_pictures
from lanhdr_cli.media.images import read_header, read_picture
from lanhdr_cli.media.source import open_source
from model.errors import LanHdrError
from tools.fuzz.seeds import tiff_of_pages
from train.data.response_curve import LARGEST_FILE as LARGEST_CURVE
from train.data.response_curve import read_curve


@pytest.fixture
def quick() -> Iterator[None]:
    """Fails what takes long, wherever the machine is busy."""
    begin = time.process_time()
    yield
    assert time.process_time() - begin < 10


def floats(value: float) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    pixels = np.full((24, 32, 3), 0.25, np.float32)
    pixels[3, 4] = value
    return pixels


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("number", [1 << 20, 1 << 31, 1 << 60])
@pytest.mark.parametrize("where", ["entries", "count"])
def test_tiff_directories_and_tags_that_claim_more_than_the_file_are_refused(
    tmp_path: Path, big: bool, number: int, where: str
) -> None:
    data = bytearray(tiff_of_pages([floats(0), floats(0)], big=big))
    directory = struct.unpack_from("<Q" if big else "<I", data, 8 if big else 4)[0]
    if where == "entries":
        struct.pack_into("<Q" if big else "<H", data, directory, number if big else 65535)
    else:  # of the first tag, the width
        struct.pack_into(
            "<Q" if big else "<I", data, directory + (8 if big else 2) + 4, min(number, (1 << 31) * (1 + big))
        )
    (tmp_path / "a.tif").write_bytes(data)
    with pytest.raises(MediaError, match=r"a\.tif can't be read as a picture"):
        read_header(tmp_path / "a.tif")


def test_tiff_strips_that_overlap_are_refused(tmp_path: Path) -> None:
    pixels = np.zeros((24, 32, 3), np.uint8)
    data = bytearray(tiff_of_pages([pixels], big=False))
    entry = data.index(struct.pack("<HHI", 279, 4, 1))
    offset = data.index(struct.pack("<HHI", 273, 4, 1))
    begin = len(data)
    data += struct.pack("<100I", *[8] * 100) + struct.pack("<100I", *[2000] * 100)
    struct.pack_into("<II", data, offset + 4, 100, begin)
    struct.pack_into("<II", data, entry + 4, 100, begin + 400)
    (tmp_path / "a.tif").write_bytes(data)
    with pytest.raises(MediaError, match="is damaged or of an unknown kind"):
        read_picture(tmp_path / "a.tif")


def test_pictures_of_65536_by_65536_are_refused(tmp_path: Path) -> None:
    path = write_flat(tmp_path / "a.png", 9)
    data = bytearray(path.read_bytes())
    struct.pack_into(">II", data, data.index(b"IHDR") + 4, 65536, 65536)
    path.write_bytes(data)
    with pytest.raises(MediaError, match=r"a\.png .*(65536x65536, at most|its header is damaged)"):
        read_header(path)


def tiffs(folder: Path, value: float) -> Path:
    for number in range(4):
        pixels = floats(value if number == 2 else 0.5)
        (folder / f"{number}.tif").write_bytes(tiff_of_pages([pixels], big=False))
    return folder


def exrs(folder: Path, value: float) -> Path:
    for number in range(4):
        write_linear(folder / f"{number}.exr", floats(value if number == 2 else 0.5).astype(np.float16))
    return folder


@pytest.mark.parametrize("make", [tiffs, exrs])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_nan_and_infinity_in_pictures_are_repaired_and_told_of(
    tmp_path: Path, make: object, value: float, caplog: pytest.LogCaptureFixture
) -> None:
    assert callable(make)
    with ImageSequence(make(tmp_path, value)) as clip:
        images = [frame.image for frame in clip.frames()]
    assert all(bool(image.isfinite().all()) for image in images)
    assert float(images[2][0, 3, 4]) == (1.0 if value == math.inf else 0.0)
    (told,) = [record.getMessage() for record in caplog.records if "NaN" in record.getMessage()]
    assert "1 picture holds NaN or infinity (2." in told


def test_finite_pictures_are_not_told_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with ImageSequence(exrs(tmp_path, 0.5)) as clip:
        list(clip.frames())
    assert not [record for record in caplog.records if "NaN" in record.getMessage()]


def test_numbers_that_are_far_apart_take_no_memory(tmp_path: Path, quick: None) -> None:
    for name in ("0", "1", "1" + "0" * 200):
        write_flat(tmp_path / f"{name}.png", 9)
    files = find_pictures(tmp_path)
    assert [gap.start for gap in files.missing] == [2]
    for treatment, message in (("error", "find them"), ("repeat", "at most 100000 are repeated")):
        with pytest.raises(MediaError, match=f"of its numbers missing .*{message}"):
            ImageSequence(tmp_path, on_missing=treatment).__enter__()  # type: ignore[arg-type]
    with ImageSequence(tmp_path, on_missing="skip") as clip:
        assert len(list(clip.frames())) == 3


def test_frames_of_numbers_beyond_32_bits_are_written(tmp_path: Path) -> None:
    for number in range(4):
        write_flat(tmp_path / "in" / f"{2**40 + number}.png", (40, 160)[number % 2])
    outcome = invoke("convert", tmp_path / "in", "-o", f"{tmp_path}/out/", "--exposures", "1,8", "--device", "cpu")
    assert outcome.exit_code == 0, outcome.output
    frames = sorted((tmp_path / "out").iterdir())
    assert [str(2**40 + number) in frame.name for number, frame in enumerate(frames)] == [True] * 4
    assert read_exr(frames[0])[1]["imageCounter"] == 2**31 - 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("1 2\n" * (LARGEST_FILE // 4 + 1), "has more than 8 Mi letters"),
        ("frame,exposure\n1," + "9" * 200_000, r"can't be understood \(field larger than field limit"),
        ("frame,exposure\n1," + "x" * 100_000, "can't be understood"),
        ("9" * 100_000, "needs two values or more"),
        ("0, " + "9" * 100_000, "can't be understood|must be positive numbers"),
        ("0 nan", "can't be understood"),
        ("0 1\n" * (1 << 17) + "0", "can't be understood .*262145 numbers, at most 262144 are read"),
        ("0\n1\n" * (1 << 17) + "0", "lists 262145 exposures, at most 262144 are read"),
        ("0 1e999", "can't be understood|must be positive numbers"),
        ("\0\0\0", "can't be understood"),
        ("", "holds no exposures"),
        ("\n\n#\n", "holds no exposures"),
        ("exposure\n1/0\n2\n", "can't be understood"),
        ("exposure\n1\n,\n", "needs two values or more"),
    ],
)
def test_lists_of_exposures_that_are_none(tmp_path: Path, quick: None, content: str, message: str) -> None:
    (tmp_path / "a.txt").write_text(content)
    with pytest.raises(MediaError, match=message) as refusal:
        read_exposures(tmp_path / "a.txt")
    assert len(str(refusal.value)) < 800 + len(str(tmp_path))


def test_a_list_of_many_levels_is_refused_quickly(tmp_path: Path, quick: None) -> None:
    spread = np.random.default_rng(0).uniform(0, 20, 10_000)
    (tmp_path / "b.txt").write_text("\n".join(f"{stop:.6f}" for stop in spread))
    with pytest.raises(LanHdrError, match="repeat in no cycle"):
        read_exposures(tmp_path / "b.txt")


@pytest.mark.parametrize("suffix", [".csv", ".cube", ".mat"])
def test_a_response_that_is_too_large_is_refused_unread(tmp_path: Path, suffix: str) -> None:
    with (tmp_path / f"a{suffix}").open("wb") as file:
        file.truncate(LARGEST_CURVE + 1)
    with pytest.raises(LanHdrError, match="has more than 8 MiB: that is no response curve"):
        read_curve(tmp_path / f"a{suffix}")


def test_a_range_behind_the_frames_that_can_be_decoded_is_refused(tmp_path: Path) -> None:
    clip = counting_clip(tmp_path / "a.mp4", count=12, codec="mpeg4")
    data = bytearray(clip.read_bytes())
    begin = data.index(b"mdat") + 4
    end = data.index(b"moov") - 4
    data[begin + (end - begin) // 4 : end] = bytes(end - begin - (end - begin) // 4)
    clip.write_bytes(data)
    with open_source(clip) as source:
        decoded = len(list(source.frames()))
    assert decoded < 12
    for first in range(decoded, 12):
        options = ("--exposures", "1,8", "--frames", f"{first}-11", "--device", "cpu", "-q")
        outcome = invoke("convert", clip, "-o", f"{tmp_path}/out/", *options)
        assert outcome.exit_code == 1, outcome.output
        assert outcome.stderr.startswith("Error: ")


def test_a_layout_of_samples_that_changes_is_told_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    parts = []
    for name, layout in (("a", "yuv420p"), ("b", "yuv444p")):
        frames = [gray_frame(60 + 20 * n).reformat(format=layout) for n in range(4)]
        parts.append(write_clip(tmp_path / f"{name}.h264", frames, codec="libx264", tags=REC709))
    joined = tmp_path / "joined.h264"
    joined.write_bytes(b"".join(part.read_bytes() for part in parts))
    with open_source(joined) as source:
        assert len(list(source.frames())) == 8
    messages = [record.getMessage() for record in caplog.records]
    assert "joined.h264: samples change from yuv420p to yuv444p with frame 4" in messages


def test_a_size_that_changes_is_refused_by_name_of_the_frame(tmp_path: Path) -> None:
    parts = [
        counting_clip(tmp_path / f"{size[0]}.ts", count=4, size=size, codec="mpeg2video")
        for size in ((32, 24), (64, 48))
    ]
    joined = tmp_path / "joined.m2v.ts"
    joined.write_bytes(b"".join(part.read_bytes() for part in parts))
    with open_source(joined) as source, pytest.raises(MediaError, match=r"frame \d+ is 64x48, the first is 32x24: cut"):
        list(source.frames())


def test_lost_packets_are_counted_and_their_frames_listed(tmp_path: Path) -> None:
    frames = [frame_of(random_planes("yuv420p", size=(64, 48), seed=n), "yuv420p", size=(64, 48)) for n in range(8)]
    clip = write_clip(tmp_path / "a.ts", frames, codec="mpeg2video", tags=REC709)
    with open_source(clip) as source:
        list(source.frames())
        assert source.faults.messages() == []
    data = clip.read_bytes()
    middle = len(data) // 188 // 2 * 188
    clip.write_bytes(data[:middle] + data[middle + 188 :])
    with open_source(clip) as source:
        list(source.frames())
        faults = source.faults
    assert (faults.decoded, faults.corrupt, faults.corrupt_packets) == (8, 1, 1)
    damaged, lost = faults.messages()
    assert damaged.endswith(f"the decoder filled in what it could ({faults.corrupt_frames[0]})")
    assert lost == "1 packets are incomplete, or others before them are lost"


def test_nested_json_is_refused(tmp_path: Path) -> None:
    clip = counting_clip(tmp_path / "a.mp4", count=4)
    for content in (
        "[" * 200_000,
        json.dumps({"conversion": {"format": "9" * 5000}}),
        '{"conversion": ' + "9" * 5000 + "}",
    ):
        (tmp_path / "a.json").write_text(content)
        outcome = invoke("convert", clip, "-o", f"{tmp_path}/out/", "--analysis", tmp_path / "a.json")
        assert outcome.exit_code == 1
        assert outcome.stderr.startswith("Error: "), outcome.output
