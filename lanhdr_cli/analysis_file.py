"""The analysis of a clip in a file: written by `lanhdr inspect --json`, read by `lanhdr convert --analysis`."""

import json
import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

from lanhdr_cli.analysis import Analysis
from lanhdr_cli.camera import Camera, CameraOptions
from lanhdr_cli.media.errors import MediaError
from lanhdr_cli.media.frame_index import FrameIndex
from lanhdr_cli.media.source import Reading, Source
from lanhdr_cli.media.stated_colors import HLG, PQ
from lanhdr_cli.options import LARGEST_STOP, ExposureOptions
from model.color import Primaries
from model.errors import LanHdrError
from model.exposure import ExposureCycle, FrameExposures
from model.response import ResponseCurve, bt709_curve, power_curve, srgb_curve, table_curve
from train.environment import lanhdr_version

FORMAT = 1
LARGEST_FILE = 256 << 20  # bytes: half a million frames
LONGEST_CYCLE = 1000  # frames
FORMULAS = {curve.name: curve for curve in (srgb_curve(), bt709_curve(), PQ, HLG)}
# Options of `Asked` that must be those of the analysis, as frames are others otherwise.
OF_FRAMES = ("fps", "on_missing", "bits", "bayer", "field_order")
WORDS = {"cycle": "exposures", "file": "exposures"}  # options whose names on the command line are others
MARKS = ("doubled", "blank")
FARTHEST = 1 << 62  # in units of a stream's clock
MAKE = "make it with: lanhdr inspect --json INPUT > FILE"

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Asked:
    """The options that decide what an analysis finds."""

    exposures: ExposureOptions
    camera: CameraOptions
    reading: Reading

    def record(self) -> dict[str, Any]:
        """Return them by name, as values that JSON knows."""
        exposures, camera, reading = self.exposures, self.camera, self.reading
        return {
            "cycle": list(exposures.cycle.ratios) if exposures.cycle else None,
            "file": str(exposures.file) if exposures.file else None,
            "slips": exposures.slips,
            "deflicker": exposures.deflicker,
            "response": camera.response,
            "gamut": camera.gamut,
            "clip_code": camera.clip_code,
            "black_code": list(camera.black_code) if camera.black_code else None,
            "fps": str(reading.fps) if reading.fps else None,
            "on_missing": reading.on_missing,
            "bits": reading.bits,
            "bayer": reading.bayer,
            "field_order": reading.field_order,
        }


def analysis_record(
    clip_id: str, asked: Asked, analysis: Analysis | None, *, frames: int, trouble: str = ""
) -> dict[str, Any]:
    """Return an analysis, and what it is of, as values that JSON knows; all numbers come back as they are.

    Args:
        clip_id: `Source.id`.
        analysis: None where a conversion would be refused.
        frames: Number of frames of the clip.
        trouble: Why it would be.
    """
    record: dict[str, Any] = {
        "format": FORMAT,
        "lanhdr": lanhdr_version(),
        "clip": clip_id,
        "frames": frames,
        "options": asked.record(),
        "trouble": trouble or None,
    }
    if analysis is None:
        return record
    exposures, camera, index = analysis.exposures, analysis.camera, analysis.index
    return record | {
        "warnings": list(analysis.warnings),
        "exposures": {
            "cycle": list(exposures.cycle.ratios),
            "phases": list(exposures.phases),
            "doubled": sorted(exposures.doubled),
            "blank": sorted(exposures.blank),
        },
        "camera": {
            "response": _curve_record(camera.curve),
            "gamut": [list(point) for point in _points(camera.gamut)],
            "stated": camera.stated,
        },
        "index": index
        and {
            "time_base": str(index.time_base),
            "times": list(index.times),
            "checksums": list(index.checksums),
            "keys": [list(key) for key in index.keys],
        },
    }


def _curve_record(curve: ResponseCurve) -> dict[str, Any]:
    return {
        "name": curve.name,
        "power": curve.power,
        "table": None if curve.table is None else curve.table.tolist(),
        "clip_code": curve.clip_code,
        "black_code": list(curve.black_code),
    }


def _points(gamut: Primaries) -> Iterator[tuple[float, float]]:
    return (getattr(gamut, point.name) for point in fields(gamut))


def read_analysis(path: Path, clip: Source, asked: Asked) -> Analysis:
    """Read the analysis of an open clip, and hand its index to the clip.

    Args:
        asked: Options of the conversion. Those that decide how frames are read must be those of the analysis; others
            must be so too, or be left out.

    Raises:
        MediaError: If the file can't be read, is damaged, or of another clip, or an option contradicts it.
    """
    record = _conversion_of(path)
    try:
        _refuse_other_clips(path, record, clip)
        _refuse_other_options(path, record["options"], asked)
        if record["trouble"]:
            raise MediaError(f"{path}: the analysis found no exposures: {record['trouble']}")
        analysis = Analysis(
            exposures=_exposures(record["exposures"], frames=_whole(record["frames"])),
            camera=_camera(record["camera"]),
            index=_index(record["index"], frames=record["frames"]) if record["index"] is not None else None,
            warnings=tuple(map(str, record["warnings"])),
        )
    except MediaError:
        raise
    except (LanHdrError, KeyError, TypeError, ValueError, AttributeError, OverflowError, ZeroDivisionError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise MediaError(f"{path} is damaged or was changed ({reason}): {MAKE}") from error
    if record["lanhdr"] != lanhdr_version():
        logger.warning("%s is of lanhdr %s, this is %s: results may differ", path, record["lanhdr"], lanhdr_version())
    for warning in analysis.warnings:
        logger.warning("%s", warning)
    clip.index = analysis.index
    return analysis


def _conversion_of(path: Path) -> dict[str, Any]:
    """Read what is for a conversion out of the report of an inspection."""

    def refuse(constant: str) -> float:
        raise ValueError(f"{constant} is no number")

    try:
        if (size := path.stat().st_size) > LARGEST_FILE:
            raise MediaError(f"{path} has {size >> 20} MiB, an analysis at most {LARGEST_FILE >> 20}: {MAKE}")
        whole = json.loads(path.read_bytes(), parse_constant=refuse)
    except OSError as error:
        raise MediaError(f"--analysis {path} can't be read ({error.strerror}): {MAKE}") from error
    except (ValueError, RecursionError) as error:
        raise MediaError(f"{path} is no JSON, or breaks off: {MAKE}") from error
    record = whole.get("conversion") if isinstance(whole, dict) else None
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        found = f"of format {record.get('format')}" if isinstance(record, dict) else "of something else"
        raise MediaError(f"{path} is {found}, no analysis of format {FORMAT}: {MAKE}")
    return record


def _refuse_other_clips(path: Path, record: dict[str, Any], clip: Source) -> None:
    if record["clip"] != clip.id:
        raise MediaError(f"{path} is the analysis of another clip than {clip.path}: {MAKE}")
    frames = _whole(record["frames"])
    if clip.numbers is not None and clip.info.frames != frames:
        raise MediaError(f"{path} is of {frames} pictures, {clip.path} has {clip.info.frames} now: {MAKE}")


def _refuse_other_options(path: Path, made_with: dict[str, Any], asked: Asked) -> None:
    plain = Asked(exposures=ExposureOptions(), camera=CameraOptions(), reading=Reading()).record()
    for name, value in asked.record().items():
        if value == made_with[name] or (name not in OF_FRAMES and value == plain[name]):
            continue
        option = "--" + WORDS.get(name, name).replace("_", "-")
        was, wish = (_in_words(option, of) for of in (made_with[name], value))
        raise MediaError(
            f"{path} was made {was}, not {wish}: pass the same option to both commands"
            + ("" if name in OF_FRAMES else ", or leave it out here")
        )


def _in_words(option: str, value: Any) -> str:
    if value is None:
        return f"without {option}"
    if isinstance(value, bool):
        return f"with {option}" if value else f"with {option.replace('--', '--no-', 1)}"
    return f"with {option} " + (",".join(f"{number:g}" for number in value) if isinstance(value, list) else f"{value}")


def _exposures(record: dict[str, Any], *, frames: int) -> FrameExposures:
    cycle = ExposureCycle(tuple(_numbers(record["cycle"], low=1, high=2 ** (2 * LARGEST_STOP))))
    if not 2 <= cycle.period <= LONGEST_CYCLE or min(cycle.ratios) != 1 or max(cycle.ratios) == 1:
        raise ValueError(f"exposures {list(cycle.ratios)} don't alternate")
    phases = tuple(_whole(phase, high=cycle.period - 1) for phase in record["phases"])
    doubled, blank = (frozenset(_whole(place, high=len(phases) - 1) for place in record[key]) for key in MARKS)
    if not phases or 0 in doubled or ((doubled or blank) and len(phases) != frames):
        raise ValueError(f"exposures of {len(phases)} frames for {frames}")
    return FrameExposures(cycle, phases, doubled=doubled, blank=blank)


def _camera(record: dict[str, Any]) -> Camera:
    points = ((x, y) for x, y in (_numbers(point, low=-10, high=10) for point in record["gamut"]))
    red, green, blue, white = points
    gamut = Primaries(red, green, blue, white)
    return Camera(curve=_curve(record["response"]), gamut=gamut, stated=str(record["stated"]))


def _curve(record: dict[str, Any]) -> ResponseCurve:
    name, (clip_code,) = str(record["name"]), _numbers([record["clip_code"]], low=0, high=1)
    black = tuple(_numbers(record["black_code"], low=0, high=clip_code))
    if len(black) != 3 or max(black) >= clip_code:
        raise ValueError(f"black codes {list(black)}, clip code {clip_code:g}")
    if record["power"] is not None:
        curve = power_curve(*_numbers([record["power"]], low=0.1, high=10), clip_code=clip_code)
    elif record["table"] is not None:
        rows = [list(_numbers(row, low=-math.inf, high=math.inf)) for row in record["table"]]
        table = torch.tensor(rows, dtype=torch.float64).T
        curve = table_curve(name, table[:, 0] if len(rows) == 1 else table, clip_code=clip_code)
    else:
        curve = FORMULAS[name]
    return replace(curve, clip_code=clip_code, black_code=black)


def _index(record: dict[str, Any], *, frames: int) -> FrameIndex:
    times = tuple(_time(time) for time in record["times"])
    checksums = tuple(_whole(value, high=(1 << 32) - 1) for value in record["checksums"])
    keys = tuple((_time(time), None if dts is None else _time(dts)) for time, dts in record["keys"])
    base = Fraction(record["time_base"])
    if base <= 0 or len(times) != frames or len(checksums) != frames:
        raise ValueError(f"an index of {len(times)} times and {len(checksums)} checksums for {frames} frames")
    if any(after <= before for before, after in pairwise(times)):
        raise ValueError("times of its index go back")
    return FrameIndex(time_base=base, times=times, checksums=checksums, keys=keys)


def _time(value: Any) -> int:
    return _whole(value, low=-FARTHEST)


def _whole(value: Any, *, low: int = 0, high: int = FARTHEST) -> int:
    if type(value) is not int or not low <= value <= high:
        raise ValueError(f"{value!r:.40} is no whole number from {low} to {high}")
    return value


def _numbers(values: list[Any], *, low: float, high: float) -> Iterator[float]:
    for value in values:
        if type(value) not in (int, float) or not low <= value <= high:
            raise ValueError(f"{value!r:.40} is no number from {low:g} to {high:g}")
        yield float(value)
