"""The training loop: it learns, stops at what is not finite, answers Ctrl-C, and leaves what it promised."""

import itertools
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from support.tiny_training import TinyNetwork, TinySource, new_run, tiny_config
from torch import nn

from train.checkpoint import Checkpoint, Row, RunFolder
from train.config import TrainConfig
from train.data.loader import Batch, Sample
from train.errors import TrainError
from train.lr_schedule import Schedule
from train.trainer import average_weights


def test_a_run_learns_and_leaves_everything_it_promises(tmp_path: Path) -> None:
    config = tiny_config(steps=120, lr=1e-2, log_every=10, validate_every=60, loss="paper")
    heard: list[Row] = []
    assert new_run(tmp_path / "run", config).run(heard.append)
    folder = RunFolder(tmp_path / "run")
    logged = [row for row in folder.rows() if "loss" in row]
    assert [row["step"] for row in logged] == list(range(10, 121, 10))
    assert logged[-1]["psnr_t"] > logged[0]["psnr_t"] + 2
    validated = [row for row in folder.rows() if "val_psnr_t" in row]
    assert [row["step"] for row in validated] == [60, 120]
    assert validated[1]["val_psnr_t"] > validated[0]["val_psnr_t"]
    assert validated[0]["val_start_psnr_t"] == validated[1]["val_start_psnr_t"]
    assert [row["step"] for row in heard if "loss" in row] == list(range(1, 121))
    names = {"best.safetensors", "config.json", "last.pt", "last.safetensors", "metrics.jsonl", "samples"}
    assert {path.name for path in folder.path.iterdir()} == names
    assert sorted(path.name for path in (folder.path / "samples").iterdir()) == ["step_000060.png", "step_000120.png"]
    assert TrainConfig.from_dict(Checkpoint.load(folder.checkpoint).config) == config


def test_rows_hold_the_mean_of_their_steps(tmp_path: Path) -> None:
    heard: list[Row] = []
    new_run(tmp_path / "run", tiny_config(log_every=3)).run(heard.append)
    losses = [row["loss"] for row in heard if "loss" in row]
    logged = [row["loss"] for row in RunFolder(tmp_path / "run").rows() if "loss" in row]
    assert logged == pytest.approx([sum(losses[:3]) / 3, sum(losses[3:]) / 3], rel=1e-12)


def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_good_state(tmp_path: Path) -> None:
    config = tiny_config(checkpoint_minutes=1e-9)
    trainer = new_run(tmp_path / "run", config, source=TinySource(poisoned_step=3))
    with pytest.raises(TrainError, match=r"loss is nan at step 4.*--init .*lower --lr than 0\.0008"):
        trainer.run(lambda _row: None)
    checkpoint = Checkpoint.load(tmp_path / "run" / "last.pt")
    assert checkpoint.step == 3
    assert all(torch.isfinite(value).all() for value in checkpoint.network.values())


def test_a_diverging_first_step_finds_a_state_to_return_to(tmp_path: Path) -> None:
    trainer = new_run(tmp_path / "run", tiny_config(), source=TinySource(poisoned_step=0))
    with pytest.raises(TrainError, match="at step 1"):
        trainer.run(lambda _row: None)
    assert Checkpoint.load(tmp_path / "run" / "last.pt").step == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_finishes_the_step_and_saves(tmp_path: Path, number: signal.Signals) -> None:
    before = signal.getsignal(number)

    def interrupt(row: Row) -> None:
        if row["step"] == 2:
            os.kill(os.getpid(), number)

    assert not new_run(tmp_path / "run", tiny_config(workers=1)).run(interrupt)
    assert Checkpoint.load(tmp_path / "run" / "last.pt").step == 2
    assert signal.getsignal(number) == before


def test_learning_rate_rises_then_falls_to_nothing() -> None:
    config = TrainConfig(steps=100, warmup=10, lr=1.0)
    rates = [Schedule(config=config).rate(step) for step in range(101)]
    assert rates[:10] == pytest.approx([0.1 * (step + 1) for step in range(10)])
    assert rates[10] == 1.0
    assert rates[55] == pytest.approx(0.5)
    assert rates[100] == pytest.approx(0.0, abs=1e-12)
    assert all(later < earlier for earlier, later in itertools.pairwise(rates[10:]))


def test_average_follows_quickly_at_first_then_slowly() -> None:
    network = TinyNetwork()
    average = average_weights(network, 0.9)
    first = next(average.parameters()).clone()
    with torch.no_grad():
        for weights in network.parameters():
            weights.add_(1)
    average.update_parameters(network)  # decay (1 + 1) / (10 + 1)
    assert torch.allclose(next(average.parameters()) - first, torch.tensor(9 / 11), atol=1e-6)
    average.n_averaged.fill_(10_000)
    average.update_parameters(network)  # decay 0.9: a tenth of what is left
    assert torch.allclose(next(average.parameters()) - first, torch.tensor(9 / 11 + 2 / 110), atol=1e-6)


def test_average_copies_buffers() -> None:
    network = nn.BatchNorm2d(2)
    average = average_weights(network, 0.999)
    network.running_mean = torch.tensor([3.0, 4.0])
    average.update_parameters(network)
    assert torch.equal(dict(average.named_buffers())["module.running_mean"], torch.tensor([3.0, 4.0]))


def test_a_batch_holds_both_windows_with_their_truths() -> None:
    samples = [TinySource().sample(0, index) for index in range(2)]
    batch = Batch.of(samples)
    assert batch.ldr.shape == (4, 5, 3, 8, 8)
    assert torch.equal(batch.ldr[1], samples[1].ldr[:5])
    assert torch.equal(batch.ldr[3], samples[1].ldr[1:])
    assert batch.exposures[0].tolist() == [1, 8, 1, 8, 1]
    assert batch.exposures[2].tolist() == [8, 1, 8, 1, 8]
    assert torch.equal(batch.truth[1], samples[1].radiance[2])
    assert torch.equal(batch.truth[3], samples[1].radiance[3])
    assert batch.precision.shape == (4, 6)
    assert torch.equal(batch.precision[1], samples[1].precision) and torch.equal(*batch.precision[1::2])
    moved = batch.to(torch.device("cpu"))
    assert all(torch.equal(*pair) for pair in zip(moved, batch, strict=True))


@pytest.mark.parametrize(
    ("name", "value"), [("steps", 0), ("lr", float("nan")), ("workers", -1), ("ema_decay", 1.0), ("patch", -8)]
)
def test_config_refuses_what_cannot_be(name: str, value: float) -> None:
    with pytest.raises(TrainError, match=f"{name} is {value}"):
        TrainConfig.from_dict({name: value})


def test_config_refuses_unknown_names() -> None:
    with pytest.raises(TrainError, match=r"unknown values \['stepz'\]"):
        TrainConfig.from_dict({"stepz": 3})


@dataclass(frozen=True)
class SlowSource(TinySource):
    """Takes its time over each sample."""

    seconds: float = 0.02

    def sample(self, step: int, index: int) -> Sample:
        """Make one sample slowly."""
        time.sleep(self.seconds)
        return super().sample(step, index)


def test_rows_tell_the_share_of_time_spent_waiting_for_samples(tmp_path: Path) -> None:
    heard: list[Row] = []
    config = tiny_config(validation_samples=0)
    assert new_run(tmp_path / "run", config, source=SlowSource()).run(heard.append)
    assert all(0 < row["waiting"] < 1 for row in heard)
    for row in RunFolder(tmp_path / "run").rows():
        samples = config.batch * config.log_every
        waited_s = row["waiting"] * samples / row["samples_per_s"]
        # Sleep never ends early; the row's two figures are rounded.
        assert 0.95 * samples * SlowSource().seconds < waited_s < samples / row["samples_per_s"]
