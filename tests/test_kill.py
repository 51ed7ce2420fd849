"""A conversion that is killed goes on where it was, and ends as one that was left alone."""

import random
from pathlib import Path

import pytest
from support.killing import CASES, Case, Killer

pytestmark = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds the processes by /proc")


@pytest.mark.parametrize("case", [case for case in CASES if case.output != "av1.mkv"], ids=str)
def test_a_killed_run_is_resumed(tmp_path: Path, case: Case) -> None:
    killer = Killer(tmp_path, count=60)
    seconds = killer.leave_alone(case)
    outcome = killer.kill(case, random.Random(f"a killed run, {case}"), seconds=seconds)
    assert outcome.equal, outcome
