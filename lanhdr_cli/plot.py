"""An inspection as a picture: brightness over time by exposure, and a histogram of each exposure."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor

from lanhdr_cli.canvas import Canvas, Color
from lanhdr_cli.inspection import ExposureGroup, Inspection
from lanhdr_cli.lettering import text_width
from lanhdr_cli.survey import BINS_PER_STOP, DARKEST_STOP

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
