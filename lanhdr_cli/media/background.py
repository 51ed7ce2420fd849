"""Bounded background work in threads, and the times of the stages of a pipeline."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from threading import Lock
from time import perf_counter
from types import TracebackType
from typing import Generic, Self, TypeVar

T = TypeVar("T")


class StageTimes:
    """Seconds that a stage of a pipeline works and waits; counted always, for a few clock readings per item.

    Args:
        depth: Number of items that may be under way to it, or from it.
        threads: Number of threads that work side by side.
    """

    def __init__(self, *, depth: int, threads: int = 1) -> None:
        self.depth = depth
        self.threads = threads
        self.items = 0
        self.found_full = 0  # items that had to wait for room
        self.found_empty = 0  # items that were waited for
        self.full_s = 0.0  # seconds of waiting for room
        self.empty_s = 0.0  # seconds of waiting for an item
        self.busy_s = 0.0  # seconds of work, of all threads together
        self.parts: dict[str, float] = {}  # of these, in the order of the work
        self._lock = Lock()

    @contextmanager
    def busy(self, part: str | None = None) -> Iterator[None]:
        """Count what is done inside as work, or as a part of work that is counted around it; any thread may."""
        begin = perf_counter()
        try:
            yield
        finally:
            with self._lock:
                if part is None:
                    self.busy_s += perf_counter() - begin
                else:
                    self.parts[part] = self.parts.get(part, 0.0) + perf_counter() - begin

    def timed(self, items: Iterable[T], part: str) -> Iterator[T]:
        """Count the making of items as a part of the work."""
        iterator = iter(items)
        while True:
            with self.busy(part):
                try:
                    item = next(iterator)
                except StopIteration:
                    return
            yield item


class Background(Generic[T]):
    """Calls a function on items as they come, by default on one after the other; use it in a `with`.

    Errors of the function surface in `put` or on leaving. On an error waiting items are dropped.

    Args:
        depth: Number of items that may be under way.
        workers: Number of threads; with more than one, items are finished in any order.
    """

    def __init__(self, consume: Callable[[T], None], *, depth: int, name: str, workers: int = 1) -> None:
        self.times = StageTimes(depth=depth, threads=workers)
        self._consume = consume
        self._depth = depth
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix=name)
        self._under_way: deque[Future[None]] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self.wait()
        finally:
            self._pool.shutdown(cancel_futures=True)

    def wait(self) -> None:
        """Wait until nothing is under way."""
        while self._under_way:
            self._under_way.popleft().result()

    def put(self, item: T) -> None:
        """Hand over an item; waits while too many are under way."""
        begin = perf_counter()
        times, waiting = self.times, [not future.done() for future in self._under_way]
        times.items += 1
        times.found_empty += not any(waiting)
        times.found_full += sum(waiting) >= self._depth
        while len(self._under_way) >= self._depth:
            self._under_way.popleft().result()
        times.full_s += perf_counter() - begin
        self._under_way.append(self._pool.submit(self._work, item))

    def _work(self, item: T) -> None:
        with self.times.busy():
            self._consume(item)
