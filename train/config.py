"""What a training run is told: one frozen value, stored beside its results."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from model.errors import LanHdrError
from model.network import NetworkConfig
from train.losses import LossName
from train.precision import Precision
from train.sample_recipe import SampleRecipe, guided_samples

Schedule = Literal["cosine", "constant"]


class TrainError(LanHdrError):
    """A training run cannot start, go on, or be resumed."""


_POSITIVE = (
    "steps", "batch", "patch", "lr", "clip_norm", "threads", "log_every", "validate_every", "checkpoint_minutes",
    "accumulate",
)  # fmt: skip
_NOT_NEGATIVE = ("warmup", "weight_decay", "workers", "validation_samples")


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides the numbers of a run, and how it is carried out.

    Args:
        nexps: Number of exposures in the cycle, 2 or 3.
        size: `lite`, for CPUs and real time, or `base`, the published size.
        output: `guided` corrects a merged start, `direct` is the published network; see `NetworkConfig`.
        loss: `log_mse` (per-sample logarithm of the squared error), `paper` (L1, frequency, temporal) or `paper_vgg`
            (these and VGG-19's perceptual term).
        steps: Length of the run and of its learning-rate schedule, in optimizer steps.
        batch: Samples per step; each brings two consecutive windows.
        patch: Side of the square patches, in pixels.
        lr: Highest learning rate of AdamW, reached after the warm-up.
        warmup: Steps over which the learning rate rises from 0.
        schedule: What happens to it afterwards: a `cosine` takes it to 0, or it stays `constant`.
        weight_decay: Decoupled weight decay of AdamW.
        clip_norm: Largest norm of the gradient of all parameters together.
        ema_decay: Decay per step of the averaged weights, in [0, 1).
        recipe: Name or file of the recipe that the values come from; for the record, all it says is here.
        samples: How samples are drawn; None means as `guided_samples` says.
        seed: Every random draw derives from this, the step and the sample's index.
        data: Folder of pictures and clips; None means procedural scenes.
        validation_data: Folder of held-out pictures; None means other draws from the training data.
        init: Weights to start from; None means random ones.
        workers: Processes that prepare samples; 0 prepares them between the steps.
        threads: Threads of the network's arithmetic.
        precision: What convolutions compute in: `float32`, `bf16`, or `auto`, bf16 where the device is fast at it;
            losses, transforms, the search and the merge stay float32.
        accumulate: Parts of a batch that are computed one after the other, in a fraction of the memory.
        checkpointing: Compute again in the backward pass what takes much memory to keep.
        compile: Compile the network by torch.compile.
        log_every: Steps per row of metrics.jsonl.
        validate_every: Steps between validations.
        validation_samples: Number of fixed held-out samples; 0 turns validation off.
        checkpoint_minutes: Minutes between checkpoints.
    """

    nexps: int = 2
    size: Literal["lite", "base"] = "lite"
    output: Literal["guided", "direct"] = "guided"
    loss: LossName = "log_mse"
    steps: int = 20_000
    batch: int = 8
    patch: int = 96
    lr: float = 8e-4
    warmup: int = 200
    schedule: Schedule = "cosine"
    weight_decay: float = 1e-4
    clip_norm: float = 1.0
    ema_decay: float = 0.999
    recipe: str | None = None
    samples: SampleRecipe | None = None
    seed: int = 0
    data: str | None = None
    validation_data: str | None = None
    init: str | None = None
    workers: int = 1
    threads: int = 2
    precision: Precision = "auto"
    accumulate: int = 1
    checkpointing: bool = False
    compile: bool = False
    log_every: int = 20
    validate_every: int = 500
    validation_samples: int = 16
    checkpoint_minutes: float = 5.0

    def __post_init__(self) -> None:
        for name in _POSITIVE + _NOT_NEGATIVE:
            value = getattr(self, name)
            if not (value > 0 or (value == 0 and name in _NOT_NEGATIVE)):
                raise TrainError(f"{name} is {value}: pass {'0 or more' if name in _NOT_NEGATIVE else 'more than 0'}")
        if not 0 <= self.ema_decay < 1:
            raise TrainError(f"ema_decay is {self.ema_decay}: pass 0 or more and less than 1")

    def network_config(self) -> NetworkConfig:
        """The network that this run trains: `lite`, or the published one, by itself or beside a guided start."""
        if self.size == "base":
            return NetworkConfig(nexps=self.nexps, design="lanhdr", output=self.output)
        return NetworkConfig(nexps=self.nexps, design="lite", output=self.output, channels=48)

    def sample_recipe(self) -> SampleRecipe:
        """How this run draws its samples."""
        return self.samples or guided_samples(self.nexps)

    def as_dict(self) -> dict[str, Any]:
        """All values by name, as JSON can hold them."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "TrainConfig":
        """Make a config of stored values.

        Raises:
            LanHdrError: If a name is unknown or a value is out of range.
        """
        unknown = sorted(set(values) - {field.name for field in dataclasses.fields(cls)})
        if unknown:
            raise TrainError(f"the stored config has unknown values {unknown}: it is from another version, start anew")
        samples = values.get("samples")
        return cls(**values | {"samples": SampleRecipe.from_dict(samples) if isinstance(samples, dict) else samples})


def write_config(config: TrainConfig, path: Path) -> None:
    """Write a config as readable JSON."""
    path.write_text(json.dumps(config.as_dict(), indent=2) + "\n", encoding="utf-8")
