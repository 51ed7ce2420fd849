"""Command-line options of a run: what is checked around it, and what is told of it. Importing it loads no torch."""

from dataclasses import dataclass

import click
from cloup import option

from lanhdr_cli.options import BYTES, group

STANDARD_OUTPUT = "-"


@dataclass(frozen=True, kw_only=True)
class SafetyOptions:
    """What is checked around a conversion.

    Args:
        force: Whether a result that can't fit on the disk is begun all the same.
        max_memory: Bytes that the processes of a machine may take together; None for no budget.
        verify: Whether what is written is read again and compared.
    """

    force: bool = False
    max_memory: int | None = None
    verify: bool = False


@dataclass(frozen=True, kw_only=True)
class ReportOptions:
    """What is told of a run.

    Args:
        progress: Whether progress is shown.
        profile: Whether the times of the stages are printed.
        events: File that events go to, `-` for standard output; None for none.
        as_json: Whether the outcome is printed as JSON.
        quiet: Whether nothing but errors is printed.
        verbose: Whether everything is.
    """

    progress: bool = True
    profile: bool = False
    events: str | None = None
    as_json: bool = False
    quiet: bool = False
    verbose: bool = False


def _report(
    *, progress: bool, profile: bool, json_events: str | None, as_json: bool, quiet: bool, verbose: bool
) -> ReportOptions:
    if as_json and json_events == STANDARD_OUTPUT:
        raise click.UsageError("--json and --json-events - both print to standard output: name a file for the events")
    return ReportOptions(
        progress=progress and not quiet,
        profile=profile,
        events=json_events,
        as_json=as_json,
        quiet=quiet,
        verbose=verbose,
    )


safety_options = group(
    "Safety",
    "safety",
    option("--force", is_flag=True, help="Begin even if the result can't fit on the disk."),
    option(
        "--max-memory",
        type=BYTES,
        help="Memory to keep within, e.g. 8G: frames are computed in tiles if whole ones need more (on a CPU).",
    ),
    option("--verify", is_flag=True, help="Read what was written again, and compare it."),
    build=SafetyOptions,
)
report_options = group(
    "Reports",
    "report",
    option("--progress/--no-progress", default=True, help="Report progress.  [default: progress]"),
    option("--profile", is_flag=True, help="Print where the time went, and which stage waited for which."),
    option("--json-events", metavar="FILE|-", help="Tell events while running, a JSON object per line."),
    option("--json", "as_json", is_flag=True, help="Print the result as JSON."),
    option("-q", "--quiet", is_flag=True, help="Print errors only."),
    option("-v", "--verbose", is_flag=True, help="Print what is used."),
    build=_report,
)
