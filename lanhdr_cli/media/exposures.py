"""Lists of exposures beside a clip: `Exposures.txt` in stops as the benchmarks have it, or CSV with a row per frame."""

import csv
import math
from collections.abc import Callable
from pathlib import Path

from lanhdr_cli.media.errors import MediaError
from model.cycle import FrameExposures
from model.errors import ExposureError
from model.exposure import ExposureCycle
from model.exposure_list import follow_list

LONGEST_CYCLE = 6  # numbers; a longer list is one per frame
LARGEST_FILE = 1 << 24
NAMES = ("{}.exposures.txt", "{}.exposures.csv", "Exposures.txt", "exposures.csv")
FORMS = "stops of one cycle, e.g. 0 3, or a CSV with a column exposure, stops, time, iso or f_number"
TIMES, SENSITIVITIES, APERTURES = ("time", "exposure_time", "shutter"), ("iso", "gain_iso"), ("f_number", "aperture")


def find_list(folder: Path, name: str) -> Path | None:
    """Look for a list of exposures that belongs to a clip.

    Args:
        folder: Where the clip's files are.
        name: Name of the clip without suffix.
    """
    candidates = (folder / form.format(name) for form in NAMES)
    return next((path for path in candidates if path.is_file()), None)


def read_exposures(path: Path) -> FrameExposures:
    """Read a list of exposures: stops of one cycle, stops of all frames, or CSV with a row per frame.

    Columns of CSV are told by their names: `exposure` (linear), `stops`, or how the camera was set: `time`
    (seconds, also as 1/50), `iso`, `f_number`. The first row belongs to the first frame.

    Raises:
        MediaError: If the file can't be read or understood.
    """
    try:
        with path.open(encoding="utf-8-sig") as file:
            text = file.read(LARGEST_FILE)
    except (OSError, UnicodeDecodeError) as error:
        raise MediaError(f"{path} can't be read as text ({error}): pass a list of exposures") from error
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    if not lines:
        raise MediaError(f"{path} holds no exposures: it should hold {FORMS}")
    try:
        if any(letter.isalpha() for letter in lines[0].lower().replace("e", "")):
            return follow_list(_columns(lines))
        return _stops([float(word) for line in lines for word in line.replace(",", " ").replace(";", " ").split()])
    except (ValueError, OverflowError, ZeroDivisionError) as error:
        raise MediaError(f"{path} can't be understood ({error}): it should hold {FORMS}") from error
    except ExposureError as error:
        raise MediaError(f"{path}: {error}") from error


def _stops(stops: list[float]) -> FrameExposures:
    if len(stops) <= LONGEST_CYCLE:
        return FrameExposures(ExposureCycle.from_stops(stops))
    return follow_list([2.0**stop for stop in stops])


def _columns(lines: list[str]) -> list[float]:
    rows = csv.reader(lines, delimiter=next((mark for mark in ";\t" if mark in lines[0]), ","))
    heads = [head.strip().lower().replace(" ", "_") for head in next(rows)]
    kinds = {place: _meaning(head) for place, head in enumerate(heads)}
    known = {place: meaning for place, meaning in kinds.items() if meaning}
    if not known:
        raise ValueError(f"its columns are {', '.join(heads)}")
    return [math.prod(meaning(_number(row[place])) for place, meaning in known.items()) for row in map(list, rows)]


def _meaning(head: str) -> Callable[[float], float] | None:
    """What a column's number does to the exposure."""
    if head in ("exposure", *TIMES, *SENSITIVITIES):
        return lambda value: value
    if head in APERTURES:
        return lambda value: value**-2.0
    return (lambda value: 2.0**value) if head in ("stop", "stops", "ev") else None


def _number(word: str) -> float:
    numerator, _, denominator = word.strip().partition("/")
    return float(numerator) / float(denominator or 1)
