"""The plot of an inspection: brightness over time, and a histogram per exposure."""

import io
import math
import warnings
from itertools import cycle
from typing import TYPE_CHECKING

import numpy as np

from lanhdr_cli.inspection import BINS, BINS_PER_STOP, DARKEST_STOP, Inspection
from lanhdr_cli.media.paths import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Shortest to longest exposure; distinguishable with any color vision (Okabe and Ito 2008).
COLORS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7")
BREAK_COLOR = "#c81e1e"
DARKEST_MEAN = -14.0  # stops; darker frames are drawn there
LEAST_SHARE = 5e-4  # of the samples; emptier bins at the dark end are not shown
MOST_LABELS = 6  # breaks of the order that are labeled
DOTS_PER_INCH = 120


def draw_png(inspection: Inspection) -> bytes:
    """Draw an inspection as a PNG file, 1440x1080."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 9), dpi=DOTS_PER_INCH, layout="constrained")
    FigureCanvasAgg(figure)
    title = printable(_title(inspection))
    figure.suptitle(title, x=0.01, ha="left", fontsize=15, fontweight="bold", parse_math=False)
    over_time, histograms = figure.subplots(2, 1)
    for axes in (over_time, histograms):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(color="0.9", linewidth=0.8)
        axes.set_axisbelow(True)
    _draw_brightness(over_time, inspection)
    _draw_histograms(histograms, inspection)
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # letters of the clip's name that the font lacks
        figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _title(inspection: Inspection) -> str:
    exposures = inspection.known.exposures
    if exposures is None:
        return f"{inspection.source.path.name}: exposures unknown"
    estimate = inspection.known.estimate
    sure = f", confidence {estimate.confidence:.2f}" if estimate else ""
    return f"{inspection.source.path.name}: exposures {', '.join(f'{ratio:.3g}' for ratio in exposures.ratios)}{sure}"


def _draw_brightness(axes: "Axes", inspection: Inspection) -> None:
    times = np.array([float(frame.light.time) for frame in inspection.frames])
    levels = np.array([max(DARKEST_MEAN, math.log2(max(frame.light.mean, 1e-9))) for frame in inspection.frames])
    exposures = np.array(inspection.exposures or [1.0] * len(times))
    places = np.abs(np.log2(exposures[:, None] / [group.exposure for group in inspection.groups])).argmin(axis=1)
    axes.plot(times, levels, color="0.8", linewidth=0.8, zorder=1)
    for place, group in enumerate(inspection.groups):
        name = f"exposure x{group.exposure:.3g}, {group.frames} frames" if inspection.exposures else "all frames"
        chosen, color = places == place, COLORS[place % len(COLORS)]
        axes.scatter(times[chosen], levels[chosen], s=22, color=color, label=name, zorder=2)
    for number, (index, what) in enumerate(inspection.slips):
        axes.axvline(times[index], color=BREAK_COLOR, linewidth=1)
        if number < MOST_LABELS:
            left = times[index] > times[0] + 0.7 * (times[-1] - times[0])
            axes.annotate(
                f"frame {index}: {what}",
                (times[index], 0.04),
                xytext=(-4 if left else 4, 0),
                xycoords=("data", "axes fraction"),
                textcoords="offset points",
                rotation=90,
                ha="right" if left else "left",
                va="bottom",
                color=BREAK_COLOR,
                fontsize=9,
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 1, "alpha": 0.8},
            )
    axes.set_title("Mean brightness of each frame", loc="left")
    axes.set_xlabel("time, s")
    axes.set_ylabel("stops below the clip level")
    axes.set_ylim(top=max(0.0, float(levels.max(initial=0.0))))
    axes.legend(frameon=False, ncols=4, loc="lower left", bbox_to_anchor=(0.3, 1.0))


def _draw_histograms(axes: "Axes", inspection: Inspection) -> None:
    edges = DARKEST_STOP + np.arange(BINS + 1) / BINS_PER_STOP
    # Samples at black and at the clip level pile up in the end bins, which would flatten the rest; they are cut off.
    inner = [float(group.histogram[1:-1].max()) for group in inspection.groups]
    darkest = 0.0
    for color, group in zip(cycle(COLORS), inspection.groups, strict=False):
        # A long exposure's clip level is that many stops lower in radiance.
        stops = edges - math.log2(group.exposure)
        shares = group.histogram.numpy()
        name = f"x{group.exposure:.3g}: {group.clipped:.1%} clipped, {group.black:.1%} black"
        axes.stairs(100 * shares, stops, color=color, fill=True, alpha=0.25)
        axes.stairs(100 * shares, stops, color=color, linewidth=1.5, label=name)
        darkest = min(darkest, stops[int((shares > LEAST_SHARE).argmax())])
        axes.axvline(stops[-1], color=color, linewidth=1, linestyle=":")
    axes.set_xlim(2 * math.floor(darkest / 2), 0.25)
    axes.set_ylim(0, 140 * max([*inner, 1e-3]))
    axes.set_title("Radiance seen by each exposure (dotted: its clip level)", loc="left")
    axes.set_xlabel("stops below the clip level of the shortest exposure")
    axes.set_ylabel("samples per quarter stop, %")
    axes.legend(frameon=False, loc="upper left")
