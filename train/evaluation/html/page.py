"""Writes the report of an evaluation."""

from collections import defaultdict
from collections.abc import Sequence
from html import escape
from pathlib import Path
from string import Template

from torch import Tensor

from model.color import mu_law
from train.evaluation.html.tables import (
    EXPLAINED,
    Tables,
    counted,
    data_uri,
    embedded_json,
    finite,
    heading,
    listed,
    mark,
    measures_of,
    options,
    part_of_page,
    roles_of,
    scenes_of,
    style_class,
    swatch,
)
from train.evaluation.metrics import MEASURES, Measure
from train.evaluation.protocols import IN_WORDS
from train.evaluation.results import Example, FrameScore, Protocol, Results, write_text
from train.evaluation.tables import protocols_of
from train.montage import ERROR_GAIN, picture_row

INPUT, TRUTH = "reference as filmed", "truth"


def gallery(results: Results, examples: Sequence[Example]) -> str:
    """Lay out all examples, each a row of pictures; below those of methods, their errors.

    Args:
        results: What was measured.
        examples: Places to be shown.
    """
    scores = _scores(results)
    styles = {method.name: place for place, method in enumerate(results.methods)}
    return "".join(_example(example, number, styles=styles, scores=scores) for number, example in enumerate(examples))


def example_options(examples: Sequence[Example]) -> str:
    """Entries of a list of examples."""
    return options([(str(number), _title(example)) for number, example in enumerate(examples)])


def picture_options(examples: Sequence[Example]) -> str:
    """Entries of a list of pictures that can be compared: methods, truth, input."""
    names = dict.fromkeys(name for example in examples for name in example.pictures)
    methods = [(f"method:{name}", name) for name in names]
    truth = [("truth", TRUTH)] if any(example.truth is not None for example in examples) else []
    return options([*methods, *truth, ("input", INPUT)])


def errors_in_words(examples: Sequence[Example]) -> str:
    """Say what pictures of errors show."""
    if all(example.truth is None for example in examples):
        return "There is no truth, so that errors are not known."
    white = f"times {ERROR_GAIN:g}, so that {1 / ERROR_GAIN:g} is white"
    return f"Errors are absolute differences of mu-law values to the truth, {white}."


def _example(
    example: Example, number: int, *, styles: dict[str, int], scores: dict[tuple[str, int, str], FrameScore]
) -> str:
    figures = [_figure("input", INPUT, pictures=[example.reference])]
    if example.truth is not None:
        figures.append(_figure("truth", TRUTH, pictures=[mu_law(example.truth)]))
    figures += [
        _figure(f"method:{name}", name, pictures=_views(picture, example.truth), style=styles.get(name),
                remark=_remark(scores.get((example.scene, example.frame, name))))
        for name, picture in example.pictures.items()
    ]  # fmt: skip
    title = escape(_title(example))
    button = (
        f'<button type="button" class="screen" data-compare="{number}" aria-label="Compare {title}">compare</button>'
    )
    return (
        f'<section class="example" data-example="{number}"><h3>{title} {button}</h3>'
        f'<div class="scroll strip" tabindex="0" role="region" aria-label="Pictures of {title}">'
        f"{''.join(figures)}</div></section>\n"
    )


def _figure(value: str, title: str, *, pictures: Sequence[Tensor], style: int | None = None, remark: str = "") -> str:
    words = (title, f"error of {title}, times {ERROR_GAIN:g}")
    images = "".join(
        f'<img alt="{escape(alt)}" width="{picture.shape[2]}" height="{picture.shape[1]}" '
        f'src="{data_uri(picture_row([picture]))}">'
        for alt, picture in zip(words, pictures, strict=False)
    )
    caption = f"{swatch(style)}{escape(title)}<small>{escape(remark)}</small>"
    return f'<figure data-picture="{escape(value)}"><figcaption>{caption}</figcaption>{images}</figure>'


def _views(picture: Tensor, truth: Tensor | None) -> list[Tensor]:
    """A picture and, where it can be known, its error, both fit to be shown."""
    shown = mu_law(picture.clamp(0, 1))
    return [shown] if truth is None else [shown, ERROR_GAIN * (shown - mu_law(truth)).abs()]


def _title(example: Example) -> str:
    rank = example.rank.capitalize()
    place = f"row {example.crop.top}, column {example.crop.left}"
    return f"{rank}: {example.scene}, frame {example.label} ({place})"


def _remark(score: FrameScore | None) -> str:
    """The first measure of the whole frame."""
    found: list[tuple[Measure, float]] = []
    if score is not None:
        found = [(measure, score.values[measure.key]) for measure in MEASURES if measure.key in score.values]
    return f"{found[0][0].name} {found[0][0].shown(found[0][1])} {found[0][0].unit}" if found else ""


def _scores(results: Results) -> dict[tuple[str, int, str], FrameScore]:
    first = protocols_of(results)[:1]
    return {(score.scene, score.frame, score.method): score for score in results.scores if (score.protocol,) == first}


DIGITS = 6


def chart_data(results: Results) -> dict[str, object]:
    """Collect values by frame, without those that are not finite.

    Args:
        results: What was measured.

    Returns:
        Plain lists, tables and words. `frames` has an entry per frame that was scored; `values` is, by protocol and
        key of the measure, a list per method with a value or None per entry of `frames`.
    """
    frames = _frames(results)
    return {
        "measures": [
            {"key": measure.key, "title": heading(measure, results), "digits": measure.digits,
             "higher": measure.higher_is_better}
            for measure in measures_of(results)
        ],
        "protocols": {key: IN_WORDS[key] for key in protocols_of(results)},
        "roles": roles_of(results),
        "methods": [
            {"name": method.name, "style": style_class(place), "mark": mark(place), "kind": method.kind,
             "seconds": finite(method.seconds_per_frame)}
            for place, method in enumerate(results.methods)
        ],
        "scenes": scenes_of(results),
        "frames": [{"scene": scene, "frame": frame, **about} for (scene, frame), about in frames.items()],
        "values": _values(results, {place: number for number, place in enumerate(frames)}),
    }  # fmt: skip


def _frames(results: Results) -> dict[tuple[str, int], dict[str, str]]:
    """Label and role by scene and number, scene by scene, in order of time."""
    order = {scene: number for number, scene in enumerate(scenes_of(results))}
    found = {(score.scene, score.frame): {"label": score.label, "role": score.role} for score in results.scores}
    return {place: found[place] for place in sorted(found, key=lambda place: (order[place[0]], place[1]))}


def _values(results: Results, number_of: dict[tuple[str, int], int]) -> dict[str, dict[str, list[list[float | None]]]]:
    method_of = {method.name: number for number, method in enumerate(results.methods)}
    empty = [None] * len(number_of)
    found: defaultdict[str, defaultdict[str, list[list[float | None]]]]
    found = defaultdict(lambda: defaultdict(lambda: [[*empty] for _ in method_of]))
    for score in results.scores:
        for key, value in score.values.items():
            rows = found[score.protocol][key]
            rows[method_of[score.method]][number_of[score.scene, score.frame]] = _short(value)
    return {protocol: dict(measures) for protocol, measures in found.items()}


def _short(value: float) -> float | None:
    """Leave digits that nobody sees out of the file."""
    known = finite(value)
    return None if known is None else float(f"{known:.{DIGITS}g}")


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
