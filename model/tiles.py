"""Tiles: a network that computes frames in overlapping parts, for frames that do not fit into memory as a whole."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import torch
from torch import Tensor

from model.errors import DeviceError
from model.frames import FrameBatch
from model.network import NetworkConfig, Prediction, StreamingNetwork

OVERLAP = 128  # pixels that neighboring tiles share
MARGIN = 32  # of these at either end, which see the edge of their tile and do not count; in between, tiles fade
MULTIPLE = 32  # tiles begin at multiples of it, where the coarsest features of all networks lie
SMALLEST = 2 * OVERLAP  # side of a tile before it is widened


@dataclass(frozen=True, kw_only=True)
class Tiling:
    """The division of a frame into tiles.

    Args:
        height: Of the frame, in pixels.
        width: Of the frame, in pixels.
    """

    height: int
    width: int
    rows: int = 1
    columns: int = 1

    def __len__(self) -> int:
        """Number of tiles."""
        return len(_spans(self.height, self.rows)) * len(_spans(self.width, self.columns))

    @property
    def places(self) -> list[tuple[slice, slice]]:
        """Rows and columns of each tile, overlap included."""
        columns = _spans(self.width, self.columns)
        return [(rows, across) for rows in _spans(self.height, self.rows) for across in columns]

    def finer(self) -> "Tiling":
        """Divide the longer sides of the tiles by two.

        Raises:
            DeviceError: If tiles would become smaller than two overlaps.
        """
        tall = self.height / self.rows > self.width / self.columns
        if max(self.height / self.rows, self.width / self.columns) < 2 * SMALLEST:
            raise DeviceError(
                f"there is too little memory even for tiles of a frame of {self.width}x{self.height}: "
                "pass --size lite or --device cpu, or end other programs"
            )
        return replace(self, rows=2 * self.rows) if tall else replace(self, columns=2 * self.columns)

    def joined(self, tiles: Sequence[Tensor]) -> Tensor:
        """Blend tiles, (..., h, w) each, to a frame, (..., H, W)."""
        frame = tiles[0].new_zeros(*tiles[0].shape[:-2], self.height, self.width)
        for (rows, columns), tile in zip(self.places, tiles, strict=True):
            fade = _fade(rows, self.height, like=tile)[:, None] * _fade(columns, self.width, like=tile)
            frame[..., rows, columns].addcmul_(tile, fade)
        return frame


def _spans(length: int, count: int) -> list[slice]:
    step = -(-length // (count * MULTIPLE)) * MULTIPLE
    begins = range(0, length, step)
    return [slice(max(0, begin - OVERLAP // 2), min(length, begin + step + OVERLAP // 2)) for begin in begins]


def _fade(span: slice, length: int, *, like: Tensor) -> Tensor:
    """Weights of the pixels along a tile: those of all tiles add up to 1."""
    places = torch.arange(span.start, span.stop, device=like.device, dtype=like.dtype) + 0.5
    fade = torch.ones_like(places)
    if span.start > 0:
        fade = fade * ((places - span.start - MARGIN) / (OVERLAP - 2 * MARGIN)).clamp(0, 1)
    if span.stop < length:
        fade = fade * ((span.stop - places - MARGIN) / (OVERLAP - 2 * MARGIN)).clamp(0, 1)
    return fade


class TiledNetwork:
    """Computes each tile as if it were a frame; a state is the states of the tiles.

    What a network gathers over the whole frame (Fourier transforms, the shift of the picture, the noise level) it then
    gathers over a tile.
    """

    def __init__(self, network: StreamingNetwork[Any], tiling: Tiling) -> None:
        self.tiling = tiling
        self._network = network

    @property
    def config(self) -> NetworkConfig:
        """The configuration of the network."""
        return self._network.config

    def prepare(self, frame: FrameBatch, *, recent: Sequence[tuple[Any, ...]]) -> tuple[Any, ...]:
        """Compute the states of a frame's tiles."""
        tiles = [replace(frame, image=frame.image[..., rows, columns]) for rows, columns in self.tiling.places]
        return tuple(
            self._network.prepare(tile, recent=[states[number] for states in recent])
            for number, tile in enumerate(tiles)
        )

    def combine(self, window: tuple[tuple[Any, ...], ...]) -> Prediction:
        """Reconstruct the frame in the middle tile by tile; gates are left out."""
        tiles = [self._network.combine(states) for states in zip(*window, strict=True)]
        starts = [tile.start for tile in tiles if tile.start is not None]
        return Prediction(
            self.tiling.joined([tile.radiance.float() for tile in tiles]),
            start=self.tiling.joined([start.float() for start in starts]) if starts else None,
        )

    def to(self, device: torch.device) -> Self:
        """Move the weights."""
        self._network = self._network.to(device)
        return self

    def eval(self) -> Self:
        """Switch to evaluation."""
        self._network = self._network.eval()
        return self
