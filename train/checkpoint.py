"""The state of a run on disk: complete or not there at all, and readable without running what is in it."""

import contextlib
import json
import os
import pickle
import warnings
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from train.config import TrainConfig, write_config
from train.environment import Environment
from train.errors import TrainError

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


Row = dict[str, float]


@dataclass(frozen=True)
class RunFolder:
    """Where a run leaves what it makes.

    Args:
        path: The folder.
    """

    path: Path

    @property
    def checkpoint(self) -> Path:
        """The state to resume from."""
        return self.path / "last.pt"

    @property
    def metrics(self) -> Path:
        """One JSON object per line, in order of steps."""
        return self.path / "metrics.jsonl"

    @property
    def environment(self) -> Path:
        """Where and with what each session of the run took place, a JSON list."""
        return self.path / "environment.json"

    @property
    def events(self) -> Path:
        """Folder of TensorBoard's files."""
        return self.path / "tensorboard"

    def sample(self, step: int) -> Path:
        """Pictures of a validation."""
        return self.path / "samples" / f"step_{step:06d}.png"

    def weights(self, name: str) -> Path:
        """Averaged weights: `last` or `best`."""
        return self.path / f"{name}.safetensors"

    def demand_free(self) -> None:
        """Make sure that no run lies here.

        Raises:
            TrainError: If one does.
        """
        if self.checkpoint.exists():
            raise TrainError(
                f"{self.path} holds a run already: continue it with --resume {self.path}, or choose another"
            )
        for weights in (self.weights("best"), self.weights("last")):
            if weights.exists():
                raise TrainError(f"{self.path} holds weights already ({weights.name}): choose another folder")

    def create(self, config: TrainConfig) -> None:
        """Start a run here.

        Raises:
            TrainError: If the folder holds a run already, or cannot be made.
        """
        self.demand_free()
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            write_config(config, self.path / "config.json")
            self.metrics.write_text("", encoding="utf-8")
            self.environment.unlink(missing_ok=True)
        except OSError as error:
            raise TrainError(f"{self.path} cannot be made ({error}): choose another folder with -o") from error

    def reopen(self, config: TrainConfig, checkpoint: Checkpoint) -> None:
        """Go on with the run here: forget the rows that were written after its last checkpoint.

        Raises:
            TrainError: If the rows are damaged, or the disk refuses.
        """
        rows = [row for row in self.rows() if row["step"] <= checkpoint.step]
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        write_whole(self.metrics, lambda partial: _write(partial, lines.encode()))
        write_whole(self.path / "config.json", lambda partial: write_config(config, partial))

    def note_session(self, environment: Environment, step: int) -> None:
        """Keep where and with what the run goes on from here.

        Args:
            environment: What `describe_environment` found, and what else is worth knowing.
            step: Number of finished steps.

        Raises:
            TrainError: If the disk refuses.
        """
        sessions = [*self.sessions(), {"from_step": step, **environment}]
        content = json.dumps(sessions, indent=1) + "\n"
        write_whole(self.environment, lambda partial: _write(partial, content.encode()))

    def sessions(self) -> list[Environment]:
        """Read where each session took place; none if that was never written or is damaged."""
        try:
            read = json.loads(self.environment.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return []
        return [session for session in read if isinstance(session, dict)] if isinstance(read, list) else []

    def append(self, row: Row) -> None:
        """Add a row of metrics.

        Raises:
            TrainError: If the disk refuses.
        """
        try:
            with self.metrics.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
        except OSError as error:
            raise TrainError(f"{self.metrics} cannot be written ({error}): free some space, then resume") from error

    def write_sample(self, png: bytes, step: int) -> None:
        """Write pictures of a validation.

        Args:
            png: Content of the file.
            step: Number of finished steps.

        Raises:
            TrainError: If the disk refuses.
        """
        path = self.sample(step)
        write_whole(path, lambda partial: _write(partial, png))

    def rows(self) -> list[Row]:
        """Read all complete rows of metrics.

        Raises:
            TrainError: If there is a row that is none.
        """
        if not self.metrics.exists():
            return []
        lines = self.metrics.read_text(encoding="utf-8").splitlines(keepends=True)
        return [self._row(line, number) for number, line in enumerate(lines, 1) if line.endswith("\n")]

    def _row(self, line: str, number: int) -> Row:
        try:
            row: Row = json.loads(line)
            float(row["step"])
        except (ValueError, TypeError, KeyError) as error:
            raise TrainError(
                f"{self.metrics}, line {number} is no row of metrics: remove it, then try again"
            ) from error
        return row


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
