"""Figures that others published; only such as were seen where their source says."""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from train.protocols import IN_WORDS
from train.results import Protocol, Published
from train.tables import read_table

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
    return tuple(read_table(Entry, row, place=FILE.name) for row in rows)
