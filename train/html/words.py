"""What the report calls things."""

from collections.abc import Sequence

from train.measures import NOTHING, Measure
from train.results import Method, Protocol, Results, Role
from train.sheets import ROLES, ordered, title_of

EXPLAINED: dict[Protocol, str] = {
    "lanhdr": "What a method returns is clipped to 0..1 and scored as it is; so do LAN-HDR's published scripts.",
    "hdrflow": "Where the reference frame is well exposed it replaces what a method returns before scoring; "
    "so do the published tests of HDRFlow and papers after it.",
}
KINDS = {"baseline": "no learning", "start": "start of a network, no learning", "network": "network"}


def roles_of(results: Results) -> tuple[Role, ...]:
    """Exposures that references have, from the lowest."""
    found = {score.role for score in results.scores}
    return tuple(role for role in ROLES if role in found)


def scenes_of(results: Results) -> tuple[str, ...]:
    """Names of the scenes in their order."""
    return tuple(dict.fromkeys(score.scene for score in results.scores))


def measures_of(results: Results) -> tuple[Measure, ...]:
    """Measures that some frame has, those first that mean most on this set."""
    keys = {key for score in results.scores for key in score.values}
    return tuple(measure for measure in ordered(results.truth) if measure.key in keys)


def heading(measure: Measure, results: Results) -> str:
    """Name, unit, and an arrow towards the better."""
    return f"{title_of(measure, results.truth)}\N{NO-BREAK SPACE}{'↑' if measure.higher_is_better else '↓'}"


def described(method: Method) -> str:
    """What a method is, in a few words."""
    size = f"{method.parameters:,} parameters" if method.parameters else ""
    weights = method.weights or ""
    return " · ".join(filter(None, (KINDS.get(method.kind, method.kind), size, weights)))


def rounded(value: float | None, form: str) -> str:
    """Format a figure; a dash where there is none."""
    return NOTHING if value is None else format(value, form)


def counted(count: int, thing: str) -> str:
    """Say how many there are."""
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"


def listed(things: Sequence[str]) -> str:
    """Join words as a sentence does."""
    return ", ".join(things[:-1]) + (" and " if len(things) > 1 else "") + "".join(things[-1:])
