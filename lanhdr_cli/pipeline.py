"""The pipeline of a conversion: decoding ahead in a thread, and frames through the network in order."""

import queue
import threading
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from time import perf_counter
from types import TracebackType
from typing import Generic, Protocol, Self, TypeVar

from lanhdr_cli.media.background import StageTimes
from lanhdr_cli.media.video_reader import DecodedFrame
from model.color import REC709, Primaries
from model.exposure import GAMMA_8_BIT, CodePrecision, ExposureCycle, FrameExposures
from model.frames import HdrFrame, LdrFrame

T = TypeVar("T")
POLL_S = 0.1


class FrameReconstructor(Protocol):
    """A method that makes HDR frames from LDR frames."""

    def reconstruct(
        self, frames: Iterable[LdrFrame], *, period: int, cycle: ExposureCycle | None = None
    ) -> Iterator[HdrFrame]:
        """Yield one HDR frame per LDR frame, in order, at the same times; a cycle is given where its order breaks."""


@dataclass(frozen=True, kw_only=True)
class ResultFrame:
    """One HDR frame, its position in the clip, and the LDR frames in memory around it, its own included.

    `repeated` if it is the result of the frame before, which the clip shows again.
    """

    index: int
    ldr: LdrFrame
    hdr: HdrFrame
    nearby: tuple[LdrFrame, ...]
    repeated: bool = False


@dataclass(frozen=True)
class _End:
    error: BaseException | None = None


class Prefetch(Generic[T]):
    """Runs an iterator a bounded number of steps ahead, in a thread; use it in a `with`.

    Errors of the iterator surface where it is consumed. Leaving stops and joins the thread.

    Args:
        depth: Number of items that may wait.
        times: Where the work and the waiting are counted.
    """

    def __init__(self, items: Iterator[T], *, depth: int, times: StageTimes | None = None) -> None:
        self._items = items
        self._queue: queue.Queue[T | _End] = queue.Queue(depth)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="prefetch", daemon=True)
        self.times = times or StageTimes(depth=depth)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def __iter__(self) -> Iterator[T]:
        while True:
            begin, empty = perf_counter(), self._queue.empty()
            item = self._queue.get()
            self.times.empty_s += perf_counter() - begin
            self.times.found_empty += empty
            if isinstance(item, _End):
                if item.error is not None:
                    raise item.error
                return
            yield item

    def _run(self) -> None:
        end = _End()
        try:
            while True:
                with self.times.busy():
                    item = next(self._items, end)
                if isinstance(item, _End):
                    break
                self.times.items += 1
                if not self._put(item):
                    return
        except BaseException as error:
            end = _End(error)
        self._put(end)

    def _put(self, item: T | _End) -> bool:
        begin = perf_counter()
        self.times.found_full += self._queue.full()
        while not self._stop.is_set():
            try:
                self._queue.put(item, timeout=POLL_S)
            except queue.Full:
                continue
            self.times.full_s += perf_counter() - begin
            return True
        return False


def reconstructed(
    frames: Iterable[DecodedFrame],
    reconstructor: FrameReconstructor,
    *,
    exposures: FrameExposures,
    precision: CodePrecision = GAMMA_8_BIT,
    primaries: Primaries = REC709,
) -> Generator[ResultFrame, None, None]:
    """Send decoded frames through the network, each with its exposure, and yield one result per frame.

    A frame that shows its predecessor again takes over its result: to the network it would be a neighbor that adds
    nothing.

    Args:
        frames: In order; the first need not be the first of the clip.
        exposures: Exposures from the clip's first frame on.
        primaries: Of the pictures, and so of the results.
    """
    pending: deque[_Pending] = deque()
    passed: deque[LdrFrame] = deque(maxlen=exposures.period - 1)

    def exposed() -> Iterator[LdrFrame]:
        for frame in frames:
            if pending and frame.index in exposures.doubled:
                pending[-1].repeats.append((frame.index, frame.time))
                continue
            blank = frame.index in exposures.blank
            ldr = LdrFrame(frame.image, exposures[frame.index], frame.time, precision, blank)
            pending.append(_Pending(frame.index, ldr))
            yield ldr

    order = None if exposures.regular else exposures.cycle
    for hdr in reconstructor.reconstruct(exposed(), period=exposures.period, cycle=order):
        done = pending.popleft()
        if hdr.time != done.ldr.time:
            raise RuntimeError(f"the result for frame {done.index} is of time {hdr.time}, not {done.ldr.time}")
        result = ResultFrame(
            index=done.index,
            ldr=done.ldr,
            hdr=replace(hdr, primaries=primaries),
            nearby=(*passed, done.ldr, *(other.ldr for other in pending)),
        )
        yield result
        for index, time in done.repeats:
            yield replace(result, index=index, hdr=replace(result.hdr, time=time), repeated=True)
        passed.append(done.ldr)


@dataclass(frozen=True)
class _Pending:
    """A frame whose result is awaited, and the frames that show it again: positions and times."""

    index: int
    ldr: LdrFrame
    repeats: list[tuple[int, Fraction]] = field(default_factory=list)
