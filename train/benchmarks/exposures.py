"""Reads `Exposures.txt`: the stops of one cycle, or of every frame."""

import math
import re
from collections.abc import Sequence
from pathlib import Path

from model.errors import ExposureError
from model.exposure import ExposureCycle
from train.errors import DatasetError

LARGEST_FILE = 1 << 20
# the sets write both with two digits
SAME, SAME_STOP = 0.02, 0.02


def read_exposures(path: Path, frames: int, *, nexps: int) -> tuple[float, ...]:
    """Read stops and repeat them over a clip.

    Args:
        path: Numbers, parted by spaces, commas or ends of lines.
        frames: Frames of the clip.
        nexps: Number of distinct exposures that the file must have.

    Returns:
        Linear exposures, 2^(stop - least stop), one per frame.

    Raises:
        DatasetError: If the file is missing, holds what is no number, or has another number of exposures.
    """
    stops = _read_stops(path)
    period = next((length for length in range(1, len(stops) + 1) if _repeats(stops, length)), 0)
    if period != nexps:
        shown = ", ".join(f"{stop:g}" for stop in stops[:8])
        advice = f"pass --nexps {period}" if period in (2, 3) else "correct the file"
        raise DatasetError(f"{path} has a cycle of {period} exposures (stops {shown}), not of {nexps}: {advice}")
    try:
        cycle = ExposureCycle.from_stops(stops[:nexps])
    except (ExposureError, OverflowError) as error:
        raise DatasetError(f"{path} holds no exposures ({error}): it should hold stops, e.g. 0 3") from error
    return tuple(cycle[frame] for frame in range(frames))


def demand_equal(given: float, listed: float, *, path: Path, name: str) -> None:
    """Look whether a list of truths gives a frame the exposure that Exposures.txt gives it.

    Raises:
        DatasetError: If not.
    """
    if not math.isclose(given, listed, rel_tol=SAME):
        raise DatasetError(
            f"{path} gives {name} the exposure {listed:g}, Exposures.txt beside it {given:g}: fetch both again"
        )


def to_number(word: str, *, path: Path) -> float:
    """Read one number of a list.

    Raises:
        DatasetError: If it is none.
    """
    try:
        number = float(word)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise DatasetError(f"{path} holds {word[:40]!r} where a number belongs: correct or fetch it again")
    return number


def _read_stops(path: Path) -> list[float]:
    try:
        with path.open(encoding="utf-8-sig") as file:
            text = file.read(LARGEST_FILE)
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path} cannot be read ({error}): it should hold stops, e.g. 0 3") from error
    words = [word for word in re.split(r"[\s,;]+", text) if word]
    if not words:
        raise DatasetError(f"{path} is empty: it should hold stops, e.g. 0 3")
    return [to_number(word, path=path) for word in words]


def _repeats(stops: Sequence[float], period: int) -> bool:
    return all(abs(stop - stops[place % period]) <= SAME_STOP for place, stop in enumerate(stops))
