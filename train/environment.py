"""The environment of a run: versions, commit, device and memory, without the names of host and user.

Light to import, since the command line asks for the version.
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

Environment = dict[str, Any]  # values that JSON can hold
GIT_TIMEOUT_S = 10.0


def lanhdr_version() -> str:
    """Return the version of the installed package; `unknown` in a checkout that is not installed."""
    import importlib.metadata  # slow to import, seldom needed

    try:
        return importlib.metadata.version("lanhdr")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def describe_environment(device: "torch.device", threads: int) -> Environment:
    """Describe software and hardware; `commit` and `modified` are None outside of a checkout."""
    import platform

    import cv2
    import numpy as np
    import torch

    commit, modified = checkout_state(Path(__file__).parent.parent)
    return {
        "lanhdr": lanhdr_version(),
        "commit": commit,
        "modified": modified,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "opencv": cv2.__version__,
        "system": f"{platform.system()} {platform.machine()}",
        "device": device_name(device),
        "cores": os.cpu_count(),
        "threads": threads,
    }


def device_name(device: "torch.device") -> str:
    """Return the name of a GPU, or of the processor as far as the system tells it."""
    import platform

    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def checkout_state(root: Path) -> tuple[str | None, bool | None]:
    """Ask git for the commit, and whether tracked files differ from it; None for both if `root` is not a checkout."""
    if not (root / ".git").exists():
        return None, None
    # Variables such as GIT_DIR, set while git runs a hook, would point elsewhere.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    command = ["git", "-C", str(root), "status", "--porcelain=v2", "--branch", "--untracked-files=no"]
    try:
        result = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=GIT_TIMEOUT_S, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None, None
    headers = [line for line in result.stdout.splitlines() if line.startswith("#")]
    commit = next((line.split()[-1] for line in headers if line.startswith("# branch.oid ")), "(initial)")
    return (None, None) if commit == "(initial)" else (commit, len(result.stdout.splitlines()) > len(headers))


def command_line(arguments: Sequence[str]) -> str:
    """Write a command as it was typed, with the names of files and folders in place of their paths."""
    import shlex

    words = []
    for word in arguments[1:]:
        option, equals, value = word.partition("=") if word.startswith("-") else ("", "", word)
        words.append(f"{option}{equals}{Path(value).name}" if os.sep in value else word)
    return shlex.join(["lanhdr", *words])


def peak_memory() -> int | None:
    """Return the largest resident size of this process so far, in bytes; None where the system does not tell."""
    try:
        import resource
    except ModuleNotFoundError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
