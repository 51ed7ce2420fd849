"""Locks of targets: ranges of frame numbers, or a whole file, that one process at a time may write.

A lock is the system's, on bytes of a hidden file beside the target, one byte per frame number: it ends with its
process, however that ends, and jobs of disjoint ranges do not meet.
"""

import errno
import logging
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lanhdr_cli.media.errors import MediaError
from model.files import hidden_beside

try:
    import fcntl
except ImportError:  # on Windows
    fcntl = None  # type: ignore[assignment]

TAKEN = (errno.EAGAIN, errno.EACCES)

logger = logging.getLogger(__name__)


@contextmanager
def target_lock(target: Path, first: int = 0, last: int | None = None) -> Iterator[None]:
    """Hold the right to write frames `first` to `last` of a target; None is any number from `first` on.

    Where a file system knows no locks, a warning says so.

    Args:
        target: Name that the frames have in common, or the one file.

    Raises:
        MediaError: If another process holds the right to one of them.
    """
    path = hidden_beside(target, ".lock")
    handle = None if fcntl is None else _opened(path, target, first, last)
    try:
        yield
    finally:
        if handle is not None:
            with suppress(OSError):  # another process works on other frames
                _lock(handle, 0, None)
                path.unlink()
            os.close(handle)


def _opened(path: Path, target: Path, first: int, last: int | None) -> int | None:
    """Open and lock the file that is at `path` then: the last one to leave may have removed it in between."""
    while True:
        handle = -1
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
            _lock(handle, first, last)
            if os.path.samestat(os.fstat(handle), path.stat()):
                return handle
        except FileNotFoundError:
            pass
        except OSError as error:
            if handle >= 0:
                os.close(handle)
            if error.errno in TAKEN:
                raise MediaError(
                    f"another process is writing {target}: wait for its end, or choose another name or other frames"
                ) from None
            logger.warning("%s: can't be locked (%s), let no other process write it", target, error.strerror)
            return None
        os.close(handle)


def _lock(handle: int, first: int, last: int | None) -> None:
    length = 0 if last is None else last - first + 1  # 0 is without end
    if hasattr(fcntl, "F_OFD_SETLK"):  # of the open file: threads of one process exclude each other too
        wish = struct.pack("hhqqi0q", fcntl.F_WRLCK, os.SEEK_SET, first, length, 0)
        fcntl.fcntl(handle, fcntl.F_OFD_SETLK, wish)
    else:
        fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB, length, first)
