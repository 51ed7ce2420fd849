"""How much memory processes have, as the system tells it."""

import re
import sys
from pathlib import Path

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
