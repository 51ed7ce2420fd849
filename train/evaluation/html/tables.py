"""The HTML report's tables: means with their cost, by exposure, by scene, and beside published figures."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from html import escape

from train.evaluation.metrics import NOTHING, Measure
from train.evaluation.protocols import IN_WORDS
from train.evaluation.results import Protocol, Results
from train.evaluation.tables import (
    Means,
    Sheet,
    measures_of,
    method_sheet,
    protocols_of,
    published_sheet,
    roles_of,
    scene_sheet,
    title_of,
)

STYLES = 8  # colors and marks; the ninth method takes the first color again, dashed and with another mark
COST = ("s/frame\N{NO-BREAK SPACE}↓", "peak MiB\N{NO-BREAK SPACE}↓", "device")
KINDS = {"baseline": "no learning", "start": "start of a network, no learning", "network": "network"}


def sheet_html(
    sheet: Sheet,
    *,
    row_styles: Sequence[int] = (),
    column_styles: Sequence[int] = (),
    remarks: Sequence[str] = (),
    words: frozenset[int] = frozenset(),
    ends_with_mean: bool = False,
) -> str:
    """Render a sheet inside a box that scrolls by itself when it is wider than the page.

    Args:
        row_styles: Numbers of the methods in the first rows, whose line and mark stand before their names.
        column_styles: The same for the columns after the first.
        remarks: Small print below the name of each row.
        words: Columns besides the first that hold words, among them links.
        ends_with_mean: Whether the last row stays last when the others are sorted.
    """
    kinds = [' class="words"' if x == 0 or x in words else "" for x in range(len(sheet.columns))]
    heading, rows = "", []
    for x, title in enumerate(sheet.columns):
        mark_of_method = swatch(column_styles[x - 1]) if 0 < x <= len(column_styles) else ""
        heading += f'<th scope="col"{kinds[x]}>{mark_of_method}{escape(title)}</th>'
    for y, row in enumerate(sheet.rows):
        cells = []
        for x, text in enumerate(row):
            content = escape(text)
            if x in words and text.startswith("https://"):
                content = f'<a href="{content}">{content}</a>'
            cells.append(f"<strong>{content}</strong>" if (y, x) in sheet.best else content)
        remark = f"<small>{escape(remarks[y])}</small>" if remarks and remarks[y] else ""
        name = f'<th scope="row">{swatch(row_styles[y]) if y < len(row_styles) else ""}{cells[0]}{remark}</th>'
        figures = "".join(f"<td{kind}>{cell}</td>" for kind, cell in zip(kinds[1:], cells[1:], strict=True))
        rows.append(f"<tr>{name}{figures}</tr>\n")
    foot = f"<tfoot>{rows.pop()}</tfoot>" if ends_with_mean else ""
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(sheet.title)}">'
        f'<table class="sortable"><caption>{escape(sheet.title)}</caption>'
        f"<thead><tr>{heading}</tr></thead><tbody>{''.join(rows)}</tbody>{foot}</table></div>\n"
    )


def swatch(style: int) -> str:
    """Draw a method's line and mark, as in the plots."""
    return (
        f'<svg class="swatch {style_class(style)}" viewBox="0 0 28 12" aria-hidden="true">'
        f'<path class="line" d="M0 6H28"/>'
        f'<use class="mark" href="{mark(style)}" x="9" y="1" width="10" height="10"/></svg>'
    )


def mark(style: int) -> str:
    """Return the address, in the page, of a method's mark."""
    return f"#mark{(style + 3 * (style // STYLES)) % STYLES}"


def style_class(style: int) -> str:
    """Return the class names that give a method its color, and its dashes if colors run out."""
    return f"m{style % STYLES} dash{style // STYLES % 3}"


def finite(value: float | None) -> float | None:
    """Return a value that can be printed and compared, None for infinity and NaN."""
    return value if value is not None and math.isfinite(value) else None


def heading(measure: Measure, results: Results) -> str:
    """Name a measure with its unit and an arrow towards the better."""
    return f"{title_of(measure, results.truth)}\N{NO-BREAK SPACE}{'↑' if measure.higher_is_better else '↓'}"


def mean_tables(results: Results, means: Means) -> str:
    """Render methods by measures, with the cost of a frame, for each protocol."""
    measures, methods = measures_of(results), results.methods
    remarks, costs = [], []
    for method in methods:
        parameters = f"{method.parameters:,} parameters" if method.parameters else ""
        remarks.append(" · ".join(filter(None, (KINDS[method.kind], parameters, method.weights or ""))))
        seconds, memory = finite(method.seconds_per_frame), finite(method.peak_memory_mib)
        time = NOTHING if seconds is None else format(seconds, ".2g" if seconds < 99.5 else ".0f")
        costs.append((time, NOTHING if memory is None else f"{memory:.0f}", method.device or NOTHING))
    titles = [heading(measure, results) for measure in measures]
    tables: list[str] = []
    for protocol in protocols_of(results):
        columns = [
            (measure, [means.of(measure.key, protocol=protocol, method=method.name) for method in methods])
            for measure in measures
        ]
        sheet = method_sheet(f"Means over frames, {IN_WORDS[protocol]}", methods, titles, columns=columns)
        rows = tuple((*row, *cost) for row, cost in zip(sheet.rows, costs, strict=True))
        sheet = replace(sheet, columns=(*sheet.columns, *COST), rows=rows)
        words = frozenset({len(sheet.columns) - 1})
        table = sheet_html(sheet, row_styles=range(len(methods)), remarks=remarks, words=words)
        tables.append(variant(table, protocol=protocol, hidden=bool(tables)))
    return "".join(tables)


def role_tables(results: Results, means: Means) -> str:
    """Render methods by exposure of the reference; empty if references have but one."""
    roles, methods = roles_of(results), results.methods

    def render(protocol: Protocol, measure: Measure) -> str:
        columns = [
            (measure, [means.of(measure.key, protocol=protocol, method=method.name, role=role) for method in methods])
            for role in roles
        ]
        title = f"{heading(measure, results)}, by exposure of the reference, {IN_WORDS[protocol]}"
        return sheet_html(method_sheet(title, methods, roles, columns=columns), row_styles=range(len(methods)))

    return _for_each_choice(results, render) if len(roles) > 1 else ""


def scene_tables(results: Results, means: Means) -> str:
    """Render scenes by methods, and their mean over frames."""

    def render(protocol: Protocol, measure: Measure) -> str:
        sheet = scene_sheet(results, measure, protocol=protocol, means=means)
        *scenes, mean, _wins = sheet.rows
        title = f"{heading(measure, results)}, by scene, {IN_WORDS[protocol]}"
        sheet = replace(sheet, title=title, rows=(*scenes, ("mean over all frames", *mean[1:])))
        return sheet_html(sheet, column_styles=range(len(results.methods)), ends_with_mean=True)

    return _for_each_choice(results, render)


def published_table(results: Results) -> str:
    """Render our figures above published ones; empty if there are none."""
    if not results.published:
        return ""
    sheet = replace(published_sheet(results), title="Ours and published")
    # Ours come first; a published method may have the name of one of them.
    styles = [*range(len(results.methods))] * len(protocols_of(results))
    words = frozenset({len(sheet.columns) - 2, len(sheet.columns) - 1})
    return sheet_html(sheet, row_styles=styles, words=words)


def variant(content: str, *, protocol: str, measure: str = "", hidden: bool) -> str:
    """Wrap the content for one choice of protocol, and of measure if that matters."""
    choice = f' data-measure="{escape(measure)}"' if measure else ""
    attributes = f"{choice}{' hidden' if hidden else ''}"
    return f'<div class="variant" data-protocol="{escape(protocol)}"{attributes}>{content}</div>\n'


def _for_each_choice(results: Results, render: Callable[[Protocol, Measure], str]) -> str:
    choices = [(protocol, measure) for protocol in protocols_of(results) for measure in measures_of(results)]
    return "".join(
        variant(render(protocol, measure), protocol=protocol, measure=measure.key, hidden=number > 0)
        for number, (protocol, measure) in enumerate(choices)
    )
