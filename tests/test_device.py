"""The way back from a device, tried with a stand-in for `torch.cuda`."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
import torch
from torch import Tensor

from model.device import Transfers, is_out_of_memory, on_host

CPU = torch.device("cpu")


@dataclass
class Stream:
    """One that only tells what it waits for."""

    name: str
    calls: list[str]

    def wait_stream(self, other: "Stream") -> None:
        """Tell it."""
        self.calls.append(f"{self.name} waits for {other.name}")


@dataclass
class Event:
    """One that tells when it is waited for."""

    calls: list[str]

    def record(self, stream: Stream) -> None:
        """Tell where it stands."""
        self.calls.append(f"event on {stream.name}")

    def synchronize(self) -> None:
        """Tell that somebody waits."""
        self.calls.append("synchronize")


@dataclass
class Cuda:
    """Writes down in which order streams and events are used."""

    calls: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.Event = lambda: Event(self.calls)
        self.Stream = lambda device: Stream("copies", self.calls)

    def current_stream(self, device: torch.device) -> Stream:
        """The stream that computes."""
        return Stream("current", self.calls)

    @contextmanager
    def stream(self, stream: Stream) -> Iterator[None]:
        """Tell what is queued on it."""
        self.calls.append(f"on {stream.name}")
        yield
        self.calls.append(f"off {stream.name}")


def test_a_copy_waits_for_what_is_copied_and_is_read_behind_its_event() -> None:
    cuda = Cuda()
    codes, nan = torch.rand(4, 5).half(), torch.tensor(True)
    fetch = Transfers(CPU, cuda=cuda).to_host((codes, nan))
    assert cuda.calls == ["copies waits for current", "on copies", "event on copies", "off copies"]
    cuda.calls.clear()
    found = fetch()
    assert cuda.calls == ["synchronize"]
    assert torch.equal(found[0], codes) and found[0].data_ptr() != codes.data_ptr()
    assert found[1]


def test_the_cpu_waits_once_a_frame() -> None:
    cuda = Cuda()
    way = Transfers(CPU, cuda=cuda)
    under_way: list[Callable[[], tuple[Tensor, ...]]] = []
    for _ in range(6):
        under_way.append(way.to_host((torch.rand(3, 8, 8), torch.tensor(False))))
        if len(under_way) > 2:
            under_way.pop(0)()
    assert cuda.calls.count("synchronize") == 4
    first = cuda.calls.index("synchronize")
    assert cuda.calls[:first].count("event on copies") == 3  # the device is two frames ahead


def test_on_the_cpu_the_thread_that_asks_computes() -> None:
    asked: list[int] = []
    fetch = on_host(lambda: (torch.tensor(len(asked)),), CPU)
    asked.append(1)
    assert fetch()[0] == 1


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.cuda.OutOfMemoryError("CUDA out of memory"), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes"), True),
        (RuntimeError("shapes differ"), False),
    ],
)
def test_lack_of_memory_is_told_from_other_errors(error: RuntimeError, expected: bool) -> None:
    assert is_out_of_memory(error) is expected
