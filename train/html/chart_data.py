"""What the page's plots are drawn from."""

from collections import defaultdict

from train.html.markup import mark, style_class
from train.html.means import finite
from train.html.words import heading, measures_of, roles_of, scenes_of
from train.protocols import IN_WORDS
from train.results import Results
from train.sheets import protocols_of

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
