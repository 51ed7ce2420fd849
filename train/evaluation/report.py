"""The reports of an evaluation: tables on the terminal and as Markdown, and pictures."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from train.evaluation.metrics import BY_KEY
from train.evaluation.results import Results, write_text
from train.evaluation.tables import Sheet, mean_sheet, measures_of, protocols_of, published_sheet, scene_sheet


def sheets(results: Results, *, per_scene: Sequence[str] = ("psnr_t",)) -> list[Sheet]:
    """Lay out some measures scene by scene, by their keys, the means of all, and published figures."""
    laid_out = []
    measured = measures_of(results)
    for protocol in protocols_of(results):
        measures = [BY_KEY[key] for key in per_scene if BY_KEY[key] in measured]
        laid_out += [scene_sheet(results, measure, protocol=protocol) for measure in measures]
        laid_out.append(mean_sheet(results, protocol))
    return [*laid_out, *([published_sheet(results)] if results.published else [])]


def print_sheets(shown: Sequence[Sheet], console: Console) -> None:
    """Print tables for the terminal."""
    console.print(*(sheet.console_table() for sheet in shown))


def write_report(path: Path, results: Results, shown: Sequence[Sheet]) -> None:
    """Write tables as Markdown with notes, command and environment.

    Raises:
        DatasetError: If the file cannot be written.
    """
    notes = "".join(f"- {note}\n" for note in results.notes)
    place = "".join(f"- {key}: {value}\n" for key, value in results.environment.items())
    tables = "\n".join(sheet.markdown() for sheet in shown)
    command = f"```\n{results.command}\n```\n"
    write_text(path, f"# {results.title}\n\n{notes}\n{tables}\n## How\n\n{command}\n{place}")
