"""Pixels against the formulas of the standards, in double precision, from lossless clips."""

from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import colour
import numpy as np
import pytest
import torch
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray
from support.clips import Tags, expected_rgb, frame_of, random_planes, write_clip
from torch import Tensor

from lanhdr_cli.media.errors import MediaError
from lanhdr_cli.media.hdr10_metadata import ContentLightMeter, LightLevel
from lanhdr_cli.media.video_reader import DecodedFrame, VideoReader
from lanhdr_cli.media.yuv import FORMATS, as_frame, brightest, coded_planes, coding_of, pad_to_format, to_rgb
from model.color import pq_encode

ODD = (37, 23)
FLOAT32 = 2e-6  # a few roundings of float32 on values up to 2


def to_frame(signal: Tensor, name: str) -> av.VideoFrame:
    """Code encoded R'G'B', 0..1, (3, H, W), and make a frame of it."""
    return as_frame(coded_planes(signal, name), name)


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
    for format in ("bayer_rggb8", "gbrpf32le"):
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


SIZE = (12, 20)  # height, width


def picture(seed: int = 0) -> torch.Tensor:
    return torch.rand(3, *SIZE, generator=torch.Generator().manual_seed(seed))


def planes_of(frame: av.VideoFrame) -> list[NDArray[np.int64]]:
    kind = np.uint16 if frame.format.components[0].bits > 8 else np.uint8
    rows = [
        np.frombuffer(memoryview(plane), kind).reshape(plane.height, -1)[:, : plane.width] for plane in frame.planes
    ]
    return [plane.astype(np.int64) for plane in rows]


def exact(signal: torch.Tensor, bits: int, *, standard: str = "ITU-R BT.2020") -> NDArray[np.float64]:
    """Y', Cb, Cr as colour-science has them, not rounded, (3, H, W)."""
    encoded = signal.double().permute(1, 2, 0).numpy()
    codes = colour.RGB_to_YCbCr(
        encoded, colour.WEIGHTS_YCBCR[standard], in_bits=10, out_bits=bits, out_legal=True, out_int=False
    )
    planes: NDArray[np.float64] = np.asarray(codes, np.float64).transpose(2, 0, 1) * (2**bits - 1)
    return planes


@pytest.mark.parametrize("bits", [10, 12])
def test_full_size_planes_equal_colour_science(bits: int) -> None:
    signal = picture()
    found = planes_of(to_frame(signal, f"yuv444p{bits}le"))
    for own, other in zip(found, exact(signal, bits), strict=True):
        # half a code is rounding, the rest is single precision
        assert np.abs(own - other).max() < 0.502


def filtered(plane: NDArray[np.float64], row: int, column: int, *, down: int, left: bool) -> float:
    """Weights 1 2 1 about a sample, or 1 1 over two rows, by a plain sum; the edge is repeated."""
    height, width = plane.shape
    rows = {-1: 0.25, 0: 0.5, 1: 0.25} if down == 2 and not left else {0: 0.5, 1: 0.5} if down == 2 else {0: 1.0}
    columns = {-1: 0.25, 0: 0.5, 1: 0.25}
    return sum(
        weight * other * float(plane[min(max(row + dy, 0), height - 1), min(max(column + dx, 0), width - 1)])
        for dy, weight in rows.items()
        for dx, other in columns.items()
    )


@pytest.mark.parametrize(
    ("name", "bits", "down", "left"),
    [("yuv420p10le", 10, 2, False), ("yuv422p12le", 12, 1, False), ("yuv420p", 8, 2, True)],
)
def test_chroma_is_filtered_about_its_place(name: str, bits: int, down: int, left: bool) -> None:
    signal = picture()
    luma, *chroma = planes_of(to_frame(signal, name))
    whole = exact(signal, bits, standard="ITU-R BT.709" if bits == 8 else "ITU-R BT.2020")
    assert np.abs(luma - whole[0]).max() < 0.502
    for own, full in zip(chroma, whole[1:], strict=True):
        assert own.shape == (SIZE[0] // down, SIZE[1] // 2)
        for (row, column), code in np.ndenumerate(own):
            assert code == pytest.approx(filtered(full, down * row, 2 * column, down=down, left=left), abs=0.51)


def test_rgb_planes_are_green_blue_red_in_full_range() -> None:
    signal = picture()
    found = planes_of(to_frame(signal, "gbrp12le"))
    for own, channel in zip(found, (1, 2, 0), strict=True):
        np.testing.assert_array_equal(own, np.floor(signal[channel].double().numpy() * 4095 + 0.5))


def test_packed_planes_hold_the_same_codes() -> None:
    frame = to_frame(picture(), "p010le")
    # one thread: with more, swscale corrupts pictures of some sizes
    unpacked = VideoReformatter().reformat(frame, format="yuv420p10le", src_colorspace=9, dst_colorspace=9, threads=1)
    for own, other in zip(planes_of(unpacked), planes_of(to_frame(picture(), "yuv420p10le")), strict=True):
        np.testing.assert_array_equal(own, other)


def test_frames_say_what_they_are() -> None:
    said = {name: (to_frame(picture(), name).colorspace, to_frame(picture(), name).color_range) for name in FORMATS}
    assert said == {name: (0, 2) if "gbr" in name else (1, 1) if name == "yuv420p" else (9, 1) for name in FORMATS}


@pytest.mark.parametrize(("name", "size"), [("yuv420p10le", (6, 8)), ("yuv422p10le", (5, 8)), ("yuv444p10le", (5, 7))])
def test_odd_sizes_are_filled_by_repetition(name: str, size: tuple[int, int]) -> None:
    signal = torch.rand(3, 5, 7)
    padded = pad_to_format(signal, FORMATS[name])
    assert padded.shape == (3, *size)
    assert torch.equal(padded[:, :5, :7], signal)
    assert torch.equal(padded[:, -1, :7], signal[:, -1])
    assert torch.equal(padded[:, :5, -1], signal[:, :, -1])


@pytest.mark.parametrize("name", ["yuv420p10le", "yuv422p10le", "yuv444p12le", "gbrp10le"])
def test_brightest_reads_back_what_is_smooth(name: str) -> None:
    ramp = torch.linspace(0.1, 0.9, 64)
    signal = torch.stack([ramp.expand(48, 64), ramp.flip(0).expand(48, 64), torch.full((48, 64), 0.3)])
    found = brightest(to_frame(signal, name))
    inside = (slice(2, -2), slice(2, -2))
    # at 10 bits luma and chroma are each off by half a code at most: 0.5 / 876 + 1.88 * 0.5 / 896
    assert (found[inside] - signal.amax(0)[inside]).abs().max() < 0.0017


def test_light_levels_are_those_of_cta_861() -> None:
    meter = ContentLightMeter()
    frames = torch.full((2, 3, 16, 32), 50.0)
    frames[0, 0, :8] = 400.0  # half of the first frame is brightest in red: mean (400 + 50) / 2
    frames[1, :, :2, :2] = 1000.0
    for nits in frames:
        meter.add(to_frame(pq_encode(nits), "gbrp12le"))
    # a code of 12 bits is 0.3 %
    assert meter.max_cll_nits == pytest.approx(1000, rel=0.003)
    assert meter.max_fall_nits == pytest.approx(225, rel=0.003)
    level = LightLevel.of(max_cll_nits=meter.max_cll_nits, max_fall_nits=meter.max_fall_nits)
    assert level.max_fall == round(meter.max_fall_nits)


def test_a_black_video_has_levels_that_are_known() -> None:
    meter = ContentLightMeter()
    meter.add(to_frame(torch.zeros(3, 16, 16), "yuv420p10le"))
    level = LightLevel.of(max_cll_nits=meter.max_cll_nits, max_fall_nits=meter.max_fall_nits)
    assert (level.max_cll, level.max_fall) == (1, 1)
    assert Fraction(meter.max_cll_nits).limit_denominator(1000) == 0
