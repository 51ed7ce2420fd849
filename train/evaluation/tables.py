"""Tables of scores, for the terminal and as Markdown."""

import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import fmean
from typing import Any, get_args

from rich.table import Table

from train.dataclass_io import read_table
from train.evaluation.benchmarks.scene import Truth
from train.evaluation.metrics import BY_KEY, MEASURES, NOTHING, Measure
from train.evaluation.protocols import IN_WORDS
from train.evaluation.results import FrameScore, Protocol, Published, Results, Role

ROLES: tuple[Role, ...] = get_args(Role)
# Measures whose means are also told by the exposure of the reference.
BY_ROLE = frozenset({"psnr_t", "own", "fill"})
ESTIMATE = "Kalantari13"  # the only set whose truth is none compares with it


@dataclass(frozen=True)
class Sheet:
    """Cells to be printed.

    Args:
        title: What the figures are.
        columns: Headings; the first column holds names, the others figures.
        rows: As many cells each.
        best: Row and column of the cells to be emphasised.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    best: frozenset[tuple[int, int]] = frozenset()

    def console_table(self) -> Table:
        """For the terminal."""
        table = Table(self.columns[0], title=self.title, title_justify="left")
        for column in self.columns[1:]:
            table.add_column(column, justify="right", overflow="fold")
        for row in self._emphasised("[bold]{}[/bold]"):
            table.add_row(*row)
        return table

    def markdown(self) -> str:
        """For documents."""
        lines = [self.columns, ("---", *["---:"] * (len(self.columns) - 1)), *self._emphasised("**{}**")]
        return f"{self.title}:\n\n" + "".join(f"| {' | '.join(line)} |\n" for line in lines)

    def _emphasised(self, form: str) -> list[tuple[str, ...]]:
        return [
            tuple(form.format(cell) if (y, x) in self.best else cell for x, cell in enumerate(row))
            for y, row in enumerate(self.rows)
        ]


def mean_sheet(results: Results, protocol: Protocol) -> Sheet:
    """All measures, a row per method, means over frames, some also by the exposure of the reference, and the cost.

    Args:
        results: What was found.
        protocol: Which scores.
    """
    scores, methods = under(results, protocol), tuple(method.name for method in results.methods)
    columns = [column for measure in ordered(results.truth) for column in _columns(measure, scores, results)]
    cells = zip(*(column.cells for column in columns), strict=True)
    costs = (_cost(method.seconds_per_frame, method.peak_memory_mib) for method in results.methods)
    return Sheet(
        f"Means over frames, {IN_WORDS[protocol]}",
        ("method", *(column.title for column in columns), "s/frame", "MiB"),
        tuple((method, *row, *cost) for method, row, cost in zip(methods, cells, costs, strict=True)),
        frozenset((y, x + 1) for x, column in enumerate(columns) for y in column.best),
    )


def scene_sheet(results: Results, measure: Measure, *, protocol: Protocol) -> Sheet:
    """One measure, a row per scene, a column per method; then means, and where each is better than the last.

    Args:
        results: What was found.
        measure: The measure.
        protocol: Which scores.
    """
    scores, methods = under(results, protocol), tuple(method.name for method in results.methods)
    scenes = tuple(dict.fromkeys(score.scene for score in scores))
    values = [[mean(scores, measure.key, method=method, scene=scene) for method in methods] for scene in scenes]
    wins = [sum(_better(measure, row[at], row[-1]) for row in values) for at in range(len(methods))]
    means = [mean(scores, measure.key, method=method) for method in methods]
    rows = [(scene, *map(measure.shown, row)) for scene, row in zip(scenes, values, strict=True)]
    rows.append(("mean over frames", *map(measure.shown, means)))
    rows.append((f"scenes better than {methods[-1]}", *map(str, wins[:-1]), NOTHING))
    best = frozenset((y, x + 1) for y, row in enumerate([*values, means]) for x in best_places(measure, row))
    title = f"{title_of(measure, results.truth)}, per scene, {IN_WORDS[protocol]}"
    return Sheet(title, ("scene", *methods), tuple(rows), best)


def protocols_of(results: Results) -> tuple[Protocol, ...]:
    """Protocols that were scored."""
    return tuple(dict.fromkeys(score.protocol for score in results.scores))


def under(results: Results, protocol: Protocol) -> tuple[FrameScore, ...]:
    """Scores under one protocol."""
    return tuple(score for score in results.scores if score.protocol == protocol)


def ordered(truth: Truth) -> tuple[Measure, ...]:
    """All measures; those that need no truth come first where there is none."""
    return MEASURES if truth == "truth" else tuple(sorted(MEASURES, key=lambda measure: measure.needs_truth))


def title_of(measure: Measure, truth: Truth) -> str:
    """Name of a measure with its unit; where it compares with another method's output, it says so."""
    if truth != "estimate" or not measure.needs_truth:
        return measure.title
    return f"{measure.name} relative to {ESTIMATE}" + (f", {measure.unit}" if measure.unit else "")


def methods_of(scores: Sequence[FrameScore]) -> tuple[str, ...]:
    """Names of the methods in their order."""
    return tuple(dict.fromkeys(score.method for score in scores))


def mean(
    scores: Sequence[FrameScore], key: str, *, method: str, scene: str | None = None, role: str | None = None
) -> float | None:
    """Average a measure over the frames of a method; None if it is defined for none of them.

    Args:
        scores: Of all methods, under one protocol.
        key: Of the measure.
        method: Name of the method.
        scene: Name of the only scene wanted.
        role: The only exposure of the reference wanted.
    """
    chosen = [
        score.values[key]
        for score in scores
        if score.method == method
        and scene in (None, score.scene)
        and role in (None, score.role)
        and key in score.values
    ]
    return fmean(chosen) if chosen else None


@dataclass(frozen=True)
class _Column:
    title: str
    cells: tuple[str, ...]
    best: tuple[int, ...]


def _columns(measure: Measure, scores: Sequence[FrameScore], results: Results) -> list[_Column]:
    """The mean of a measure, and its means by role; nothing if no frame has it."""
    if not any(measure.key in score.values for score in scores):
        return []
    roles = [role for role in ROLES if any(score.role == role for score in scores)]
    wanted: list[Role | None] = [None, *(roles if measure.key in BY_ROLE else ())]
    return [_column(measure, scores, results, role=role) for role in wanted]


def _column(measure: Measure, scores: Sequence[FrameScore], results: Results, *, role: Role | None) -> _Column:
    values = [mean(scores, measure.key, method=method.name, role=role) for method in results.methods]
    title = title_of(measure, results.truth) if role is None else f"of {role}"
    return _Column(title, tuple(map(measure.shown, values)), best_places(measure, values))


def _cost(seconds: float | None, memory: float | None) -> tuple[str, str]:
    return (NOTHING if seconds is None else f"{seconds:.2g}", NOTHING if memory is None else f"{memory:.0f}")


def best_places(measure: Measure, values: Sequence[float | None]) -> tuple[int, ...]:
    """Find the places of the best value, several if they are equal; none where there is nothing to compare."""
    known = [value for value in values if value is not None]
    if len(known) < 2:
        return ()
    pick: Callable[[list[float]], float] = max if measure.higher_is_better else min
    return tuple(place for place, value in enumerate(values) if value == pick(known))


def _better(measure: Measure, value: float | None, than: float | None) -> bool:
    if value is None or than is None:
        return False
    return value > than if measure.higher_is_better else value < than


FILE = Path(__file__).with_name("published.toml")


@dataclass(frozen=True)
class Entry:
    """One line of the list.

    Args:
        benchmark: Name of the set.
        nexps: Number of exposures.
        method: Name of the method.
        protocol: Which of ours it is to be compared with.
        values: Figures by the keys of `measures.MEASURES`, or such a key, a space and a role.
        note: What else must be known.
        source: Where it stands.
    """

    benchmark: str
    nexps: int
    method: str
    protocol: Protocol
    values: dict[str, float]
    note: str
    source: str


def published_for(benchmark: str, nexps: int, *, protocols: Sequence[Protocol]) -> tuple[Published, ...]:
    """Find what was published for a set, where the protocol is one of those that we score by too.

    Args:
        benchmark: Name of the set.
        nexps: Number of exposures.
        protocols: How we score.
    """
    return tuple(
        Published(entry.method, nexps, entry.values, f"{IN_WORDS[entry.protocol]}; {entry.note}", entry.source)
        for entry in entries()
        if (entry.benchmark, entry.nexps) == (benchmark, nexps) and entry.protocol in protocols
    )


@cache
def entries() -> tuple[Entry, ...]:
    """Read the whole list."""
    rows: list[dict[str, Any]] = tomllib.loads(FILE.read_text(encoding="utf-8"))["entry"]
    return tuple(read_table(Entry, row, source=FILE.name) for row in rows)


def published_sheet(results: Results) -> Sheet:
    """What others published for a set, with how it was measured and where it stands; above it, our methods.

    Args:
        results: What was found.
    """
    keys = tuple(dict.fromkeys(key for entry in results.published for key in entry.values))
    ours = [
        (method.name, *_ours(results, method.name, protocol=protocol, keys=keys), IN_WORDS[protocol], "this run")
        for protocol in protocols_of(results)
        for method in results.methods
    ]
    theirs = [(entry.method, *_theirs(entry, keys), entry.protocol_note, entry.source) for entry in results.published]
    titles = tuple(_title(key) for key in keys)
    return Sheet("Beside published figures", ("method", *titles, "protocol", "source"), (*ours, *theirs))


def _ours(results: Results, method: str, *, protocol: Protocol, keys: Sequence[str]) -> list[str]:
    scores = under(results, protocol)
    parts = [key.partition(" ") for key in keys]
    return [BY_KEY[key].shown(mean(scores, key, method=method, role=role or None)) for key, _, role in parts]


def _theirs(entry: Published, keys: Sequence[str]) -> list[str]:
    return [BY_KEY[key.partition(" ")[0]].shown(entry.values.get(key)) for key in keys]


def _title(key: str) -> str:
    measure, _, role = key.partition(" ")
    return BY_KEY[measure].title + (f" of {role}" if role else "")
