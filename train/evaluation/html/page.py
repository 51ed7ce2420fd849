"""The HTML report of an evaluation, one file that opens from disk and fetches nothing."""

import base64
import json
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template

from torch import Tensor

from model.color import mu_law
from train.evaluation.html.tables import (
    finite,
    heading,
    mark,
    mean_tables,
    published_table,
    role_tables,
    scene_tables,
    style_class,
    swatch,
)
from train.evaluation.metrics import MEASURES
from train.evaluation.protocols import IN_WORDS
from train.evaluation.results import Example, Protocol, Results, write_text
from train.evaluation.tables import Means, measures_of, protocols_of, roles_of, scenes_of
from train.montage import ERROR_GAIN, encode_png, picture_row

EXPLAINED: dict[Protocol, str] = {
    "lanhdr": "What a method returns is clipped to 0..1 and scored as it is; so do LAN-HDR's published scripts.",
    "hdrflow": "Where the reference frame is well exposed it replaces what a method returns before scoring; "
    "so do the published tests of HDRFlow and papers after it.",
}
SCRIPTS = ("choice.js", "sorting.js", "drawing.js", "plots.js", "cost.js", "compare.js")
DIGITS = 6  # of values in the plots
INPUT, TRUTH = "reference as filmed", "truth"


def write_html(path: Path, results: Results, examples: Sequence[Example]) -> None:
    """Write the report.

    Raises:
        DatasetError: If the file cannot be written.
    """
    write_text(path, html(results, examples))


def html(results: Results, examples: Sequence[Example]) -> str:
    """Return the report as a text; examples are shown as pictures."""
    means, protocols = Means(results.scores, only_finite=True), protocols_of(results)
    measures = [(measure.key, heading(measure, results)) for measure in measures_of(results)]
    roles = [(role, f"{role} reference") for role in roles_of(results)]
    notes = "".join(f"<li>{escape(note)}</li>" for note in results.notes)
    buttons = ""
    for protocol in protocols:
        checked = "" if buttons else " checked"
        button = f'<input type="radio" name="protocol" value="{protocol}"{checked}>'
        buttons += f"<label>{button}<span>{escape(IN_WORDS[protocol])}</span></label>"
    pictures = ""
    if examples:
        pictures = _viewer(examples) + _gallery(results, examples)
    return Template(read_part("page.html")).substitute(
        title=escape(results.title),
        facts=_facts(results),
        notes=f'<aside class="notes" aria-label="Read this first"><ul>{notes}</ul></aside>' if notes else "",
        protocols=f"<fieldset><legend>Protocol</legend>{buttons}</fieldset>",
        protocol_words="".join(_term(IN_WORDS[protocol], EXPLAINED[protocol]) for protocol in protocols),
        measures=_options(measures),
        roles=_options([("", "all"), *roles]),
        means=mean_tables(results, means),
        published=_section("published", "Beside published figures", published_table(results)),
        by_role=_section("roles", "By exposure of the reference", role_tables(results, means)),
        by_scene=scene_tables(results, means),
        pictures=_section("pictures", "Worst and best places", pictures),
        environment="".join(_term(*entry) for entry in results.environment.items()),
        command=escape(results.command),
        style=read_part("style.css"),
        script="\n".join(map(read_part, SCRIPTS)),
        data=embedded_json(chart_data(results)),
    )


def read_part(name: str) -> str:
    """Read a part of the page from beside this module."""
    return files("train.evaluation.html").joinpath(name).read_text(encoding="utf-8")


def embedded_json(value: object) -> str:
    """Write JSON that is safe inside a script element: `</script>` and `<!--` cannot occur in it.

    Raises:
        ValueError: If a number is not finite.
    """
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _facts(results: Results) -> str:
    frames, scenes = {(score.scene, score.frame) for score in results.scores}, scenes_of(results)
    measured = f"{len(frames)} frame{'' if len(frames) == 1 else 's'}"
    facts = {
        "benchmark": results.benchmark,
        "exposures": f"{results.nexps}; references: {_listed(roles_of(results))}",
        "measured": f"{measured} of {len(scenes)} scene{'' if len(scenes) == 1 else 's'}",
        "methods": _listed([method.name for method in results.methods]),
        "protocols": _listed([IN_WORDS[protocol] for protocol in protocols_of(results)]),
    }
    return "".join(_term(*fact) for fact in facts.items())


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:-1]) + (" and " if len(names) > 1 else "") + "".join(names[-1:])


def _term(name: str, text: str) -> str:
    return f"<div><dt>{escape(name)}</dt><dd>{escape(text)}</dd></div>\n"


def _options(values: Sequence[tuple[str, str]]) -> str:
    return "".join(f'<option value="{escape(value)}">{escape(shown)}</option>' for value, shown in values)


def _section(name: str, title: str, content: str) -> str:
    return f'<section id="{name}"><h2>{title}</h2>{content}</section>' if content else ""


def _viewer(examples: Sequence[Example]) -> str:
    """Fill the viewer that compares two pictures of an example: methods, truth, input."""
    names = dict.fromkeys(name for example in examples for name in example.pictures)
    has_truth = any(example.truth is not None for example in examples)
    errors = "There is no truth, so that errors are not known."
    if has_truth:
        white = f"times {ERROR_GAIN:g}, so that {1 / ERROR_GAIN:g} is white"
        errors = f"Errors are absolute differences of mu-law values to the truth, {white}."
    pictures = [(f"method:{name}", name) for name in names]
    pictures += [("truth", TRUTH)] if has_truth else []
    return Template(read_part("compare.html")).substitute(
        examples=_options([(str(number), _title(example)) for number, example in enumerate(examples)]),
        pictures=_options([*pictures, ("input", INPUT)]),
        errors=errors,
    )


def _title(example: Example) -> str:
    place = f"row {example.crop.top}, column {example.crop.left}"
    return f"{example.rank.capitalize()}: {example.scene}, frame {example.label} ({place})"


def _gallery(results: Results, examples: Sequence[Example]) -> str:
    """Lay out examples, each a row of pictures; below those of methods, their errors and their first measure."""
    first = protocols_of(results)[:1]
    scores = {(s.scene, s.frame, s.method): s.values for s in results.scores if (s.protocol,) == first}
    styles = {method.name: number for number, method in enumerate(results.methods)}
    sections = []
    for number, example in enumerate(examples):
        figures = [_figure("input", INPUT, pictures=[example.reference])]
        if example.truth is not None:
            figures.append(_figure("truth", TRUTH, pictures=[mu_law(example.truth)]))
        for name, picture in example.pictures.items():
            shown = mu_law(picture.clamp(0, 1))
            errors = [] if example.truth is None else [ERROR_GAIN * (shown - mu_law(example.truth)).abs()]
            values = scores.get((example.scene, example.frame, name), {})
            measured = [f"{m.name} {m.shown(values[m.key])} {m.unit}" for m in MEASURES if m.key in values]
            head = swatch(styles[name]) if name in styles else ""
            remark = measured[0] if measured else ""
            figures.append(
                _figure(f"method:{name}", name, pictures=[shown, *errors], swatch_of_method=head, remark=remark)
            )
        title = escape(_title(example))
        label = f'aria-label="Compare {title}"'
        button = f'<button type="button" class="screen" data-compare="{number}" {label}>compare</button>'
        sections.append(
            f'<section class="example" data-example="{number}"><h3>{title} {button}</h3>'
            f'<div class="scroll strip" tabindex="0" role="region" aria-label="Pictures of {title}">'
            f"{''.join(figures)}</div></section>\n"
        )
    return "".join(sections)


def _figure(value: str, title: str, *, pictures: Sequence[Tensor], swatch_of_method: str = "", remark: str = "") -> str:
    """Show a picture and its error, if there is one, each held in an address of its own."""
    alternatives = (title, f"error of {title}, times {ERROR_GAIN:g}")
    images = ""
    for alternative, picture in zip(alternatives, pictures, strict=False):
        data = base64.b64encode(encode_png(picture_row([picture]))).decode("ascii")
        size = f'width="{picture.shape[2]}" height="{picture.shape[1]}"'
        images += f'<img alt="{escape(alternative)}" {size} src="data:image/png;base64,{data}">'
    caption = f"{swatch_of_method}{escape(title)}<small>{escape(remark)}</small>"
    return f'<figure data-picture="{escape(value)}"><figcaption>{caption}</figcaption>{images}</figure>'


def chart_data(results: Results) -> dict[str, object]:
    """Collect values by frame, without those that are not finite.

    Returns:
        Plain lists, tables and words. `frames` has an entry per frame that was scored, scene by scene in order of
        time; `values` is, by protocol and key of the measure, a list per method with a value or None per frame.
    """
    order = {scene: number for number, scene in enumerate(scenes_of(results))}
    about = {(score.scene, score.frame): {"label": score.label, "role": score.role} for score in results.scores}
    frames = sorted(about, key=lambda frame: (order[frame[0]], frame[1]))
    columns = {frame: number for number, frame in enumerate(frames)}
    rows = {method.name: number for number, method in enumerate(results.methods)}
    values: dict[str, dict[str, list[list[float | None]]]] = {}
    for score in results.scores:
        tables = values.setdefault(score.protocol, {})
        for key, value in score.values.items():
            if key not in tables:
                tables[key] = [[None] * len(frames) for _ in rows]
            # Digits that nobody sees are left out of the file.
            short = None if finite(value) is None else float(f"{value:.{DIGITS}g}")
            tables[key][rows[score.method]][columns[score.scene, score.frame]] = short
    return {
        "measures": [
            {
                "key": measure.key,
                "title": heading(measure, results),
                "digits": measure.digits,
                "higher": measure.higher_is_better,
            }
            for measure in measures_of(results)
        ],
        "protocols": {key: IN_WORDS[key] for key in protocols_of(results)},
        "roles": roles_of(results),
        "methods": [
            {
                "name": method.name,
                "style": style_class(number),
                "mark": mark(number),
                "kind": method.kind,
                "seconds": finite(method.seconds_per_frame),
            }
            for number, method in enumerate(results.methods)
        ],
        "scenes": scenes_of(results),
        "frames": [{"scene": scene, "frame": frame, **about[scene, frame]} for scene, frame in frames],
        "values": values,
    }
