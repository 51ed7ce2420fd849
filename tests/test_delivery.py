"""A state in parts is the state again, and what is missing or damaged is said in one line."""

from pathlib import Path

import pytest
import torch
from support.tiny_training import new_run, tiny_config, tiny_trainer

from tools.delivery import Manifest, find_manifest, join_parts, manifest_name, split_file
from train.checkpoint import Checkpoint, Row, RunFolder
from train.errors import TrainError


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    """A file of 2,500 bytes."""
    path = tmp_path / "last.pt"
    path.write_bytes(bytes(number * number % 251 for number in range(2500)))
    return path


def joined(folder: Path, target: Path) -> bytes:
    manifest = find_manifest("last.pt", folder)
    assert manifest is not None
    join_parts(manifest, folder, target=target)
    return target.read_bytes()


def parts_of(whole: Path, folder: Path) -> Manifest:
    return split_file(whole, folder, part_bytes=1000)


def test_parts_are_small_and_make_the_file_again(whole: Path, tmp_path: Path) -> None:
    manifest = parts_of(whole, tmp_path / "parts")
    assert [part.size for part in manifest.parts] == [1000, 1000, 500]
    assert joined(tmp_path / "parts", tmp_path / "again") == whole.read_bytes()


def test_parts_may_come_in_several_folders(whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "parts"
    parts_of(whole, folder)
    for name in ("first", "second"):
        (folder / name).mkdir()
    (folder / "last.pt.part-001").rename(folder / "first" / "last.pt.part-001")
    (folder / manifest_name("last.pt")).rename(folder / "second" / manifest_name("last.pt"))
    (folder / "second" / "last.pt.part-001").write_bytes(b"an older one")
    assert joined(folder, tmp_path / "again") == whole.read_bytes()


def test_a_new_state_takes_the_place_of_the_old_one(whole: Path, tmp_path: Path) -> None:
    parts_of(whole, tmp_path / "parts")
    whole.write_bytes(b"shorter")
    parts_of(whole, tmp_path / "parts")
    assert [path.name for path in sorted((tmp_path / "parts").iterdir())] == ["last.pt.part-000", "last.pt.parts.json"]
    assert joined(tmp_path / "parts", tmp_path / "again") == b"shorter"


def test_missing_parts_are_named(whole: Path, tmp_path: Path) -> None:
    parts_of(whole, tmp_path / "parts")
    (tmp_path / "parts" / "last.pt.part-001").unlink()
    with pytest.raises(TrainError, match=r"1 of 3 parts of last\.pt are not in .*: last\.pt\.part-001; bring them"):
        joined(tmp_path / "parts", tmp_path / "again")
    assert not (tmp_path / "again").exists()


@pytest.mark.parametrize("content", [b"", bytes(1000)])
def test_damaged_parts_are_named(whole: Path, tmp_path: Path, content: bytes) -> None:
    parts_of(whole, tmp_path / "parts")
    (tmp_path / "parts" / "last.pt.part-001").write_bytes(content)
    with pytest.raises(TrainError, match=rf"last\.pt\.part-001 is damaged .*{len(content):,} bytes, 1,000 expected"):
        joined(tmp_path / "parts", tmp_path / "again")
    assert not (tmp_path / "again").exists()


@pytest.mark.parametrize("text", ["", "[]", '{"format": 2}', '{"format": 1, "file": "x", "size": 1, "parts": []}'])
def test_a_damaged_manifest_is_named(whole: Path, tmp_path: Path, text: str) -> None:
    parts_of(whole, tmp_path / "parts")
    (tmp_path / "parts" / manifest_name("last.pt")).write_text(text)
    with pytest.raises(TrainError, match=r"last\.pt\.parts\.json is no list of parts"):
        joined(tmp_path / "parts", tmp_path / "again")


def test_two_states_are_not_mixed(whole: Path, tmp_path: Path) -> None:
    parts_of(whole, tmp_path / "parts" / "old")
    parts_of(whole, tmp_path / "parts" / "new")
    with pytest.raises(TrainError, match="are two states: remove the older one"):
        find_manifest("last.pt", tmp_path / "parts")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(TrainError, match=r"last\.pt cannot be split"):
        split_file(tmp_path / "last.pt", tmp_path / "parts", part_bytes=1)


def test_a_run_resumed_from_parts_has_the_losses_of_the_unsplit_one(tmp_path: Path) -> None:
    config = tiny_config(steps=4)
    new_run(tmp_path / "first", config).run(lambda _row: None)
    checkpoint = RunFolder(tmp_path / "first").checkpoint
    split_file(checkpoint, tmp_path / "second", part_bytes=1000)
    join_parts(tmp_path / "second" / manifest_name("last.pt"), tmp_path / "second", target=tmp_path / "second/last.pt")
    heard: dict[str, list[Row]] = {"first": [], "second": []}
    for name, rows in heard.items():
        trainer = tiny_trainer(tmp_path / name, tiny_config(steps=8))
        trainer.restore(Checkpoint.load(tmp_path / name / "last.pt"))
        trainer.run(lambda row, rows=rows: rows.append(row) if "loss" in row else None)  # type: ignore[misc]
    losses = {name: [(row["step"], row["loss"]) for row in rows] for name, rows in heard.items()}
    assert [step for step, _ in losses["first"]] == [5, 6, 7, 8]
    assert losses["first"] == losses["second"]
    ends = [Checkpoint.load(tmp_path / name / "last.pt").network for name in heard]
    assert all(torch.equal(ends[0][key], ends[1][key]) for key in ends[0])
