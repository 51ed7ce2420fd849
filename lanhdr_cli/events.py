"""Events of a conversion for programs, as they happen: JSON, one object per line."""

import json
import logging
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock
from typing import TextIO

from lanhdr_cli.console import LOGGERS, Advance, one_line
from lanhdr_cli.media.errors import MediaError
from lanhdr_cli.run_options import STANDARD_OUTPUT
from model.errors import LanHdrError

PROGRESS_EVERY_S = 1.0

logger = logging.getLogger(__name__)


class Events:
    """Tells events: `start`, `progress`, `warning`, `finished`, `error` and `interrupted`; any thread may.

    A stream that takes no more, as a pipe that nobody reads or a full disk, ends the events, never the conversion.

    Args:
        stream: Where they go; None for nowhere, as in all processes but the first.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream
        self._telling = Lock()
        self._begin = time.monotonic()

    def __reduce__(self) -> tuple[type["Events"], tuple[()]]:
        return Events, ()  # another process tells nothing

    def tell(self, event: str, values: Mapping[str, object]) -> None:
        """Tell one event, with the seconds since the first."""
        if self._stream is None:
            return
        record = {"event": event, "elapsed_s": round(time.monotonic() - self._begin, 3), **values}
        failure: OSError | None = None
        with self._telling:
            try:
                self._stream.write(json.dumps(record) + "\n")
                self._stream.flush()
            except OSError as error:
                failure, self._stream = error, None
        if failure:  # outside of the lock: the warning is an event as well
            logger.warning("no more events are told (%s)", failure.strerror)

    def counting(self, advance: Advance, total: int | None) -> Advance:
        """Make a function to call after each frame, which also tells of progress: once in a second, and at the end."""
        done, told_at = 0, 0.0

        def count() -> None:
            nonlocal done, told_at
            advance()
            done += 1
            now = time.monotonic()
            if done == total or now - told_at >= PROGRESS_EVERY_S:
                told_at = now
                self.tell("progress", {"frames": done, "total": total})

        return advance if self._stream is None else count


class _Warnings(logging.Handler):
    """Tells warnings."""

    def __init__(self, events: Events) -> None:
        super().__init__(logging.WARNING)
        self._events = events
        self._told: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        """Tell one, unless it has been told."""
        message = one_line(record.getMessage())
        if message not in self._told:
            self._told.add(message)
            self._events.tell("warning", {"message": message})


@contextmanager
def open_events(target: str | None) -> Iterator[Events]:
    """Open the stream of events; warnings go to it by themselves, and the error that ends the work.

    Args:
        target: A file, `-` for standard output, None for none.

    Raises:
        MediaError: If the file can't be made.
    """
    if target is None:
        yield Events()
        return
    stream = sys.stdout if target == STANDARD_OUTPUT else _created(Path(target))
    events = Events(stream)
    warnings = _Warnings(events)
    for name in LOGGERS:
        logging.getLogger(name).addHandler(warnings)
    try:
        yield events
    except LanHdrError as error:
        events.tell("error", {"message": one_line(str(error)), "exit_code": error.exit_code})
        raise
    except KeyboardInterrupt:
        events.tell("interrupted", {})
        raise
    finally:
        for name in LOGGERS:
            logging.getLogger(name).removeHandler(warnings)
        if stream is not sys.stdout:
            with suppress(OSError):  # what could not be written has been said
                stream.close()


def _created(path: Path) -> TextIO:
    try:
        return path.open("w", encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise MediaError(f"--json-events {path} can't be written ({error.strerror}): choose another place") from error
