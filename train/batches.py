"""From samples to batches of windows, prepared beside the training step."""

import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from train.config import TrainConfig


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
    """

    ldr: Tensor
    exposures: Tensor
    truth: Tensor

    @classmethod
    def of(cls, samples: Sequence[Sample]) -> "Batch":
        """Stack samples of one size, each N + 1 frames long."""
        ldr = torch.stack([sample.ldr for sample in samples])  # (B, N+1, 3, H, W)
        exposures = torch.stack([sample.exposures for sample in samples])
        radiance = torch.stack([sample.radiance for sample in samples])
        middle = (ldr.shape[1] - 1) // 2
        return cls(
            torch.cat([ldr[:, :-1], ldr[:, 1:]]),
            torch.cat([exposures[:, :-1], exposures[:, 1:]]),
            torch.cat([radiance[:, middle], radiance[:, middle + 1]]),
        )

    def to(self, device: torch.device) -> "Batch":
        """Copy to a device."""
        return Batch(self.ldr.to(device), self.exposures.to(device), self.truth.to(device))


class _Batches(Dataset[Batch]):
    """Item n is the batch of step n; nothing else decides what is in it."""

    def __init__(self, source: SampleSource, config: TrainConfig) -> None:
        self._source = source
        self._size = config.batch

    def __getitem__(self, step: int) -> Batch:
        return Batch.of([self._source.sample(step, index) for index in range(self._size)])


def batches(source: SampleSource, config: TrainConfig, *, first_step: int) -> Iterator[Batch]:
    """Yield the batches of the steps from `first_step` to the end of the run, in order.

    Args:
        source: Where samples come from; copied to worker processes.
        config: Decides batch size, number of steps and of workers.
        first_step: Number of steps already done.
    """
    loader: DataLoader[Batch] = DataLoader(
        _Batches(source, config),
        batch_size=None,
        sampler=range(first_step, config.steps),
        num_workers=config.workers,
        prefetch_factor=2 if config.workers else None,
        worker_init_fn=_ignore_signals,
        # The loader draws a seed at its start; a generator of its own leaves the run's alone.
        generator=torch.Generator(),
    )
    return iter(loader)


def _ignore_signals(_worker: int) -> None:
    # Ctrl-C reaches the whole process group; the trainer finishes its step first and then ends its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
