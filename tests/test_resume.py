"""A resumed run is the run that was never stopped; a file of its state is whole or the old one."""

import dataclasses
import os
import pickle
from pathlib import Path

import pytest
import torch
from support.tiny_training import new_run, tiny_config, tiny_trainer

from train.checkpoint import Checkpoint, Row, RunFolder, write_atomically
from train.config import TrainConfig
from train.errors import TrainError


def run_to(path: Path, config: TrainConfig, *, stop: int) -> list[Row]:
    """Start or go on with a run, and raise out of it after `stop` steps as if the process had died."""
    folder = RunFolder(path)
    if folder.checkpoint.exists():
        trainer = tiny_trainer(path, config)
        state = Checkpoint.load(folder.checkpoint)
        trainer.restore(state)
        folder.reopen(config, state)
    else:
        trainer = new_run(path, config)
    heard: list[Row] = []

    def listen(row: Row) -> None:
        heard.append(row)
        if row["step"] == stop and "loss" in row:
            raise _DiedError

    try:
        trainer.run(listen)
    except _DiedError:
        assert stop < config.steps
    return [row for row in heard if "loss" in row]


class _DiedError(Exception):
    pass


def without_speed(rows: list[Row]) -> list[Row]:
    return [{name: value for name, value in row.items() if name not in ("samples_per_s", "waiting")} for row in rows]


@pytest.mark.parametrize("workers", [0, 1])
def test_resumed_run_equals_the_uninterrupted_one_exactly(tmp_path: Path, workers: int) -> None:
    config = tiny_config(steps=11, log_every=4, validate_every=5, workers=workers, checkpoint_minutes=1e-9)
    whole = run_to(tmp_path / "whole", config, stop=99)
    run_to(tmp_path / "parts", config, stop=4)  # dies before the checkpoint of step 4: step 4 is done again
    run_to(tmp_path / "parts", config, stop=7)
    last = run_to(tmp_path / "parts", config, stop=99)
    assert without_speed(last) == without_speed(whole[6:])
    assert without_speed(RunFolder(tmp_path / "parts").rows()) == without_speed(RunFolder(tmp_path / "whole").rows())
    assert_same_state(tmp_path / "whole", tmp_path / "parts")


def assert_same_state(first: Path, second: Path) -> None:
    a, b = (Checkpoint.load(path / "last.pt") for path in (first, second))
    for name in ("network", "average"):
        states = getattr(a, name), getattr(b, name)
        assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    moments = a.optimizer["state"], b.optimizer["state"]
    assert all(torch.equal(moments[0][key]["exp_avg_sq"], moments[1][key]["exp_avg_sq"]) for key in moments[0])
    assert (a.step, a.best) == (b.step, b.best)


def test_a_longer_schedule_goes_on_where_the_run_ended(tmp_path: Path) -> None:
    run_to(tmp_path / "run", tiny_config(steps=4), stop=99)
    longer = run_to(tmp_path / "run", tiny_config(steps=8), stop=99)
    assert [row["step"] for row in longer] == [5, 6, 7, 8]
    assert longer[0]["lr"] > longer[-1]["lr"] > 0
    assert [row["step"] for row in RunFolder(tmp_path / "run").rows() if "loss" in row] == [2, 4, 6, 8]


def test_reopening_forgets_rows_after_the_checkpoint_and_half_written_ones(tmp_path: Path) -> None:
    run_to(tmp_path / "run", tiny_config(), stop=99)
    folder = RunFolder(tmp_path / "run")
    state = dataclasses.replace(Checkpoint.load(folder.checkpoint), step=4)
    with folder.metrics.open("a") as file:
        file.write('{"step": 7, "lo')
    folder.reopen(tiny_config(), state)
    assert [row["step"] for row in folder.rows()] == [2, 3, 4]


def test_a_folder_with_a_run_is_not_taken_again(tmp_path: Path) -> None:
    run_to(tmp_path / "run", tiny_config(), stop=99)
    before = (tmp_path / "run" / "metrics.jsonl").read_text()
    with pytest.raises(TrainError, match="holds a run already: continue it with --resume"):
        new_run(tmp_path / "run", tiny_config())
    assert (tmp_path / "run" / "metrics.jsonl").read_text() == before


def test_a_failed_save_leaves_the_old_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_to(tmp_path / "run", tiny_config(), stop=99)
    path = tmp_path / "run" / "last.pt"
    before = path.read_bytes()

    def fill_disk(_values: object, partial: Path) -> None:
        partial.write_bytes(b"half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", fill_disk)
    with pytest.raises(TrainError, match=r"last\.pt cannot be written .*No space left"):
        Checkpoint.load(path).save(path)
    assert path.read_bytes() == before
    assert not list(path.parent.glob(".*"))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_is_one_line_that_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(TrainError, match=r"last\.pt cannot be written"):
        write_atomically(tmp_path / "last.pt", lambda _partial: torch.save({}, "/dev/full"))
    assert not list(tmp_path.iterdir())


def test_a_missing_checkpoint_says_what_to_pass(tmp_path: Path) -> None:
    with pytest.raises(TrainError, match=r"there is no checkpoint .*pass the folder of a run"):
        Checkpoint.load(tmp_path / "last.pt")


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04 cut off"])
def test_a_damaged_checkpoint_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "last.pt").write_bytes(content)
    with pytest.raises(TrainError, match="damaged or foreign"):
        Checkpoint.load(tmp_path / "last.pt")


class _Bomb:
    def __init__(self, target: Path) -> None:
        self._target = target

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self._target),)


def test_a_malicious_checkpoint_runs_nothing(tmp_path: Path) -> None:
    path, target = tmp_path / "last.pt", tmp_path / "ran"
    torch.save(_Bomb(target), path)
    with pytest.raises(TrainError, match="damaged or foreign"):
        Checkpoint.load(path)
    path.write_bytes(pickle.dumps(_Bomb(target)))
    with pytest.raises(TrainError, match="damaged or foreign"):
        Checkpoint.load(path)
    assert not target.exists()


def test_a_foreign_dictionary_is_refused(tmp_path: Path) -> None:
    torch.save({"weights": torch.zeros(2)}, tmp_path / "last.pt")
    with pytest.raises(TrainError, match="not a checkpoint of this version"):
        Checkpoint.load(tmp_path / "last.pt")
