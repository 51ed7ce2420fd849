"""Processes that train together are one process with the joined batch; killed or interrupted they go on from there."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from support.tiny_training import TinySource, tiny_config
from support.together import gradients_of_one_step
from torch import Tensor

from lanhdr_cli.main import cli
from train import run as runs
from train.checkpoint import Checkpoint, RunFolder
from train.config import TrainConfig
from train.data.loader import BatchShard, Sample, batches
from train.distributed import DistributedContext, launch, local_device
from train.errors import TrainError

SMALL = (
    "--nexps=2", "--size=lite", "--steps=8", "--batch=2", "--patch=32", "--seed=3", "--workers=0", "--threads=1",
    "--log-every=1", "--validate-every=4", "--validation-samples=2", "--checkpoint-minutes=0.0001",
    "--precision=float32", "--no-tensorboard",
)  # fmt: skip
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "--max-restarts=1", "-m", "lanhdr_cli")


def relative_difference(found: dict[str, Tensor], expected: dict[str, Tensor]) -> float:
    """Largest difference of all gradients relative to the largest gradient of the same weights."""
    assert found.keys() == expected.keys()
    differences = [(found[name] - expected[name]).abs().max() / expected[name].abs().max() for name in expected]
    return max(difference.item() for difference in differences)


@pytest.fixture(scope="module")
def gradients_alone(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Tensor], dict[str, float]]:
    """Gradients of one process, and what it scored afterwards."""
    path = tmp_path_factory.mktemp("alone")
    gradients = gradients_of_one_step(path / "run")
    return gradients, RunFolder(path / "run").rows()[-1]


def test_gradients_of_two_processes_are_those_of_the_joined_batch(
    tmp_path: Path, gradients_alone: tuple[dict[str, Tensor], dict[str, float]], repository: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    expected, score = gradients_alone
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(map(str, (repository, repository / "tests"))))
    assert launch([str(repository / "tests" / "support" / "together.py"), str(tmp_path)], 2) == 0
    for rank in range(2):
        found = torch.load(tmp_path / f"gradients{rank}.pt")
        assert relative_difference(found, expected) < 1e-5
    # Each process validates its share; the first alone wrote, once.
    rows = RunFolder(tmp_path / "run").rows()
    assert [row["step"] for row in rows] == [1, 1]
    assert rows[-1]["val_psnr_t"] == pytest.approx(score["val_psnr_t"], rel=1e-5)


@pytest.mark.parametrize("accumulate", [2, 4])
def test_gradients_of_parts_add_up_to_those_of_the_batch(
    tmp_path: Path, gradients_alone: tuple[dict[str, Tensor], dict[str, float]], accumulate: int
) -> None:
    found = gradients_of_one_step(tmp_path / "run", accumulate=accumulate)
    assert relative_difference(found, gradients_alone[0]) < 1e-5


@dataclass(frozen=True)
class NotedSource(TinySource):
    """Notes which samples are made."""

    indices: list[int] = field(default_factory=list)

    def sample(self, step: int, index: int) -> Sample:
        self.indices.append(index)
        return super().sample(step, index)


def test_every_sample_of_a_batch_falls_to_one_process_and_part() -> None:
    config = tiny_config(batch=12, accumulate=2)
    shards = [BatchShard.of(config, DistributedContext(rank, 3)) for rank in range(3)]
    source = NotedSource()
    for shard in shards:
        assert len(next(batches(source, config, shard=shard, first_step=0))) == shard.parts
    assert source.indices == list(range(12))
    assert sorted(index for rank in range(3) for index in DistributedContext(rank, 3).shard(7)) == list(range(7))


def test_a_batch_that_does_not_divide_is_refused() -> None:
    with pytest.raises(TrainError, match=r"batch of 4 samples .* 3 processes with 2 parts .* a multiple of 6"):
        BatchShard.of(tiny_config(batch=4, accumulate=2), DistributedContext(0, 3))


def test_a_process_without_a_gpu_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"WORLD_SIZE": "4", "RANK": "3", "LOCAL_RANK": "3"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(TrainError, match="process 3 has no GPU, 2 were found: start at most 2"):
        local_device(torch.device("cuda"))
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert local_device(torch.device("cuda")) == torch.device("cuda", 1)
    assert local_device(torch.device("cpu")) == torch.device("cpu")


def test_a_process_that_fails_ends_the_others_with_its_exit_code(capfd: pytest.CaptureFixture[str]) -> None:
    fails = "import os, sys, time; sys.exit(7) if os.environ['RANK'] == '1' else time.sleep(60)"
    began = time.monotonic()
    assert launch(["-c", fails], 2) == 7
    assert time.monotonic() - began < 30
    assert capfd.readouterr().err == ""
    assert launch(["-c", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"], 1) == 128 + signal.SIGKILL


def losses(run: Path) -> list[float]:
    """Losses of all steps, in order."""
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    logged = [row for row in rows if "loss" in row]
    assert [row["step"] for row in logged] == list(range(1, len(logged) + 1))
    return [row["loss"] for row in logged]


def wait_for_step(run: Path, step: int, *, process: subprocess.Popen[Any], log: Path) -> None:
    """Wait until a run has written its figures of a step."""
    deadline, metrics = time.monotonic() + 120, run / "metrics.jsonl"
    while not (metrics.exists() and f'"step": {step},' in metrics.read_text()):
        assert process.poll() is None and time.monotonic() < deadline, log.read_text()
        time.sleep(0.01)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds the processes by /proc")
def test_a_run_of_two_processes_is_interrupted_killed_and_ends_as_if_it_had_not_been(
    tmp_path: Path, repository: Path
) -> None:
    alone = CliRunner().invoke(cli, ["train", "-o", str(tmp_path / "alone"), *SMALL])
    assert alone.exit_code == 0, alone.output
    run, log = tmp_path / "run", tmp_path / "log"

    command = [sys.executable, "-m", "lanhdr_cli", "train", "--processes=2", "-o", str(run), *SMALL]
    with log.open("w") as stderr:
        process = subprocess.Popen(command, cwd=repository, stderr=stderr)
        wait_for_step(run, 2, process=process, log=log)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130, log.read_text()
    told = log.read_text()
    stopped = Checkpoint.load(run / "last.pt").step
    assert told.count(f"saved at step {stopped}, go on with: lanhdr train --resume {run}") == 1, told
    assert "Traceback" not in told, told
    assert 2 <= stopped < 8 and len(losses(run)) == stopped

    with log.open("w") as stderr:
        process = subprocess.Popen(
            [sys.executable, *TORCHRUN, "train", "--resume", str(run)], cwd=repository, stderr=stderr
        )
        wait_for_step(run, stopped + 2, process=process, log=log)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.kill(int(children[-1]), signal.SIGKILL)
        assert process.wait(120) == 0, log.read_text()
    assert "another process of this run has ended" in log.read_text()
    # Sums over processes are rounded otherwise, and eight steps carry it on.
    assert losses(run) == pytest.approx(losses(tmp_path / "alone"), rel=1e-3)
    assert "finished at step 8" in log.read_text()


def test_a_restarted_process_goes_on_with_its_own_run_and_with_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = TrainConfig(steps=3, batch=1, patch=32, workers=0, threads=1, validation_samples=0, recipe="guided_2e")
    device = torch.device("cpu")
    assert runs.start(config, tmp_path / "run", device=device).run(lambda _row: None)
    for name, value in {"WORLD_SIZE": "2", "RANK": "0", "TORCHELASTIC_RESTART_COUNT": "1"}.items():
        monkeypatch.setenv(name, value)
    assert runs.start(config, tmp_path / "run", device=device).step == 3
    with pytest.raises(TrainError, match="holds a run already"):
        runs.start(dataclasses.replace(config, lr=1e-3), tmp_path / "run", device=device)
