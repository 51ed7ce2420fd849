"""Pixels against the formulas of the standards, in double precision, from lossless clips."""

from pathlib import Path
from typing import Any, cast

import av
import numpy as np
import pytest
from av.video.reformatter import VideoReformatter
from clips import (
    Tags,
    expected_rgb,
    frame_of,
    random_planes,
    write_clip,
)

from lanhdr_cli.media.errors import MediaError
from lanhdr_cli.media.video_reader import DecodedFrame, VideoReader
from lanhdr_cli.media.yuv import coding_of, to_rgb

ODD = (37, 23)
FLOAT32 = 2e-6  # a few roundings of float32 on values up to 2


def read_all(path: Path) -> list[DecodedFrame]:
    with VideoReader(path) as reader:
        return list(reader.frames())


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


def test_unknown_matrix_is_refused() -> None:
    frame = frame_of(random_planes("yuv444p", size=ODD), "yuv444p", size=ODD)
    frame.colorspace = 8
    with pytest.raises(MediaError, match=r"matrix \(code 8\).*BT.709"):
        coding_of(frame)


def test_bayer_and_float_pictures_are_refused() -> None:
    for format in ("bayer_rggb8", "gbrpf32le", "ya8"):
        with pytest.raises(MediaError, match=format):
            coding_of(av.VideoFrame(16, 16, format))


@pytest.mark.parametrize(("planar", "interleaved"), [("yuv420p", "nv12"), ("yuv420p10le", "p010le")])
@pytest.mark.parametrize("color_range", [1, 2])
def test_layouts_of_hardware_decoders_give_the_same_values(planar: str, interleaved: str, color_range: int) -> None:
    """Frames that hardware decoded come back to the CPU with the same codes, but chroma interleaved."""
    size = (64, 36)
    luma, blue, red = random_planes(planar, size=size)
    shift = 6 if interleaved == "p010le" else 0  # P010 keeps its ten bits on top
    chroma = np.stack([blue, red], axis=2).reshape(blue.shape[0], -1)
    images = []
    for name, planes in ((planar, [luma, blue, red]), (interleaved, [luma << shift, chroma << shift])):
        frame = frame_of(planes, name, size=size)
        frame.colorspace, frame.color_range = 1, color_range
        images.append(to_rgb(frame, coding_of(frame), reformatter=VideoReformatter()))
    np.testing.assert_allclose(images[0].numpy(), images[1].numpy(), atol=FLOAT32)
