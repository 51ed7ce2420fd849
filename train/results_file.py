"""Results as files: JSON, which can be read again, and CSV for other programs."""

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from train.errors import DatasetError, RecipeError
from train.measures import MEASURES
from train.report import write_text
from train.results import Results
from train.tables import read_table


def write_results(path: Path, results: Results) -> None:
    """Write all of it as JSON; values that are not finite become Infinity and NaN, as Python's module has it.

    Raises:
        DatasetError: If the file cannot be written.
    """
    write_text(path, json.dumps(asdict(results), indent=1) + "\n")


def read_results(path: Path) -> Results:
    """Read what `write_results` wrote.

    Raises:
        DatasetError: If the file is missing, damaged, or something else.
    """
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(table, dict):
            raise RecipeError(f"{path} holds no table")
        return read_table(Results, table, place=str(path))
    except OSError as error:
        raise DatasetError(f"{path} cannot be read ({error.strerror}): pass results of an earlier run") from error
    except (ValueError, RecipeError) as error:
        raise DatasetError(f"{path} holds no results ({error}): pass a file that --json wrote") from error


def write_csv(path: Path, results: Results) -> None:
    """Write a row per frame, method and protocol; what is not defined is left empty.

    Raises:
        DatasetError: If the file cannot be written.
    """
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(_rows(results))
    write_text(path, text.getvalue())


def _rows(results: Results) -> Iterator[list[object]]:
    keys = [measure.key for measure in MEASURES]
    yield ["benchmark", "scene", "frame", "label", "role", "method", "protocol", *keys]
    for score in results.scores:
        place = [results.benchmark, score.scene, score.frame, score.label, score.role, score.method, score.protocol]
        yield [*place, *(score.values.get(key, "") for key in keys)]
