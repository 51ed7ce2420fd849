"""The exposures of a clip: given by the user, a list or the files themselves, or estimated from brightness."""

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lanhdr_cli.camera import FirstLook, encoded_for_network
from lanhdr_cli.console import frame_progress
from lanhdr_cli.exposure_list import find_list, read_exposures
from lanhdr_cli.media.image_sequence import names_sequence
from lanhdr_cli.media.paths import shell_word
from lanhdr_cli.media.source import Source
from lanhdr_cli.media.stream_reader import names_stream
from lanhdr_cli.options import ExposureOptions
from lanhdr_cli.pipeline import Prefetch
from model.analysis.brightness import FrameLight, LightMeter
from model.analysis.camera import CameraEstimate, exposures_of_camera
from model.analysis.exposure_check import check_exposures
from model.analysis.exposure_cycle import ExposureEstimate, first_of, follow_exposures, follow_list, judge_exposures
from model.analysis.flicker import measure_correction
from model.errors import ExposureError
from model.exposure import ExposureCycle, FrameExposures
from model.response import ResponseCurve

DECODED_AHEAD = 4  # frames
FRAMES_COMPARED = 96  # from the first on, whatever part is converted, so that parts fit together
WORTH_TELLING = 0.03  # stops
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
    return replace(exposures, cycle=cycle)


@dataclass(frozen=True, kw_only=True)
class BrightnessPass:
    """A pass over a clip that measures the brightness of its frames.

    Args:
        total: Number of frames in the clip, None if unknown.
    """

    look: FirstLook
    curve: ResponseCurve
    total: int | None = None
    show_progress: bool = False

    def measure(self) -> list[FrameLight]:
        """Read the clip once and keep little of each frame.

        Raises:
            MediaError: If the clip can't be read.
        """
        meter = LightMeter()
        with (
            frame_progress(self.total, show=self.show_progress, label="looking for exposures: frame") as advance,
            Prefetch(self.look.all_frames(), depth=DECODED_AHEAD) as frames,
        ):
            light = []
            for frame in encoded_for_network(frames, self.curve):
                light.append(meter.measure(frame.image, frame.time))
                advance()
        return light

    def measure_first(self) -> list[FrameLight]:
        """Measure the first frames, which are read already, as many as given exposures are corrected by."""
        meter = LightMeter()
        frames = encoded_for_network(self.look.frames[:FRAMES_COMPARED], self.curve)
        return [meter.measure(frame.image, frame.time) for frame in frames]


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


def estimated_exposures(light: Sequence[FrameLight], camera: CameraEstimate, *, slips: bool = True) -> FrameExposures:
    """Find the exposures in the brightness of the clip, and log them.

    Args:
        light: Of all frames.
        camera: The estimated response, and exposures estimated with it.
        slips: Whether frames may be missing or doubled.

    Raises:
        ExposureError: If there is no cycle, or it is not sure and no response explains the frames.
    """
    estimate, usable = exposures_of_camera(light, camera)
    with_response = camera.exposures is not None
    if not usable:
        suggestion = ",".join(f"{ratio:.3g}" for ratio in estimate.exposures.ratios)
        raise ExposureError(f"not sure of the {estimate.message}: pass --exposures {suggestion} if this is right")
    if with_response and estimate.confidence < CLEAR:
        logger.warning(
            "%s: another curve with another ratio fits nearly as well; pass the exposures if you know them",
            estimate.message,
        )
    else:
        logger.log(logging.WARNING if estimate.slips else logging.INFO, estimate.message)
    if estimate.warning and not with_response:
        logger.warning(estimate.warning)
    _warn_of_unexplained(estimate)
    return estimate.exposures if slips else FrameExposures(estimate.exposures.cycle)


def agreeing_exposures(
    given: FrameExposures, clip: Source, *, look: FirstLook, options: ExposureOptions, curve: ResponseCurve | None
) -> FrameExposures | None:
    """Hold given exposures against the first frames, before anything is concluded from them.

    A list that comes some frames too early or late is shifted; one that leaves out part of the exposure (the gain, for
    instance) is dropped. What the user typed stays, with a warning.

    Args:
        curve: The camera's response if it is known.

    Returns:
        The exposures, None if the frames have to say them.
    """
    check = check_exposures(look.shots, given, curve=curve, linear=clip.info.bits > 8 or not clip.info.lossy)
    listed = len(given.phases) > 1
    if check.shift and listed:
        count = "1 frame" if abs(check.shift) == 1 else f"{abs(check.shift)} frames"
        found = f"the listed exposures are those of {count} {'earlier' if check.shift > 0 else 'later'}"
        if options.slips:
            logger.warning("%s: they are moved (--no-slips: as listed)", found)
            given = given.of_frames(check.shift, len(given.phases))
        else:
            logger.warning("%s: they are taken as listed", found)
    if check.shown:
        words = f"exposures {_listed(given)} are not those that the frames show: {_listed(check.shown)}"
        if listed and options.deflicker:
            logger.warning("%s, which are taken (--no-deflicker: as listed)", words)
            return None
        logger.warning("%s; they are taken as given", words)
    return given


def checked_exposures(
    light: Sequence[FrameLight], exposures: FrameExposures, *, options: ExposureOptions
) -> FrameExposures:
    """Look for missing and doubled frames by the light of all frames, and correct the cycle by that of the first.

    Each frame's place in the cycle is the one that brightness shows, unless a list says it. Where brightness
    contradicts the cycle altogether, it is taken as strictly repeating.
    """
    if options.slips:
        estimate = followed(light, exposures)
        if contradicts(estimate):
            logger.warning(
                "brightness does not follow the exposures %s (%d%% of its steps agree); they are taken as given",
                _listed(exposures),
                round(100 * estimate.explained),
            )
        else:
            if estimate.exposures[0] != exposures[0]:
                logger.warning("the first frame is not as given: %s", estimate.message)
            elif estimate.slips and not (len(exposures.phases) > 1 and estimate.exposures.regular):
                logger.warning("%s", estimate.message)
            _warn_of_unexplained(estimate)
            exposures = estimate.exposures
    return deflickered(light, exposures) if options.deflicker else exposures


def followed(light: Sequence[FrameLight], given: FrameExposures) -> ExposureEstimate:
    """Find each frame's place in a given cycle by brightness, or judge the places that a list says.

    Where brightness does not show a better order, the cycle repeats strictly.
    """
    as_given = judge_exposures(light, given)
    if len(given.phases) > 1:
        return as_given
    estimate = follow_exposures(light, given.cycle)
    if not estimate.sure and estimate.explained <= as_given.explained:
        estimate = as_given
        # A cycle may count doubled frames.
        ratios = given.cycle.ratios
        once = [ratio for place, ratio in enumerate(ratios) if ratio != ratios[place - 1]]
        if estimate.exposures.doubled and len(once) < len(ratios):
            estimate = follow_exposures(light, ExposureCycle.from_ratios(once))
    return as_given if estimate.alternating < min(FEWEST_STEPS, (estimate.seen + 1) // 2) else estimate


def contradicts(estimate: ExposureEstimate) -> bool:
    """Whether brightness says altogether other exposures."""
    return estimate.seen >= FEWEST_STEPS and estimate.explained < 0.5


def _warn_of_unexplained(estimate: ExposureEstimate) -> None:
    if (frames := estimate.unexplained) and estimate.seen >= FEWEST_STEPS:
        shown = first_of([str(index) for index in frames])
        logger.warning("brightness at frames %s is not explained by their exposures", shown)


def _listed(exposures: FrameExposures) -> str:
    return ", ".join(f"{ratio:.4g}" for ratio in exposures.ratios)


def keep_three(exposures: FrameExposures, source: Path) -> str:
    """Say how to leave frames out of a clip until there are three exposures, those in the middle first."""
    ratios = sorted(set(exposures.cycle.ratios))
    middle = min(ratios[1:-1], key=lambda ratio: abs(math.log(ratio**2 / (ratios[0] * ratios[-1]))))
    kept = [place for place, ratio in enumerate(exposures.ratios) if ratio in (ratios[0], middle, ratios[-1])]
    count = f"no weights for {len(ratios)} exposures ({_listed(exposures)})"
    said = f"{count}: weights are for two or three; keep three of them"
    left = ",".join(f"{exposures.ratios[place]:g}" for place in kept)
    if names_sequence(source):
        return f"{said}: pass a folder of the pictures of {left}"
    source = Path("saved.mkv") if names_stream(source) else source
    select = "+".join(f"eq(mod(n,{exposures.period}),{place})" for place in kept)
    pace = f"{len(kept)}/{exposures.period}"
    filters = f"select='{select}',settb=AVTB,setpts=N/({pace})/FRAME_RATE/TB,fps=source_fps*{pace}"
    target = source.with_name(f"{source.stem}.three.mkv")
    command = f'ffmpeg -i {shell_word(source, for_ffmpeg=True)} -an -vf "{filters}" -c:v ffv1'
    return f"{said}: {command} {shell_word(target, for_ffmpeg=True)}, and pass that with --exposures {left}"
