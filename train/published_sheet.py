"""Published figures as a table, ours above them."""

from collections.abc import Sequence

from train.measures import BY_KEY
from train.protocols import IN_WORDS
from train.results import Protocol, Published, Results
from train.sheets import Sheet, mean, protocols_of, under


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
