"""Where the exposures of a clip come from: the user, a list beside it, the files themselves, or its brightness."""

import logging
from dataclasses import dataclass
from pathlib import Path

from lanhdr_cli.console import frame_progress
from lanhdr_cli.deflicker import deflickered
from lanhdr_cli.first_look import FRAMES, FirstLook
from lanhdr_cli.media.exposures import find_list, read_exposures
from lanhdr_cli.media.response import encoded_for_network
from lanhdr_cli.media.source import Source
from model.brightness import FrameLight, LightMeter
from model.camera_estimate import CameraEstimate, exposures_of_camera
from model.cycle import ExposureEstimate, FrameExposures, follow_exposures
from model.errors import ExposureError
from model.exposure import ExposureCycle
from model.exposure_list import follow_list
from model.response import ResponseCurve

LOOK_BEHIND = 12  # frames after the last one wanted that its window may need
CLEAR = 0.75  # confidence below which exposures found together with a response are a warning
FEWEST_STEPS = 6  # steps of brightness that can contradict what a user says

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Look:
    """How to look at the brightness of a clip.

    Args:
        first: The first frames of the clip, and those behind them.
        curve: Response of the camera.
        total: Number of frames in the clip, None if unknown.
        last: Last frame that is wanted, None for all.
        slips: Whether frames may be missing or doubled.
        deflicker: Whether exposures that are said may be slightly off.
        show_progress: Whether to tell how far it is.
    """

    first: FirstLook
    curve: ResponseCurve
    total: int | None = None
    last: int | None = None
    slips: bool = True
    deflicker: bool = True
    show_progress: bool = False


def known_exposures(reader: Source, *, cycle: ExposureCycle | None, file: Path | None) -> FrameExposures | None:
    """Take the exposures that the user gives, else a list beside the clip, else what the files say themselves.

    Args:
        reader: The clip.
        cycle: What the user typed, if anything.
        file: The list that the user named, if any.

    Returns:
        None if nobody says anything.

    Raises:
        MediaError: If a list can't be understood.
    """
    if cycle is not None:
        return FrameExposures(cycle)
    if path := file or find_list(reader.folder, reader.name):
        found = read_exposures(path)
        logger.info("exposures %s from %s", _listed(found), path)
        return found
    if reader.exposures:
        try:
            found = follow_list(reader.exposures)
        except ExposureError as error:
            logger.warning("exposures noted in the pictures are not used: %s", error)
            return None
        logger.info("exposures %s as noted in the pictures", _listed(found))
        return found
    return None


def estimated_exposures(look: Look, camera: CameraEstimate | None = None, *, slips: bool = True) -> FrameExposures:
    """Find the exposures in the brightness of the clip, and tell what was found.

    Args:
        look: How to look.
        camera: What was found of the response, and of the exposures with it.
        slips: Whether frames may be missing or doubled.

    Raises:
        ExposureError: If there is no cycle, or it is not sure and no response explains the frames.
    """
    light = measured_light(look)
    estimate, usable = exposures_of_camera(light, camera or CameraEstimate(look.curve))
    together = camera is not None and camera.exposures is not None
    if usable and together and estimate.confidence < CLEAR:
        logger.warning(
            "%s: another curve with another ratio fits nearly as well; pass the exposures if you know them",
            estimate.message,
        )
    elif usable:
        logger.info(estimate.message)
    else:
        raise ExposureError(f"not sure of the {estimate.message}: pass {_suggestion(estimate)} if this is right")
    if estimate.warning and not together:
        logger.warning(estimate.warning)
    return estimate.exposures if slips else FrameExposures(estimate.exposures.cycle)


def checked_exposures(look: Look, exposures: FrameExposures) -> FrameExposures:
    """Look for missing and doubled frames where each frame's place in the cycle is not known, and correct the cycle.

    Where brightness contradicts the cycle altogether, it is taken as strictly repeating.

    Args:
        look: How to look.
        exposures: What is known.
    """
    unknown_places = len(exposures.phases) == 1
    if not look.deflicker and not (look.slips and unknown_places):
        return exposures
    light = measured_light(look)
    placed = _placed(light, exposures) if look.slips and unknown_places else exposures
    return deflickered(light, placed) if look.deflicker else placed


def _placed(light: list[FrameLight], exposures: FrameExposures) -> FrameExposures:
    estimate = follow_exposures(light, exposures.cycle)
    if estimate.sure:
        _tell_of_breaks(estimate, exposures)
        return estimate.exposures
    if estimate.seen >= FEWEST_STEPS and estimate.explained < 0.5:
        logger.warning(
            "brightness does not follow the exposures %s (%d%% of its steps agree); they are taken as given",
            *(_listed(exposures), round(100 * estimate.explained)),
        )
    return exposures


def measured_light(look: Look) -> list[FrameLight]:
    """Read the clip once and keep little of each frame.

    Raises:
        MediaError: If the clip can't be read.
    """
    stop = None if look.last is None else max(look.last + 1 + LOOK_BEHIND, FRAMES)
    total = look.total if stop is None else min(stop, look.total or stop)
    meter = LightMeter()
    with frame_progress(total, show=look.show_progress, label="looking for exposures: frame") as advance:
        found = []
        for frame in encoded_for_network(look.first.all_frames(stop=stop), look.curve):
            found.append(meter.measure(frame.image, frame.time))
            advance()
    return found


def _tell_of_breaks(estimate: ExposureEstimate, given: FrameExposures) -> None:
    if estimate.exposures.ratios != given.ratios:
        logger.warning("the first frame is not as given: %s", estimate.message)
    elif estimate.slips:
        logger.warning("%s", estimate.message)


def _suggestion(estimate: ExposureEstimate) -> str:
    return "--exposures " + ",".join(f"{ratio:.3g}" for ratio in estimate.exposures.ratios)


def _listed(exposures: FrameExposures) -> str:
    return ", ".join(f"{ratio:g}" for ratio in exposures.ratios)
