"""Files that appear under their name only when they are complete."""

import contextlib
import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

LONGEST_NAME = 255  # bytes, on most file systems


def hidden_name(path: Path, *, purpose: str = "") -> Path:
    """Name an unfinished file beside `path`: after it, or after its hash where that would be too long.

    Args:
        purpose: Tells several of them apart.
    """
    ending = f".{os.getpid()}{purpose}.tmp"
    hidden = f".{path.name}{ending}"
    if len(os.fsencode(hidden)) > LONGEST_NAME:
        hidden = f".{hashlib.sha256(os.fsencode(path.name)).hexdigest()[:16]}{ending}"
    return path.with_name(hidden)


def remove_unfinished(folder: Path, pids: Iterable[int]) -> None:
    """Remove what processes that were killed on this machine have left unfinished in a folder."""
    for pid in pids:
        for path in folder.glob(f".*.{pid}.tmp"):
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_write(path: Path, *, to_disk: bool = False) -> Iterator[Path]:
    """Yield a hidden name beside `path` to write to; the file is renamed to `path` if all goes well, else removed.

    Args:
        to_disk: Whether the content is flushed to the disk first, so that it survives a loss of power.
    """
    hidden = hidden_name(path)
    try:
        yield hidden
        if to_disk:
            with hidden.open("rb") as file:
                os.fsync(file.fileno())
        os.replace(hidden, path)
    finally:
        with contextlib.suppress(OSError):
            hidden.unlink()
