"""Conversion between code values of Y'CbCr or RGB video frames and encoded R, G, B between 0 and 1."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from av import VideoFrame
from av.video.plane import VideoPlane
from av.video.reformatter import ColorRange, Interpolation, VideoReformatter
from torch import Tensor

from lanhdr_cli.media.errors import MediaError

BT709, BT601, BT2020 = 1, 6, 9  # ITU-T H.273 tables 2 and 4
PQ_TRANSFER, HLG_TRANSFER = 16, 18  # ITU-T H.273 table 3
# Kr and Kb of each code of ITU-T H.273 table 4 (matrix coefficients).
MATRICES = {
    1: (0.2126, 0.0722),  # ITU-R BT.709
    4: (0.30, 0.11),  # FCC
    5: (0.299, 0.114),  # ITU-R BT.470 BG, BT.601
    6: (0.299, 0.114),  # SMPTE ST 170, BT.601
    7: (0.212, 0.087),  # SMPTE ST 240
    9: (0.2627, 0.0593),  # ITU-R BT.2020, non-constant luminance
}
UNTAGGED = 2  # in ITU-T H.273 tables 2 to 4
HD_HEIGHT = 720
NEUTRAL_CHROMA = 128 << 8
IDENTITY = 0
FULL_RANGE, LIMITED_RANGE = 2, 1  # as FFmpeg counts them


@dataclass(frozen=True, kw_only=True)
class Coding:
    """Meaning of a picture's code values.

    Args:
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
    form = frame.format
    name, bits = form.name, form.components[0].bits
    exotic = name.startswith(("bayer", "xyz", "mono")) or "f16" in name or "f32" in name or bits > 16
    if exotic and not form.has_palette:
        raise MediaError(f"pictures of format {name} are not supported: convert the video to RGB or YCbCr first")
    kind: Literal["ycbcr", "rgb", "gray"] = "gray" if len(form.components) < 3 else "ycbcr"
    if form.has_palette or form.is_rgb:
        kind = "rgb"
    guessed = frame.colorspace == UNTAGGED and kind == "ycbcr"
    matrix = (BT709 if frame.height >= HD_HEIGHT else BT601) if guessed else int(frame.colorspace)
    if kind == "ycbcr" and matrix not in MATRICES:
        raise MediaError(f"the video's color matrix (code {matrix}) is not supported: convert it to BT.709 first")
    full_range = name.startswith("yuvj") or frame.color_range == ColorRange.JPEG
    if frame.color_range == ColorRange.UNSPECIFIED and kind != "ycbcr":
        full_range = True
    return Coding(kind=kind, bits=bits, full_range=full_range, matrix=matrix, guessed=guessed)


def to_rgb(frame: VideoFrame, coding: Coding, *, reformatter: VideoReformatter) -> Tensor:
    """Convert a decoded picture, exactly but for the interpolation of subsampled chroma.

    Args:
        frame: As decoded; its range tag may be changed.
        reformatter: Keeps swscale's state from frame to frame.

    Returns:
        Encoded R, G, B as the stream has them, clamped to 0..1, float32, (3, H, W).
    """
    bits = coding.bits
    if coding.kind == "ycbcr":
        return _from_ycbcr(frame, coding, reformatter=reformatter)
    if coding.kind == "gray":
        samples = len(frame.format.components)  # of gray and alpha, which is left out
        codes = _plane(frame.planes[0], frame.format.name, bits, samples=samples)[None, :, ::samples]
    else:
        name = "rgb24" if bits <= 8 else "rgb48le"
        packed = reformatter.reformat(frame, format=name, threads=1)
        codes = _plane(packed.planes[0], name, 8 if bits <= 8 else 16, samples=3)
        if bits > 8:  # swscale repeats the high bits in the low ones; the code itself is on top
            codes = codes.div_(2 ** (16 - bits)).floor_()
        codes = codes.view(packed.height, packed.width, 3).permute(2, 0, 1).contiguous()  # (3, H, W)
        bits = max(bits, 8)
    if coding.full_range:
        codes.div_((1 << bits) - 1)
    else:
        unit = 2.0 ** (coding.bits - 8)
        codes.sub_(16 * unit).div_(219 * unit)
    return codes.clamp_(0, 1).expand(3, -1, -1).contiguous()


def is_transparent(frame: VideoFrame) -> bool:
    """Tell whether a picture of packed RGB or gray has an alpha that is not opaque everywhere."""
    form = frame.format
    samples = len(form.components)
    if samples not in (2, 4) or len(frame.planes) != 1 or form.has_palette:
        return False
    bits = form.components[0].bits
    codes = _plane(frame.planes[0], form.name, bits, samples=samples)
    alpha = codes[:, 0 if form.name.startswith("a") else samples - 1 :: samples]
    return bool(alpha.min() < (1 << bits) - 1)


def _from_ycbcr(frame: VideoFrame, coding: Coding, *, reformatter: VideoReformatter) -> Tensor:
    """ITU-R BT.709-6 item 3.3 solved for R, G, B.

    swscale only brings chroma to full size, which leaves luma bit-exact; its own matrix is off by half a code and
    never reaches white.
    """
    # Equal tags at both ends keep swscale from touching the range: codes are only shifted up to 16 bits.
    frame.color_range = ColorRange.JPEG if frame.format.name.startswith("yuvj") else ColorRange.MPEG
    # One thread: with more, slices of swscale 9.5 overwrite each other's first samples at some sizes.
    full_size = reformatter.reformat(frame, format="yuv444p16le", interpolation=Interpolation.BICUBIC, threads=1)
    planes = [_plane(plane, "yuv444p16le", 16) for plane in full_size.planes]
    if frame.format.name == "yuvj444p":  # only here codes are repeated in the low byte
        planes = [plane.div_(256).floor_().mul_(256) for plane in planes]
    top = ((1 << coding.bits) - 1) * 2.0 ** (16 - coding.bits)
    luma = planes[0].div_(top) if coding.full_range else planes[0].sub_(16 << 8).div_(219 << 8)
    blue, red = (plane.sub_(NEUTRAL_CHROMA).div_(top if coding.full_range else 224 << 8) for plane in planes[1:])
    kr, kb = MATRICES[coding.matrix]
    kg = 1 - kr - kb
    rgb = luma.expand(3, *luma.shape).clone()
    rgb[0].add_(red, alpha=2 * (1 - kr))
    rgb[1].sub_(red, alpha=2 * kr * (1 - kr) / kg).sub_(blue, alpha=2 * kb * (1 - kb) / kg)
    rgb[2].add_(blue, alpha=2 * (1 - kb))
    return rgb.clamp_(0, 1)


def _plane(plane: VideoPlane, name: str, bits: int, *, samples: int = 1) -> Tensor:
    """Code values of one plane, float32, (H, W * samples)."""
    kind = np.dtype(np.uint8) if bits <= 8 else np.dtype(">u2" if name.endswith("be") else "<u2")
    rows = np.frombuffer(memoryview(plane), kind).reshape(plane.height, plane.line_size // kind.itemsize)
    return torch.from_numpy(rows[:, : plane.width * samples].astype(np.float32))


@dataclass(frozen=True, kw_only=True)
class PlaneFormat:
    """Layout of planes.

    Args:
        across: Width of luma over width of chroma, 1 or 2.
        down: Height of luma over height of chroma, 1 or 2.
        rgb: Whether the planes are G, B, R in full range instead of Y', Cb, Cr in limited range.
        top_left: Whether chroma of 4:2:0 lies on luma's top left sample (BT.2020-2 table 4); else between two rows.
        packed: Whether Cb and Cr share a plane and codes are shifted to the top of 16 bits (P010).
    """

    bits: int
    across: int = 1
    down: int = 1
    rgb: bool = False
    top_left: bool = True
    packed: bool = False

    @property
    def matrix(self) -> int:
        """Code of ITU-T H.273 table 4."""
        return IDENTITY if self.rgb else BT709 if self.bits == 8 else BT2020

    @property
    def range(self) -> int:
        """Limited or full."""
        return FULL_RANGE if self.rgb else LIMITED_RANGE

    def padded_size(self, width: int, height: int) -> tuple[int, int]:
        """Width and height of a coded picture: even where chroma is subsampled."""
        return width + -width % self.across, height + -height % self.down


FORMATS = {
    "yuv420p": PlaneFormat(bits=8, across=2, down=2, top_left=False),
    "yuv420p10le": PlaneFormat(bits=10, across=2, down=2),
    "yuv420p12le": PlaneFormat(bits=12, across=2, down=2),
    "yuv422p10le": PlaneFormat(bits=10, across=2),
    "yuv422p12le": PlaneFormat(bits=12, across=2),
    "yuv444p10le": PlaneFormat(bits=10),
    "yuv444p12le": PlaneFormat(bits=12),
    "gbrp10le": PlaneFormat(bits=10, rgb=True),
    "gbrp12le": PlaneFormat(bits=12, rgb=True),
    "p010le": PlaneFormat(bits=10, across=2, down=2, packed=True),
}


def pad_to_format(signal: Tensor, form: PlaneFormat) -> Tensor:
    """Repeat the last column and row where subsampled chroma needs even sizes, (3, H, W)."""
    height, width = signal.shape[1:]
    padded_width, padded_height = form.padded_size(width, height)
    return F.pad(signal[None], (0, padded_width - width, 0, padded_height - height), mode="replicate")[0]


def coded_planes(signal: Tensor, name: str) -> tuple[Tensor, ...]:
    """Code encoded R'G'B' as the planes of a format, on the device of the signal.

    Args:
        signal: 0..1, (3, H, W); the last row and column are repeated where the format needs even sizes.
        name: A key of `FORMATS`.

    Returns:
        Codes, uint8, or int16 whose bits are those of uint16, (H, W) each; chroma as the format has it.
    """
    form = FORMATS[name]
    signal = pad_to_format(signal, form)
    if form.rgb:
        top = (1 << form.bits) - 1
        red, green, blue = _codes(signal, top, 0, top=top)
        planes = [green, blue, red]
    else:
        planes = _ycbcr_planes(signal, form)
    if form.packed:
        planes = [planes[0] << 6, torch.stack(planes[1:], dim=-1).flatten(1) << 6]  # (H/2, W)
    return tuple(plane.to(torch.uint8) if form.bits == 8 else plane for plane in planes)


def as_frame(planes: Sequence[Tensor], name: str) -> VideoFrame:
    """Make a frame of what `coded_planes` returns, on the CPU; the planes are handed over without a copy."""
    form = FORMATS[name]
    codes = (plane if form.bits == 8 else plane.view(torch.uint16) for plane in planes)
    frame = VideoFrame.from_dlpack(tuple(codes), format=name)
    frame.colorspace, frame.color_range = form.matrix, form.range
    return frame


def _ycbcr_planes(signal: Tensor, form: PlaneFormat) -> list[Tensor]:
    """ITU-R BT.2020-2 tables 4 and 5 (non-constant luminance), or BT.709-6 items 3.2 to 3.5.

    Chroma is low-passed with 1 2 1 around samples that stay, 1 1 between rows; the others are dropped.
    """
    kr, kb = MATRICES[form.matrix]
    red, green, blue = signal
    luma = kr * red + (1 - kr - kb) * green + kb * blue  # (H, W)
    chroma = torch.stack([(blue - luma) / (2 * (1 - kb)), (red - luma) / (2 * (1 - kr))])  # (2, H, W)
    if form.across == 2:
        padded = F.pad(chroma[None], (1, 1, 0, 0), mode="replicate")[0]
        chroma = (padded[..., :-2:2] + 2 * padded[..., 1:-1:2] + padded[..., 2::2]) / 4
    if form.down == 2 and form.top_left:
        padded = F.pad(chroma[None], (0, 0, 1, 1), mode="replicate")[0]
        chroma = (padded[:, :-2:2] + 2 * padded[:, 1:-1:2] + padded[:, 2::2]) / 4
    elif form.down == 2:
        chroma = (chroma[:, ::2] + chroma[:, 1::2]) / 2
    step = 1 << (form.bits - 8)
    top = (1 << form.bits) - 1
    return [_codes(luma, 219 * step, 16 * step, top=top), *_codes(chroma, 224 * step, 128 * step, top=top)]


def _codes(values: Tensor, factor: int, offset: int, *, top: int) -> Tensor:
    # torch rounds halves to even, the standards upwards; adding a half and truncating does as they do.
    return (values * factor + (offset + 0.5)).clamp_(0, top).to(torch.int16)


def brightest(frame: VideoFrame) -> Tensor:
    """Read max(R', G', B') of each pixel of a decoded frame; chroma is interpolated linearly.

    Args:
        frame: In one of `FORMATS`, none packed, chroma of 4:2:0 on the top left.

    Returns:
        Signal, clamped to 0..1, (H, W).
    """
    form = FORMATS[frame.format.name]
    planes = [_plane(frame.planes[number], frame.format.name, form.bits) for number in range(3)]
    if form.rgb:
        return torch.stack(planes).amax(0) / ((1 << form.bits) - 1)
    step = 1 << (form.bits - 8)
    luma = (planes[0] - 16 * step) / (219 * step)  # (H, W)
    chroma = []
    for plane in planes[1:]:
        signal = (plane - 128 * step) / (224 * step)
        if form.down == 2:
            signal = _doubled(signal)
        if form.across == 2:
            signal = _doubled(signal.T).T
        chroma.append(signal[: luma.shape[0], : luma.shape[1]])
    blue, red = chroma
    kr, kb = MATRICES[form.matrix]
    kg = 1 - kr - kb
    green = -2 * kb * (1 - kb) / kg * blue - 2 * kr * (1 - kr) / kg * red
    highest = torch.maximum(torch.maximum(2 * (1 - kr) * red, 2 * (1 - kb) * blue), green)
    return (luma + highest).clamp_(0, 1)


def _doubled(rows: Tensor) -> Tensor:
    """Put the mean of two rows between them; the last is repeated."""
    following = torch.cat([rows[1:], rows[-1:]])
    return torch.stack([rows, (rows + following) / 2], dim=1).flatten(0, 1)
