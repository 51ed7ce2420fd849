"""The state of a run on disk: complete or not there at all, and readable without running what is in it."""

import contextlib
import os
import pickle
import warnings
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from train.config import TrainConfig, TrainError

FORMAT = 1


@dataclass(frozen=True)
class Checkpoint:
    """Everything that the next step depends on.

    Args:
        step: Number of finished steps.
        config: Values of the `TrainConfig`, by name.
        design: Values of the `NetworkConfig`, by name.
        network: State of the network.
        average: State of the network with averaged weights.
        optimizer: State of the optimizer.
        pending: Sums for the row of metrics that is not complete yet.
        best: Highest validation score so far, in dB; -inf before the first.
        seconds: Time that counts for a schedule by the clock; 0 where steps count.
    """

    step: int
    config: dict[str, Any]
    design: dict[str, Any]
    network: dict[str, Tensor]
    average: dict[str, Tensor]
    optimizer: dict[str, Any]
    pending: dict[str, float]
    best: float
    seconds: float = 0.0

    def save(self, path: Path) -> None:
        """Replace the file at `path` by this state; the old file stays if anything fails.

        Raises:
            TrainError: If the disk refuses.
        """
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        write_whole(path, lambda partial: torch.save({"format": FORMAT, **values}, partial))

    def train_config(self) -> TrainConfig:
        """The config of the run that saved this state."""
        return TrainConfig.from_dict(self.config)

    @classmethod
    def load(cls, path: Path) -> "Checkpoint":
        """Read a state to the CPU, never running what a file might carry.

        Raises:
            TrainError: If there is no such file, or it is damaged or not one of ours.
        """
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # what torch muses about a foreign file helps nobody
                values = torch.load(path, map_location="cpu", weights_only=True)
        except FileNotFoundError as error:
            raise TrainError(f"there is no checkpoint {path}: pass the folder of a run that saved one") from error
        except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
            raise TrainError(f"{path} cannot be read as a checkpoint: the file is damaged or foreign") from error
        if not isinstance(values, dict) or values.pop("format", None) != FORMAT:
            raise TrainError(f"{path} is not a checkpoint of this trainer (format {FORMAT}): pass a run's folder")
        values.pop("rng", None)  # the generator's state, which is drawn anew for every step now
        return cls(**values)


def write_whole(path: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a file that takes the name `path` only when it is complete and on the disk.

    Args:
        path: Final name.
        write: Called with a partial name in the same folder.

    Raises:
        TrainError: If the disk refuses; an old file at `path` is left as it was.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        write(partial)
        with open(partial, "rb") as file:
            os.fsync(file.fileno())
        os.replace(partial, path)
    except (OSError, RuntimeError) as error:  # torch.save reports a full disk as a RuntimeError
        raise TrainError(
            f"{path} cannot be written ({error}): check free space and permissions, then resume"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink()
