"""Decoding against the formulas of the standards, in floating point, from lossless clips."""

import logging
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
import pytest
from av.video.reformatter import VideoReformatter
from clips import (
    QUIET_X264,
    REC709,
    Planes,
    Tags,
    counting_clip,
    frame_of,
    gray_frame,
    random_planes,
    sine_audio,
    write_clip,
)
from numpy.typing import NDArray

from lanhdr_cli.media.decode import DecodedFrame, VideoReader
from lanhdr_cli.media.errors import MediaError
from lanhdr_cli.media.pixels import coding_of, to_rgb

ODD = (37, 23)
FLOAT32 = 2e-6  # a few roundings of float32 on values up to 2
KR_KB = {1: (0.2126, 0.0722), 5: (0.299, 0.114), 6: (0.299, 0.114), 9: (0.2627, 0.0593)}


def read_all(path: Path) -> list[DecodedFrame]:
    with VideoReader(path) as reader:
        return list(reader.frames())


def expected_rgb(planes: Planes, bits: int, *, matrix: int, full: bool) -> NDArray[np.float64]:
    """ITU-T H.273 equations for Y'CbCr of full size, in double precision, (3, H, W)."""
    luma, blue, red = (plane.astype(np.float64) for plane in planes)
    step = 2 ** (bits - 8)
    if full:
        luma, blue, red = luma / (256 * step - 1), *((c - 128 * step) / (256 * step - 1) for c in (blue, red))
    else:
        luma, blue, red = (luma / step - 16) / 219, (blue / step - 128) / 224, (red / step - 128) / 224
    kr, kb = KR_KB[matrix]
    r = luma + 2 * (1 - kr) * red
    b = luma + 2 * (1 - kb) * blue
    rgb: NDArray[np.float64] = np.stack([r, (luma - kr * r - kb * b) / (1 - kr - kb), b]).clip(0, 1)
    return rgb


@pytest.mark.parametrize(
    ("format", "matrix", "color_range"),
    [
        ("yuv444p", 1, 1),
        ("yuv444p", 6, 2),
        ("yuv444p10le", 9, 1),
        ("yuv444p10le", 1, 2),
        ("yuv444p12le", 5, 1),
        ("yuv444p12le", 9, 2),
        ("yuv444p16le", 1, 1),
    ],
)
def test_full_size_chroma_equals_the_formula(tmp_path: Path, format: str, matrix: int, color_range: int) -> None:
    planes = random_planes(format, size=ODD)
    frame = frame_of(planes, format, size=ODD)
    bits = frame.format.components[0].bits
    path = write_clip(tmp_path / "a.mkv", [frame], tags=Tags(matrix, color_range))
    (decoded,) = read_all(path)
    expected = expected_rgb(planes, bits, matrix=matrix, full=color_range == 2)
    assert decoded.image.shape == (3, 23, 37)
    np.testing.assert_allclose(decoded.image.numpy(), expected, atol=FLOAT32)


def test_yuvj_means_full_range(tmp_path: Path) -> None:
    planes = [np.full((24, 32), level, np.uint8) for level in (255, 128, 128)]
    for format in ("yuvj444p", "yuvj420p"):
        sub = [
            planes[0],
            *(plane[: 24 if "444" in format else 12, : 32 if "444" in format else 16] for plane in planes[1:]),
        ]
        path = write_clip(tmp_path / f"{format}.mkv", [frame_of(sub, format, size=(32, 24))], codec="mjpeg")
        with av.open(str(path)) as container:
            assert next(container.decode(video=0)).format.name == format
        assert read_all(path)[0].image.min() == 1.0


def test_random_yuvj_frames_equal_the_formula() -> None:
    planes = random_planes("yuvj444p", size=ODD)
    frame = frame_of(planes, "yuvj444p", size=ODD)
    frame.colorspace, frame.color_range = 5, 2
    image = to_rgb(frame, coding_of(frame), reformatter=VideoReformatter())
    np.testing.assert_allclose(image.numpy(), expected_rgb(planes, 8, matrix=5, full=True), atol=FLOAT32)


@pytest.mark.parametrize("format", ["yuv420p", "yuv422p", "yuv411p", "yuv420p10le", "yuv422p10le", "yuv420p12le"])
@pytest.mark.parametrize("color_range", [1, 2])
def test_subsampled_chroma_leaves_luma_exact(tmp_path: Path, format: str, color_range: int) -> None:
    """With neutral chroma R, G and B are the luma, whatever interpolation does."""
    size = (40, 23) if format == "yuv411p" else ODD  # FFV1 itself loses a last part of four columns
    planes = random_planes(format, size=size)
    bits = av.VideoFormat(format, *size).components[0].bits
    neutral = [np.full_like(plane, 128 << (bits - 8)) for plane in planes[1:]]
    frame = frame_of([planes[0], *neutral], format, size=size)
    path = write_clip(tmp_path / "a.mkv", [frame], tags=Tags(1, color_range))
    full_size = [planes[0], *(np.full_like(planes[0], 128 << (bits - 8)) for _ in range(2))]
    expected = expected_rgb(full_size, bits, matrix=1, full=color_range == 2)
    np.testing.assert_allclose(read_all(path)[0].image.numpy(), expected, atol=FLOAT32)


@pytest.mark.parametrize("size", [(40, 24), (854, 60), (641, 361)])
def test_luma_is_exact_every_time(size: tuple[int, int]) -> None:
    """At these sizes slice threads of swscale overwrite each other in one conversion of ten or hundred."""
    reformatter = VideoReformatter()
    for seed in range(60 if size[0] < 100 else 12):
        planes = random_planes("yuv420p", size=size, seed=seed)
        frame = frame_of([planes[0], *(np.full_like(plane, 128) for plane in planes[1:])], "yuv420p", size=size)
        frame.colorspace, frame.color_range = 1, 1
        image = to_rgb(frame, coding_of(frame), reformatter=reformatter)
        expected = np.clip((planes[0].astype(np.float64) - 16) / 219, 0, 1)
        np.testing.assert_allclose(image[1].numpy(), expected, atol=FLOAT32)


def test_swscale_runs_in_one_thread() -> None:
    class Recorder:
        def __init__(self) -> None:
            self.threads: list[object] = []

        def reformat(self, *args: Any, **options: Any) -> av.VideoFrame:
            self.threads.append(options["threads"])
            return VideoReformatter().reformat(*args, **options)

    recorder = Recorder()
    for format in ("yuv420p", "gbrp10le"):
        frame = frame_of(random_planes(format, size=ODD), format, size=ODD)
        frame.colorspace = 1
        to_rgb(frame, coding_of(frame), reformatter=cast(VideoReformatter, recorder))
    assert recorder.threads == [1, 1]


def test_flat_color_survives_chroma_interpolation(tmp_path: Path) -> None:
    planes = [np.full((23, 37), 120, np.uint8), np.full((12, 19), 90, np.uint8), np.full((12, 19), 160, np.uint8)]
    path = write_clip(tmp_path / "a.mkv", [frame_of(planes, "yuv420p", size=ODD)], tags=Tags(6, 1))
    flat = [np.full((23, 37), plane[0, 0]) for plane in planes]
    expected = expected_rgb(flat, 8, matrix=6, full=False)
    np.testing.assert_allclose(read_all(path)[0].image.numpy(), expected, atol=FLOAT32)


@pytest.mark.parametrize("levels", [(16, 235), (64, 940), (256, 3760)])
def test_black_and_white_are_exactly_0_and_1(levels: tuple[int, int]) -> None:
    bits = {235: 8, 940: 10, 3760: 12}[levels[1]]
    format = "yuv420p" if bits == 8 else f"yuv420p{bits}le"
    kind = np.uint8 if bits == 8 else np.uint16
    for level, value in zip(levels, (0.0, 1.0), strict=True):
        chroma = np.full((8, 8), 128 << (bits - 8), kind)
        frame = frame_of([np.full((16, 16), level, kind), chroma, chroma], format, size=(16, 16))
        frame.colorspace, frame.color_range = 1, 1
        image = to_rgb(frame, coding_of(frame), reformatter=VideoReformatter())
        assert image.min() == image.max() == value


@pytest.mark.parametrize("format", ["gbrp", "gbrp10le", "gbrp12le", "gbrp16le"])
def test_rgb_is_taken_as_it_is(format: str) -> None:
    planes = random_planes(format, size=ODD)
    frame = frame_of(planes, format, size=ODD)
    bits = frame.format.components[0].bits
    image = to_rgb(frame, coding_of(frame), reformatter=VideoReformatter())
    expected = np.stack([planes[2], planes[0], planes[1]]) / (2**bits - 1)
    np.testing.assert_allclose(image.numpy(), expected, atol=1e-7)


def test_packed_rgb_is_taken_as_it_is() -> None:
    codes = np.random.default_rng(1).integers(0, 256, (23, 37, 3), dtype=np.uint8)
    frame = av.VideoFrame.from_ndarray(codes, format="bgr24")
    image = to_rgb(frame, coding_of(frame), reformatter=VideoReformatter())
    np.testing.assert_allclose(image.numpy(), codes[..., ::-1].transpose(2, 0, 1) / 255, atol=1e-7)


@pytest.mark.parametrize("format", ["gray", "gray10le", "gray16le"])
def test_gray_becomes_three_equal_channels(tmp_path: Path, format: str) -> None:
    planes = random_planes(format, size=ODD)
    frame = frame_of(planes, format, size=ODD)
    bits = frame.format.components[0].bits
    (decoded,) = read_all(write_clip(tmp_path / "a.mkv", [frame]))
    for channel in decoded.image.numpy():
        np.testing.assert_allclose(channel, planes[0] / (2**bits - 1), atol=1e-7)


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


def test_unknown_matrix_is_refused() -> None:
    frame = frame_of(random_planes("yuv444p", size=ODD), "yuv444p", size=ODD)
    frame.colorspace = 8
    with pytest.raises(MediaError, match=r"matrix \(code 8\).*BT.709"):
        coding_of(frame)


def test_bayer_and_float_pictures_are_refused() -> None:
    for format in ("bayer_rggb8", "gbrpf32le", "ya8"):
        with pytest.raises(MediaError, match=format):
            coding_of(av.VideoFrame(16, 16, format))


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


def test_interlaced_pictures_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write_clip(
        tmp_path / "a.mp4",
        [gray_frame(100, size=(32, 32)) for _ in range(3)],
        codec="libx264",
        options=QUIET_X264 | {"x264-params": "tff=1"},
    )
    logging.getLogger("lanhdr_cli").propagate = True
    with caplog.at_level(logging.WARNING):
        read_all(path)
    assert sum("interlaced" in record.getMessage() for record in caplog.records) == 1


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
        ".": "is a folder; image sequences come in a later release",
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
