"""A conversion that is killed goes on where it was, and ends as one that was left alone."""

import random
from pathlib import Path

import pytest
from support.killing import CASES, Case, Killer

pytestmark = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds the processes by /proc")


# The others take as long again; `support/killing.py`, as a program, kills all of them, many times.
QUICK = [case for case in CASES if str(case) in ("exr/ by 1", "hdr10.mp4 by 2")]


@pytest.mark.parametrize("case", QUICK, ids=str)
def test_a_killed_run_is_resumed(tmp_path: Path, case: Case) -> None:
    killer = Killer(tmp_path, count=60)
    seconds = killer.leave_alone(case)
    outcome = killer.kill(case, random.Random(f"a killed run, {case}"), seconds=seconds)
    assert outcome.equal, outcome
