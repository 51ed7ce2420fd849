"""Alignment of a neighbor to the reference by its luminance, at a quarter of the frame's size."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.blocks import PyramidEncoder, ResBlock, SkipProjectedDecoder, conv3x3

# 16 Mi correlations are 64 MiB of float32: all of a 1080p frame at once, a 4K frame in four parts.
CORRELATIONS_AT_ONCE = 1 << 24


@dataclass(frozen=True)
class Values:
    """What a neighbor offers to the alignment.

    Args:
        key: Normalised embeddings of the luminance's 3x3 patches at 1/32 of the frame, (B, 4T, h * w).
        pyramid: Color features at 1/4, 1/8, 1/16 and 1/32 of the frame, T to 8T wide.
    """

    key: Tensor
    pyramid: tuple[Tensor, ...]


def best_matches(query: Tensor, key: Tensor, *, at_once: int = CORRELATIONS_AT_ONCE) -> tuple[Tensor, Tensor]:
    """Find for each query the key with the highest correlation.

    Args:
        query: Normalised vectors, (B, E, Q).
        key: Normalised vectors, (B, E, K).
        at_once: Correlations held in memory at one time; queries are taken in parts where Q * K is more.

    Returns:
        The correlations, -1..1, and the indices of the keys, each (B, Q).
    """
    part = max(1, at_once // (key.shape[0] * key.shape[2]))
    # Half precision would find other best matches, for a product that costs next to nothing.
    with torch.autocast(query.device.type, enabled=False):
        found = [(key.mT @ queries).max(dim=1) for queries in torch.split(query, part, dim=2)]
    return torch.cat([best.values for best in found], dim=1), torch.cat([best.indices for best in found], dim=1)


def gather_patches(features: Tensor, index: Tensor) -> Tensor:
    """Put the 3x3 patch around place `index` of the features at each place, and average where patches overlap.

    Args:
        features: (B, C, h, w).
        index: For each place the one to copy from, counted row by row, (B, h * w).

    Returns:
        The transferred map, (B, C, h, w).
    """
    size = features.shape[-2:]
    patches = F.unfold(features, 3, padding=1)  # (B, 9 C, h w)
    patches = patches.gather(2, index[:, None].expand_as(patches))
    overlap = F.fold(F.unfold(features.new_ones(1, 1, *size), 3, padding=1), size, 3, padding=1)
    return F.fold(patches, size, 3, padding=1) / overlap


class LuminanceAttention(nn.Module):
    """Hard attention: where in the neighbor the reference's luminance is found again."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.luminance_encoder = PyramidEncoder(4, width)
        self.color_encoder = PyramidEncoder(6, width)
        self.embedding = nn.Linear(9 * 8 * width, 4 * width, bias=False)

    def embed(self, luminance: Tensor) -> Tensor:
        """Make keys from a neighbor, or queries from the reference re-exposed to it.

        Args:
            luminance: Luma and radiance at a quarter of the frame, (B, 4, H / 4, W / 4).

        Returns:
            Normalised embeddings, float32, (B, 4T, h * w) with h, w = 1/32 of the frame.
        """
        patches = F.unfold(self.luminance_encoder(luminance)[-1], 3, padding=1)  # (B, 72 T, h w)
        return F.normalize(self.embedding(patches.mT).float(), dim=2).mT  # (B, 4 T, h w)

    def offer(self, luminance: Tensor, color: Tensor) -> Values:
        """Make keys and values of one neighbor from its (B, 4, H / 4, W / 4) and (B, 6, H / 4, W / 4) inputs."""
        return Values(self.embed(luminance), self.color_encoder(color))

    def forward(self, query: Tensor, values: Values) -> tuple[Tensor, Tensor]:
        """Transfer the neighbor's coarsest features to where the reference has the same luminance.

        Args:
            query: Embeddings of the reference, (B, 4T, h * w).
            values: The neighbor's keys and values.

        Returns:
            Transferred features (B, 8T, h, w) and the correlation that each was found with (B, 1, h, w).
        """
        coarsest = values.pyramid[-1]
        score, index = best_matches(query, values.key)
        return gather_patches(coarsest, index), score.view(-1, 1, *coarsest.shape[-2:])


class AlignedDecoder(nn.Module):
    """From the transferred map at 1/32 back to a quarter of the frame, beside the neighbor's own features."""

    def __init__(self, width: int, outputs: int) -> None:
        super().__init__()
        self.head = conv3x3(16 * width, 8 * width)
        self.body = nn.Sequential(*(ResBlock(8 * width, 8 * width) for _ in range(5)))
        self.tail = conv3x3(8 * width, 4 * width)
        self.up = nn.ModuleList(
            [
                SkipProjectedDecoder(4 * width, 2 * width, skip=4 * width),
                SkipProjectedDecoder(2 * width, width, skip=2 * width),
                SkipProjectedDecoder(width, outputs, skip=width),
            ]
        )
        self.final = conv3x3(outputs, outputs)
        self.activation = nn.ReLU(inplace=True)

    def forward(self, transferred: Tensor, score: Tensor, *, pyramid: tuple[Tensor, ...]) -> Tensor:
        """Decode the aligned features.

        Args:
            transferred: (B, 8T, H / 32, W / 32).
            score: Correlations, -1..1, (B, 1, H / 32, W / 32).
            pyramid: The neighbor's color features, fine to coarse, 1/4 to 1/32 of the frame.

        Returns:
            Aligned features, not negative, (B, C, H / 4, W / 4).
        """
        *skips, coarsest = pyramid
        x = self.tail(self.body(self.head(torch.cat([transferred, coarsest], dim=1)) * score))
        for up, skip in zip(self.up, reversed(skips), strict=True):
            x = up(x, skip)
        aligned: Tensor = self.activation(self.final(x))
        return aligned
