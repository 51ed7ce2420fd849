"""An inspection as a picture: brightness over time by exposure, and a histogram of each exposure."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lanhdr_cli.inspection import BINS_PER_STOP, DARKEST_STOP, ExposureGroup, Inspection

GLYPH_WIDTH, GLYPH_HEIGHT, ADVANCE = 5, 7, 6

# Seven rows of five dots each, from the top; two hexadecimal digits are a row.
GLYPHS = {
    " ": "00 00 00 00 00 00 00",
    "A": "04 0A 11 11 1F 11 11",
    "B": "1E 11 11 1E 11 11 1E",
    "C": "0E 11 10 10 10 11 0E",
    "D": "1E 11 11 11 11 11 1E",
    "E": "1F 10 10 1E 10 10 1F",
    "F": "1F 10 10 1E 10 10 10",
    "G": "0E 11 10 13 11 11 0F",
    "H": "11 11 11 1F 11 11 11",
    "I": "0E 04 04 04 04 04 0E",
    "J": "03 01 01 01 01 11 0E",
    "K": "11 12 14 18 14 12 11",
    "L": "10 10 10 10 10 10 1F",
    "M": "11 1B 15 15 11 11 11",
    "N": "11 19 19 15 13 13 11",
    "O": "0E 11 11 11 11 11 0E",
    "P": "1E 11 11 1E 10 10 10",
    "Q": "0E 11 11 11 15 12 0D",
    "R": "1E 11 11 1E 14 12 11",
    "S": "0F 10 10 0E 01 01 1E",
    "T": "1F 04 04 04 04 04 04",
    "U": "11 11 11 11 11 11 0E",
    "V": "11 11 11 11 11 0A 04",
    "W": "11 11 11 15 15 1B 11",
    "X": "11 11 0A 04 0A 11 11",
    "Y": "11 11 0A 04 04 04 04",
    "Z": "1F 01 02 04 08 10 1F",
    "0": "0E 11 13 15 19 11 0E",
    "1": "04 0C 04 04 04 04 0E",
    "2": "0E 11 01 06 08 10 1F",
    "3": "1F 02 04 06 01 11 0E",
    "4": "02 06 0A 12 1F 02 02",
    "5": "1F 10 1E 01 01 11 0E",
    "6": "06 08 10 1E 11 11 0E",
    "7": "1F 01 02 04 04 08 08",
    "8": "0E 11 11 0E 11 11 0E",
    "9": "0E 11 11 0F 01 02 0C",
    ".": "00 00 00 00 00 0C 0C",
    ",": "00 00 00 00 0C 04 08",
    ":": "00 0C 0C 00 0C 0C 00",
    ";": "00 0C 0C 00 0C 04 08",
    "-": "00 00 00 1F 00 00 00",
    "+": "00 04 04 1F 04 04 00",
    "=": "00 00 1F 00 1F 00 00",
    "/": "01 01 02 04 08 10 10",
    "%": "19 19 02 04 08 13 13",
    "(": "02 04 08 08 08 04 02",
    ")": "08 04 02 02 02 04 08",
    "_": "00 00 00 00 00 00 1F",
    "#": "0A 0A 1F 0A 1F 0A 0A",
    "'": "04 04 08 00 00 00 00",
    "?": "0E 11 01 02 04 00 04",
}


def text_width(text: str, *, scale: int = 2) -> int:
    """Width of a line of text in pixels."""
    return max(0, len(text) * ADVANCE - 1) * scale


def letter_mask(text: str, *, scale: int = 2) -> NDArray[np.bool_]:
    """Where a line of text is inked; small letters become capitals, unknown signs a question mark.

    Returns:
        (7 scale, width).
    """
    mask = np.zeros((GLYPH_HEIGHT, len(text) * ADVANCE), np.bool_)
    for place, letter in enumerate(text.upper()):
        rows = bytes.fromhex(GLYPHS.get(letter, GLYPHS["?"]))
        for row, dots in enumerate(rows):
            for column in range(GLYPH_WIDTH):
                mask[row, place * ADVANCE + column] = bool(dots >> (GLYPH_WIDTH - 1 - column) & 1)
    return mask.repeat(scale, 0).repeat(scale, 1)[:, : text_width(text, scale=scale)]


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
        self._ink(mask, round(x - shift), round(y - GLYPH_HEIGHT * scale / 2), color=color)

    def _ink(self, mask: NDArray[np.bool_], left: int, top: int, *, color: Color) -> None:
        height, width = self._pixels.shape[:2]
        mask = mask[max(0, -top) : max(0, height - top), max(0, -left) : max(0, width - left)]
        area = self._pixels[max(0, top) : max(0, top) + mask.shape[0], max(0, left) : max(0, left) + mask.shape[1]]
        area[mask] = color


WIDTH, HEIGHT = 1280, 900
LEFT, RIGHT = 100, 40
DARK, GRID, SLIP = (0.15, 0.15, 0.15), (0.88, 0.88, 0.88), (0.85, 0.1, 0.1)
# Shortest to longest exposure; told apart by people who don't see red or green as well (Okabe and Ito 2008).
COLORS: tuple[Color, ...] = ((0.0, 0.45, 0.70), (0.90, 0.62, 0.0), (0.0, 0.62, 0.45), (0.80, 0.47, 0.65))
DARKEST_MEAN = -14.0
LEAST_SHOWN = 5e-4
MOST_LARGE_LABELS = 6


@dataclass(frozen=True)
class Axes:
    """A rectangle of the canvas and the range that it shows.

    Args:
        canvas: What to draw on.
        top: Upper edge in pixels.
        bottom: Lower edge in pixels.
        across: First and last value from left to right.
        up: First and last value from bottom to top.
    """

    canvas: Canvas
    top: int
    bottom: int
    across: tuple[float, float]
    up: tuple[float, float]

    def x(self, value: float) -> float:
        """Place of a value on the horizontal axis."""
        share = (value - self.across[0]) / max(self.across[1] - self.across[0], 1e-9)
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        """Place of a value on the vertical axis."""
        share = (value - self.up[0]) / max(self.up[1] - self.up[0], 1e-9)
        return self.bottom - share * (self.bottom - self.top)

    def draw(self, *, title: str, below: str, across: Sequence[float], up: Sequence[float]) -> None:
        """Draw a frame with a title, and lines at values with their numbers."""
        for value in up:
            self.canvas.rectangle(LEFT, self.y(value), width=WIDTH - LEFT - RIGHT, height=1, color=GRID)
            self.canvas.text(f"{value:g}", LEFT - 10, self.y(value), anchor="right")
        for value in across:
            self.canvas.rectangle(self.x(value), self.top, width=1, height=self.bottom - self.top, color=GRID)
            self.canvas.text(f"{value:g}", self.x(value), self.bottom + 18, anchor="middle")
        self.canvas.rectangle(LEFT, self.bottom, width=WIDTH - LEFT - RIGHT, height=2, color=DARK)
        self.canvas.rectangle(LEFT, self.top, width=2, height=self.bottom - self.top, color=DARK)
        self.canvas.text(title, LEFT, self.top - 22)
        self.canvas.text(below, WIDTH - RIGHT, self.bottom + 42, anchor="right")


def draw(found: Inspection) -> Tensor:
    """Draw an inspection, sRGB-encoded, 0..1, (3, H, W)."""
    canvas = Canvas(WIDTH, HEIGHT)
    canvas.text(found.source.path.name, LEFT, 28, scale=3)
    _legend(canvas, found)
    _draw_brightness(canvas, found)
    _draw_histograms(canvas, found)
    return canvas.picture()


def color_of(found: Inspection, exposure: float) -> Color:
    """Color of an exposure: by its place among the clip's exposures."""
    place = min(range(len(found.groups)), key=lambda index: abs(found.groups[index].exposure - exposure))
    return COLORS[place % len(COLORS)]


def _legend(canvas: Canvas, found: Inspection) -> None:
    x: float = LEFT
    for group in found.groups:
        name = f"x{group.exposure:.3g}: {group.clipped:.1%} clipped, {group.black:.0%} black"
        canvas.rectangle(x, 56, width=16, height=16, color=color_of(found, group.exposure))
        canvas.text(name if found.exposures else "exposures unknown", x + 24, 64)
        x += 48 + text_width(name)


def _draw_brightness(canvas: Canvas, found: Inspection) -> None:
    levels = [max(DARKEST_MEAN, math.log2(max(frame.light.mean, 1e-9))) for frame in found.frames]
    low = math.floor(min(levels, default=-1.0) - 0.2)
    begin, end = (float(found.frames[place].time) for place in (0, -1)) if found.frames else (0.0, 1.0)
    axes = Axes(canvas, 140, 430, (begin, max(end, begin + 1e-3)), (low, 0))
    axes.draw(
        title="Mean light of each frame, stops below its clip level",
        below="seconds",
        across=_round_values(*axes.across),
        up=[value for value in range(low, 1) if value % _stride(-low) == 0],
    )
    radius = max(1.5, min(5.0, 500 / max(1, len(found.frames))))
    for place, (frame, level) in enumerate(zip(found.frames, levels, strict=True)):
        color = color_of(found, found.exposures[place] if found.exposures else 1.0)
        canvas.dot(axes.x(float(frame.time)), axes.y(level), radius=radius, color=color)
    _mark_slips(axes, found)


def _mark_slips(axes: Axes, found: Inspection) -> None:
    for index, _ in found.slips:
        x = axes.x(float(found.frames[index].time))
        axes.canvas.rectangle(x - 1, axes.top, width=2, height=axes.bottom - axes.top, color=SLIP)
        right = x > WIDTH - 260
        axes.canvas.text(
            f"slip, frame {index}",
            x - 8 if right else x + 8,
            axes.top + 10,
            color=SLIP,
            scale=2 if len(found.slips) <= MOST_LARGE_LABELS else 1,
            anchor="right" if right else "left",
        )


def _draw_histograms(canvas: Canvas, found: Inspection) -> None:
    # What is black and what is clipped gathers at the ends; the axis is made for what lies between, they are cut off.
    tallest = max((float(group.histogram[1:-1].max()) for group in found.groups), default=0.0) * 1.4
    darkest = min((_darkest(group) for group in found.groups), default=DARKEST_STOP)
    axes = Axes(canvas, 540, 820, (darkest, 0), (0, 100 * max(tallest, 1e-3)))
    axes.draw(
        title="Histogram of each exposure: percent of samples per quarter stop, high bars cut off",
        below="stops of light below the shortest exposure's clip level",
        across=range(math.ceil(axes.across[0] / 2) * 2, 1, 2),
        up=_round_values(*axes.up, count=4),
    )
    for group in found.groups:
        _draw_histogram(axes, group, color=color_of(found, group.exposure))


def _darkest(group: ExposureGroup) -> int:
    """Stops below the shortest exposure's clip level where a histogram begins to hold something, even."""
    filled = (group.histogram > LEAST_SHOWN).nonzero()
    begin = int(filled[0]) if len(filled) else 0
    return 2 * math.floor((DARKEST_STOP + begin / BINS_PER_STOP - math.log2(group.exposure)) / 2)


def _draw_histogram(axes: Axes, group: ExposureGroup, *, color: Color) -> None:
    # Radiance: the light of a long exposure lies as many stops lower as it is longer.
    shift = math.log2(group.exposure)
    shares = group.histogram.clamp(max=axes.up[1] / 100).tolist()
    corners = list(_corners(shares, lambda bin: max(axes.across[0], DARKEST_STOP + bin / BINS_PER_STOP - shift)))
    for (x, share), (next_x, _) in zip(corners[::2], corners[1::2], strict=True):
        left, top = axes.x(x), axes.y(100 * share)
        axes.canvas.rectangle(
            left, top, width=axes.x(next_x) - left, height=axes.bottom - top, color=color, opacity=0.25
        )
    places = [(axes.x(x), axes.y(100 * share)) for x, share in corners]
    outline = [(places[0][0], axes.bottom), *places, (places[-1][0], axes.bottom)]
    for begin, end in pairwise(outline):
        axes.canvas.line(begin, end, color=color)


def _corners(shares: Sequence[float], edge: Callable[[int], float]) -> Iterator[tuple[float, float]]:
    for bin, share in enumerate(shares):
        yield edge(bin), share
        yield edge(bin + 1), share


def _stride(extent: float) -> int:
    return 1 if extent <= 8 else 2


def _round_values(first: float, last: float, *, count: int = 8) -> list[float]:
    """About `count` round numbers between two values."""
    rough = (last - first) / count
    unit = 10.0 ** math.floor(math.log10(max(rough, 1e-9)))
    step = next((unit * factor for factor in (1, 2, 5) if unit * factor >= rough), unit * 10)
    return [index * step for index in range(math.ceil(first / step - 1e-6), math.floor(last / step + 1e-6) + 1)]
