"""Files that appear under their name only when they are complete."""

import contextlib
import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

LONGEST_NAME = 255  # bytes, on most file systems


def hidden_name(path: Path, *, purpose: str = "") -> Path:
    """Name an unfinished file of this process beside `path`.

    Args:
        purpose: Tells several of them apart.
    """
    return hidden_beside(path, f".{os.getpid()}{purpose}.tmp")


def hidden_beside(path: Path, ending: str) -> Path:
    """Name a hidden file beside `path`: after it, or after its hash where that would be too long."""
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
        to_disk: Whether content and name are flushed to the disk, so that they survive a loss of power.
    """
    hidden = hidden_name(path)
    try:
        yield hidden
        if to_disk:
            with hidden.open("rb") as file:
                os.fsync(file.fileno())
        os.replace(hidden, path)
        if to_disk:
            _flush_folder(path.parent)
    finally:
        with contextlib.suppress(OSError):
            hidden.unlink()


def _flush_folder(folder: Path) -> None:
    """Flush the names in a folder to the disk, where the system lets folders be opened."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
