"""From code values of a decoded picture to encoded R, G, B between 0 and 1."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from av import VideoFrame
from av.video.plane import VideoPlane
from av.video.reformatter import ColorRange, Interpolation, VideoReformatter
from torch import Tensor

from lanhdr_cli.media.errors import MediaError

# Kr and Kb of each code of ITU-T H.273 table 4 (matrix coefficients).
BT709, BT601 = 1, 6
MATRICES = {
    1: (0.2126, 0.0722),  # ITU-R BT.709
    4: (0.30, 0.11),  # FCC
    5: (0.299, 0.114),  # ITU-R BT.470 BG, BT.601
    6: (0.299, 0.114),  # SMPTE ST 170, BT.601
    7: (0.212, 0.087),  # SMPTE ST 240
    9: (0.2627, 0.0593),  # ITU-R BT.2020, non-constant luminance
}
UNTAGGED_MATRIX = 2
HD_HEIGHT = 720
NEUTRAL_CHROMA = 128 << 8


@dataclass(frozen=True)
class Coding:
    """How the code values of a picture stand for color.

    Args:
        kind: What the components are.
        bits: Bits per component.
        full_range: Whether black and white are the extreme codes; else 16 and 235 at 8 bits.
        matrix: Code of ITU-T H.273 table 4; matters to `ycbcr`.
        guessed: Whether the matrix is a guess because the stream does not say.
    """

    kind: Literal["ycbcr", "rgb", "gray"]
    bits: int
    full_range: bool
    matrix: int
    guessed: bool


def coding_of(frame: VideoFrame) -> Coding:
    """Find out how a decoded picture is coded.

    A stream that does not name its matrix gets the usual one: BT.709 from 720 lines up, else BT.601.

    Raises:
        MediaError: If it is coded in a way that lanhdr does not know.
    """
    kind = _kind(frame)
    untagged = frame.colorspace == UNTAGGED_MATRIX and kind == "ycbcr"
    matrix = (BT709 if frame.height >= HD_HEIGHT else BT601) if untagged else int(frame.colorspace)
    if kind == "ycbcr" and matrix not in MATRICES:
        raise MediaError(f"the video's color matrix (code {matrix}) is not supported: convert it to BT.709 first")
    return Coding(kind, frame.format.components[0].bits, _is_full_range(frame, kind), matrix, untagged)


def to_rgb(frame: VideoFrame, coding: Coding, *, reformatter: VideoReformatter) -> Tensor:
    """Convert a decoded picture, exactly but for the interpolation of subsampled chroma.

    swscale only brings chroma to full size, which leaves luma bit-exact; its own matrix is off by half a code and
    never reaches white.

    Args:
        frame: As decoded; its range tag may be changed.
        coding: What `coding_of` said.
        reformatter: Keeps what swscale needs from frame to frame.

    Returns:
        Encoded R, G, B as the stream has them, clamped to 0..1, float32, (3, H, W).
    """
    if coding.kind == "rgb":
        return _scaled(_rgb_codes(frame, coding.bits, reformatter=reformatter), coding).clamp_(0, 1)
    if coding.kind == "gray":
        return _scaled(_plane(frame.planes[0], frame.format.name, coding.bits), coding).clamp_(0, 1).repeat(3, 1, 1)
    luma, blue, red = _ycbcr_codes(frame, coding, reformatter=reformatter)
    top = _top(coding) * 2.0 ** (16 - coding.bits)
    luma = luma.div_(top) if coding.full_range else luma.sub_(16 << 8).div_(219 << 8)
    chroma_scale = top if coding.full_range else 224 << 8
    chroma = [plane.sub_(NEUTRAL_CHROMA).div_(chroma_scale) for plane in (blue, red)]
    return _from_ycbcr(luma, *chroma, matrix=coding.matrix).clamp_(0, 1)


def _from_ycbcr(luma: Tensor, blue: Tensor, red: Tensor, *, matrix: int) -> Tensor:
    """ITU-R BT.709-6 item 3.3 solved for R, G, B; luma 0..1, chroma -0.5..0.5, each (H, W)."""
    kr, kb = MATRICES[matrix]
    kg = 1 - kr - kb
    rgb = luma.expand(3, *luma.shape).clone()
    rgb[0].add_(red, alpha=2 * (1 - kr))
    rgb[1].sub_(red, alpha=2 * kr * (1 - kr) / kg).sub_(blue, alpha=2 * kb * (1 - kb) / kg)
    rgb[2].add_(blue, alpha=2 * (1 - kb))
    return rgb


def _kind(frame: VideoFrame) -> Literal["ycbcr", "rgb", "gray"]:
    name, components = frame.format.name, frame.format.components
    if frame.format.has_palette:
        return "rgb"
    if name.startswith(("bayer", "xyz", "mono", "ya")) or "f16" in name or "f32" in name or components[0].bits > 16:
        raise MediaError(f"pictures of format {name} are not supported: convert the video to RGB or YCbCr first")
    if frame.format.is_rgb:
        return "rgb"
    return "gray" if len(components) < 3 else "ycbcr"


def _is_full_range(frame: VideoFrame, kind: str) -> bool:
    if frame.format.name.startswith("yuvj"):
        return True
    if frame.color_range == ColorRange.UNSPECIFIED:
        return kind != "ycbcr"
    return bool(frame.color_range == ColorRange.JPEG)


def _ycbcr_codes(frame: VideoFrame, coding: Coding, *, reformatter: VideoReformatter) -> list[Tensor]:
    """Three planes of full size, code values shifted up to 16 bits."""
    # Equal tags at both ends keep swscale from touching the range: what comes out is a shift.
    swings_fully = frame.format.name.startswith("yuvj")
    frame.color_range = ColorRange.JPEG if swings_fully else ColorRange.MPEG
    # One thread: with more, slices of swscale 9.5 overwrite each other's first samples at some sizes.
    full_size = reformatter.reformat(frame, format="yuv444p16le", interpolation=Interpolation.BICUBIC, threads=1)
    planes = [_plane(plane, "yuv444p16le", 16) for plane in full_size.planes]
    if frame.format.name == "yuvj444p":  # only here codes are repeated in the low byte
        planes = [plane.div_(256).floor_().mul_(256) for plane in planes]
    return planes


def _rgb_codes(frame: VideoFrame, bits: int, *, reformatter: VideoReformatter) -> Tensor:
    name = "rgb24" if bits <= 8 else "rgb48le"
    packed = reformatter.reformat(frame, format=name, threads=1)
    codes = _plane(packed.planes[0], name, 8 if bits <= 8 else 16, samples=3)
    if bits > 8:  # swscale repeats the high bits in the low ones; the code itself is on top
        codes = codes.div_(2 ** (16 - bits)).floor_()
    return codes.view(packed.height, packed.width, 3).permute(2, 0, 1).contiguous()  # (3, H, W)


def _scaled(codes: Tensor, coding: Coding) -> Tensor:
    if coding.full_range:
        return codes.div_(_top(coding))
    unit = 2.0 ** (coding.bits - 8)
    return codes.sub_(16 * unit).div_(219 * unit)


def _top(coding: Coding) -> int:
    """White of full range."""
    bits = 8 if coding.kind == "rgb" and coding.bits < 8 else coding.bits
    return (1 << bits) - 1


def _plane(plane: VideoPlane, name: str, bits: int, *, samples: int = 1) -> Tensor:
    """Code values of one plane, float32, (H, W * samples)."""
    kind = np.dtype(np.uint8) if bits <= 8 else np.dtype(">u2" if name.endswith("be") else "<u2")
    rows = np.frombuffer(memoryview(plane), kind).reshape(plane.height, plane.line_size // kind.itemsize)
    return torch.from_numpy(rows[:, : plane.width * samples].astype(np.float32))
