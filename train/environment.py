"""Where a run takes place: versions, commit and device, and nothing that gives away the machine's name or user.

Light to import, for the command line asks it for the version.
"""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


# Values that JSON can hold.
Environment = dict[str, Any]

GIT_SECONDS = 10.0


def lanhdr_version() -> str:
    """Version of the installed package; `unknown` in a checkout that is not installed."""
    import importlib.metadata  # slow to import, seldom needed

    try:
        return importlib.metadata.version("lanhdr")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def describe_environment(device: "torch.device", threads: int) -> Environment:
    """Tell what computes here.

    Args:
        device: Where the network computes.
        threads: Threads of its arithmetic on a CPU.

    Returns:
        Values that JSON can hold; `commit` and `modified` are None outside of a checkout.
    """
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
    """Name of what computes."""
    import torch

    return torch.cuda.get_device_name(device) if device.type == "cuda" else processor_name()


def checkout_state(root: Path) -> tuple[str | None, bool | None]:
    """Ask git which commit is checked out.

    Args:
        root: Folder that holds the packages.

    Returns:
        The commit, and whether tracked files differ from it; None for both if `root` is not the top of a checkout, or
        there is no git to ask.
    """
    if not (root / ".git").exists():
        return None, None
    commit = _git(root, "rev-parse", "HEAD")
    changes = _git(root, "status", "--porcelain", "--untracked-files=no")
    return (commit, bool(changes)) if commit is not None and changes is not None else (None, None)


def processor_name() -> str:
    """Name of the processor, as far as the system tells it."""
    import platform

    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _git(root: Path, *arguments: str) -> str | None:
    # Variables such as GIT_DIR, set while git runs a hook, would point elsewhere.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    command = ["git", "-C", str(root), *arguments]
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=GIT_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


PROCESSES = Path("/proc")


def peak_memory() -> int | None:
    """Largest part of the machine's memory that this process has had at once, in bytes; None if it is not told."""
    return process_bytes("self/status", "VmHWM") or _peak_by_rusage()


def process_bytes(file: str, name: str) -> int | None:
    """Read a size of Linux's files of processes, `NAME:   123 kB`; None if it is not told.

    Args:
        file: Below /proc, e.g. `self/status`.
        name: The size.
    """
    try:
        match = re.search(rf"^{name}:\s+(\d+) kB$", (PROCESSES / file).read_text(encoding="utf-8"), re.MULTILINE)
    except OSError:
        return None
    return 1024 * int(match[1]) if match else None


def _peak_by_rusage() -> int | None:
    try:
        import resource
    except ModuleNotFoundError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
