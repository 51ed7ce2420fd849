"""A run's folder: whose it is, what is forgotten, and what is left of one that was written half."""

import dataclasses
import json
from pathlib import Path

import pytest
from support.tiny_training import new_run, tiny_config

from train.checkpoint import Checkpoint, RunFolder
from train.errors import TrainError


@pytest.fixture
def finished(tmp_path: Path) -> RunFolder:
    new_run(tmp_path / "run", tiny_config()).run(lambda _row: None)
    return RunFolder(tmp_path / "run")


def test_sessions_are_kept_in_order_and_a_new_run_begins_anew(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.create(tiny_config())
    folder.add_session({"torch": "2"}, 0)
    folder.add_session({"torch": "3"}, 40)
    assert folder.sessions() == [{"from_step": 0, "torch": "2"}, {"from_step": 40, "torch": "3"}]
    folder.create(tiny_config())
    assert folder.sessions() == []


@pytest.mark.parametrize("content", ['[{"from_st', '{"from_step": 0}', "[1]", "\0\0"])
def test_damaged_sessions_are_begun_anew(tmp_path: Path, content: str) -> None:
    folder = RunFolder(tmp_path)
    folder.environment.write_text(content)
    folder.add_session({"torch": "2"}, 8)
    assert folder.sessions() == [{"from_step": 8, "torch": "2"}]


def test_weights_without_a_checkpoint_are_not_overwritten(finished: RunFolder) -> None:
    finished.checkpoint.unlink()
    with pytest.raises(TrainError, match=r"run holds weights already \(best\.safetensors\): choose another folder"):
        finished.create(tiny_config())


def test_a_folder_that_died_before_its_first_checkpoint_is_taken_again(tmp_path: Path) -> None:
    RunFolder(tmp_path).create(tiny_config())
    (tmp_path / "metrics.jsonl").write_text('{"step": 2}\n')
    RunFolder(tmp_path).create(tiny_config(seed=5))
    assert RunFolder(tmp_path).rows() == []
    assert json.loads((tmp_path / "config.json").read_text())["seed"] == 5


@pytest.mark.parametrize("line", ["\0\0\0", '{"loss": 1}', "[3]", "7", '{"step": "x"}'])
def test_a_damaged_row_is_named(finished: RunFolder, line: str) -> None:
    rows = finished.metrics.read_text().splitlines()
    finished.metrics.write_text("\n".join([rows[0], line, *rows[1:]]) + "\n")
    state = Checkpoint.load(finished.checkpoint)
    with pytest.raises(TrainError, match=r"metrics\.jsonl, line 2 is no row of metrics: remove it, then try again"):
        finished.reopen(tiny_config(), state)


def test_a_refusal_while_reopening_keeps_all_rows(finished: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    before = finished.metrics.read_bytes()
    state = dataclasses.replace(Checkpoint.load(finished.checkpoint), step=2)

    def refuse(_path: Path, _content: bytes) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_bytes", refuse)
        with pytest.raises(TrainError, match=r"metrics\.jsonl cannot be written .*No space left"):
            finished.reopen(tiny_config(), state)
    assert finished.metrics.read_bytes() == before
