"""Worst and best places as pictures: what each method made of them, and where it errs."""

from collections.abc import Sequence
from html import escape

from torch import Tensor

from model.color import mu_law
from train.html.markup import data_uri, options, swatch
from train.measures import MEASURES, Measure
from train.montage import ERROR_GAIN, picture_row
from train.results import Example, FrameScore, Results
from train.sheets import protocols_of

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
