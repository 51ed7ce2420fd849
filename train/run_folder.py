"""The folder of a run: its config and environment, its rows of metrics, its state, its weights and samples."""

import json
from dataclasses import dataclass
from pathlib import Path

from train.checkpoint import Checkpoint, write_whole
from train.config import TrainConfig, TrainError, write_config
from train.environment import Environment

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
