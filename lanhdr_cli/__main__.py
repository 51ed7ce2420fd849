"""`lanhdr` and `python -m lanhdr_cli`."""

import importlib.util
import io
import os
import sys
from pathlib import Path

SIBLINGS = ("model", "train")


def foreign_siblings() -> list[str]:
    """Say which of `model` and `train` come from elsewhere; both names are common."""
    home = Path(__file__).resolve().parents[1]
    complaints = []
    for name in SIBLINGS:
        spec = importlib.util.find_spec(name)
        origin = Path(spec.origin).resolve() if spec and spec.origin else None
        if origin is None or origin.parent != home / name:
            complaints.append(
                f"Error: Python finds {name!r} at {origin}, not in {home}: install lanhdr in its own venv"
            )
    return complaints


def main() -> None:
    """Run the command line."""
    complaints = foreign_siblings()
    if complaints:
        sys.exit(complaints[0])
    from lanhdr_cli.console import keep_freed_memory, leave_on_termination
    from lanhdr_cli.main import cli

    if isinstance(sys.stdout, io.TextIOWrapper):  # names may hold letters that its encoding lacks
        sys.stdout.reconfigure(errors="backslashreplace")
    leave_on_termination()
    keep_freed_memory()
    try:
        cli(prog_name="lanhdr")
    except SystemExit as end:
        if "TORCHELASTIC_RUN_ID" in os.environ and isinstance(end.code, int):
            # Threads of gloo may outlive the interpreter and abort a process that has done all its work.
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(end.code)
        raise


if __name__ == "__main__":
    main()
