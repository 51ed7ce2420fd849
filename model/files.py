"""Files that appear under their name only when they are complete."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def atomic_write(path: Path, *, to_disk: bool = False) -> Iterator[Path]:
    """Yield a hidden name beside `path` to write to; the file is renamed to `path` if all goes well, else removed.

    Args:
        to_disk: Whether the content is flushed to the disk first, so that it survives a loss of power.
    """
    hidden = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield hidden
        if to_disk:
            with hidden.open("rb") as file:
                os.fsync(file.fileno())
        os.replace(hidden, path)
    finally:
        with contextlib.suppress(OSError):
            hidden.unlink()
