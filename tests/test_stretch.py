"""Training in stretches: begun, brought home, gone on with elsewhere, on a machine that lacks much."""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from support.tiny_training import tiny_config

from model.pretrained import load_network
from tools import stretch
from tools.stretch_log import StretchLog
from train.checkpoint import Checkpoint, Row
from train.lr_schedule import Schedule, TimeBudget

# What a lent machine may lack; None in sys.modules is what is not installed.
BARE = """
import runpy, sys
sys.modules.update(dict.fromkeys(("av", "OpenEXR", "colour", "tensorboard", "scipy", "skimage", "matplotlib")))
sys.argv[0] = "stretch"
runpy.run_module("tools.stretch", run_name="__main__")
"""
SMALL = (
    "--size=lite", "--batch=1", "--patch=32", "--seed=5", "--workers=1", "--threads=1", "--validation-samples=1",
    "--device=cpu",
)  # fmt: skip
# Over before it begins: one step is taken all the same, so each call brings the run further.
ONE_STEP = ("--minutes=0.001", "--reserve=0", "--total-minutes=1")

CONFIG = tiny_config(steps=100)


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two part folders of pictures that OpenCV reads."""
    folder, rng = tmp_path_factory.mktemp("packed"), np.random.default_rng(0)
    for part in ("part1", "part2"):
        (folder / part).mkdir()
        light = rng.random((64, 128, 3), np.float32) ** 4
        cv2.imwrite(str(folder / part / "around.hdr"), cv2.GaussianBlur(light, (0, 0), 2))
        cv2.imwrite(str(folder / part / "photo.jpg"), rng.integers(0, 255, (80, 96, 3), np.uint8))
    return folder


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory, packed: Path, repository: Path) -> tuple[Path, str]:
    """A folder with `state` and `out` after a stretch of one step, and what was said."""
    folder = tmp_path_factory.mktemp("bare")
    places = (f"--state={folder / 'state'}", f"--out={folder / 'out'}", f"--data={packed}", "--part-mib=2")
    command = [sys.executable, "-c", BARE, *places, *SMALL, *ONE_STEP]
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    return folder, done.stderr


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    """Undo what a stretch sets for its whole process."""
    yield
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.benchmark = False


def call(state: Path, out: Path, *arguments: str) -> Result:
    """Run a stretch in this process, which begins now."""
    stretch.BEGAN = time.monotonic()
    return CliRunner().invoke(stretch.main, [f"--state={state}", f"--out={out}", *SMALL, *arguments])


def said(result: Result) -> str:
    """Words of a call that was refused."""
    assert result.exit_code == 1, result.output
    return " ".join(result.output.split())


def losses(state: Path) -> list[tuple[float, float]]:
    rows = [json.loads(line) for line in (state / "metrics.jsonl").read_text().splitlines()]
    return [(row["step"], row["loss"]) for row in rows if "loss" in row]


def test_a_bare_machine_trains_on_packed_data_and_leaves_all_in_small_files(bare: tuple[Path, str]) -> None:
    folder, words = bare
    out = folder / "out"
    assert "HDR panoramas: 2; LDR photos: 2" in words
    assert "held out" in words
    assert "PSNR_T" in words
    assert "to be gone on with at step 1" in words
    parts = sorted(out.glob("last.pt.part-*"))
    assert len(parts) > 1
    assert all(path.stat().st_size <= 2 * 2**20 for path in parts)
    assert sum(path.stat().st_size for path in parts) == (folder / "state" / "last.pt").stat().st_size
    weights = load_network(out / "weights.safetensors", nexps=2)
    assert (weights.name, weights.record["step"]) == ("state", "1")
    assert (out / "weights.safetensors").stat().st_size < 0.6 * (folder / "state" / "last.safetensors").stat().st_size


def test_the_state_in_parts_goes_on_like_the_whole_one(bare: tuple[Path, str], packed: Path, tmp_path: Path) -> None:
    folder, _ = bare
    for name, origin in {"whole": "state", "parts": "out"}.items():
        shutil.copytree(folder / origin, tmp_path / name / ("brought" if name == "parts" else ""))
        done = call(tmp_path / name, tmp_path / "out", f"--data={packed}", "--steps=3")
        assert done.exit_code == 0, done.output
        assert "the run is finished at step 3" in done.output
    assert [step for step, _ in losses(tmp_path / "whole")] == [3]
    assert losses(tmp_path / "whole") == losses(tmp_path / "parts")
    assert len((tmp_path / "parts" / "metrics.jsonl").read_text().splitlines()) == 3  # the stretch before is in it too
    ends = [Checkpoint.load(tmp_path / name / "last.pt").network for name in ("whole", "parts")]
    assert all(torch.equal(ends[0][key], ends[1][key]) for key in ends[0])


def test_a_damaged_part_is_one_line(bare: tuple[Path, str], tmp_path: Path) -> None:
    shutil.copytree(bare[0] / "out", tmp_path / "state")
    part = tmp_path / "state" / "last.pt.part-001"
    part.write_bytes(part.read_bytes()[:-1])
    assert "last.pt.part-001 is damaged" in said(call(tmp_path / "state", tmp_path / "out", *ONE_STEP))
    part.unlink()
    assert "parts of last.pt are not in" in said(call(tmp_path / "state", tmp_path / "out", *ONE_STEP))


def test_what_does_not_fit_stays_for_a_later_call(bare: tuple[Path, str], packed: Path, tmp_path: Path) -> None:
    shutil.copytree(bare[0] / "state", tmp_path / "state")
    arguments = ("--total-minutes=0.0001", "--part-mib=2", "--out-mib=7")
    result = call(tmp_path / "state", tmp_path / "out", f"--data={packed}", *arguments)
    assert "the run is finished at step 1" in result.output  # its time is over: no further step
    sent, made = (sorted(place.glob("last.pt.part-*")) for place in (tmp_path / "out", tmp_path / "state" / "parts"))
    assert 0 < len(sent) < len(made)
    assert sum(path.stat().st_size for path in (tmp_path / "out").iterdir()) <= 7 * 2**20
    assert f"bring the other {len(made) - len(sent)}" in result.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--patch=64",), "a resumed run keeps its patch"),
        (("--minutes=1",), "follows the clock, 0.001 minutes so far: say its length by --total-minutes"),
        (("--device=cuda:77",), "--device cuda:77: "),
        (("--device=abacus",), "--device abacus: no such device is known"),
        (("--data=nowhere",), "a resumed run keeps its data"),
    ],
)
def test_what_cannot_be_is_one_line(
    bare: tuple[Path, str], packed: Path, tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    shutil.copytree(bare[0] / "state", tmp_path / "state")
    message = said(call(tmp_path / "state", tmp_path / "out", f"--data={packed}", *arguments))
    assert words in message
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--total-minutes=5", "--steps=9"), "pass either --total-minutes or --steps"),
        (("--minutes=1", "--reserve=60"), "leaves nothing of --minutes 1"),
    ],
)
def test_wrong_usage(tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    result = call(tmp_path / "state", tmp_path / "out", *arguments)
    assert (result.exit_code, words in result.output) == (2, True)


def told(schedule: Schedule, *, began: float, now: list[float]) -> list[str]:
    """Lines of a log that hears of a step a second, and of a validation after the thirtieth."""
    lines: list[str] = []
    log = StretchLog(schedule, 4, began=began, now=lambda: now[0], say=lines.append)
    for step in range(1, 61):
        now[0] += 1.0
        row: Row = {"step": step, "loss": step, "psnr_t": 30.0, "lr": 1e-4, "waiting": 0.25}
        log(row)
        if step == 30:
            log({"step": 30, "val_psnr_t": 38.126, "val_start_psnr_t": 36.5})
    return lines


def test_a_line_every_twenty_seconds_says_what_matters() -> None:
    lines = told(Schedule(config=CONFIG), began=0.0, now=[0.0])
    assert [line.split()[0] for line in lines] == ["0:01", "0:21", "0:30", "0:41"]
    assert lines[1] == "0:21  step 21 (21%)  loss 11.5  PSNR_T 30.00 dB  lr 0.0001  4.00 samples/s (25% waiting)"
    assert lines[2] == "0:30  step 30  held out 38.13 (start 36.50) dB"
    assert "held out 38.13 (start 36.50) dB" in lines[3]


def test_by_the_clock_the_share_is_of_time() -> None:
    now = [0.0]
    schedule = Schedule(config=CONFIG, budget=TimeBudget(length_s=50, now=lambda: now[0]), total_s=100)
    assert "step 21 (21%)" in told(schedule, began=0.0, now=now)[1]
    assert schedule.progress(60) == 0.5
