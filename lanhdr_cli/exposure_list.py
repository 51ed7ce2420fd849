"""Lists of a clip's exposures: text files of stops, or CSV as capture scripts write them."""

import csv
import math
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

from lanhdr_cli.media.errors import MediaError
from model.analysis.exposure_cycle import follow_list
from model.errors import ExposureError
from model.exposure import ExposureCycle, FrameExposures

LONGEST_CYCLE = 6  # numbers; a longer list is one per frame
LARGEST_FILE = 1 << 23  # letters: half a million frames with four columns
MOST_FRAMES = 1 << 18  # three hours
LONGEST_REASON = 200  # letters; files may hold words of any length
NAMES = ("{}.exposures.txt", "{}.exposures.csv", "Exposures.txt", "exposures.csv")
FORMS = (
    "stops of one cycle, e.g. 0 3, or a CSV with columns of exposure, stops, time (also time_us, time_ms), iso, gain, "
    "gain_db or f_number"
)
# Names of columns, without marks and in small letters; cameras and capture scripts write them so.
STOPS = ("stop", "stops", "ev", "exposurestops")
TIMES = ("time", "exposuretime", "shutter", "shutterspeed", "shuttertime", "integrationtime", "exptime", "exp")
UNITS = ("", "s", "sec", "ms", "us", "ns", "seconds", "milliseconds", "microseconds")
FACTORS = (
    *("exposure", "exposurelinear", "iso", "gainiso", "isogain", "isospeed", "sensitivity"),
    *("gain", "analoggain", "analoguegain", "digitalgain", "sensorgain", "totalgain"),
    *(name + unit for name in (*TIMES, "exposure") for unit in UNITS),
)
DECIBELS = ("db", "gaindb", "analoggaindb", "analoguegaindb", "digitalgaindb")
APERTURES = ("fnumber", "aperture", "fstop", "f")
OTHERS = (
    *(
        "frame",
        "frames",
        "frameid",
        "framenumber",
        "frameindex",
        "framenr",
        "index",
        "number",
        "nr",
        "no",
        "id",
        "count",
    ),
    *("sequence", "file", "filename", "name", "path", "image", "imagename", "picture", "camera", "temperature"),
    *("timestamp", "sensortimestamp", "framedatetime", "pts", "timecode", "tc", "date", "datetime"),
)
TIME_STAMPS = 4  # rows from which on times that only rise are those of the frames

Effect = Callable[[float], float]


def find_list(folder: Path, name: str) -> Path | None:
    """Look in a clip's folder for a list of its exposures; `name` is that of the clip without suffix."""
    candidates = (folder / form.format(name) for form in NAMES)
    return next((path for path in candidates if path.is_file()), None)


def read_exposures(path: Path) -> FrameExposures:
    """Read a list of exposures: stops of one cycle, stops of all frames, or CSV with a row per frame.

    Columns of CSV are recognized by their names, in any case and with any marks between words: `exposure` (linear),
    `stops`, or how the camera was set: `time` (of any unit, also as 1/50), `iso`, `gain` (a factor, or dB if one is
    not above 0), `gain_db`, `f_number`. What they say is multiplied. Columns that number or name frames are passed
    over. The first row belongs to the first frame.

    Raises:
        MediaError: If the file can't be read or understood, or has a column that is neither.
    """
    try:
        with path.open(encoding="utf-8-sig") as file:
            text = file.read(LARGEST_FILE + 1)
    except (OSError, UnicodeDecodeError) as error:
        raise MediaError(f"{path} can't be read as text ({error}): pass a list of exposures") from error
    if len(text) > LARGEST_FILE:
        raise MediaError(f"{path} has more than {LARGEST_FILE >> 20} Mi letters: that is no list of exposures")
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    if not lines:
        raise MediaError(f"{path} holds no exposures: it should hold {FORMS}")
    if len(lines) > MOST_FRAMES:
        raise MediaError(
            f"{path} lists {len(lines)} exposures, at most {MOST_FRAMES} are read: convert the clip in parts"
        )
    try:
        if any(letter.isalpha() for letter in lines[0].lower().replace("e", "")):
            return follow_list(_columns(lines))
        stops = [float(word) for line in lines for word in line.replace(",", " ").replace(";", " ").split()]
        if len(stops) > MOST_FRAMES:
            raise ValueError(f"{len(stops)} numbers, at most {MOST_FRAMES} are read")
        if len(stops) <= LONGEST_CYCLE:
            return FrameExposures(ExposureCycle.from_stops(stops))
        return follow_list([2.0**stop for stop in stops])
    except (ValueError, OverflowError, ZeroDivisionError, IndexError, csv.Error) as error:
        raise MediaError(
            f"{path} can't be understood ({str(error)[:LONGEST_REASON]}): it should hold {FORMS}"
        ) from error
    except ExposureError as error:
        raise MediaError(f"{path}: {error}") from error


def _columns(lines: list[str]) -> list[float]:
    """Multiply the columns of a CSV that say something of the exposure, row by row."""
    table = csv.reader(lines, delimiter=next((mark for mark in ";\t" if mark in lines[0]), ","))
    titles = [title.strip() for title in next(table)]
    rows = [row for row in table if any(word.strip() for word in row)]
    effects, unknown = list[tuple[int, Effect]](), list[str]()
    for column, title in enumerate(titles):
        name = "".join(letter for letter in title.lower() if letter.isalnum())
        if name in OTHERS:
            continue
        if (effect := _effect(name)) is None:
            unknown.append(title or f"number {column + 1}")
            continue
        values = [_number(row[column]) for row in rows]
        if name in TIMES and len(values) >= TIME_STAMPS and all(later > earlier for earlier, later in pairwise(values)):
            continue  # the moments of the frames
        effects.append((column, _decibels if name == "gain" and min(values, default=1.0) <= 0 else effect))
    if unknown:
        raise ValueError(f"its column {', '.join(unknown)} is not known; leave it out or name it as it is listed here")
    if not effects:
        raise ValueError(f"its columns are {', '.join(titles)}")
    return [math.prod(effect(_number(row[column])) for column, effect in effects) for row in rows]


def _effect(name: str) -> Effect | None:
    """Choose how a column's number affects the exposure."""
    if name in FACTORS:
        return float
    if name in STOPS:
        return lambda value: 2.0**value
    if name in DECIBELS:
        return _decibels
    return (lambda value: value**-2.0) if name in APERTURES else None


def _decibels(value: float) -> float:
    return math.pow(10, value / 20)


def _number(word: str) -> float:
    numerator, _, denominator = word.strip().partition("/")
    return float(numerator) / float(denominator or 1)
