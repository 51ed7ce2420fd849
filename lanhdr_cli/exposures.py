"""The exposures of a clip: given by the user, a list or the files themselves, or estimated from brightness."""

import csv
import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lanhdr_cli.camera import FRAMES, FirstLook, encoded_for_network
from lanhdr_cli.console import frame_progress
from lanhdr_cli.media.errors import MediaError
from lanhdr_cli.media.source import Source
from lanhdr_cli.options import ExposureOptions
from model.analysis.brightness import FrameLight, LightMeter
from model.analysis.camera import CameraEstimate, exposures_of_camera
from model.analysis.exposure_cycle import follow_exposures, follow_list
from model.analysis.flicker import measure_correction
from model.errors import ExposureError
from model.exposure import ExposureCycle, FrameExposures
from model.response import ResponseCurve

FRAMES_COMPARED = 96  # from the first on, whatever part is converted, so that parts fit together
WORTH_TELLING = 0.03  # stops
LONGEST_CYCLE = 6  # numbers; a longer list is one per frame
LARGEST_FILE = 1 << 24
NAMES = ("{}.exposures.txt", "{}.exposures.csv", "Exposures.txt", "exposures.csv")
FORMS = "stops of one cycle, e.g. 0 3, or a CSV with a column exposure, stops, time, iso or f_number"
TIMES, SENSITIVITIES, APERTURES = ("time", "exposure_time", "shutter"), ("iso", "gain_iso"), ("f_number", "aperture")
LOOK_BEHIND = 12  # frames after the last one wanted that its window may need
CLEAR = 0.75  # confidence below which exposures found together with a response are a warning
FEWEST_STEPS = 6  # steps of brightness that can contradict given exposures

logger = logging.getLogger(__name__)


def deflickered(light: Sequence[FrameLight], exposures: FrameExposures) -> FrameExposures:
    """Correct given exposures by the light of the frames, from the first on, if they are slightly off.

    Cameras don't keep their exposures exactly, and a response that is not quite the one assumed acts alike: the mean
    brightness would jump from each frame to the next. Exposures that are altogether wrong stay as given.
    """
    compared = light[:FRAMES_COMPARED]
    correction = measure_correction(compared, [exposures[index] for index in range(len(compared))])
    if not correction.plausible:
        logger.debug("exposures stay as given: the frames do not show clearly what they are")
        return exposures
    cycle = ExposureCycle(tuple(correction.corrected(ratio) for ratio in exposures.cycle.ratios))
    largest = max(abs(stops) for stops in correction.stops.values())
    given, shown = (", ".join(f"{ratio:.3g}" for ratio in ratios) for ratios in (exposures.cycle.ratios, cycle.ratios))
    level = logging.INFO if largest >= WORTH_TELLING else logging.DEBUG
    message = "exposures %s look like %s in the frames and are taken so (--no-deflicker: as given)"
    logger.log(level, message, given, shown)
    return FrameExposures(cycle, exposures.phases)


def find_list(folder: Path, name: str) -> Path | None:
    """Look in a clip's folder for a list of its exposures; `name` is that of the clip without suffix."""
    candidates = (folder / form.format(name) for form in NAMES)
    return next((path for path in candidates if path.is_file()), None)


def read_exposures(path: Path) -> FrameExposures:
    """Read a list of exposures: stops of one cycle, stops of all frames, or CSV with a row per frame.

    Columns of CSV are recognized by their names: `exposure` (linear), `stops`, or how the camera was set: `time`
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
        stops = [float(word) for line in lines for word in line.replace(",", " ").replace(";", " ").split()]
        if len(stops) <= LONGEST_CYCLE:
            return FrameExposures(ExposureCycle.from_stops(stops))
        return follow_list([2.0**stop for stop in stops])
    except (ValueError, OverflowError, ZeroDivisionError) as error:
        raise MediaError(f"{path} can't be understood ({error}): it should hold {FORMS}") from error
    except ExposureError as error:
        raise MediaError(f"{path}: {error}") from error


def _columns(lines: list[str]) -> list[float]:
    """Multiply the columns of a CSV that say something of the exposure, row by row."""
    rows = csv.reader(lines, delimiter=next((mark for mark in ";\t" if mark in lines[0]), ","))
    names = [name.strip().lower().replace(" ", "_") for name in next(rows)]
    effects = {column: effect for column, name in enumerate(names) if (effect := _effect(name))}
    if not effects:
        raise ValueError(f"its columns are {', '.join(names)}")
    return [math.prod(effect(_number(row[column])) for column, effect in effects.items()) for row in rows]


def _effect(name: str) -> Callable[[float], float] | None:
    """Choose how a column's number affects the exposure."""
    if name in ("exposure", *TIMES, *SENSITIVITIES):
        return lambda value: value
    if name in APERTURES:
        return lambda value: value**-2.0
    return (lambda value: 2.0**value) if name in ("stop", "stops", "ev") else None


def _number(word: str) -> float:
    numerator, _, denominator = word.strip().partition("/")
    return float(numerator) / float(denominator or 1)


@dataclass(frozen=True, kw_only=True)
class BrightnessPass:
    """A pass over a clip that measures the brightness of its frames.

    Args:
        total: Number of frames in the clip, None if unknown.
        last: Last frame that is needed, None for all.
    """

    look: FirstLook
    curve: ResponseCurve
    total: int | None = None
    last: int | None = None
    show_progress: bool = False

    def measure(self) -> list[FrameLight]:
        """Read the clip once and keep little of each frame.

        Raises:
            MediaError: If the clip can't be read.
        """
        stop = None if self.last is None else max(self.last + 1 + LOOK_BEHIND, FRAMES)
        total = self.total if stop is None else min(stop, self.total or stop)
        meter = LightMeter()
        with frame_progress(total, show=self.show_progress, label="looking for exposures: frame") as advance:
            light = []
            for frame in encoded_for_network(self.look.all_frames(stop=stop), self.curve):
                light.append(meter.measure(frame.image, frame.time))
                advance()
        return light


def given_exposures(clip: Source, options: ExposureOptions) -> FrameExposures | None:
    """Take the exposures of the options, else of a list beside the clip, else of the files' metadata, else None.

    Raises:
        MediaError: If a list can't be understood.
    """
    if options.cycle is not None:
        return FrameExposures(options.cycle)
    if path := options.file or find_list(clip.folder, clip.name):
        exposures = read_exposures(path)
        logger.info("exposures %s from %s", _listed(exposures), path)
        return exposures
    if not clip.exposures:
        return None
    try:
        exposures = follow_list(clip.exposures)
    except ExposureError as error:
        logger.warning("exposures noted in the pictures are not used: %s", error)
        return None
    logger.info("exposures %s as noted in the pictures", _listed(exposures))
    return exposures


def estimated_exposures(
    brightness: BrightnessPass, camera: CameraEstimate | None = None, *, slips: bool = True
) -> FrameExposures:
    """Find the exposures in the brightness of the clip, and log them.

    Args:
        camera: The estimated response, and exposures estimated with it.
        slips: Whether frames may be missing or doubled.

    Raises:
        ExposureError: If there is no cycle, or it is not sure and no response explains the frames.
    """
    estimate, usable = exposures_of_camera(brightness.measure(), camera or CameraEstimate(brightness.curve))
    with_response = camera is not None and camera.exposures is not None
    if not usable:
        suggestion = ",".join(f"{ratio:.3g}" for ratio in estimate.exposures.ratios)
        raise ExposureError(f"not sure of the {estimate.message}: pass --exposures {suggestion} if this is right")
    if with_response and estimate.confidence < CLEAR:
        logger.warning(
            "%s: another curve with another ratio fits nearly as well; pass the exposures if you know them",
            estimate.message,
        )
    else:
        logger.info(estimate.message)
    if estimate.warning and not with_response:
        logger.warning(estimate.warning)
    return estimate.exposures if slips else FrameExposures(estimate.exposures.cycle)


def checked_exposures(
    brightness: BrightnessPass, exposures: FrameExposures, *, options: ExposureOptions
) -> FrameExposures:
    """Look for missing and doubled frames where each frame's place in the cycle is not known, and correct the cycle.

    Where brightness contradicts the cycle altogether, it is taken as strictly repeating.
    """
    look_for_slips = options.slips and len(exposures.phases) == 1
    if not options.deflicker and not look_for_slips:
        return exposures
    light = brightness.measure()
    if look_for_slips:
        estimate = follow_exposures(light, exposures.cycle)
        if estimate.sure:
            if estimate.exposures.ratios != exposures.ratios:
                logger.warning("the first frame is not as given: %s", estimate.message)
            elif estimate.slips:
                logger.warning("%s", estimate.message)
            exposures = estimate.exposures
        elif estimate.seen >= FEWEST_STEPS and estimate.explained < 0.5:
            logger.warning(
                "brightness does not follow the exposures %s (%d%% of its steps agree); they are taken as given",
                _listed(exposures),
                round(100 * estimate.explained),
            )
    return deflickered(light, exposures) if options.deflicker else exposures


def _listed(exposures: FrameExposures) -> str:
    return ", ".join(f"{ratio:g}" for ratio in exposures.ratios)
