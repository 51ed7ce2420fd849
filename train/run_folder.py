"""The folder of a run: its config, its rows of metrics, its state and its weights."""

import json
from dataclasses import dataclass
from pathlib import Path

from train.checkpoint import Checkpoint, write_whole
from train.config import TrainConfig, TrainError, write_config

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
    def events(self) -> Path:
        """Folder of TensorBoard's files."""
        return self.path / "tensorboard"

    def sample(self, step: int) -> Path:
        """Pictures of a validation."""
        return self.path / "samples" / f"step_{step:06d}.png"

    def weights(self, name: str) -> Path:
        """Averaged weights: `last` or `best`."""
        return self.path / f"{name}.safetensors"

    def create(self, config: TrainConfig) -> None:
        """Start a run here.

        Raises:
            TrainError: If the folder holds a run already, or cannot be made.
        """
        if self.checkpoint.exists():
            raise TrainError(
                f"{self.path} holds a run already: continue it with --resume {self.path}, or choose another"
            )
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            write_config(config, self.path / "config.json")
            self.metrics.write_text("", encoding="utf-8")
        except OSError as error:
            raise TrainError(f"{self.path} cannot be made ({error}): choose another folder with -o") from error

    def reopen(self, config: TrainConfig, checkpoint: Checkpoint) -> None:
        """Go on with the run here: forget the rows that were written after its last checkpoint."""
        rows = [row for row in self.rows() if row["step"] <= checkpoint.step]
        self.metrics.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        write_config(config, self.path / "config.json")

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
        """Read all complete rows of metrics."""
        if not self.metrics.exists():
            return []
        lines = self.metrics.read_text(encoding="utf-8").splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
