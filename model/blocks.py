"""Building blocks of the network."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Of the widest map in a band of rows. Bands save a sixth of the memory of a 1080p frame, and where the C library gives
# large blocks back to the system each time, some hundredths of the time.
BAND_BYTES = 24 << 20
# Planes of a Fourier transform that fit a processor's cache together.
SPECTRUM_BYTES = 1 << 20


def resize_like(x: Tensor, target: Tensor) -> Tensor:
    """Interpolate bilinearly (no antialiasing, corners not aligned) to the height and width of `target`."""
    size = target.shape[-2:]
    return F.interpolate(x, size=size, mode="bilinear", align_corners=False) if x.shape[-2:] != size else x


def is_frugal(x: Tensor) -> bool:
    """Whether maps are taken in parts: on a CPU without gradients."""
    return x.device.type == "cpu" and not torch.is_grad_enabled()


def in_bands(
    layers: Callable[..., Tensor], *maps: Tensor, halo: int, width: int, total: Tensor | None = None
) -> Tensor:
    """Apply layers that see few rows around each; frugally, large maps are taken in bands of rows.

    Args:
        layers: From bands of the maps, in order, to a result of the same height and width; zeros lie around a band,
            so that those around the frame stay what they are.
        maps: All of one height and width, (B, _, H, W).
        halo: Rows above and below that a row of the result depends on.
        width: Channels of the widest map that the layers make.
        total: Sum that the result is added to, changed in place; None makes a new tensor.

    Returns:
        The result, or `total`.
    """
    batch, _, height, length = maps[0].shape
    rows = max(BAND_BYTES // (4 * batch * width * length), 4 * halo)
    if not is_frugal(maps[0]) or rows >= height:
        whole = layers(*maps)
        return whole if total is None else total.add_(whole)
    adds = total is not None
    for first in range(0, height, rows):
        top, bottom = max(first - halo, 0), min(first + rows + halo, height)
        band = layers(*(x[:, :, top:bottom] for x in maps))[:, :, first - top :][:, :, :rows]
        if total is None:
            layout = torch.channels_last if maps[0].is_contiguous(memory_format=torch.channels_last) else None
            shape = (batch, band.shape[1], height, length)
            total = torch.empty(shape, dtype=band.dtype, memory_format=layout or torch.contiguous_format)
        place = total[:, :, first : first + rows]
        place.add_(band) if adds else place.copy_(band)
    assert total is not None
    return total


def conv3x3(inputs: int, outputs: int, *, stride: int = 1) -> nn.Conv2d:
    """Make a 3x3 convolution with bias and zero padding 1."""
    return nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1)


class GatedConv(nn.Module):
    """A 3x3 convolution whose second half of outputs opens and closes the first: ELU(x) * sigmoid(gate)."""

    def __init__(self, inputs: int, outputs: int, *, stride: int = 1) -> None:
        super().__init__()
        self.conv = conv3x3(inputs, 2 * outputs, stride=stride)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, inputs, H, W) to (B, outputs, H / stride, W / stride)."""
        # Halves of one result would lie in strips, over which element-wise work takes five times the time.
        halves = zip(self.conv.weight.chunk(2), self.conv.bias.chunk(2), strict=True)  # type: ignore[union-attr]
        features, gate = (F.conv2d(x, *half, stride=self.conv.stride, padding=1) for half in halves)
        return F.elu(features) * torch.sigmoid(gate)


class ResBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut: the identity where the widths are equal, else a third one."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = conv3x3(inputs, outputs)
        self.conv2 = conv3x3(outputs, outputs)
        self.activation = nn.ReLU(inplace=True)
        self.shortcut: nn.Module = nn.Identity() if inputs == outputs else conv3x3(inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, inputs, H, W) to (B, outputs, H, W)."""
        out: Tensor = self.conv2(self.activation(self.conv1(x)))
        return out.add_(self.shortcut(x))


class SpectralBlock(nn.Module):
    """A residual block with a second branch that filters the whole picture in its Fourier transform."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.spatial = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
        )
        self.spectral = nn.Sequential(
            nn.Conv2d(2 * width, 2 * width, 1, bias=False),
            nn.ReLU(inplace=True),
            nn.Conv2d(2 * width, 2 * width, 1, bias=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, width, H, W) to the same shape."""
        # FFTs of half precision exist on some devices and sizes only, so they always run in float32.
        filtered = self._filter_by_planes(x.float()) if is_frugal(x) else self._filter(x.float())
        return in_bands(self._spatial_and, x, filtered, halo=2, width=x.shape[1])

    def _spatial_and(self, x: Tensor, filtered: Tensor) -> Tensor:
        out: Tensor = self.spatial(x)
        return out.add_(x).add_(filtered)

    def _filter(self, x: Tensor) -> Tensor:
        spectrum = torch.fft.rfft2(x)
        stacked = torch.cat([spectrum.real, spectrum.imag], dim=1)  # (B, 2 width, H, W // 2 + 1)
        del spectrum
        real, imaginary = self.spectral(stacked).float().chunk(2, dim=1)
        del stacked
        filtered: Tensor = torch.fft.irfft2(torch.complex(real, imaginary), s=x.shape[-2:])
        return filtered

    def _filter_by_planes(self, x: Tensor) -> Tensor:
        """Do the same, transforming a few channels at a time and filtering a few frequencies at a time, in place."""
        (_, width, *size), frequencies = x.shape, x.shape[-1] // 2 + 1
        planes = torch.empty(x.shape)  # of the picture, then of the result
        for row in range(size[0]):  # a copy of the whole from channels last takes five times as long
            planes[:, :, row] = x[:, :, row]
        stacked = torch.empty(2, width, size[0], frequencies)  # real and imaginary
        first, second = (self.spectral.get_parameter(f"{place}.weight").view(2 * width, -1) for place in (0, 2))
        channels = max(1, SPECTRUM_BYTES // (8 * size[0] * frequencies))
        parts = [slice(place, place + channels) for place in range(0, width, channels)]
        with torch.autocast("cpu", enabled=False):
            for sample in planes:
                for part in parts:
                    spectrum = torch.view_as_real(torch.fft.rfft2(sample[part]))
                    stacked[0, part], stacked[1, part] = spectrum.unbind(-1)
                for some in torch.split(stacked.view(2 * width, -1), max(1, SPECTRUM_BYTES // (8 * width)), dim=1):
                    torch.mm(second, self.spectral[1](first @ some), out=some)
                for part in parts:
                    sample[part] = torch.fft.irfft2(torch.complex(*stacked[:, part]), s=size)
        return planes


class PyramidLevel(nn.Module):
    """One scale of an encoder: relu of a convolution, then a spectral block."""

    def __init__(self, conv: nn.Module, width: int) -> None:
        super().__init__()
        self.conv = conv
        self.activation = nn.ReLU(inplace=True)
        self.block = SpectralBlock(width)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, inputs, H, W) to (B, width, H, W), halved where the convolution has stride 2."""
        out: Tensor = self.block(self.activation(self.conv(x)))
        return out


class PyramidEncoder(nn.Module):
    """Features at 1/1, 1/2, 1/4 and 1/8 of the input's size, T, 2T, 4T and 8T wide.

    Args:
        inputs: Channels of the input.
        width: T.
        conv: Makes a 3x3 convolution from inputs, outputs and stride: `conv3x3` or `GatedConv`.
    """

    def __init__(self, inputs: int, width: int, *, conv: Callable[..., nn.Module] = conv3x3) -> None:
        super().__init__()
        self.stem = conv(inputs, width)
        self.activation = nn.ReLU(inplace=True)
        self.levels = nn.ModuleList([PyramidLevel(conv(width, width), width)])
        for scale in (1, 2, 4):
            self.levels.append(PyramidLevel(conv(scale * width, 2 * scale * width, stride=2), 2 * scale * width))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Map (B, inputs, H, W) to four maps, fine to coarse; odd sizes are halved upward."""
        maps = [self.activation(self.stem(x))]
        for level in self.levels:
            maps.append(level(maps[-1]))
        return tuple(maps[1:])


class SkipProjectedDecoder(nn.Module):
    """One step up: the skip is brought to the width of the coarse map, then both are added (decoder block A)."""

    def __init__(self, inputs: int, outputs: int, *, skip: int) -> None:
        super().__init__()
        self.projection = conv3x3(skip, inputs)
        self.residual = ResBlock(inputs, outputs)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """Map coarse (B, inputs, h, w) and skip (B, skip, H, W) to (B, outputs, H, W)."""
        out: Tensor = self.residual(self.projection(skip) + resize_like(x, skip))
        return out


class InputProjectedDecoder(nn.Module):
    """One step up: the enlarged map is filtered, then the skip is added as it is (decoder block B)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.projection = conv3x3(inputs, inputs)
        self.residual = ResBlock(inputs, outputs)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """Map coarse (B, inputs, h, w) and skip (B, inputs, H, W) to (B, outputs, H, W)."""
        width = self.residual.conv1.out_channels
        return in_bands(self._project_and_add, resize_like(x, skip), skip, halo=3, width=width)

    def _project_and_add(self, x: Tensor, skip: Tensor) -> Tensor:
        out: Tensor = self.residual(self.projection(x).add_(skip))
        return out
