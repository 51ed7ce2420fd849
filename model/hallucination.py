"""Hallucination of missing detail, and its blending with the aligned features."""

import torch
from torch import Tensor, nn

from model.blocks import InputProjectedDecoder, ResBlock, conv3x3, resize_like


class Hallucination(nn.Module):
    """Features of one neighbor seen from the reference: invented where the gate is shut, aligned where it is open."""

    def __init__(self, width: int, outputs: int) -> None:
        super().__init__()
        self.head = ResBlock(16 * width, 8 * width)
        self.body = nn.Sequential(*(ResBlock(8 * width, 8 * width) for _ in range(2)))
        self.tail = conv3x3(8 * width, 4 * width)
        self.up_to_quarter = InputProjectedDecoder(4 * width, 2 * width)
        self.widen = nn.Conv2d(2 * width, outputs, 1)
        self.gate = nn.Conv2d(2 * outputs, 1, 5, padding=2)
        self.blend = ResBlock(outputs, 2 * width)
        self.up_to_half = InputProjectedDecoder(2 * width, width)
        self.up_to_full = InputProjectedDecoder(width, outputs)

    def forward(
        self, neighbor: tuple[Tensor, ...], reference: tuple[Tensor, ...], *, aligned: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Hallucinate, blend and decode.

        Args:
            neighbor: Features of the neighbor at 1/1, 1/2, 1/4 and 1/8 of the frame, T to 8T wide.
            reference: Features of the reference, likewise.
            aligned: Aligned features of the neighbor, (B, C, H / 4, W / 4).

        Returns:
            Features (B, C, H, W) and the gate, 0 (hallucinated) to 1 (aligned), (B, 1, H / 4, W / 4).
        """
        full, half, quarter = (ours + theirs for ours, theirs in zip(neighbor[:3], reference[:3], strict=True))
        x = self.tail(self.body(self.head(torch.cat([neighbor[3], reference[3]], dim=1))))
        x = self.widen(self.up_to_quarter(x, quarter))
        aligned = resize_like(aligned, x)
        gate = torch.sigmoid(self.gate(torch.cat([x, aligned], dim=1)))
        x = self.blend(x + gate * aligned)
        return self.up_to_full(self.up_to_half(x, half), full), gate
