"""Files of a run: the checkpoint, written atomically and read without running what is in it, and the run's folder."""

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

from train.config import TrainConfig
from train.environment import Environment
from train.errors import TrainError

FORMAT = 2
Row = dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """Everything that the next step depends on."""

    step: int
    config: dict[str, Any]
    design: dict[str, Any]
    network: dict[str, Tensor]
    average: dict[str, Tensor]
    optimizer: dict[str, Any]
    means: dict[str, tuple[float, float]]  # sum and count of each figure since the last row of metrics
    best: float  # highest validation score so far, in dB; -inf before the first
    elapsed_s: float  # time that a schedule by the clock has counted; 0 where steps count

    def save(self, path: Path) -> None:
        """Replace the file at `path` by this state, or raise a TrainError and leave the old file."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        write_atomically(path, lambda partial: torch.save({"format": FORMAT, **values}, partial))

    @classmethod
    def load(cls, path: Path) -> "Checkpoint":
        """Read a state to the CPU, never running what a file might carry.

        Raises:
            TrainError: If there is no such file, or it is damaged or not one of ours.
        """
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # torch's warnings about a foreign file help nobody
                values = torch.load(path, map_location="cpu", weights_only=True)
        except FileNotFoundError as error:
            raise TrainError(f"there is no checkpoint {path}: pass the folder of a run that saved one") from error
        except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
            raise TrainError(f"{path} cannot be read as a checkpoint: the file is damaged or foreign") from error
        if not isinstance(values, dict) or values.pop("format", None) != FORMAT:
            raise TrainError(
                f"{path} is not a checkpoint of this version (format {FORMAT}): pass the folder of a run begun with it"
            )
        return cls(**values)


def write_atomically(path: Path, content: bytes | Callable[[Path], object]) -> None:
    """Write a file that takes the name `path` only when it is complete and on the disk.

    Args:
        path: Final name; its folder is made if need be.
        content: The bytes, or a function that writes a file of a partial name in the same folder.

    Raises:
        TrainError: If the disk refuses; an old file at `path` is left as it was.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(exist_ok=True)
        if isinstance(content, bytes):
            partial.write_bytes(content)
        else:
            content(partial)
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


class RunFolder:
    """The folder of a run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoint = path / "last.pt"  # the state to resume from
        self.metrics = path / "metrics.jsonl"  # one JSON object per line, in order of steps
        self.environment = path / "environment.json"  # environment and command of each session, a JSON list
        self.events = path / "tensorboard"  # folder of TensorBoard's files
        self.samples = path / "samples"  # folder of the validations' contact sheets

    def weights(self, name: str) -> Path:
        """Return the file of averaged weights, `last` or `best`."""
        return self.path / f"{name}.safetensors"

    def check_unused(self) -> None:
        """Raise a TrainError if the folder holds a run or weights."""
        if self.checkpoint.exists():
            raise TrainError(
                f"{self.path} holds a run already: continue it with --resume {self.path}, or choose another"
            )
        for weights in (self.weights("best"), self.weights("last")):
            if weights.exists():
                raise TrainError(f"{self.path} holds weights already ({weights.name}): choose another folder")

    def create(self, config: TrainConfig) -> None:
        """Start a run here, or raise a TrainError if the folder holds one already or cannot be made."""
        self.check_unused()
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            (self.path / "config.json").write_text(config.to_json(), encoding="utf-8")
            self.metrics.write_text("", encoding="utf-8")
            self.environment.unlink(missing_ok=True)
        except OSError as error:
            raise TrainError(f"{self.path} cannot be made ({error}): choose another folder with -o") from error

    def reopen(self, config: TrainConfig, checkpoint: Checkpoint) -> None:
        """Drop the rows after a checkpoint, or raise a TrainError if they are damaged or the disk refuses."""
        rows = [row for row in self.rows() if row["step"] <= checkpoint.step]
        write_atomically(self.metrics, "".join(json.dumps(row) + "\n" for row in rows).encode())
        write_atomically(self.path / "config.json", config.to_json().encode())

    def add_session(self, environment: Environment, step: int) -> None:
        """Record the environment in which the run goes on after `step` finished steps."""
        sessions = [*self.sessions(), {"from_step": step, **environment}]
        write_atomically(self.environment, (json.dumps(sessions, indent=1) + "\n").encode())

    def sessions(self) -> list[Environment]:
        """Read the environment of each session; empty if the file is missing or damaged."""
        try:
            values = json.loads(self.environment.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return []
        return [session for session in values if isinstance(session, dict)] if isinstance(values, list) else []

    def append(self, row: Row) -> None:
        """Add a row of metrics; raise a TrainError if the disk refuses."""
        try:
            with self.metrics.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
        except OSError as error:
            raise TrainError(f"{self.metrics} cannot be written ({error}): free some space, then resume") from error

    def rows(self) -> list[Row]:
        """Read all complete rows of metrics; raise a TrainError if one is damaged."""
        if not self.metrics.exists():
            return []
        rows: list[Row] = []
        for number, line in enumerate(self.metrics.read_text(encoding="utf-8").splitlines(keepends=True), 1):
            if not line.endswith("\n"):
                break  # half written
            try:
                row = json.loads(line)
                float(row["step"])
            except (ValueError, TypeError, KeyError) as error:
                raise TrainError(
                    f"{self.metrics}, line {number} is no row of metrics: remove it, then try again"
                ) from error
            rows.append(row)
        return rows
