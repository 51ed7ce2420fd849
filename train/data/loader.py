"""From samples to batches of windows, prepared beside the training step."""

import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from model.errors import LanHdrError
from train.config import TrainConfig
from train.distributed import Team
from train.errors import TrainError

T = TypeVar("T")


class Sample(Protocol):
    """Consecutive frames with their truth; one frame more than a window, so that two windows fit."""

    @property
    def ldr(self) -> Tensor:
        """Encoded frames, 0..1, (T, 3, P, P)."""
        ...

    @property
    def exposures(self) -> Tensor:
        """Linear exposure of every frame relative to the shortest, (T)."""
        ...

    @property
    def radiance(self) -> Tensor:
        """True radiance of every frame, 1.0 = clip level of the shortest exposure, (T, 3, P, P)."""
        ...

    @property
    def precision(self) -> Tensor:
        """How precisely the camera's codes state light, as `CodePrecision.tensor` lays it out, (6)."""
        ...


class SampleSource(Protocol):
    """Samples as a function of the step and the place in the batch, and of nothing else."""

    def sample(self, step: int, index: int) -> Sample:
        """Make sample `index` of the batch of `step`."""
        ...


@dataclass(frozen=True)
class Batch:
    """Two consecutive windows of every sample, the first of all samples before the second of all.

    Args:
        ldr: Encoded frames, 0..1, (2B, N, 3, H, W).
        exposures: Linear exposures relative to the shortest, (2B, N).
        truth: True radiance of the middle frames, (2B, 3, H, W).
        precision: How precisely the camera's codes state light, as `CodePrecision.tensor` lays it out, (2B, 6).
    """

    ldr: Tensor
    exposures: Tensor
    truth: Tensor
    precision: Tensor

    @classmethod
    def of(cls, samples: Sequence[Sample]) -> "Batch":
        """Stack samples of one size, each N + 1 frames long."""
        ldr = torch.stack([sample.ldr for sample in samples])  # (B, N+1, 3, H, W)
        exposures = torch.stack([sample.exposures for sample in samples])
        radiance = torch.stack([sample.radiance for sample in samples])
        precision = torch.stack([sample.precision for sample in samples])
        middle = (ldr.shape[1] - 1) // 2
        return cls(
            torch.cat([ldr[:, :-1], ldr[:, 1:]]),
            torch.cat([exposures[:, :-1], exposures[:, 1:]]),
            torch.cat([radiance[:, middle], radiance[:, middle + 1]]),
            torch.cat([precision, precision]),
        )

    @property
    def tensors(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """All that it holds."""
        return self.ldr, self.exposures, self.truth, self.precision

    def to(self, device: torch.device) -> "Batch":
        """Copy to a device; from pinned memory the copy goes on while this returns."""
        return Batch(*(tensor.to(device, non_blocking=True) for tensor in self.tensors))

    def pin_memory(self) -> "Batch":
        """Copy to memory from which a GPU can fetch by itself."""
        return Batch(*(tensor.pin_memory() for tensor in self.tensors))


@dataclass(frozen=True)
class Share:
    """Which samples of every batch one process works on, and in how many parts, one after the other.

    Args:
        first: Index of its first sample.
        part: Samples per part.
        parts: Number of parts.
    """

    first: int
    part: int
    parts: int

    @classmethod
    def of(cls, config: TrainConfig, team: Team) -> "Share":
        """Divide a run's batch evenly, so that a mean of means is the mean.

        Raises:
            TrainError: If it does not divide.
        """
        pieces = team.size * config.accumulate
        if config.batch % pieces:
            raise TrainError(
                f"a batch of {config.batch} samples does not divide among {team.size} processes with "
                f"{config.accumulate} parts each: pass a --batch that is a multiple of {pieces}"
            )
        part = config.batch // pieces
        return cls(team.rank * part * config.accumulate, part, config.accumulate)

    def indices(self, part: int) -> range:
        """Places in the batch of the samples of one part."""
        start = self.first + part * self.part
        return range(start, start + self.part)


class _Parts(Dataset[Batch | LanHdrError]):
    """Item n is part n % parts of the batch of step n // parts; nothing else decides what is in it."""

    def __init__(self, source: SampleSource, share: Share) -> None:
        self._source, self._share = source, share

    def __getitem__(self, item: int) -> Batch | LanHdrError:
        step, part = divmod(item, self._share.parts)
        try:
            return Batch.of([self._source.sample(step, index) for index in self._share.indices(part)])
        except LanHdrError as error:
            return error  # raised in a worker, it would come with the worker's traceback in its message


def batches(
    source: SampleSource, config: TrainConfig, *, share: Share, first_step: int, pinned: bool = False
) -> Iterator[list[Batch]]:
    """Yield a process's parts of the batches of the steps from `first_step` to the end of the run, in order.

    Args:
        source: Where samples come from; copied to worker processes.
        config: Decides the number of steps and of workers.
        share: Which samples of each batch, in how many parts.
        first_step: Number of steps already done.
        pinned: Whether to leave them in memory from which a GPU can fetch by itself.

    Raises:
        LanHdrError: If the source cannot make a sample.
    """
    loader: DataLoader[Batch | LanHdrError] = DataLoader(
        _Parts(source, share),
        batch_size=None,
        sampler=range(first_step * share.parts, config.steps * share.parts),
        num_workers=config.workers,
        prefetch_factor=2 if config.workers else None,
        worker_init_fn=_ignore_signals,
        pin_memory=pinned,
        # The loader draws a seed at its start; a generator of its own leaves the run's alone.
        generator=torch.Generator(),
    )
    parts: list[Batch] = []
    for part in loader:
        if isinstance(part, LanHdrError):
            raise part
        parts.append(part)
        if len(parts) == share.parts:
            yield parts
            parts = []


def on_device(steps: Iterator[list[Batch]], device: torch.device) -> Iterator[list[Batch]]:
    """Copy what the next step needs while a GPU works on this one; a CPU has it where it is.

    Args:
        steps: Parts of the batches in the order of steps, in pinned memory for a GPU.
        device: Where they are needed.
    """
    if device.type != "cuda":
        yield from ([part.to(device) for part in parts] for parts in steps)
        return
    copying, ready = torch.cuda.Stream(device), None  # type: ignore[no-untyped-call]
    for parts in steps:
        with torch.cuda.stream(copying):
            coming = [part.to(device) for part in parts]
        if ready is not None:
            yield ready
        torch.cuda.current_stream(device).wait_stream(copying)
        for tensor in (tensor for part in coming for tensor in part.tensors):
            tensor.record_stream(torch.cuda.current_stream(device))
        ready = coming
    if ready is not None:
        yield ready


class Waited(Iterator[T]):
    """Passes items on and measures how long each was waited for.

    Args:
        items: What to pass on.
    """

    def __init__(self, items: Iterator[T]) -> None:
        self._items = items
        self.seconds = 0.0

    def __next__(self) -> T:
        """Return the next item; `seconds` then is what it took."""
        asked = time.monotonic()
        item = next(self._items)
        self.seconds = time.monotonic() - asked
        return item


def _ignore_signals(_worker: int) -> None:
    # Ctrl-C reaches the whole process group; the trainer finishes its step first and then ends its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
