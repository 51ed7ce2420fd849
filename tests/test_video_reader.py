"""Decoding: times, order, rotation, ranges, and files that are damaged or no video."""

import logging
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from support.clips import (
    QUIET_X264,
    REC709,
    Tags,
    counting_clip,
    expected_rgb,
    frame_of,
    gray_frame,
    random_planes,
    sine_audio,
    write_clip,
)

from lanhdr_cli.media.errors import MediaError
from lanhdr_cli.media.video_reader import DecodedFrame, VideoReader

FLOAT32 = 2e-6  # a few roundings of float32 on values up to 2


def read_all(path: Path) -> list[DecodedFrame]:
    with VideoReader(path) as reader:
        return list(reader.frames())


@pytest.mark.parametrize(("height", "name"), [(718, "BT.601"), (720, "BT.709")])
def test_untagged_matrix_follows_the_height_and_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, height: int, name: str
) -> None:
    frames = [gray_frame(100, size=(16, height)) for _ in range(3)]
    path = write_clip(tmp_path / "a.mkv", frames)
    logging.getLogger("lanhdr_cli").propagate = True
    with caplog.at_level(logging.WARNING):
        read_all(path)
    told = [record.getMessage() for record in caplog.records if "matrix" in record.getMessage()]
    assert len(told) == 1
    assert name in told[0]


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_rotation_is_applied(tmp_path: Path, degrees: int) -> None:
    planes = random_planes("yuv444p", size=(40, 24))
    frame = frame_of(planes, "yuv444p", size=(40, 24))
    path = write_clip(
        tmp_path / "a.mp4",
        [frame],
        codec="libx264",
        options={"qp": "0", "preset": "ultrafast"},
        tags=Tags(1, 1, rotation=degrees, aspect=Fraction(4, 3)),
    )
    with VideoReader(path) as reader:
        info = reader.info
        (decoded,) = reader.frames()
    with av.open(str(path)) as container:
        turned = next(container.decode(video=0)).rotation
    assert turned % 360 in (degrees, 360 - degrees)
    lying = expected_rgb(planes, 8, matrix=1, full=False)
    expected = np.rot90(lying, turned // 90 % 4, (1, 2))
    np.testing.assert_allclose(decoded.image.numpy(), expected, atol=FLOAT32)
    assert (info.width, info.height) == ((40, 24) if degrees == 180 else (24, 40))
    assert info.pixel_aspect == (Fraction(4, 3) if degrees == 180 else Fraction(3, 4))


def test_frames_come_in_order_of_time_with_b_frames(tmp_path: Path) -> None:
    path = counting_clip(tmp_path / "a.mp4", count=30)
    levels = [round(float(frame.image.mean()) * 219 + 16) for frame in read_all(path)]
    assert levels == [20 + 4 * index for index in range(30)]


def test_variable_frame_rate_keeps_exact_times(tmp_path: Path) -> None:
    pts = [0, 3003, 6006, 12012, 15015, 18019]
    path = write_clip(
        tmp_path / "a.mp4",
        [gray_frame(50 + 10 * index) for index in range(6)],
        codec="libx264",
        options=QUIET_X264,
        rate=Fraction(30000, 1001),
        pts=pts,
        time_base=Fraction(1, 90000),
    )
    with VideoReader(path) as reader:
        frames = list(reader.frames())
        messages = reader.faults.messages()
    assert [frame.time for frame in frames] == [Fraction(value, 90000) for value in pts]
    assert [frame.index for frame in frames] == list(range(6))
    assert len(messages) == 1
    assert "1 gaps in time, the first before frame 3" in messages[0]


def test_a_range_keeps_indices(tmp_path: Path) -> None:
    path = counting_clip(tmp_path / "a.mp4", count=12)
    with VideoReader(path) as reader:
        frames = list(reader.frames(start=4, stop=7))
    assert [frame.index for frame in frames] == [4, 5, 6]
    assert [round(float(frame.image.mean()) * 219 + 16) for frame in frames] == [36, 40, 44]


def test_a_range_behind_the_end_is_an_error(tmp_path: Path) -> None:
    path = counting_clip(tmp_path / "a.mkv", count=4)
    with VideoReader(path) as reader, pytest.raises(MediaError, match="only 4 frames, 4 is behind"):
        list(reader.frames(start=4))


def test_what_the_file_says_of_itself(tmp_path: Path) -> None:
    frames = [gray_frame(100) for _ in range(5)]
    path = write_clip(
        tmp_path / "a.mov", frames, codec="libx264", options=QUIET_X264, rate=25, tags=Tags(timecode="01:02:03:04")
    )
    with VideoReader(path) as reader:
        info = reader.info
    assert (info.width, info.height, info.frames) == (32, 24, 5)
    assert info.rate == 25
    assert info.timecode == "01:02:03:04"
    assert info.description == "h264 yuv420p 32x24"


def damage(path: Path, *, begin: float, length: int) -> None:
    data = bytearray(path.read_bytes())
    at = int(len(data) * begin)
    data[at : at + length] = bytes((value * 7 + 13) % 256 for value in range(length))
    path.write_bytes(data)


def noisy_clip(path: Path, *, count: int, container_options: dict[str, str] | None = None) -> Path:
    size = (160, 96)
    frames = [frame_of(random_planes("yuv420p", size=size, seed=seed), "yuv420p", size=size) for seed in range(count)]
    return write_clip(
        path,
        frames,
        codec="libx264",
        options=QUIET_X264,
        tags=REC709,
        container_options=container_options,
    )


def test_damaged_frames_are_kept_and_counted(tmp_path: Path) -> None:
    path = noisy_clip(tmp_path / "a.ts", count=12)
    damage(path, begin=0.5, length=600)
    with VideoReader(path) as reader:
        frames = list(reader.frames())
        faults = reader.faults
    assert len(frames) >= 10
    assert faults.corrupt + faults.undecodable > 0
    assert any("damaged" in message or "packets" in message for message in faults.messages())


def test_a_truncated_clip_gives_its_frames_and_a_warning(tmp_path: Path) -> None:
    path = noisy_clip(tmp_path / "a.mp4", count=12, container_options={"movflags": "faststart"})
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * 0.6)])
    with VideoReader(path) as reader:
        frames = list(reader.frames())
        messages = " ".join(reader.faults.messages())
    assert 4 <= len(frames) < 12
    assert "promises 12 frames" in messages or "breaks off" in messages


def test_strict_ends_at_the_first_damage(tmp_path: Path) -> None:
    path = noisy_clip(tmp_path / "a.ts", count=12)
    read_strictly(path)
    damage(path, begin=0.5, length=600)
    with pytest.raises(
        MediaError, match=r"(damaged|could not be decoded|incomplete|gaps in time).*; leave out --strict to go on"
    ):
        read_strictly(path)


def read_strictly(path: Path) -> None:
    with VideoReader(path, strict=True) as reader:
        for _ in reader.frames():
            pass


@pytest.mark.parametrize("kind", ["auto", "cuda"])
def test_hardware_that_is_not_there_changes_nothing(tmp_path: Path, kind: str) -> None:
    path = counting_clip(tmp_path / "a.mp4", count=4)
    with VideoReader(path, hwaccel=kind) as reader:
        images = [frame.image for frame in reader.frames()]
    for image, expected in zip(images, read_all(path), strict=True):
        np.testing.assert_array_equal(image.numpy(), expected.image.numpy())


def test_an_unknown_kind_of_hardware_is_an_error(tmp_path: Path) -> None:
    path = counting_clip(tmp_path / "a.mp4", count=2)
    with pytest.raises(MediaError, match="--hwaccel abacus is not known here: pass auto"):
        VideoReader(path, hwaccel="abacus").__enter__()


def test_a_change_of_size_is_an_error(tmp_path: Path) -> None:
    parts = []
    for number, size in enumerate(((32, 24), (64, 48))):
        frames = [gray_frame(100, size=size) for _ in range(3)]
        path = write_clip(tmp_path / f"{number}.h264", frames, codec="libx264", options=QUIET_X264)
        parts.append(path.read_bytes())
    (tmp_path / "both.h264").write_bytes(b"".join(parts))
    with pytest.raises(MediaError, match="frame 3 is 64x48, the first is 32x24"):
        read_all(tmp_path / "both.h264")


def test_files_that_are_no_video(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("once upon a time\n" * 50)
    (tmp_path / "empty.mp4").write_bytes(b"")
    cut = counting_clip(tmp_path / "cut.mp4", count=8)
    cut.write_bytes(cut.read_bytes()[:600])
    expected = {
        "missing.mp4": "no such file: .*missing.mp4",
        "text.mp4": "text.mp4 can't be read as video .*check",
        "empty.mp4": "empty.mp4 can't be read as video",
        "cut.mp4": "cut.mp4 can't be read as video",
        ".": "is a folder without pictures",
    }
    sine_audio(tmp_path / "sound.m4a")
    expected["sound.m4a"] = r"sound.m4a holds no video \(only audio\)"
    for name, message in expected.items():
        with pytest.raises(MediaError, match=message), VideoReader(tmp_path / name):
            pass


@pytest.mark.parametrize("suffix", ["mkv", "mp4", "avi"])
def test_zero_frames_are_an_error(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"none.{suffix}"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=24)
        stream.width, stream.height, stream.pix_fmt = 32, 24, "yuv420p"
        stream.codec_context.open()
        container.start_encoding()
    with pytest.raises(MediaError, match=f"none.{suffix}.*(check|pass)"), VideoReader(path):
        pass
