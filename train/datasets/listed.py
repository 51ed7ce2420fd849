"""Clips that a list names: which of them are on the disk, and words about those that are not."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from train.errors import DatasetError

NAMED = 3


@dataclass(frozen=True)
class Findings:
    """What a folder of training data was found to hold.

    Args:
        found: One line per kind.
        missing: One line per kind of problem: what is listed but absent, empty, or left out.
    """

    found: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()

    def __add__(self, other: "Findings") -> "Findings":
        return Findings(self.found + other.found, self.missing + other.missing)


def read_list(path: Path) -> list[str]:
    """Read the first word of every line that has one.

    Raises:
        DatasetError: If the list cannot be read or is empty.
    """
    try:
        names = [line.split()[0] for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"the list {path} cannot be read ({error}): fetch it again") from error
    if not names:
        raise DatasetError(f"the list {path} is empty: fetch it again")
    return names


def complete_clips(names: Sequence[str], fault: Callable[[str], str | None]) -> tuple[tuple[str, ...], list[str]]:
    """Split names into those of complete clips, and words about the others.

    Args:
        names: Names as the list has them.
        fault: Says what a clip lacks, or None.
    """
    faults = {name: fault(name) for name in names}
    wrong = [f"{name} ({lack})" for name, lack in faults.items() if lack]
    return tuple(name for name, lack in faults.items() if not lack), wrong


def shortened(items: Sequence[str]) -> str:
    """Name the first few, and count the others."""
    rest = f" and {len(items) - NAMED:,} more" if len(items) > NAMED else ""
    return ", ".join(items[:NAMED]) + rest


def describe_list(title: str, *, listed: int, complete: int, wrong: Sequence[str], list_name: str) -> Findings:
    """Say how many clips of a list are there, and which are not."""
    missing = (
        f"{title}: {len(wrong):,} of {listed:,} clips of {list_name} are absent or incomplete and left out: "
        f"{shortened(wrong)}"
    )
    return Findings((f"{title}: {complete:,} clips, by {list_name}",), (missing,) if wrong else ())
