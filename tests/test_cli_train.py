"""`lanhdr train`: without data, killed and resumed, and with everything a user can get wrong."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from safetensors import safe_open

from lanhdr_cli.main import cli

SMALL = (
    "--nexps=2", "--size=lite", "--steps=16", "--batch=1", "--patch=32", "--seed=3", "--workers=1", "--threads=1",
    "--log-every=1", "--validate-every=4", "--validation-samples=1", "--checkpoint-minutes=0.0001",
)  # fmt: skip


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "lanhdr_cli", "train", *arguments]


def rows(run: Path) -> list[dict[str, Any]]:
    """Rows of metrics without what depends on the clock."""
    read = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in row.items() if name not in ("samples_per_s", "waiting")} for row in read]


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Path:
    """A small run without data and without interruption."""
    run = tmp_path_factory.mktemp("runs") / "whole"
    done = subprocess.run(command("-o", str(run), *SMALL), cwd=repository, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    assert "finished at step 16" in done.stderr
    assert done.stdout == ""
    return run


def test_a_run_without_data_leaves_weights_that_load(whole_run: Path) -> None:
    from model.pretrained import load_network

    assert [row["step"] for row in rows(whole_run) if "loss" in row] == list(range(1, 17))
    assert [row["step"] for row in rows(whole_run) if "val_psnr_t" in row] == [4, 8, 12, 16]
    pretrained = load_network(whole_run / "last.safetensors", nexps=2)
    assert pretrained.name == "whole"
    assert (pretrained.network.config.design, pretrained.network.config.output) == ("lite", "guided")
    assert json.loads(pretrained.record["training"])["seed"] == 3


def test_a_killed_run_resumes_to_the_same_losses_and_weights(whole_run: Path, tmp_path: Path, repository: Path) -> None:
    run = tmp_path / "killed"
    log = tmp_path / "log"
    with log.open("w") as stderr:
        process = subprocess.Popen(command("-o", str(run), *SMALL), cwd=repository, stderr=stderr)
    deadline = time.monotonic() + 120
    while not ((run / "metrics.jsonl").exists() and len(rows(run)) >= 2):
        assert process.poll() is None and time.monotonic() < deadline, log.read_text()
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert rows(run)[-1]["step"] < 16

    done = subprocess.run(command("--resume", str(run)), cwd=repository, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    assert rows(run) == rows(whole_run)
    for name in ("last.safetensors", "best.safetensors"):
        assert_same_tensors(run / name, whole_run / name)


def assert_same_tensors(first: Path, second: Path) -> None:
    with safe_open(str(first), "pt") as a, safe_open(str(second), "pt") as b:
        assert list(a.keys()) == list(b.keys())
        assert all((a.get_tensor(name) == b.get_tensor(name)).all() for name in a.keys())  # noqa: SIM118


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["train", *arguments])


def test_initial_weights_are_fine_tuned(whole_run: Path, tmp_path: Path) -> None:
    result = invoke("-o", str(tmp_path / "run"), "--init", str(whole_run / "last.safetensors"), *SMALL, "--steps=1")
    assert result.exit_code == 0, result.output
    assert [row["step"] for row in rows(tmp_path / "run")] == [1, 1]


@pytest.mark.parametrize("arguments", [["--size=base"], ["--nexps=3"], ["--loss=paper"]], ids=str)
def test_other_sizes_exposures_and_losses_take_a_step(arguments: list[str], tmp_path: Path) -> None:
    result = invoke("-o", str(tmp_path / "run"), *SMALL, "--steps=1", "--workers=0", *arguments)
    assert result.exit_code == 0, result.output
    assert rows(tmp_path / "run")[0]["loss"] < 1


def test_a_finished_run_is_not_overwritten(whole_run: Path) -> None:
    before = rows(whole_run)
    result = invoke("-o", str(whole_run), *SMALL)
    assert result.exit_code == 1
    assert "holds a run already: continue it with --resume" in result.output
    assert rows(whole_run) == before


def test_a_finished_run_can_be_made_longer(whole_run: Path, tmp_path: Path) -> None:
    run = shutil.copytree(whole_run, tmp_path / "longer")
    result = invoke("--resume", str(run), "--steps=18")
    assert result.exit_code == 0, result.output
    assert [row["step"] for row in rows(run) if "loss" in row] == list(range(1, 19))
    assert json.loads((run / "config.json").read_text())["steps"] == 18


def test_a_run_without_a_name_is_called_after_its_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "guided_3e").mkdir(parents=True)
    small = [option for option in SMALL if not option.startswith(("--nexps", "--steps"))]
    result = invoke("--nexps", "3", "--steps=1", *small)
    assert result.exit_code == 0, result.output
    assert "finished at step 1: runs/guided_3e-2" in result.output
    assert (tmp_path / "runs" / "guided_3e-2" / "last.safetensors").exists()


def test_processes_of_torchrun_must_be_told_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    result = invoke("--nexps=3", "--steps=1")
    assert (result.exit_code, "pass -o FOLDER" in result.output) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["-o", "a", "--resume", "b"], 2, "pass either -o FOLDER"),
        (["-o", "run", "--steps", "0"], 2, "--steps"),
        (["-o", "run", "--nexps", "4"], 2, "--nexps"),
        (["-o", "run", "--loss", "vgg"], 2, "--loss"),
        (["-o", "run", "--device", "gpu"], 2, "no device"),
        (["-o", "run", "--data", "nowhere"], 1, "nowhere is not a folder"),
        (["-o", "run", "--init", "none.safetensors"], 1, "none.safetensors"),
        (["--resume", "nowhere"], 1, "there is no checkpoint nowhere/last.pt"),
    ],
)
def test_what_a_user_gets_wrong_is_one_line(
    arguments: list[str], code: int, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = invoke(*arguments)
    assert result.exit_code == code
    assert message in result.output
    assert "Traceback" not in result.output
    assert not (tmp_path / "run").exists()


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    result = invoke("-o", str(tmp_path / "file" / "run"), *SMALL)
    assert result.exit_code == 1
    assert "cannot be made" in result.output


def test_a_resumed_run_refuses_to_change_its_numbers(whole_run: Path) -> None:
    result = invoke("--resume", str(whole_run), "--lr", "0.5")
    assert result.exit_code == 1
    assert "a resumed run keeps its lr (0.0008, not 0.5)" in result.output
