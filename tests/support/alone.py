"""Programs that run in a process of their own, apart from what this one has loaded and started."""

import os
import subprocess
import sys
from pathlib import Path


def run_alone(program: str, repository: Path, *, cwd: Path | None = None) -> "subprocess.CompletedProcess[str]":
    """Run a program that imports from the repository and its tests."""
    paths = os.pathsep.join(str(path) for path in (repository, repository / "tests"))
    return subprocess.run(
        [sys.executable, "-c", program], cwd=cwd, env=os.environ | {"PYTHONPATH": paths}, capture_output=True,
        text=True, timeout=150,
    )  # fmt: skip
