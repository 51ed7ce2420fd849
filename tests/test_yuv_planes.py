"""Code values of planes: against colour-science, against a plain sum for chroma, and back again."""

from fractions import Fraction

import av
import colour
import numpy as np
import pytest
import torch
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from lanhdr_cli.media.hdr10_metadata import LightMeter
from lanhdr_cli.media.yuv import FORMATS, brightest, pad_to_format, to_frame
from model.color import pq_encode

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
    meter = LightMeter()
    frames = torch.full((2, 3, 16, 32), 50.0)
    frames[0, 0, :8] = 400.0  # half of the first frame is brightest in red: mean (400 + 50) / 2
    frames[1, :, :2, :2] = 1000.0
    for nits in frames:
        meter.add(to_frame(pq_encode(nits), "gbrp12le"))
    # a code of 12 bits is 0.3 %
    assert meter.max_cll_nits == pytest.approx(1000, rel=0.003)
    assert meter.max_fall_nits == pytest.approx(225, rel=0.003)
    assert meter.level().max_fall == round(meter.max_fall_nits)


def test_a_black_video_has_levels_that_are_known() -> None:
    meter = LightMeter()
    meter.add(to_frame(torch.zeros(3, 16, 16), "yuv420p10le"))
    assert (meter.level().max_cll, meter.level().max_fall) == (1, 1)
    assert Fraction(meter.max_cll_nits).limit_denominator(1000) == 0
