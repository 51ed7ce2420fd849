"""Writes the report of an evaluation."""

from collections.abc import Sequence
from html import escape
from pathlib import Path
from string import Template

from train.html.chart_data import chart_data
from train.html.gallery import errors_in_words, example_options, gallery, picture_options
from train.html.markup import embedded_json, options, part_of_page
from train.html.tables import Tables
from train.html.words import EXPLAINED, counted, heading, listed, roles_of, scenes_of
from train.protocols import IN_WORDS
from train.report import write_text
from train.results import Example, Protocol, Results

SCRIPTS = ("choice.js", "sorting.js", "drawing.js", "plots.js", "cost.js", "compare.js")


def write_html(path: Path, results: Results, examples: Sequence[Example]) -> None:
    """Write the report as one file that opens from disk and fetches nothing.

    Args:
        path: The file.
        results: What was measured.
        examples: Places to be shown as pictures.

    Raises:
        DatasetError: If the file cannot be written.
    """
    write_text(path, html(results, examples))


def html(results: Results, examples: Sequence[Example]) -> str:
    """Return the report as a text.

    Args:
        results: What was measured.
        examples: Places to be shown as pictures.
    """
    tables = Tables(results)
    page = Template(part_of_page("page.html"))
    return page.substitute(
        title=escape(results.title),
        facts=_facts(results, tables),
        notes=_notes(results.notes),
        protocols=_protocol_choice(tables.protocols),
        protocol_words="".join(_term(IN_WORDS[protocol], EXPLAINED[protocol]) for protocol in tables.protocols),
        measures=options([(measure.key, heading(measure, results)) for measure in tables.measures]),
        roles=options([("", "all"), *((role, f"{role} reference") for role in tables.roles)]),
        means=tables.means(),
        published=_section("published", "Beside published figures", tables.published()),
        by_role=_section("roles", "By exposure of the reference", tables.by_role()),
        by_scene=tables.by_scene(),
        pictures=_pictures(results, examples),
        environment="".join(_term(*entry) for entry in results.environment.items()),
        command=escape(results.command),
        style=part_of_page("style.css"),
        script="\n".join(map(part_of_page, SCRIPTS)),
        data=embedded_json(chart_data(results)),
    )


def _facts(results: Results, tables: Tables) -> str:
    frames = {(score.scene, score.frame) for score in results.scores}
    facts = {
        "benchmark": results.benchmark,
        "exposures": f"{results.nexps}; references: {listed(roles_of(results))}",
        "measured": f"{counted(len(frames), 'frame')} of {counted(len(scenes_of(results)), 'scene')}",
        "methods": listed([method.name for method in results.methods]),
        "protocols": listed([IN_WORDS[protocol] for protocol in tables.protocols]),
    }
    return "".join(_term(*fact) for fact in facts.items())


def _term(name: str, text: str) -> str:
    return f"<div><dt>{escape(name)}</dt><dd>{escape(text)}</dd></div>\n"


def _notes(notes: Sequence[str]) -> str:
    entries = "".join(f"<li>{escape(note)}</li>" for note in notes)
    return f'<aside class="notes" aria-label="Read this first"><ul>{entries}</ul></aside>' if entries else ""


def _section(name: str, title: str, content: str) -> str:
    return f'<section id="{name}"><h2>{title}</h2>{content}</section>' if content else ""


def _protocol_choice(protocols: Sequence[Protocol]) -> str:
    buttons = "".join(
        f'<label><input type="radio" name="protocol" value="{protocol}"{" checked" * (place == 0)}>'
        f"<span>{escape(IN_WORDS[protocol])}</span></label>"
        for place, protocol in enumerate(protocols)
    )
    return f"<fieldset><legend>Protocol</legend>{buttons}</fieldset>"


def _pictures(results: Results, examples: Sequence[Example]) -> str:
    if not examples:
        return ""
    viewer = Template(part_of_page("compare.html")).substitute(
        examples=example_options(examples), pictures=picture_options(examples), errors=errors_in_words(examples)
    )
    return _section("pictures", "Worst and best places", viewer + gallery(results, examples))
