"""What goes wrong in a run is said in one line, with its place and a way out, and the last good state stays."""

import os
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from support.alone import run_alone
from support.tiny_training import TinyNetwork, TinyPrediction, TinySource, new_run, tiny_config
from torch import Tensor, nn

from train.checkpoint import Checkpoint
from train.config import TrainConfig
from train.data.loader import Batch, Sample
from train.diagnostics import find_non_finite, memory_advice
from train.errors import DatasetError, TrainError
from train.trainer import Trainer


def failure(trainer: Trainer) -> str:
    """Run and return the one line that it ends with."""
    with pytest.raises(TrainError) as raised:
        trainer.run(lambda _row: None)
    message = str(raised.value)
    assert "\n" not in message
    return message


class Undefined(nn.Module):
    """Answers 0 / 0 from the third call on."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        """Pass on what comes, twice."""
        self.calls += 1
        return x if self.calls < 3 else 0 * x / 0


class Uphill(nn.Module):
    """Adds nothing, by a formula whose derivative is infinite times zero."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        """Add 0 * sqrt(0)."""
        return x + 0 * self.weight.sqrt()


def with_layer(path: Path, layer: nn.Module) -> Trainer:
    """A run whose network has another layer before its last."""
    trainer = new_run(path, tiny_config(validation_samples=0))
    layers = trainer.network.layers
    assert isinstance(layers, nn.Sequential)
    layers.insert(4, layer)
    return trainer


def test_samples_that_are_not_finite_are_named(tmp_path: Path) -> None:
    message = failure(new_run(tmp_path / "run", tiny_config(), source=TinySource(poisoned_step=2)))
    assert "the loss is nan at step 3, it began in the samples' pictures" in message


def test_each_part_of_a_batch_that_is_not_finite_is_named() -> None:
    batch = Batch.of([TinySource().sample(0, 0)])
    for name, words in (
        ("ldr", "pictures"),
        ("exposures", "exposures"),
        ("truth", "truth"),
        ("precision", "precision"),
    ):
        wrong = batch._replace(**{name: getattr(batch, name) * float("nan")})
        assert find_non_finite(TinyNetwork(), wrong, predict=lambda *_: torch.zeros(1)) == f"the samples' {words}"


def test_a_layer_that_is_not_finite_is_named(tmp_path: Path) -> None:
    message = failure(with_layer(tmp_path / "run", Undefined()))
    assert "at step 3, it began in the output of layers.4; " in message
    assert "--init" in message and "lower --lr" in message


def test_weights_that_are_not_finite_are_named(tmp_path: Path) -> None:
    trainer = new_run(tmp_path / "run", tiny_config())
    with torch.no_grad():
        trainer.network.get_parameter("layers.3.bias")[1] = torch.nan
    assert "at step 1, it began in the weights of layers.3.bias" in failure(trainer)


def test_a_gradient_that_is_not_finite_is_named_and_leaves_the_weights(tmp_path: Path) -> None:
    trainer = with_layer(tmp_path / "run", Uphill())
    before = [weight.clone() for weight in trainer.network.parameters()]
    assert "the gradient is nan at step 1, it began in the weights of layers.4.weight" in failure(trainer)
    assert all(torch.equal(old, new) for old, new in zip(before, trainer.network.parameters(), strict=True))


class Greedy(TinyNetwork):
    """Wants more memory than there is."""

    def forward(self, ldr: Tensor, exposures: Tensor, precision: Tensor | None = None) -> TinyPrediction:
        """Ask for 4 EiB."""
        return TinyPrediction(torch.empty(1 << 60) + super().forward(ldr, exposures).radiance)


def test_the_end_of_memory_comes_with_advice(tmp_path: Path) -> None:
    trainer = new_run(tmp_path / "run", tiny_config(batch=6, validation_samples=0))
    trainer.network.__class__ = Greedy  # type: ignore[assignment]
    message = failure(trainer)
    advice = "--accumulate 2, which leaves the results as they are, or a smaller --patch than 8"
    assert message == f"memory does not suffice for 6 samples of 8x8 at once: pass {advice}"
    assert Checkpoint.load(tmp_path / "run" / "last.pt").step == 0


def test_base_can_compute_again_what_it_does_not_keep() -> None:
    advice = r"pass --accumulate 3, .*, or --checkpointing, or a smaller --patch"
    with pytest.raises(TrainError, match=advice), memory_advice(tiny_config(batch=9, size="base"), processes=1):
        raise MemoryError


def test_advice_leaves_out_what_is_done_already() -> None:
    config = tiny_config(batch=4, accumulate=2, checkpointing=True, size="base")
    advice = r"the GPU's memory .* for 1 samples of 8x8 at once: pass a smaller --patch"
    with pytest.raises(TrainError, match=advice), memory_advice(config, processes=2):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


def test_other_errors_keep_their_type() -> None:
    with pytest.raises(RuntimeError, match="shapes"), memory_advice(TrainConfig(), processes=1):
        raise RuntimeError("shapes do not match")


@dataclass(frozen=True)
class FailingSource(TinySource):
    """Cannot make samples of one step: it is killed, or meets a damaged file."""

    killed_step: int = -1
    damaged_step: int = -1

    def sample(self, step: int, index: int) -> Sample:
        """Make one sample, or fail."""
        if step == self.killed_step:
            os.kill(os.getpid(), signal.SIGKILL)
        if step == self.damaged_step:
            raise DatasetError("clip.mp4 is cut off after frame 3: fetch it again")
        return super().sample(step, index)


KILLED = """
from pathlib import Path
from test_diagnostics import FailingSource, failure
from support.tiny_training import new_run, tiny_config
print(failure(new_run(Path("run"), tiny_config(workers=1), source=FailingSource(killed_step=3))))
"""


def test_a_worker_that_the_system_kills_is_one_line(tmp_path: Path, repository: Path) -> None:
    # In a process of its own: torch's handler of ended workers may raise once more, anywhere in this one.
    message = run_alone(KILLED, repository, cwd=tmp_path).stdout
    assert "a process that prepares samples has ended" in message
    assert "pass fewer --workers than 1 or a smaller --patch than 8" in message


@pytest.mark.parametrize("error", [ConnectionResetError(104, "Connection reset by peer"), EOFError()], ids=repr)
def test_a_worker_killed_while_it_hands_over_a_batch_is_the_same_line(error: Exception) -> None:
    config = tiny_config(workers=1)
    with (
        pytest.raises(TrainError, match=r"a process that prepares samples has ended \(.+\): .* fewer --workers than 1"),
        memory_advice(config, processes=1),
    ):
        raise error


def test_an_error_that_a_worker_met_is_not_taken_for_its_end() -> None:
    error = EOFError("Caught EOFError in DataLoader worker process 0.")
    with pytest.raises(EOFError), memory_advice(tiny_config(workers=1), processes=1):
        raise error


def test_a_damaged_file_met_by_a_worker_is_what_the_source_says(tmp_path: Path) -> None:
    trainer = new_run(tmp_path / "run", tiny_config(workers=1), source=FailingSource(damaged_step=2))
    with pytest.raises(DatasetError) as raised:
        trainer.run(lambda _row: None)
    assert str(raised.value) == "clip.mp4 is cut off after frame 3: fetch it again"


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Let the system refuse to write beyond a size, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_disk_that_fills_while_saving_leaves_the_old_checkpoint(tmp_path: Path) -> None:
    trainer = new_run(tmp_path / "run", tiny_config(steps=4, checkpoint_minutes=1e-9, validation_samples=0))
    run = tmp_path / "run"
    trainer.save()
    before = (run / "last.pt").read_bytes()
    with files_of_at_most(len(before) // 2):
        message = failure(trainer)
    assert "last.pt cannot be written" in message and "free space" in message
    assert (run / "last.pt").read_bytes() == before
    assert Checkpoint.load(run / "last.pt").step == 0
    assert not list(run.glob(".*"))
