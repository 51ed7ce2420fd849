"""Bounded background work in threads."""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Generic, Self, TypeVar

T = TypeVar("T")


class Background(Generic[T]):
    """Calls a function on items as they come, by default on one after the other; use it in a `with`.

    Errors of the function surface in `put` or on leaving. On an error waiting items are dropped.

    Args:
        depth: Number of items that may be under way.
        workers: Number of threads; with more than one, items are finished in any order.
    """

    def __init__(self, consume: Callable[[T], None], *, depth: int, name: str, workers: int = 1) -> None:
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
        while len(self._under_way) >= self._depth:
            self._under_way.popleft().result()
        self._under_way.append(self._pool.submit(self._consume, item))
