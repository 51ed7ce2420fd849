"""A short run of the fuzzer, always with the same seed, and what it would find."""

import re
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from tools.fuzz.cases import Case
from tools.fuzz.mutations import BY_KIND, damaged
from tools.fuzz.seeds import SLASH, Seed

PROGRAM = """
import sys, time
from pathlib import Path
from tools.fuzz import cases
import lanhdr_cli.main
cases.LONGEST_S, cases.MOST_MEMORY = 5, 200 << 20
for number, body in enumerate(sys.argv[2:]):
    lanhdr_cli.main.cli = lambda arguments, prog_name, body=body: exec(body)
    folder = Path(sys.argv[1], str(number))
    folder.mkdir()
    print(cases.run_case(("convert", "-o", "out/"), folder, frames=8).finding)
"""
GOING_WRONG = {
    "raise KeyError('a bug')": "traceback",
    "sys.exit(9)": "traceback",
    "sys.exit(1)": "traceback",  # without a word
    "import os; os.abort()": "crash",
    "time.sleep(30)": "hang",
    "print(len(bytes(b'x' * (300 << 20))))": "memory",
    "raise MemoryError": "memory",
    "sys.exit(0)": "silent",  # no frames
    "print('Warning: the file is cut off', file=sys.stderr); sys.exit(0)": "",
    "print('Error: cut off', file=sys.stderr); sys.exit(1)": "",
}


def test_damaged_inputs_lead_to_no_traceback_crash_hang_or_silence(repository: Path) -> None:
    command = [sys.executable, "-m", "tools.fuzz", "--inputs", "64", "--seconds", "12", "--seed", "13"]
    run = subprocess.run(command, cwd=repository, capture_output=True, text=True, timeout=120, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    inputs = re.search(r"^all +(\d+)", run.stdout, re.MULTILINE)
    assert inputs is not None
    assert int(inputs[1]) >= 2, run.stdout  # on a machine that is busy; else all of them


def test_runs_that_go_wrong_are_found(tmp_path: Path, repository: Path) -> None:
    command = [sys.executable, "-c", PROGRAM, str(tmp_path), *GOING_WRONG]
    run = subprocess.run(command, cwd=repository, capture_output=True, text=True, timeout=120, check=False)
    assert dict(zip(GOING_WRONG, run.stdout.splitlines(), strict=True)) == GOING_WRONG, run.stderr


def test_a_case_is_made_again_from_its_numbers(tmp_path: Path) -> None:
    files = {"a.txt": b"1 2 3\n" * 20}
    seed = Seed(name="a", kind="text", files=files, damaged=("a.txt",), commands=(("inspect", SLASH + "a.txt"),))
    made = []
    for folder in (tmp_path / "first", tmp_path / "second"):
        folder.mkdir()
        arguments, how = Case(seed=seed, number=7, random_seed=3).prepare(folder, [seed])
        assert arguments == ("inspect", f"{folder}/a.txt")
        made.append((how, (folder / "a.txt").read_bytes()))
    assert made[0] == made[1]
    assert made[0][1] != files["a.txt"]


@pytest.mark.parametrize("kind", BY_KIND)
@pytest.mark.parametrize("data", [b"", b"x", b'{"a": [1, 2.5, null]}\n', bytes(range(256)) * 8])
def test_anything_can_be_damaged(kind: str, data: bytes) -> None:
    for number in range(20):
        changed, how = damaged(data, kind, Random(number), b"another file")
        assert isinstance(changed, bytes)
        assert how
