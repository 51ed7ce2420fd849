"""What an evaluation leaves: tables on the terminal and as Markdown, pictures, and all of it in a folder."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from train.errors import DatasetError
from train.evaluation.evaluate import example_sheet
from train.evaluation.metrics import BY_KEY
from train.evaluation.results import Example, Results, write_text
from train.evaluation.tables import Sheet, mean_sheet, protocols_of, published_sheet, scene_sheet
from train.montage import encode_png


def sheets(results: Results, *, per_scene: Sequence[str] = ("psnr_t",)) -> list[Sheet]:
    """Lay out what was found: some measures scene by scene, the means of all, and what others published.

    Args:
        results: What was found.
        per_scene: Keys of the measures to show scene by scene.
    """
    found = []
    for protocol in protocols_of(results):
        found += [scene_sheet(results, BY_KEY[key], protocol=protocol) for key in per_scene if has(results, key)]
        found.append(mean_sheet(results, protocol))
    return [*found, *([published_sheet(results)] if results.published else [])]


def has(results: Results, key: str) -> bool:
    """Tell whether any frame has a measure."""
    return any(key in score.values for score in results.scores)


def print_sheets(shown: Sequence[Sheet], console: Console) -> None:
    """Print tables for the terminal."""
    console.print(*(sheet.console_table() for sheet in shown))


def write_markdown(path: Path, shown: Sequence[Sheet]) -> None:
    """Write tables as Markdown.

    Raises:
        DatasetError: If the file cannot be written.
    """
    write_text(path, "\n".join(sheet.markdown() for sheet in shown))


def write_report(path: Path, results: Results, shown: Sequence[Sheet]) -> None:
    """Write tables as Markdown with all that must be known beside them.

    Args:
        path: The file.
        results: What was found.
        shown: The tables.

    Raises:
        DatasetError: If the file cannot be written.
    """
    notes = "".join(f"- {note}\n" for note in results.notes)
    place = "".join(f"- {key}: {value}\n" for key, value in results.environment.items())
    tables = "\n".join(sheet.markdown() for sheet in shown)
    command = f"```\n{results.command}\n```\n"
    write_text(path, f"# {results.title}\n\n{notes}\n{tables}\n## How\n\n{command}\n{place}")


def write_pictures(folder: Path, examples: Sequence[Example]) -> list[Path]:
    """Write `worst1_SCENE.png` and so on: per method a row of input, result, truth and ten times the error.

    Args:
        folder: Made if it does not exist.
        examples: Places to show.

    Returns:
        The files, in the order of the examples.

    Raises:
        DatasetError: If the folder cannot be written.
    """
    count = {"worst": 0, "best": 0}
    paths = []
    for example in examples:
        count[example.rank] += 1
        paths.append(folder / f"{example.rank}{count[example.rank]}_{example.scene}.png")
        write_png(paths[-1], example_sheet(example))
    return paths


def write_png(path: Path, pixels: NDArray[np.uint8]) -> None:
    """Write 8-bit R, G, B pixels (H, W, 3); folders are made.

    Raises:
        DatasetError: If the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode_png(pixels))
    except OSError as error:
        raise DatasetError(f"{path} cannot be written ({error.strerror}): choose another folder") from error
