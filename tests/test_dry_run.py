"""A plan of a run: counts as told, time and memory as the run then takes, and nothing on the disk."""

import re
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner
from support.tiny_training import TinySource, new_run, tiny_config, tiny_trainer

from lanhdr_cli.main import cli
from lanhdr_cli.training import hours, plan_lines
from train.checkpoint import RunFolder
from train.data.folder import Sources
from train.dry_run import Plan, count_sources, make_plan
from train.environment import peak_memory

SMALL = ("--nexps=2", "--size=lite", "--batch=2", "--patch=64", "--workers=1", "--threads=1", "--validation-samples=1")
FINISHING = """
import sys
from lanhdr_cli.main import cli
from train.environment import peak_memory
cli(sys.argv[1:], standalone_mode=False)
print(peak_memory())
"""


class SlowSource(TinySource):
    """Samples that take a twentieth of a second."""

    def sample(self, step: int, index: int) -> Any:
        time.sleep(0.05)
        return super().sample(step, index)


def lines_of(output: str) -> dict[str, str]:
    found = re.findall(r"^(\w+(?: out)?) +(.*)$", output, re.MULTILINE)
    return {name: value for name, value in found}


def test_a_plan_measures_time_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]  # a busy machine does not change it

    class TimedSource(TinySource):
        def sample(self, step: int, index: int) -> Any:
            clock[0] += 0.05
            return super().sample(step, index)

    monkeypatch.setattr("train.dry_run.TIMED_S", 0.3)
    monkeypatch.setattr("train.dry_run.time", SimpleNamespace(monotonic=lambda: clock[0]))
    config = tiny_config(steps=1000, batch=2, validate_every=100, validation_samples=30)
    plan = make_plan(tiny_trainer(tmp_path / "run", config, source=TimedSource()), tmp_path / "run")
    assert plan.step_s == pytest.approx(0.1)  # two samples of 0.05 s
    # Ten validations of 30 samples: a third of 15 steps' work each.
    assert plan.left_s == pytest.approx((1000 + 10 * 30 / 2 / 3) * plan.step_s)
    assert plan.parameters == 15 * 8 * 9 + 8 + 8 * 3 * 9 + 3
    assert plan.sources == {}
    assert not list(tmp_path.iterdir())


def test_prefetched_samples_do_not_pass_for_speed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # So many that batches which a worker prepared while a busy machine held this process up are few of them.
    monkeypatch.setattr("train.dry_run.TIMED_STEPS", 40)
    trainer = tiny_trainer(tmp_path, tiny_config(steps=1000, batch=2, workers=1), source=SlowSource())
    assert make_plan(trainer, tmp_path).step_s > 0.09


def test_the_shortest_run_has_a_plan(tmp_path: Path) -> None:
    trainer = tiny_trainer(tmp_path, tiny_config(steps=1, workers=1))
    plan = make_plan(trainer, tmp_path)
    assert 0 < plan.left_s < 60


def test_a_plan_of_a_run_that_goes_on_counts_what_is_left(tmp_path: Path) -> None:
    from train.checkpoint import Checkpoint

    new_run(tmp_path, tiny_config(steps=6)).run(lambda _row: None)
    trainer = tiny_trainer(tmp_path, tiny_config(steps=10, validate_every=3))
    trainer.restore(Checkpoint.load(RunFolder(tmp_path).checkpoint))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    plan = make_plan(trainer, tmp_path)
    assert plan.first_step == 6
    told = lines_of("\n".join(plan_lines(plan, trainer.config, path=tmp_path)))
    assert told["steps"] == "4, going on after step 6: 8 samples, 16 windows"
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_what_is_found_is_counted_by_kind() -> None:
    class Holder:
        sources = Sources(panoramas=("a", "b"), videos=("c",))  # type: ignore[arg-type]

    assert count_sources(Holder()) == {"panoramas": 2, "videos": 1}
    assert count_sources(TinySource()) == {}


def test_peak_memory_grows_by_what_is_taken() -> None:
    before = peak_memory()
    taken = bytearray(b"1") * (before or 0)
    after = peak_memory()
    assert before is not None and after is not None
    assert after - before > 0.5 * len(taken)


def test_durations_in_words() -> None:
    assert [hours(seconds) for seconds in (0, 89, 3600, 360_000)] == ["0:00", "0:01", "1:00", "100:00"]


@pytest.mark.skipif(sys.platform != "linux", reason="peak memory of one process is told by Linux alone")
def test_a_dry_run_tells_the_memory_that_the_run_takes(tmp_path: Path, repository: Path) -> None:
    run = str(tmp_path / "run")
    peaks = []
    for arguments in ((*SMALL, "--steps=12", "--dry-run"), (*SMALL, "--steps=12")):
        command = [sys.executable, "-c", FINISHING, "train", "-o", run, *arguments]
        done = subprocess.run(command, cwd=repository, capture_output=True, text=True, timeout=200)
        assert done.returncode == 0, done.stderr
        peaks.append(done.stdout)
        if "--dry-run" in arguments:
            assert not list(tmp_path.iterdir())
    told = lines_of(peaks[0])
    assert told["steps"] == "12: 24 samples, 48 windows"
    assert told["batch"] == "2 samples of two windows of 64x64 pixels"
    assert told["network"].startswith("lite, guided, 2 exposures, windows of 5 frames, ")
    assert "procedural scenes" in told["data"]
    planned = float(told["memory"].split()[0]) * 2**30
    assert planned == pytest.approx(int(peaks[1].splitlines()[-1]), rel=0.3)


def test_a_dry_run_refuses_a_folder_that_holds_a_run(tmp_path: Path) -> None:
    new_run(tmp_path / "run", tiny_config()).run(lambda _row: None)
    result = CliRunner().invoke(cli, ["train", "-o", str(tmp_path / "run"), *SMALL, "--dry-run"])
    assert result.exit_code == 1
    assert "holds a run already" in result.output


def test_memory_in_words_where_nothing_is_told(tmp_path: Path) -> None:
    config = tiny_config()
    plan = Plan(
        network=config.network_config(),
        parameters=10,
        device="x",
        first_step=0,
        sources={"videos": 3},
        step_s=1.0,
        left_s=60.0,
        memory=None,
        device_memory=None,
        disk=2**20,
        disk_free=2**30,
    )
    told = lines_of("\n".join(plan_lines(plan, config, path=tmp_path)))
    assert told["memory"] == "not reported by this system"
    assert told["disk"] == f"{tmp_path}: about 1 MiB and pictures, 1.0 GiB are free"
