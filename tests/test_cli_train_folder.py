"""What `lanhdr train` leaves in its folder beside the weights, and what it says when it goes on."""

import json
import os
import shutil
import signal
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result

from lanhdr_cli.main import cli
from lanhdr_cli.training import TrainingConsole
from train.checkpoint import Checkpoint
from train.logger import tensorboard_found

SMALL = (
    "--size=lite", "--steps=2", "--batch=1", "--patch=32", "--workers=0", "--threads=1", "--validate-every=2",
    "--validation-samples=1",
)  # fmt: skip


def train(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["train", *map(str, arguments)])


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "run"
    result = train("-o", folder, *SMALL)
    assert result.exit_code == 0, result.output
    return folder


def test_a_run_leaves_environment_samples_and_curves(run: Path) -> None:
    (session,) = json.loads((run / "environment.json").read_text())
    assert (session["from_step"], session["torch"], session["threads"]) == (0, torch.__version__, 1)
    assert session["data"] == {}
    assert (run / "samples" / "step_000002.png").is_file()
    assert (run / "tensorboard").is_dir() == tensorboard_found()


def test_going_on_says_where_and_keeps_the_session(run: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(run, tmp_path / "copy")
    result = train("--resume", copy, "--steps", 3, "--no-tensorboard")
    assert result.exit_code == 0, result.output
    assert f"going on after step 2 of 3: {copy}" in result.stderr
    assert [session["from_step"] for session in json.loads((copy / "environment.json").read_text())] == [0, 2]
    assert len(list((copy / "tensorboard").glob("*"))) == tensorboard_found()


def test_ctrl_c_saves_and_says_how_to_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_console: TrainingConsole, row: dict[str, float]) -> None:
        if row["step"] == 3:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(TrainingConsole, "__call__", interrupt)
    folder = tmp_path / "run"
    result = train("-o", folder, *SMALL, "--steps=200")
    assert result.exit_code == 130
    assert result.stderr.endswith(f"Interrupted: saved at step 3, go on with: lanhdr train --resume {folder}\n")
    assert Checkpoint.load(folder / "last.pt").step == 3
    assert json.loads((folder / "metrics.jsonl").read_text().splitlines()[0])["step"] == 2


def test_a_dry_run_of_a_run_that_goes_on_leaves_it_as_it_is(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("train.dry_run.TIMED_S", 0.1)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    result = train("--resume", run, "--steps", 50, "--dry-run")
    assert result.exit_code == 0, result.output
    assert "48, going on after step 2: 48 samples, 96 windows" in result.stdout
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_without_tensorboard_one_line_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("train.logger.tensorboard_found", lambda: False)
    result = train("-o", tmp_path / "run", *SMALL)
    assert result.exit_code == 0, result.output
    said = [line for line in result.stderr.splitlines() if "TensorBoard" in line]
    assert said == [
        "TensorBoard is not installed, metrics.jsonl alone is written: pip install 'lanhdr[train]' brings it"
    ]
    assert not (tmp_path / "run" / "tensorboard").exists()
    assert (tmp_path / "run" / "metrics.jsonl").read_text().count("\n") == 2


def test_a_checkpoint_of_another_network_is_named(run: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(run, tmp_path / "copy")
    state = torch.load(copy / "last.pt", weights_only=True)
    for change in ({"channels": 32}, {"width": 3}):
        torch.save(state | {"design": state["design"] | change}, copy / "last.pt")
        result = train("--resume", copy)
        assert result.exit_code == 1
        assert "last.pt holds a network (nexps 2, design lite" in result.output
        assert "go on with the version that began it, or begin anew" in result.output
        assert "Traceback" not in result.output
