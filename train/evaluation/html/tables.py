"""The report's tables: means with their cost, by exposure, by scene, and beside published figures."""

import base64
import json
import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from html import escape
from importlib.resources import files
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from train.evaluation.metrics import NOTHING, Measure
from train.evaluation.protocols import IN_WORDS
from train.evaluation.results import FrameScore, Method, Protocol, Results, Role
from train.evaluation.tables import ROLES, best_places, ordered, protocols_of, published_sheet, title_of
from train.montage import encode_png

STYLES = 8  # colors and marks; the ninth method takes the first color again, dashed and with another mark


@dataclass(frozen=True)
class Cell:
    """One cell of a table.

    Args:
        text: What it says; plain text.
        is_best: Whether to emphasise it.
        style: Number of the method it names, which gives it the method's line and mark.
        remark: A second line in small print.
        link: Address that the text leads to.
    """

    text: str
    is_best: bool = False
    style: int | None = None
    remark: str = ""
    link: str = ""

    def content(self) -> str:
        """What stands between the tags."""
        words = escape(self.text)
        if self.link:
            words = f'<a href="{escape(self.link)}">{words}</a>'
        if self.is_best:
            words = f"<strong>{words}</strong>"
        remark = f"<small>{escape(self.remark)}</small>" if self.remark else ""
        return swatch(self.style) + words + remark


@dataclass(frozen=True)
class Grid:
    """A table; the first column holds names, those after it figures, unless they are said to hold words.

    Args:
        caption: What the figures are; plain text.
        columns: Headings.
        rows: As many cells each.
        last: A row that stays last when the others are sorted.
        words: Numbers of the columns, besides the first, that hold words.
    """

    caption: str
    columns: Sequence[Cell]
    rows: Sequence[Sequence[Cell]]
    last: Sequence[Cell] = ()
    words: frozenset[int] = frozenset()

    def html(self) -> str:
        """A table inside a box that scrolls by itself when it is wider than the page."""
        body = "".join(self._row(row) for row in self.rows)
        foot = f"<tfoot>{self._row(self.last)}</tfoot>" if self.last else ""
        heading = "".join(
            f'<th scope="col"{self._kind(x)}>{cell.content()}</th>' for x, cell in enumerate(self.columns)
        )
        return (
            f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(self.caption)}">'
            f'<table class="sortable"><caption>{escape(self.caption)}</caption>'
            f"<thead><tr>{heading}</tr></thead><tbody>{body}</tbody>{foot}</table></div>\n"
        )

    def _row(self, row: Sequence[Cell]) -> str:
        name, *figures = row
        cells = "".join(f"<td{self._kind(x)}>{cell.content()}</td>" for x, cell in enumerate(figures, start=1))
        return f'<tr><th scope="row">{name.content()}</th>{cells}</tr>\n'

    def _kind(self, column: int) -> str:
        return ' class="words"' if column == 0 or column in self.words else ""


def swatch(style: int | None) -> str:
    """Draw a method's line and mark, as in the plots."""
    if style is None:
        return ""
    return (
        f'<svg class="swatch {style_class(style)}" viewBox="0 0 28 12" aria-hidden="true">'
        f'<path class="line" d="M0 6H28"/>'
        f'<use class="mark" href="{mark(style)}" x="9" y="1" width="10" height="10"/></svg>'
    )


def mark(style: int) -> str:
    """Address, in the page, of a method's mark."""
    return f"#mark{(style + 3 * (style // STYLES)) % STYLES}"


def style_class(style: int) -> str:
    """Class names that give a method its color, and its dashes if colors run out."""
    return f"m{style % STYLES} dash{style // STYLES % 3}"


def variant(content: str, *, protocol: str, measure: str = "", hidden: bool) -> str:
    """Wrap what is shown for one choice of protocol, and of measure if that matters."""
    choice = f' data-measure="{escape(measure)}"' if measure else ""
    return f'<div class="variant" data-protocol="{escape(protocol)}"{choice}{" hidden" * hidden}>{content}</div>\n'


def options(values: Sequence[tuple[str, str]]) -> str:
    """Entries of a list to choose from, each a value and what is shown."""
    return "".join(f'<option value="{escape(value)}">{escape(shown)}</option>' for value, shown in values)


def data_uri(pixels: NDArray[np.uint8]) -> str:
    """Hold a picture, 8-bit R, G, B codes (H, W, 3), in an address of its own."""
    return "data:image/png;base64," + base64.b64encode(encode_png(pixels)).decode("ascii")


def embedded_json(value: object) -> str:
    """Write JSON that is safe inside a script element: `</script>` and `<!--` cannot occur in it.

    Raises:
        ValueError: If a number is not finite.
    """
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def part_of_page(name: str) -> str:
    """Read a file that lies beside this module."""
    return files("train.evaluation.html").joinpath(name).read_text(encoding="utf-8")


@dataclass(frozen=True)
class Part:
    """Which scores a mean is taken over.

    Args:
        protocol: Of the scores.
        method: Name of the method.
        scene: The only scene, None for all.
        role: The only exposure of the reference (`low`, `middle`, `high`), None for all.
    """

    protocol: str
    method: str
    scene: str | None = None
    role: str | None = None


class Means:
    """Knows the means of all measures over all parts of the scores; tables ask for thousands of them.

    Args:
        scores: Of all methods, protocols and frames.
    """

    def __init__(self, scores: Sequence[FrameScore]) -> None:
        groups: defaultdict[tuple[Part, str], list[float]] = defaultdict(list)
        for score in scores:
            for key, value in score.values.items():
                for part in _parts_of(score):
                    groups[part, key].append(value)
        self._means = {group: fmean(values) for group, values in groups.items()}

    def of(self, measure: Measure, part: Part) -> float | None:
        """Return the mean over the frames that have the measure; None if none has it, or if it is not finite."""
        return finite(self._means.get((part, measure.key)))


def finite(value: float | None) -> float | None:
    """Return a value that can be printed and compared, None for infinity and not-a-number."""
    return value if value is not None and math.isfinite(value) else None


def _parts_of(score: FrameScore) -> tuple[Part, ...]:
    whole = Part(score.protocol, score.method)
    return (
        whole,
        Part(score.protocol, score.method, scene=score.scene),
        Part(score.protocol, score.method, role=score.role),
    )


EXPLAINED: dict[Protocol, str] = {
    "lanhdr": "What a method returns is clipped to 0..1 and scored as it is; so do LAN-HDR's published scripts.",
    "hdrflow": "Where the reference frame is well exposed it replaces what a method returns before scoring; "
    "so do the published tests of HDRFlow and papers after it.",
}
KINDS = {"baseline": "no learning", "start": "start of a network, no learning", "network": "network"}


def roles_of(results: Results) -> tuple[Role, ...]:
    """Exposures that references have, from the lowest."""
    found = {score.role for score in results.scores}
    return tuple(role for role in ROLES if role in found)


def scenes_of(results: Results) -> tuple[str, ...]:
    """Names of the scenes in their order."""
    return tuple(dict.fromkeys(score.scene for score in results.scores))


def measures_of(results: Results) -> tuple[Measure, ...]:
    """Measures that some frame has, those first that mean most on this set."""
    keys = {key for score in results.scores for key in score.values}
    return tuple(measure for measure in ordered(results.truth) if measure.key in keys)


def heading(measure: Measure, results: Results) -> str:
    """Name, unit, and an arrow towards the better."""
    return f"{title_of(measure, results.truth)}\N{NO-BREAK SPACE}{'↑' if measure.higher_is_better else '↓'}"


def described(method: Method) -> str:
    """What a method is, in a few words."""
    size = f"{method.parameters:,} parameters" if method.parameters else ""
    weights = method.weights or ""
    return " · ".join(filter(None, (KINDS.get(method.kind, method.kind), size, weights)))


def rounded(value: float | None, form: str) -> str:
    """Format a figure; a dash where there is none."""
    return NOTHING if value is None else format(value, form)


def counted(count: int, thing: str) -> str:
    """Say how many there are."""
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"


def listed(things: Sequence[str]) -> str:
    """Join words as a sentence does."""
    return ", ".join(things[:-1]) + (" and " if len(things) > 1 else "") + "".join(things[-1:])


COST = ("s/frame\N{NO-BREAK SPACE}↓", "peak MiB\N{NO-BREAK SPACE}↓", "device")


@dataclass(frozen=True)
class Tables:
    """Makes tables of results; each comes once per choice of protocol and measure, and the page shows one of them.

    Args:
        results: What was measured.
    """

    results: Results

    def means(self) -> str:
        """Methods by measures, and what a frame costs."""
        return "".join(
            variant(self._means_of(protocol).html(), protocol=protocol, hidden=place > 0)
            for place, protocol in enumerate(self.protocols)
        )

    def by_role(self) -> str:
        """Methods by exposure of the reference; empty if references have but one."""
        return self._each(self._roles_of) if len(self.roles) > 1 else ""

    def by_scene(self) -> str:
        """Scenes by methods, and their mean over frames."""
        return self._each(self._scenes_of)

    def published(self) -> str:
        """Published figures, above them ours; empty if there are none."""
        if not self.results.published:
            return ""
        sheet = published_sheet(self.results)
        styles = {method.name: place for place, method in enumerate(self.results.methods)}
        # ours come first, so that a published method of the same name is not taken for one of them
        ours = len(sheet.rows) - len(self.results.published)
        rows = [
            [Cell(row[0], style=styles[row[0]] if y < ours else None), *map(Cell, row[1:-1]), _source(row[-1])]
            for y, row in enumerate(sheet.rows)
        ]
        words = frozenset({len(sheet.columns) - 2, len(sheet.columns) - 1})
        return Grid("Ours and published", tuple(map(Cell, sheet.columns)), rows, words=words).html()

    @cached_property
    def measures(self) -> tuple[Measure, ...]:
        """What was measured."""
        return measures_of(self.results)

    @cached_property
    def protocols(self) -> tuple[Protocol, ...]:
        """How it was measured."""
        return protocols_of(self.results)

    @cached_property
    def roles(self) -> tuple[Role, ...]:
        """Exposures that references have."""
        return roles_of(self.results)

    @cached_property
    def _known(self) -> Means:
        return Means(self.results.scores)

    @cached_property
    def _names(self) -> list[Cell]:
        return [Cell(method.name, style=place) for place, method in enumerate(self.results.methods)]

    def _each(self, make: Callable[[Protocol, Measure], Grid]) -> str:
        return "".join(
            variant(
                make(protocol, measure).html(), protocol=protocol, measure=measure.key, hidden=bool(place + position)
            )
            for place, protocol in enumerate(self.protocols)
            for position, measure in enumerate(self.measures)
        )

    def _means_of(self, protocol: Protocol) -> Grid:
        methods = self.results.methods
        columns = [
            _cells(measure, [self._known.of(measure, Part(protocol, method.name)) for method in methods])
            for measure in self.measures
        ]
        names = [replace(cell, remark=described(method)) for cell, method in zip(self._names, methods, strict=True)]
        costs = map(_cost, methods)
        rows = [[name, *figures, *cost] for name, *figures, cost in zip(names, *columns, costs, strict=True)]
        headings = ("method", *(heading(measure, self.results) for measure in self.measures), *COST)
        caption = f"Means over frames, {IN_WORDS[protocol]}"
        return Grid(caption, tuple(map(Cell, headings)), rows, words=frozenset({len(headings) - 1}))

    def _roles_of(self, protocol: Protocol, measure: Measure) -> Grid:
        parts = [[Part(protocol, method.name, role=role) for method in self.results.methods] for role in self.roles]
        columns = [_cells(measure, [self._known.of(measure, part) for part in column]) for column in parts]
        rows = list(zip(self._names, *columns, strict=True))
        caption = f"{heading(measure, self.results)}, by exposure of the reference, {IN_WORDS[protocol]}"
        return Grid(caption, tuple(map(Cell, ("method", *self.roles))), rows)

    def _scenes_of(self, protocol: Protocol, measure: Measure) -> Grid:
        rows = [self._scene_row(protocol, measure, scene=scene) for scene in scenes_of(self.results)]
        caption = f"{heading(measure, self.results)}, by scene, {IN_WORDS[protocol]}"
        last = self._scene_row(protocol, measure, scene=None)
        return Grid(caption, [Cell("scene"), *self._names], rows, last=last)

    def _scene_row(self, protocol: Protocol, measure: Measure, *, scene: str | None) -> list[Cell]:
        parts = [Part(protocol, method.name, scene=scene) for method in self.results.methods]
        name = "mean over all frames" if scene is None else scene
        return [Cell(name), *_cells(measure, [self._known.of(measure, part) for part in parts])]


def _cells(measure: Measure, values: Sequence[float | None]) -> list[Cell]:
    best = best_places(measure, values)
    return [Cell(measure.shown(value), is_best=place in best) for place, value in enumerate(values)]


def _cost(method: Method) -> list[Cell]:
    seconds, memory = finite(method.seconds_per_frame), finite(method.peak_memory_mib)
    return [
        Cell(rounded(seconds, ".2g" if (seconds or 0) < 99.5 else ".0f")),
        Cell(rounded(memory, ".0f")),
        Cell(method.device or NOTHING),
    ]


def _source(text: str) -> Cell:
    return Cell(text, link=text if text.startswith("https://") else "")
