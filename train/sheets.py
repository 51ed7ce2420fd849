"""Tables of scores, for the terminal and as Markdown."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean, median

from rich.table import Table

from train.measures import BY_KEY, MEASURES, NOTHING, Measure
from train.scoring import Score

ROLES = ("short", "middle", "long")


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


def mean_sheet(scores: Sequence[Score], *, cost: str) -> Sheet:
    """All measures, a row per method, means over frames; PSNR_T also by the exposure of the reference.

    Args:
        scores: Of all methods.
        cost: What the times were measured on.
    """
    methods = methods_of(scores)
    columns = [_mean_column(measure, scores, role=None) for measure in MEASURES]
    roles = [role for role in ROLES if any(score.role == role for score in scores)]
    columns[1:1] = [_mean_column(BY_KEY["psnr_t"], scores, role=role) for role in roles]
    cells = zip(*(column.cells for column in columns), strict=True)
    times = (seconds_per_frame(scores, method) for method in methods)
    return Sheet(
        f"Means over frames; seconds per frame: {cost}",
        ("method", *(column.title for column in columns), "s/frame"),
        tuple((method, *row, seconds) for method, row, seconds in zip(methods, cells, times, strict=True)),
        frozenset((y, x + 1) for x, column in enumerate(columns) for y in column.best),
    )


def clip_sheet(scores: Sequence[Score], measure: Measure) -> Sheet:
    """One measure, a row per clip, a column per method; then means, and on how many clips each is better than the last.

    Args:
        scores: Of all methods.
        measure: The measure.
    """
    methods, clips = methods_of(scores), tuple(dict.fromkeys(score.clip for score in scores))
    values = [[mean(scores, measure.key, method=method, clip=clip) for method in methods] for clip in clips]
    wins = [sum(_better(measure, row[at], row[-1]) for row in values) for at in range(len(methods))]
    means = [mean(scores, measure.key, method=method) for method in methods]
    rows = [(clip, *map(measure.shown, row)) for clip, row in zip(clips, values, strict=True)]
    rows.append(("mean", *map(measure.shown, means)))
    rows.append((f"clips better than {methods[-1]}", *map(str, wins[:-1]), NOTHING))
    best = frozenset((y, x + 1) for y, row in enumerate([*values, means]) for x in _best(measure, row))
    return Sheet(f"{measure.title}, per clip", ("clip", *methods), tuple(rows), best)


def methods_of(scores: Sequence[Score]) -> tuple[str, ...]:
    """Names of the methods in their order."""
    return tuple(dict.fromkeys(score.method for score in scores))


def mean(
    scores: Sequence[Score], key: str, *, method: str, clip: str | None = None, role: str | None = None
) -> float | None:
    """Average a measure over the frames of a method; None if it is defined for none of them.

    Args:
        scores: Of all methods.
        key: Of the measure.
        method: Name of the method.
        clip: Name of the only clip wanted.
        role: The only exposure of the reference wanted.
    """
    chosen = [
        score.values[key]
        for score in scores
        if score.method == method and clip in (None, score.clip) and role in (None, score.role) and key in score.values
    ]
    return fmean(chosen) if chosen else None


def seconds_per_frame(scores: Sequence[Score], method: str) -> str:
    """Say what a frame takes, as the median: the first one is slower, and others may share the machine."""
    times = [score.seconds for score in scores if score.method == method and score.seconds is not None]
    return f"{median(times):.2g}" if times else NOTHING


@dataclass(frozen=True)
class _Column:
    title: str
    cells: tuple[str, ...]
    best: tuple[int, ...]


def _mean_column(measure: Measure, scores: Sequence[Score], *, role: str | None) -> _Column:
    values = [mean(scores, measure.key, method=method, role=role) for method in methods_of(scores)]
    title = measure.title if role is None else f"of {role}"
    return _Column(title, tuple(map(measure.shown, values)), _best(measure, values))


def _best(measure: Measure, values: Sequence[float | None]) -> tuple[int, ...]:
    known = [value for value in values if value is not None]
    if len(known) < 2:
        return ()
    pick: Callable[[list[float]], float] = max if measure.higher_is_better else min
    return tuple(place for place, value in enumerate(values) if value == pick(known))


def _better(measure: Measure, value: float | None, than: float | None) -> bool:
    if value is None or than is None:
        return False
    return value > than if measure.higher_is_better else value < than
