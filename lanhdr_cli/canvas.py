"""A picture to draw on: dots, lines, rectangles, text."""

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lanhdr_cli.lettering import HEIGHT, letter_mask

Color = tuple[float, float, float]


class Canvas:
    """A white sheet; places are in pixels from the top left, what lies outside is cut off.

    Args:
        width: In pixels.
        height: In pixels.
    """

    def __init__(self, width: int, height: int) -> None:
        self._pixels: NDArray[np.float32] = np.ones((height, width, 3), np.float32)

    def picture(self) -> Tensor:
        """What is drawn, sRGB-encoded, 0..1, (3, H, W)."""
        return torch.from_numpy(self._pixels).permute(2, 0, 1).contiguous()

    def rectangle(self, x: float, y: float, *, width: float, height: float, color: Color, opacity: float = 1) -> None:
        """Fill a rectangle."""
        left, top = max(0, round(x)), max(0, round(y))
        right, bottom = max(left, round(x + width)), max(top, round(y + height))
        area = self._pixels[top:bottom, left:right]
        area += opacity * (np.asarray(color, np.float32) - area)

    def dot(self, x: float, y: float, *, radius: float, color: Color) -> None:
        """Fill a disc."""
        reach = int(radius) + 1
        rows, columns = np.ogrid[-reach : reach + 1, -reach : reach + 1]
        self._ink(rows**2 + columns**2 <= radius**2, round(x) - reach, round(y) - reach, color=color)

    def line(self, begin: tuple[float, float], end: tuple[float, float], *, color: Color, thickness: int = 2) -> None:
        """Draw a straight line from one place to another."""
        steps = max(1, round(max(abs(end[0] - begin[0]), abs(end[1] - begin[1]))))
        brush = np.ones((thickness, thickness), np.bool_)
        for step in range(steps + 1):
            x, y = (first + (last - first) * step / steps for first, last in zip(begin, end, strict=True))
            self._ink(brush, round(x), round(y), color=color)

    def text(
        self,
        text: str,
        x: float,
        y: float,
        *,
        color: Color = (0.15, 0.15, 0.15),
        scale: int = 2,
        anchor: Literal["left", "middle", "right"] = "left",
    ) -> None:
        """Write a line; `y` is the middle of its height, `anchor` says which part of it is at `x`."""
        mask = letter_mask(text, scale=scale)
        shift = {"left": 0.0, "middle": 0.5, "right": 1.0}[anchor] * mask.shape[1]
        self._ink(mask, round(x - shift), round(y - HEIGHT * scale / 2), color=color)

    def _ink(self, mask: NDArray[np.bool_], left: int, top: int, *, color: Color) -> None:
        height, width = self._pixels.shape[:2]
        mask = mask[max(0, -top) : max(0, height - top), max(0, -left) : max(0, width - left)]
        area = self._pixels[max(0, top) : max(0, top) + mask.shape[0], max(0, left) : max(0, left) + mask.shape[1]]
        area[mask] = color
