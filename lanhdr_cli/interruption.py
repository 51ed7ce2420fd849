"""Interruptions by Ctrl-C and SIGTERM: the first lets the frame in hand be finished, a second one stops at once."""

import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import current_thread, main_thread
from types import FrameType

from lanhdr_cli.console import Terminated
from lanhdr_cli.media.paths import quoted
from lanhdr_cli.ranks import Ranks
from train.distributed import is_distributed

OF_LAUNCHER_S = 1.0  # in which torchrun passes on what its processes have got themselves
RESUME = "--resume"
Handler = Callable[[int, FrameType | None], object]


class Interruption:
    """What the user or the system has asked for while frames are computed."""

    def __init__(self, ranks: Ranks) -> None:
        self._ranks = ranks
        self._asked: dict[int, float] = {}  # when each signal came first
        self._before: dict[int, Handler] = {}

    def check(self, *, settle: Callable[[], object]) -> None:
        """End the work between two frames, if that is asked for here or by another rank.

        Args:
            settle: Called before the end, unless another rank has failed: finishes what is under way.

        Raises:
            KeyboardInterrupt: After Ctrl-C; `Terminated` after SIGTERM.
        """
        if self._asked or self._ranks.stopping:
            settle()
        if self._asked:
            raise Terminated if signal.SIGTERM in self._asked else KeyboardInterrupt
        self._ranks.check()

    @contextmanager
    def between_frames(self) -> Iterator[None]:
        """Make a context in which signals wait for the next `check`, if this is the main thread."""
        if current_thread() is not main_thread():
            yield
            return
        numbers = [number for number in (signal.SIGINT, signal.SIGTERM) if callable(signal.getsignal(number))]
        for number in numbers:
            self._before[number] = signal.signal(number, self._take)  # type: ignore[assignment]
        try:
            with self._ranks.patient():
                yield
        finally:
            for number in numbers:
                signal.signal(number, self._before[number])

    def _take(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        first = self._asked.setdefault(number, now)
        repeated = now > first and not (is_distributed() and now - first < OF_LAUNCHER_S)
        if self._ranks.failed or (repeated and not (number == signal.SIGTERM and self._ranks.follows)):
            self._before[number](number, frame)
        self._ranks.leaving = True


def resume_command(words: Sequence[str]) -> str:
    """Say how a conversion goes on, as a command for a shell.

    Args:
        words: What `lanhdr` was called with.
    """
    if is_distributed():
        return f"start all ranks again with {RESUME} to go on"
    end = words.index("--") if "--" in words else len(words)
    resumed = [*words] if RESUME in words[:end] else [*words[:end], RESUME, *words[end:]]
    return " ".join(["go on with: lanhdr", *map(quoted, resumed)])
