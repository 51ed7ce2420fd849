"""Cost of a method: seconds per frame and peak memory."""

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import torch

from train.environment import peak_memory

MIB = 2**20
PROCESS = Path("/proc/self")
Part = Literal["read", "prepare", "combine"]


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Cost of a frame.

    Args:
        seconds: Per frame, without reading it; None if no frame was computed.
        peak_memory_mib: Of a GPU the peak of what torch held there, else of the whole process; None where the system
            does not report it.
    """

    seconds: float | None = None
    peak_memory_mib: float | None = None


class Meter:
    """Time of each part of the work, and the peak of memory meanwhile.

    Frames are read and prepared once each and then combined, as a stream; so the cost of a frame is a share of each.

    Args:
        device: Where the work is done.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._seconds: dict[Part, float] = dict.fromkeys(get_args(Part), 0.0)
        self._peak: float | None = None
        self.counts: Counter[Part] = Counter()

    @contextmanager
    def time(self, part: Part) -> Iterator[None]:
        """Time a part of the work; what is read while a frame is prepared is no part of the cost."""
        has_peak = part != "read" and reset_peak_memory(self._device)
        self._finish_work()
        began = time.perf_counter()
        yield
        self._finish_work()
        self._seconds[part] += time.perf_counter() - began
        self.counts[part] += 1
        if has_peak:
            self._peak = max(self._peak or 0.0, peak_memory_mib(self._device))

    def cost(self) -> Cost:
        """Return the cost of a frame so far."""
        if not self.counts["combine"]:
            return Cost(peak_memory_mib=self._peak)
        preparing = (self._seconds["prepare"] - self._seconds["read"]) / max(self.counts["read"], 1)
        combining = self._seconds["combine"] / self.counts["combine"]
        return Cost(seconds=preparing + combining, peak_memory_mib=self._peak)

    def _finish_work(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)


def reset_peak_memory(device: torch.device) -> bool:
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
    """Return the peak of memory since `reset_peak_memory` succeeded, in MiB."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / MIB
    peak = peak_memory()
    assert peak is not None  # a system that lets it be reset reports it
    return peak / MIB
