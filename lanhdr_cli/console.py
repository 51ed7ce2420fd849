"""Logging and progress on stderr."""

import ctypes
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

import click

from lanhdr_cli.media.errors import MediaError
from lanhdr_cli.media.paths import printable

LOGGERS = ("lanhdr_cli", "model", "train")
MEDIA_LOGGER = "lanhdr_cli.media"
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of glibc's malloc.h
FRAME = "frame"  # what progress counts
LINE_EVERY_S = 5.0
WORDS = "lanhdr.words"  # in a context's `meta`: what the program was called with
INTERRUPTED, TERMINATED = 128 + signal.SIGINT, 128 + signal.SIGTERM

FORECAST = {"forecast": True}  # marks a warning of what may come: nothing is off yet

Advance = Callable[[], None]


class StderrHandler(logging.Handler):
    """Prints records as single lines; a warning says that it is one."""

    def __init__(self) -> None:
        super().__init__()
        self._told: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        """Print one record; what is said of a clip when it is read again is not repeated."""
        prefix = "Warning: " if record.levelno >= logging.WARNING else ""
        line = prefix + one_line(record.getMessage())
        if not (line in self._told and record.name.startswith(MEDIA_LOGGER)):
            say(line)
        self._told.add(line)


class Remarks(logging.Handler):
    """Keeps all warnings, each once: what was guessed, repaired or left out, whether it is printed or not.

    Attributes:
        off: Whether anything was; warnings of what may come do not count.
    """

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []
        self.off = False

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one record."""
        line = one_line(record.getMessage())
        self.off = self.off or not hasattr(record, "forecast")
        if line not in self.messages:
            self.messages.append(line)


def set_verbosity(*, quiet: bool, verbose: bool) -> Remarks:
    """Choose what is told: errors only, warnings as well, or everything.

    Returns:
        What keeps the warnings from now on.
    """
    printed, remarks = StderrHandler(), Remarks()
    printed.setLevel(logging.ERROR if quiet else logging.DEBUG if verbose else logging.INFO)
    for name in LOGGERS:
        logger = logging.getLogger(name)
        logger.handlers = [printed, remarks]
        logger.propagate = False
        logger.setLevel(min(printed.level, remarks.level))
    return remarks


def say(line: str) -> None:
    """Print a line on stderr; one that can't be printed, to a closed pipe or a full disk, must not end the work."""
    with suppress(OSError):
        click.echo(line, err=True)


def printed(text: str) -> None:
    """Print a result on stdout.

    Raises:
        MediaError: If nobody reads it any more, or its disk is full.
    """
    try:
        click.echo(text)
    except OSError as error:
        with suppress(OSError, ValueError):  # what is left is flushed when the interpreter ends, and must go somewhere
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        reason = error.strerror or type(error).__name__
        raise MediaError(f"can't print to standard output ({reason}): send it to another place") from error


def size_text(count: float) -> str:
    """Write a number of bytes, e.g. `512.0 MiB` or `2.4 GiB`."""
    for unit in ("bytes", "KiB", "MiB"):
        if abs(count) < 1024:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"


def one_line(message: str) -> str:
    """Show a message on one line, with escapes for line breaks and whatever else can't be shown."""
    return printable(message.rstrip())


class Terminated(KeyboardInterrupt):
    """The system asks the process to end; it behaves as at Ctrl-C."""


def leave_on_termination() -> None:
    """Make SIGTERM unwind the stack, so that unfinished files are removed."""

    def leave(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one must not end the tidying
        raise Terminated

    signal.signal(signal.SIGTERM, leave)


def keep_freed_memory() -> None:
    """Let glibc keep the memory of freed tensors for the next ones; other C libraries are left as they are.

    By itself it gives large blocks back to the system and takes them anew, page by page: a quarter of the time of the
    published network on a CPU, and nearly half of that of `lite` at 3840x2160 (nothing at 640x360). Unused blocks
    between others then cost a fifth more memory there.
    """
    set_option = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if set_option is not None:
        set_option(M_MMAP_MAX, 0)
        set_option(M_TRIM_THRESHOLD, -1)  # never; the largest number is 2 GiB, which tensors of large frames exceed


@contextmanager
def frame_progress(total: int | None, *, show: bool, label: str = FRAME) -> Iterator[Advance]:
    """Show how many frames are done: a bar on a terminal, else a line every five seconds at most, and one at the end.

    Args:
        total: Number of frames, None if unknown.
        show: False for silence.
        label: What stands before the number.

    Yields:
        A function to call after each frame.
    """
    if not show:
        yield lambda: None
    elif sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
        with _bar(total, label) as advance:
            yield advance
    else:
        lines = _Lines(total, label)
        yield lines.advance
        lines.finish()


@contextmanager
def _bar(total: int | None, label: str) -> Iterator[Advance]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn(label),
        MofNCompleteColumn(),
        BarColumn(),
        TextColumn("{task.fields[fps]:.2f} fps"),
        TextColumn("ETA"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("convert", total=total, fps=0.0)
        begin, done = time.monotonic(), 0

        def advance() -> None:
            nonlocal done
            done += 1
            progress.update(task, advance=1, fps=done / max(time.monotonic() - begin, 1e-9))

        yield advance


class _Lines:
    """Progress for log files and for programs that read it."""

    def __init__(self, total: int | None, label: str) -> None:
        self._total = total
        self._label = label
        self._done = self._told = 0
        self._begin = self._told_at = time.monotonic()

    def advance(self) -> None:
        """Count a frame, and print a line now and then."""
        self._done += 1
        if time.monotonic() - self._told_at >= LINE_EVERY_S:
            self._tell()

    def finish(self) -> None:
        """Print the last line, if it is not printed yet; of work before the frames' own only where it took long."""
        if self._told < self._done and (self._told or self._label == FRAME):
            self._tell()

    def _tell(self) -> None:
        self._told, self._told_at = self._done, time.monotonic()
        elapsed_s = self._told_at - self._begin
        say(progress_line(self._done, self._total, elapsed_s=elapsed_s, label=self._label))


def progress_line(done: int, total: int | None, *, elapsed_s: float, label: str = FRAME) -> str:
    """One line of progress, e.g. `lanhdr: frame 12 of 48 (25 %), 3.10 fps, 0:00:11 left`.

    Programs parse it: its beginning, up to the percentage, stays as it is (docs/convert.md).
    """
    fps = done / max(elapsed_s, 1e-9)
    if total is None:
        return f"lanhdr: {label} {done}, {fps:.2f} fps"
    minutes, seconds = divmod(round(max(total - done, 0) / fps), 60)
    left = f"{minutes // 60}:{minutes % 60:02d}:{seconds:02d}"
    percent = min(100, 100 * done // max(total, 1))
    return f"lanhdr: {label} {done} of {total} ({percent} %), {fps:.2f} fps, {left} left"


@contextmanager
def opencv_needed(what: str) -> Iterator[None]:
    """Say in one line that OpenCV is missing, where something imported inside needs it.

    Args:
        what: What cannot be done without it, e.g. `training`.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name != "cv2":
            raise
        raise click.ClickException(
            f"{what} needs OpenCV, which is not installed: pip install 'lanhdr[train]'"
        ) from error
