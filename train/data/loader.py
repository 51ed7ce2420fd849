"""Batches of windows, prepared by worker processes beside the training step."""

import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from model.errors import LanHdrError
from train.config import TrainConfig
from train.distributed import DistributedContext
from train.errors import TrainError


class Sample(NamedTuple):
    """T consecutive frames with their truth; one frame more than a window, so that two windows fit."""

    ldr: Tensor  # encoded with 1/2.2, 0..1, (T, 3, P, P)
    exposures: Tensor  # linear, relative to the shortest of the cycle, (T,)
    # true radiance of each frame, linear, 0..1, 1.0 = clip level of the shortest exposure, (T, 3, P, P)
    radiance: Tensor
    precision: Tensor  # precision of the camera's codes, as `CodePrecision.tensor` lays it out, (6,)


class SampleSource(Protocol):
    """Samples as a function of the step and the index in its batch, and of nothing else."""

    def sample(self, step: int, index: int) -> Sample:
        """Make sample `index` of the batch of `step`."""


class Batch(NamedTuple):
    """Two consecutive windows of every sample, the first of all samples before the second of all."""

    ldr: Tensor  # encoded frames, 0..1, (2B, N, 3, H, W)
    exposures: Tensor  # linear exposures relative to the shortest, (2B, N)
    truth: Tensor  # true radiance of the middle frames, (2B, 3, H, W)
    precision: Tensor  # as in `Sample`, (2B, 6)

    @classmethod
    def of(cls, samples: Sequence[Sample]) -> "Batch":
        """Stack samples of one size, each N + 1 frames long."""
        ldr, exposures, radiance, precision = (torch.stack(tensors) for tensors in zip(*samples, strict=True))
        middle = (ldr.shape[1] - 1) // 2
        return cls(
            torch.cat([ldr[:, :-1], ldr[:, 1:]]),
            torch.cat([exposures[:, :-1], exposures[:, 1:]]),
            torch.cat([radiance[:, middle], radiance[:, middle + 1]]),
            torch.cat([precision, precision]),
        )

    def to(self, device: torch.device) -> "Batch":
        """Copy to a device; from pinned memory the copy goes on while this returns."""
        return Batch(*(tensor.to(device, non_blocking=True) for tensor in self))


@dataclass(frozen=True)
class BatchShard:
    """The samples of every batch that one process works on, in parts one after the other."""

    first: int  # index of its first sample
    part: int  # samples of each part
    parts: int

    @classmethod
    def of(cls, config: TrainConfig, context: DistributedContext) -> "BatchShard":
        """Divide a run's batch evenly, so that a mean of means is the mean.

        Raises:
            TrainError: If it does not divide.
        """
        pieces = context.size * config.accumulate
        if config.batch % pieces:
            raise TrainError(
                f"a batch of {config.batch} samples does not divide among {context.size} processes with "
                f"{config.accumulate} parts each: pass a --batch that is a multiple of {pieces}"
            )
        part = config.batch // pieces
        return cls(context.rank * part * config.accumulate, part, config.accumulate)


@dataclass(frozen=True)
class _Parts(Dataset[Batch | LanHdrError]):
    """A map from n to part n % parts of the batch of step n // parts."""

    source: SampleSource
    shard: BatchShard

    def __getitem__(self, item: int) -> Batch | LanHdrError:
        step, part = divmod(item, self.shard.parts)
        first = self.shard.first + part * self.shard.part
        try:
            return Batch.of([self.source.sample(step, index) for index in range(first, first + self.shard.part)])
        except LanHdrError as error:
            return error  # raised in a worker, it would come with the worker's traceback in its message


def batches(
    source: SampleSource, config: TrainConfig, *, shard: BatchShard, first_step: int, pinned: bool = False
) -> Iterator[list[Batch]]:
    """Yield a process's parts of the batches from `first_step` to the end of the run.

    Raises:
        LanHdrError: If the source cannot make a sample.
    """
    loader: DataLoader[Batch | LanHdrError] = DataLoader(
        _Parts(source, shard),
        batch_size=None,
        sampler=range(first_step * shard.parts, config.steps * shard.parts),
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
        if len(parts) == shard.parts:
            yield parts
            parts = []


def prefetch_to_device(steps: Iterator[list[Batch]], device: torch.device) -> Iterator[list[Batch]]:
    """Copy the next step's batches while a GPU works on this one; a CPU has them where they are."""
    if device.type != "cuda":
        yield from ([part.to(device) for part in parts] for parts in steps)
        return
    stream, ready = torch.cuda.Stream(device), None  # type: ignore[no-untyped-call]
    for parts in steps:
        with torch.cuda.stream(stream):
            copies = [part.to(device) for part in parts]
        if ready is not None:
            yield ready
        torch.cuda.current_stream(device).wait_stream(stream)
        for tensor in (tensor for part in copies for tensor in part):
            tensor.record_stream(torch.cuda.current_stream(device))
        ready = copies
    if ready is not None:
        yield ready


def _ignore_signals(_worker: int) -> None:
    # Ctrl-C reaches the whole process group; the trainer finishes its step first and then ends its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
