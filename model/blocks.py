"""Building blocks of the network."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def resize_like(x: Tensor, target: Tensor) -> Tensor:
    """Interpolate bilinearly (no antialiasing, corners not aligned) to the height and width of `target`."""
    size = target.shape[-2:]
    return F.interpolate(x, size=size, mode="bilinear", align_corners=False) if x.shape[-2:] != size else x


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
        features, gate = self.conv(x).chunk(2, dim=1)
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
        out: Tensor = self.spatial(x)
        return out.add_(x).add_(self._filter(x))

    def _filter(self, x: Tensor) -> Tensor:
        # FFTs of half precision exist on some devices and sizes only, so they always run in float32.
        spectrum = torch.fft.rfft2(x.float())
        stacked = torch.cat([spectrum.real, spectrum.imag], dim=1)  # (B, 2 width, H, W // 2 + 1)
        del spectrum
        real, imaginary = self.spectral(stacked).float().chunk(2, dim=1)
        del stacked
        filtered: Tensor = torch.fft.irfft2(torch.complex(real, imaginary), s=x.shape[-2:])
        return filtered


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
        out: Tensor = self.residual(self.projection(resize_like(x, skip)) + skip)
        return out
