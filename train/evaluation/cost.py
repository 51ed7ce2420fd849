"""What a method costs: seconds per frame and peak memory."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from train.environment import peak_memory

MIB = 2**20
PROCESS = Path("/proc/self")


@dataclass(frozen=True)
class Cost:
    """What a frame takes.

    Args:
        seconds: Per frame, without reading it; None if no frame was computed.
        peak_memory_mib: Most memory in use meanwhile: of a GPU what torch held there, else what the whole process
            held; None where the system does not tell.
    """

    seconds: float | None
    peak_memory_mib: float | None


class Meter:
    """Takes the time of parts of the work, and the peak of memory meanwhile.

    Frames are prepared once each and then combined, as a stream; so the cost of a frame is a share of each.

    Args:
        device: Where the work is done.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._seconds = dict.fromkeys(("preparing", "combining", "reading"), 0.0)
        self._peak: float | None = None
        self.prepared = self.combined = 0

    @contextmanager
    def preparing(self) -> Iterator[None]:
        """Time what is done for each frame once; reading inside it is taken off."""
        with self._timed("preparing"):
            yield

    @contextmanager
    def combining(self) -> Iterator[None]:
        """Time what is done for each result."""
        with self._timed("combining"):
            yield
        self.combined += 1

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Time what reads a frame, which is no part of the cost."""
        self._finish_work()
        began = time.perf_counter()
        yield
        self._seconds["reading"] += time.perf_counter() - began
        self.prepared += 1

    @property
    def cost(self) -> Cost:
        """What a frame took so far."""
        if not self.combined:
            return Cost(None, self._peak)
        preparing = (self._seconds["preparing"] - self._seconds["reading"]) / max(self.prepared, 1)
        return Cost(preparing + self._seconds["combining"] / self.combined, self._peak)

    @contextmanager
    def _timed(self, part: str) -> Iterator[None]:
        counts = forget_peak_memory(self._device)
        began = time.perf_counter()
        yield
        self._finish_work()
        self._seconds[part] += time.perf_counter() - began
        if counts:
            self._peak = max(self._peak or 0.0, peak_memory_mib(self._device))

    def _finish_work(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)


def forget_peak_memory(device: torch.device) -> bool:
    """Let the peak of memory count from now on; False where the system cannot do that."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return True
    try:
        (PROCESS / "clear_refs").write_text("5")  # proc(5): resets the peak of the resident set
    except OSError:
        return False
    return True


def peak_memory_mib(device: torch.device) -> float:
    """Tell the most memory in use since `forget_peak_memory` succeeded, in MiB."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / MIB
    peak = peak_memory()
    assert peak is not None  # a system that lets it be reset tells it
    return peak / MIB
