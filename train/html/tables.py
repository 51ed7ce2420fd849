"""The report's tables: means with their cost, by exposure, by scene, and beside published figures."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from train.html.markup import Cell, Grid, variant
from train.html.means import Means, Part, finite
from train.html.words import described, heading, measures_of, roles_of, rounded, scenes_of
from train.measures import NOTHING, Measure
from train.protocols import IN_WORDS
from train.published_sheet import published_sheet
from train.results import Method, Protocol, Results, Role
from train.sheets import best_places, protocols_of

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
