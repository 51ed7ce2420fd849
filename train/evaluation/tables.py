"""Tables of scores, for the terminal and as Markdown."""

import math
import tomllib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from statistics import fmean
from typing import Any, get_args

from rich.table import Table

from train.dataclass_io import read_table
from train.evaluation.benchmarks.scene import Truth
from train.evaluation.metrics import BY_KEY, MEASURES, NOTHING, Measure
from train.evaluation.protocols import IN_WORDS
from train.evaluation.results import FrameScore, MethodRecord, Protocol, Published, Results, Role

ROLES: tuple[Role, ...] = get_args(Role)
# Measures whose means are also shown by the role of the reference.
BY_ROLE = frozenset({"psnr_t", "own", "fill"})
ESTIMATE = "Kalantari13"  # the method whose output one set has in place of a truth


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """A table of text.

    Args:
        columns: Headings; the first column holds names, the others figures.
        rows: As many cells each.
        best: Row and column of the cells to be emphasised.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    best: frozenset[tuple[int, int]] = frozenset()

    def console_table(self) -> Table:
        """Lay out the table for the terminal."""
        table = Table(self.columns[0], title=self.title, title_justify="left")
        for column in self.columns[1:]:
            table.add_column(column, justify="right", overflow="fold")
        for row in self._emphasised("[bold]{}[/bold]"):
            table.add_row(*row)
        return table

    def markdown(self) -> str:
        """Write the table as Markdown."""
        lines = [self.columns, ("---", *["---:"] * (len(self.columns) - 1)), *self._emphasised("**{}**")]
        return f"{self.title}:\n\n" + "".join(f"| {' | '.join(line)} |\n" for line in lines)

    def _emphasised(self, form: str) -> list[tuple[str, ...]]:
        return [
            tuple(form.format(cell) if (y, x) in self.best else cell for x, cell in enumerate(row))
            for y, row in enumerate(self.rows)
        ]


class Means:
    """The means of all measures over the frames of a method: of all, of a scene, or of a role of the reference.

    Args:
        only_finite: Whether means that are infinite or NaN count as missing.
    """

    def __init__(self, scores: Sequence[FrameScore], *, only_finite: bool = False) -> None:
        groups: defaultdict[tuple[str, str, str, str | None, str | None], list[float]] = defaultdict(list)
        for score in scores:
            for key, value in score.values.items():
                for scene, role in ((None, None), (score.scene, None), (None, score.role)):
                    groups[score.protocol, score.method, key, scene, role].append(value)
        means = {group: fmean(values) for group, values in groups.items()}
        self._means = {group: mean for group, mean in means.items() if math.isfinite(mean) or not only_finite}

    def of(
        self, key: str, *, protocol: Protocol, method: str, scene: str | None = None, role: str | None = None
    ) -> float | None:
        """Return the mean of a measure, over one scene or one role if they are named; None if no frame has it."""
        return self._means.get((protocol, method, key, scene, role))


def method_sheet(
    title: str,
    methods: Sequence[MethodRecord],
    headings: Sequence[str],
    *,
    columns: Sequence[tuple[Measure, Sequence[float | None]]],
) -> Sheet:
    """Lay out a row per method, and a column per heading with the values of a measure, the best emphasised."""
    return Sheet(
        title=title,
        columns=("method", *headings),
        rows=tuple(
            (method.name, *(measure.shown(values[y]) for measure, values in columns))
            for y, method in enumerate(methods)
        ),
        best=frozenset((y, x) for x, column in enumerate(columns, 1) for y in best_places(*column)),
    )


def mean_sheet(results: Results, protocol: Protocol) -> Sheet:
    """Lay out the means of all measures, some also by the role of the reference, and the cost, a row per method."""
    means, methods = Means(results.scores), results.methods
    headings, columns = [], []
    for measure in measures_of(results, protocol):
        for role in (None, *(roles_of(results, protocol) if measure.key in BY_ROLE else ())):
            headings.append(f"of {role}" if role else title_of(measure, results.truth))
            values = [means.of(measure.key, protocol=protocol, method=method.name, role=role) for method in methods]
            columns.append((measure, values))
    sheet = method_sheet(f"Means over frames, {IN_WORDS[protocol]}", methods, headings, columns=columns)
    rows = []
    for row, method in zip(sheet.rows, methods, strict=True):
        seconds, memory = method.seconds_per_frame, method.peak_memory_mib
        time = NOTHING if seconds is None else f"{seconds:.2g}"
        rows.append((*row, time, NOTHING if memory is None else f"{memory:.0f}"))
    return replace(sheet, columns=(*sheet.columns, "s/frame", "MiB"), rows=tuple(rows))


def scene_sheet(results: Results, measure: Measure, *, protocol: Protocol, means: Means | None = None) -> Sheet:
    """Lay out a measure by scene and method; then means, and the number of scenes on which each beats the last."""
    means, methods = means or Means(results.scores), [method.name for method in results.methods]
    values = {
        scene: [means.of(measure.key, protocol=protocol, method=method, scene=scene) for method in methods]
        for scene in scenes_of(results, protocol)
    }
    total = [means.of(measure.key, protocol=protocol, method=method) for method in methods]
    sign = 1 if measure.higher_is_better else -1
    wins = [0] * (len(methods) - 1)
    for *others, last in values.values():
        for column, value in enumerate(others):
            wins[column] += value is not None and last is not None and sign * value > sign * last
    rows = [(scene, *map(measure.shown, row)) for scene, row in values.items()]
    rows.append(("mean over frames", *map(measure.shown, total)))
    rows.append((f"scenes better than {methods[-1]}", *map(str, wins), NOTHING))
    best = frozenset((y, x) for y, row in enumerate([*values.values(), total]) for x in best_places(measure, row, 1))
    title = f"{title_of(measure, results.truth)}, per scene, {IN_WORDS[protocol]}"
    return Sheet(title=title, columns=("scene", *methods), rows=tuple(rows), best=best)


def protocols_of(results: Results) -> tuple[Protocol, ...]:
    """List the protocols of the scores."""
    return tuple(dict.fromkeys(score.protocol for score in results.scores))


def scenes_of(results: Results, protocol: Protocol | None = None) -> tuple[str, ...]:
    """List the scenes in their order, of one protocol or of all."""
    return tuple(dict.fromkeys(score.scene for score in results.scores if protocol in (None, score.protocol)))


def roles_of(results: Results, protocol: Protocol | None = None) -> tuple[Role, ...]:
    """List the roles of references from the lowest exposure, of one protocol or of all."""
    roles = {score.role for score in results.scores if protocol in (None, score.protocol)}
    return tuple(role for role in ROLES if role in roles)


def measures_of(results: Results, protocol: Protocol | None = None) -> tuple[Measure, ...]:
    """List the measures that some frame has; those that need no truth come first where there is none."""
    keys = {key for score in results.scores if protocol in (None, score.protocol) for key in score.values}
    order = MEASURES if results.truth == "truth" else sorted(MEASURES, key=lambda measure: measure.needs_truth)
    return tuple(measure for measure in order if measure.key in keys)


def title_of(measure: Measure, truth: Truth) -> str:
    """Name a measure with its unit, and the method that it is relative to where that stands in for the truth."""
    if truth != "estimate" or not measure.needs_truth:
        return measure.title
    return f"{measure.name} relative to {ESTIMATE}" + (f", {measure.unit}" if measure.unit else "")


def best_places(measure: Measure, values: Sequence[float | None], first: int = 0) -> tuple[int, ...]:
    """Find the positions of the best value, counted from `first`; several if they are equal, none of a single value."""
    known = [value for value in values if value is not None]
    if len(known) < 2:
        return ()
    best = max(known) if measure.higher_is_better else min(known)
    return tuple(position for position, value in enumerate(values, first) if value == best)


FILE = Path(__file__).with_name("published.toml")


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A published row of figures.

    Args:
        benchmark: Name of the set.
        protocol: The one of ours that it is to be compared with.
        values: Figures by the keys of `metrics.MEASURES`, or such a key, a space and a role.
        note: A remark on the measurement.
        source: Address of the publication.
    """

    benchmark: str
    nexps: int
    method: str
    protocol: Protocol
    values: dict[str, float]
    note: str
    source: str


def published_for(benchmark: str, nexps: int, *, protocols: Sequence[Protocol]) -> tuple[Published, ...]:
    """Find the published figures of a set for those protocols that we score by."""
    return tuple(
        Published(
            method=entry.method,
            nexps=nexps,
            values=entry.values,
            protocol_note=f"{IN_WORDS[entry.protocol]}; {entry.note}",
            source=entry.source,
        )
        for entry in entries()
        if (entry.benchmark, entry.nexps) == (benchmark, nexps) and entry.protocol in protocols
    )


@cache
def entries() -> tuple[Entry, ...]:
    """Read the whole list."""
    rows: list[dict[str, Any]] = tomllib.loads(FILE.read_text(encoding="utf-8"))["entry"]
    return tuple(read_table(Entry, row, source=FILE.name) for row in rows)


def published_sheet(results: Results) -> Sheet:
    """Lay out our methods above published figures, with protocol and source."""
    keys = tuple(dict.fromkeys(key for entry in results.published for key in entry.values))
    parts = [(BY_KEY[key.partition(" ")[0]], key.partition(" ")[2] or None) for key in keys]
    means = Means(results.scores)
    rows = []
    for protocol in protocols_of(results):
        for method in results.methods:
            figures = [
                measure.shown(means.of(measure.key, protocol=protocol, method=method.name, role=role))
                for measure, role in parts
            ]
            rows.append((method.name, *figures, IN_WORDS[protocol], "this run"))
    for entry in results.published:
        figures = [measure.shown(entry.values.get(key)) for key, (measure, _) in zip(keys, parts, strict=True)]
        rows.append((entry.method, *figures, entry.protocol_note, entry.source))
    titles = (measure.title + (f" of {role}" if role else "") for measure, role in parts)
    return Sheet(title="Beside published figures", columns=("method", *titles, "protocol", "source"), rows=tuple(rows))
