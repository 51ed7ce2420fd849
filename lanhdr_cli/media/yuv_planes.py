"""Code values of a picture's planes, from R'G'B' and back; limited range, chroma filtered for its place."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from av import VideoFrame
from torch import Tensor

from lanhdr_cli.media.pixels import BT709, MATRICES

BT2020 = 9  # ITU-T H.273 table 4
IDENTITY = 0
FULL_RANGE, LIMITED_RANGE = 2, 1  # as FFmpeg counts them


@dataclass(frozen=True)
class PlaneFormat:
    """Layout of planes.

    Args:
        bits: Per sample.
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


FORMATS = {
    "yuv420p": PlaneFormat(8, 2, 2, top_left=False),
    "yuv420p10le": PlaneFormat(10, 2, 2),
    "yuv420p12le": PlaneFormat(12, 2, 2),
    "yuv422p10le": PlaneFormat(10, 2, 1),
    "yuv422p12le": PlaneFormat(12, 2, 1),
    "yuv444p10le": PlaneFormat(10),
    "yuv444p12le": PlaneFormat(12),
    "gbrp10le": PlaneFormat(10, rgb=True),
    "gbrp12le": PlaneFormat(12, rgb=True),
    "p010le": PlaneFormat(10, 2, 2, packed=True),
}


def pad_to_format(signal: Tensor, form: PlaneFormat) -> Tensor:
    """Repeat the last column and row where subsampled chroma needs even sizes, (3, H, W)."""
    height, width = signal.shape[1:]
    return F.pad(signal[None], (0, -width % form.across, 0, -height % form.down), mode="replicate")[0]


def to_frame(signal: Tensor, name: str) -> VideoFrame:
    """Make a frame of encoded R'G'B'; the planes are handed over without a copy.

    Args:
        signal: 0..1, sizes fit for the format, (3, H, W).
        name: A key of `FORMATS`.
    """
    form = FORMATS[name]
    planes = _gbr_planes(signal, form) if form.rgb else _ycbcr_planes(signal, form)
    if form.packed:
        planes = [planes[0] << 6, torch.stack(planes[1:], dim=-1).flatten(1) << 6]  # (H/2, W)
    kind = torch.uint8 if form.bits == 8 else torch.uint16
    codes = [plane.to(torch.uint8) if form.bits == 8 else plane.view(kind) for plane in planes]
    frame = VideoFrame.from_dlpack(tuple(codes), format=name)
    frame.colorspace, frame.color_range = form.matrix, form.range
    return frame


def _ycbcr_planes(signal: Tensor, form: PlaneFormat) -> list[Tensor]:
    """ITU-R BT.2020-2 tables 4 and 5 (non-constant luminance), or BT.709-6 items 3.2 to 3.5."""
    kr, kb = MATRICES[form.matrix]
    red, green, blue = signal
    luma = kr * red + (1 - kr - kb) * green + kb * blue  # (H, W)
    chroma = torch.stack([(blue - luma) / (2 * (1 - kb)), (red - luma) / (2 * (1 - kr))])  # (2, H, W)
    chroma = _subsample(chroma, form)
    step = 1 << (form.bits - 8)
    top = (1 << form.bits) - 1
    return [_codes(luma, 219 * step, 16 * step, top=top), *_codes(chroma, 224 * step, 128 * step, top=top)]


def _gbr_planes(signal: Tensor, form: PlaneFormat) -> list[Tensor]:
    top = (1 << form.bits) - 1
    red, green, blue = _codes(signal, top, 0, top=top)
    return [green, blue, red]


def _codes(values: Tensor, factor: int, offset: int, *, top: int) -> Tensor:
    # torch rounds halves to even, the standards upwards; adding a half and truncating does as they do.
    return (values * factor + (offset + 0.5)).clamp_(0, top).to(torch.int16)


def _subsample(chroma: Tensor, form: PlaneFormat) -> Tensor:
    """Low-pass with 1 2 1 around samples that stay, 1 1 between rows, and drop the others, to (2, H/down, W/across)."""
    if form.across == 2:
        padded = F.pad(chroma[None], (1, 1, 0, 0), mode="replicate")[0]
        chroma = (padded[..., :-2:2] + 2 * padded[..., 1:-1:2] + padded[..., 2::2]) / 4
    if form.down == 2 and form.top_left:
        padded = F.pad(chroma[None], (0, 0, 1, 1), mode="replicate")[0]
        chroma = (padded[:, :-2:2] + 2 * padded[:, 1:-1:2] + padded[:, 2::2]) / 4
    elif form.down == 2:
        chroma = (chroma[:, ::2] + chroma[:, 1::2]) / 2
    return chroma


def brightest(frame: VideoFrame) -> Tensor:
    """Read max(R', G', B') of each pixel of a decoded frame; chroma is interpolated linearly.

    Args:
        frame: In one of `FORMATS`, none packed, chroma of 4:2:0 on the top left.

    Returns:
        Signal, clamped to 0..1, (H, W).
    """
    form = FORMATS[frame.format.name]
    planes = [_plane(frame, number) for number in range(3)]
    if form.rgb:
        return torch.stack(planes).amax(0) / ((1 << form.bits) - 1)
    step = 1 << (form.bits - 8)
    luma = (planes[0] - 16 * step) / (219 * step)  # (H, W)
    blue, red = (_supersample((plane - 128 * step) / (224 * step), form, like=luma) for plane in planes[1:])
    kr, kb = MATRICES[form.matrix]
    kg = 1 - kr - kb
    green = -2 * kb * (1 - kb) / kg * blue - 2 * kr * (1 - kr) / kg * red
    highest = torch.maximum(torch.maximum(2 * (1 - kr) * red, 2 * (1 - kb) * blue), green)
    return (luma + highest).clamp_(0, 1)


def _supersample(chroma: Tensor, form: PlaneFormat, *, like: Tensor) -> Tensor:
    if form.down == 2:
        chroma = _doubled(chroma)
    if form.across == 2:
        chroma = _doubled(chroma.T).T
    return chroma[: like.shape[0], : like.shape[1]]


def _doubled(rows: Tensor) -> Tensor:
    """Put the mean of two rows between them; the last is repeated."""
    following = torch.cat([rows[1:], rows[-1:]])
    return torch.stack([rows, (rows + following) / 2], dim=1).flatten(0, 1)


def _plane(frame: VideoFrame, number: int) -> Tensor:
    plane = frame.planes[number]
    kind = np.dtype("<u2") if FORMATS[frame.format.name].bits > 8 else np.dtype("u1")
    rows = np.frombuffer(memoryview(plane), kind).reshape(plane.height, plane.line_size // kind.itemsize)
    return torch.from_numpy(rows[:, : plane.width].astype(np.float32))
