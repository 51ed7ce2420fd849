"""A network, a source of samples and a trainer small enough to run in a test."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from model.color import mu_law_inverse
from model.network import NetworkConfig
from model.pretrained import Network
from train.checkpoint import RunFolder
from train.config import TrainConfig
from train.data.loader import Sample
from train.trainer import Trainer


@dataclass(frozen=True)
class TinySource:
    """Noise that depends on the seed, the step and the index alone; one step can be poisoned."""

    seed: int = 0
    patch: int = 8
    poisoned_step: int = -1

    def sample(self, step: int, index: int) -> Sample:
        """Make one sample."""
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + step * 1009 + index)
        ldr = torch.rand(6, 3, self.patch, self.patch, generator=generator)
        radiance = ldr.pow(2.2) / 2
        if step == self.poisoned_step:
            ldr = ldr * float("nan")
        precision = torch.rand(6, generator=generator)
        return Sample(ldr, torch.tensor([1.0, 8.0] * 3), radiance, precision)


@dataclass(frozen=True)
class TinyPrediction:
    """What a network answers."""

    radiance: Tensor
    start: Tensor | None = field(default=None)


class TinyNetwork(nn.Module):
    """Two convolutions and a dropout, so that a resumed run also needs the generator's state."""

    config = NetworkConfig()

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(7)
        self.layers = nn.Sequential(
            nn.Conv2d(15, 8, 3, padding=1), nn.ReLU(), nn.Dropout(0.2), nn.Conv2d(8, 3, 3, padding=1), nn.Sigmoid()
        )

    def forward(self, ldr: Tensor, exposures: Tensor, precision: Tensor | None = None) -> TinyPrediction:
        """Answer for a batch of windows of five."""
        start = ldr[:, 2].pow(2.2) / exposures[:, 2].view(-1, 1, 1, 1)
        return TinyPrediction(mu_law_inverse(self.layers(ldr.flatten(1, 2))), start)


def tiny_config(**values: object) -> TrainConfig:
    """A config of a few small steps in this process, with `values` replaced."""
    fixed: dict[str, object] = {
        "steps": 6, "batch": 2, "patch": 8, "warmup": 2, "workers": 0, "threads": 1, "log_every": 2, "validate_every": 3
    }  # fmt: skip
    return TrainConfig.from_dict(fixed | values)


def tiny_trainer(path: Path, config: TrainConfig, *, source: TinySource | None = None) -> Trainer:
    """A trainer into an existing folder."""
    return Trainer(
        cast(Network, TinyNetwork()),
        config,
        source=source or TinySource(),
        validation=[TinySource(seed=1).sample(0, index) for index in range(2)],
        folder=RunFolder(path),
    )


def new_run(path: Path, config: TrainConfig, *, source: TinySource | None = None) -> Trainer:
    """A trainer into a new folder."""
    RunFolder(path).create(config)
    return tiny_trainer(path, config, source=source)
