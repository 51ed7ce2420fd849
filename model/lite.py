"""The lite network: a correction of the physical merge at half size, for CPUs and real time."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.blocks import conv3x3, in_bands
from model.correction import correct_start, correction_channels, guide_channels
from model.frames import FrameBatch
from model.neighbors import AlignedWindow, FrameMotion, align_batch, align_window, follow_motion
from model.network import NetworkConfig, Prediction


class LiteNet(nn.Module):
    """Correct the physically merged start, seeing it, the reference and all aligned neighbors.

    Args:
        config: Number of exposures and widths: `channels` at half size, each level below adds twice `pyramid_channels`.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        self.stem = conv3x3(len(guide_channels(config.nexps)), config.channels)
        self.body = HalfSizeBody(config.channels, config.pyramid_channels)
        self.tail = conv3x3(config.channels, len(correction_channels(config.nexps)))
        # A last layer of zeros makes the untrained network return the start itself.
        nn.init.zeros_(self.tail.weight)
        nn.init.zeros_(self.tail.bias)  # type: ignore[arg-type]

    def forward(self, ldr: Tensor, exposures: Tensor, precision: Tensor | None = None) -> Prediction:
        """Reconstruct the frame in the middle of a window.

        Args:
            ldr: Frames in order of time, encoded with 1/2.2, 0..1, (B, N, 3, H, W).
            exposures: Linear exposures relative to the shortest, (B, N).
            precision: `CodePrecision.tensor` per sample, (B, 6); None is 8 bits encoded with 1/2.2.
        """
        return self._correct(align_batch(ldr, exposures, precision))

    def prepare(self, frame: FrameBatch, *, recent: Sequence[FrameMotion]) -> FrameMotion:
        """Search the motion between a frame and those before, as `follow_motion` does."""
        return follow_motion(frame, recent=recent, period=self.config.nexps)

    def combine(self, window: tuple[FrameMotion, ...]) -> Prediction:
        """Reconstruct the frame in the middle of a window of states; borrowed frames may stand in it twice."""
        return self._correct(align_window(window))

    def _correct(self, window: AlignedWindow) -> Prediction:
        radiance, start = correct_start(window, lambda guide: self.tail(self.body(self.stem(guide))))
        return Prediction(radiance, start=start)


class LiteBlock(nn.Module):
    """Two convolutions beside the identity; begins close to it.

    Its slope below zero keeps channels alive: with none, a high learning rate had silenced nearly all of them.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = conv3x3(width, width)
        self.conv2 = conv3x3(width, width)
        with torch.no_grad():
            self.conv2.weight.mul_(0.1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, width, H, W) to the same shape."""
        return in_bands(self._changed, x, halo=2, width=x.shape[1])

    def _changed(self, x: Tensor) -> Tensor:
        change: Tensor = self.conv2(_activate(self.conv1(x)))
        return change.add_(x)


class HalfSizeBody(nn.Module):
    """An encoder and decoder over 1/2, 1/4 and 1/8 of the frame.

    Args:
        width: Channels at half size.
        growth: Channels that a level adds, times two.
    """

    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        middle, coarse = width + 2 * growth, width + 4 * growth
        self.encode_half = LiteBlock(width)
        self.down_quarter = conv3x3(width, middle, stride=2)
        self.encode_quarter = LiteBlock(middle)
        self.down_eighth = conv3x3(middle, coarse, stride=2)
        self.hallucinate = nn.Sequential(*(LiteBlock(coarse) for _ in range(3)))
        self.up_quarter = nn.Conv2d(coarse, 4 * middle, 1)
        self.decode_quarter = LiteBlock(middle)
        self.up_half = nn.Conv2d(middle, 4 * width, 1)
        self.decode_half = LiteBlock(width)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, width, H, W) to the same shape; H and W are multiples of 4."""
        half: Tensor = self.encode_half(x)
        quarter = self.encode_quarter(_activate(self.down_quarter(half)))
        eighth = self.hallucinate(_activate(self.down_eighth(quarter)))
        quarter = self.decode_quarter(_add_enlarged(quarter, eighth, self.up_quarter))
        decoded: Tensor = self.decode_half(_add_enlarged(half, quarter, self.up_half))
        return decoded


def _add_enlarged(fine: Tensor, coarse: Tensor, conv: nn.Conv2d) -> Tensor:
    """Add to a map, in its place, the coarser one, whose channels a 1x1 convolution spreads over 2x2 pixels each."""
    if torch.is_grad_enabled() or not coarse.is_contiguous(memory_format=torch.channels_last):
        return fine + F.pixel_shuffle(conv(coarse), 2)
    # The four pixels of a channel lie apart; with the channels of a pixel together, sums are of long rows.
    (batch, width, height, length), bias = fine.shape, conv.bias
    assert bias is not None
    by_pixel = conv.weight.view(width, 4, -1).transpose(0, 1).flatten(0, 1), bias.view(width, 4).t().flatten()
    spread = F.linear(coarse.permute(0, 2, 3, 1), *by_pixel).view(batch, height // 2, length // 2, 2, 2 * width)
    rows = fine.permute(0, 2, 3, 1).reshape(batch, height // 2, 2, length // 2, 2 * width)
    return rows.add_(spread.transpose(2, 3)).view(batch, height, length, width).permute(0, 3, 1, 2)


def _activate(features: Tensor) -> Tensor:
    return F.leaky_relu(features, 0.1, inplace=True)
