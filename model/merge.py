"""Merging of the window's features into one HDR picture."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.blocks import SpectralBlock, conv3x3, in_bands
from model.color import mu_law, mu_law_inverse

GUIDE_CHANNELS = 6


class WindowConv(nn.Conv2d):
    """A 3x3 convolution over the window's stacked features that takes them one at a time.

    Convolution is linear: summing one part per frame gives the same numbers and never holds the whole stack.
    """

    def __init__(self, channels: int, *, frames: int, extra: int) -> None:
        super().__init__(frames * channels + extra, channels, 3, padding=1)

    def add(self, x: Tensor, total: Tensor | None, *, place: int) -> Tensor:
        """Add what the stack's next part gives to the sum of those before it.

        Args:
            x: The part's features, (B, C, H, W); after the frames the extra channels, (B, extra, H, W).
            total: Sum of the parts so far, changed in place, or None before the first.
            place: Position of the part in the stack, counted from 0.

        Returns:
            The sum with this part, (B, C, H, W).
        """
        first = place * self.out_channels
        weight = self.weight[:, first : first + x.shape[1]]
        bias = self.bias if total is None else None
        return in_bands(
            lambda band: F.conv2d(band, weight, bias, padding=1), x, halo=1, width=self.out_channels, total=total
        )


class Merge(nn.Module):
    """From N maps of features, in the order of the frames, to radiance at the time of the reference.

    Args:
        channels: C, the width of the features.
        frames: N, the length of the window.
        guide: Channels that are seen beside the features, of a merged start to correct (`correct`, `decode`); 0 where
            radiance is predicted by itself (`forward`).
        outputs: Channels of the result.
    """

    def __init__(self, channels: int, *, frames: int, guide: int = 0, outputs: int = 3) -> None:
        super().__init__()
        self.frames = frames
        self.head = WindowConv(channels, frames=frames, extra=guide)
        self.activation = nn.ReLU(inplace=True)
        self.body = nn.Sequential(*(SpectralBlock(channels) for _ in range(5)))
        self.tail = conv3x3(channels, outputs)
        if guide:
            nn.init.zeros_(self.tail.weight)
            nn.init.zeros_(self.tail.bias)  # type: ignore[arg-type]

    def forward(self, total: Tensor) -> Tensor:
        """Predict radiance, 0..1, (B, 3, H, W), from the sum that `head` made of all features, (B, C, H, W)."""
        return torch.sigmoid(self._decode(total))

    def correct(self, total: Tensor, *, start: Tensor, reference: Tensor) -> Tensor:
        """Correct a merged start in the mu-law domain; before any training the correction is zero.

        Args:
            total: The sum that `head` made of all features, (B, C, H, W).
            start: Linear radiance merged without learning, 1.0 = clip of the shortest exposure, (B, 3, H, W).
            reference: Linear radiance of the reference frame, likewise.

        Returns:
            Linear radiance, (B, 3, H, W); a hair below zero where the correction goes below black.
        """
        compressed = mu_law(start)
        guide = torch.cat([compressed, mu_law(reference)], dim=1)  # (B, 6, H, W)
        return mu_law_inverse(compressed + self.decode(total, guide=guide))

    def decode(self, total: Tensor, *, guide: Tensor) -> Tensor:
        """Predict the result's channels from the sum of all features, which is changed, and the guide beside it."""
        return self._decode(self.head.add(guide, total, place=self.frames))

    def _decode(self, total: Tensor) -> Tensor:
        out: Tensor = self.tail(self.body(self.activation(total)))
        return out.float()
