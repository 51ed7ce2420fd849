"""Exposures that are given or listed, held against what the frames show."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from model.analysis.brightness import FrameLight
from model.analysis.camera import CameraEstimate, Shot, estimate_camera, exposures_of_camera, light_of
from model.analysis.phases import LEAST_GAP, scale_of
from model.errors import ExposureError
from model.exposure import FrameExposures
from model.response import ResponseCurve, gamma_curve

SHIFTS = (0, 1, -1, 2, -2)  # frames
FEWEST_STEPS = 6
AGREES, DISAGREES = 0.8, 0.4  # cosine between steps as shown and as listed
CLEAR_DIFFERENCE = 0.4  # stops, of the usual step; less is for a correction of the exposures
CONTRADICTION = 1.5  # stops between the ranges; responses that are as likely differ by one
LINEAR_STEPS = (2.0, 2.4)  # times the listed ones: so linear codes look when they are taken for gamma 2.2
LEAST_CONFIDENCE = 0.3


@dataclass(frozen=True, kw_only=True)
class ExposureCheck:
    """What frames say of exposures.

    Args:
        shift: The exposure of frame k stands at k + shift in the list.
        shown: The exposures that the frames show, from the first on, if they are altogether others; None if not.
    """

    shift: int = 0
    shown: FrameExposures | None = None


def check_exposures(
    shots: Sequence[Shot], exposures: FrameExposures, *, curve: ResponseCurve | None = None, linear: bool = False
) -> ExposureCheck:
    """Compare the exposures of the first frames of a clip with steps of their brightness.

    Args:
        curve: The camera's response if it is known.
        linear: Whether the codes may be linear, as those of sensors are, where it is not known.
    """
    light = light_of(shots, curve or gamma_curve())
    moved = {shift: exposures.of_frames(shift, len(shots)) for shift in SHIFTS}
    agreement = {shift: _agreement(light, moved[shift]) for shift in SHIFTS}
    shift = max(SHIFTS, key=lambda shift: (agreement[shift] >= AGREES, -abs(shift)))
    if not (agreement[0] <= DISAGREES and agreement[shift] >= AGREES):
        shift = 0
    factor = _factor(light, moved[shift])
    largest = math.log2(max(exposures.cycle.ratios))
    linear = linear and curve is None and LINEAR_STEPS[0] < factor < LINEAR_STEPS[1]
    if abs(factor - 1) * largest < CLEAR_DIFFERENCE or linear:
        return ExposureCheck(shift=shift)
    camera = CameraEstimate(curve) if curve else estimate_camera(shots, exposures=None)
    try:
        estimate, usable = exposures_of_camera(light_of(shots, camera.curve), camera)
    except ExposureError:
        return ExposureCheck(shift=shift)
    off = abs(math.log2(max(estimate.exposures.ratios)) - largest)
    contradicts = usable and off > CONTRADICTION and estimate.confidence >= LEAST_CONFIDENCE
    return ExposureCheck(shift=shift, shown=estimate.exposures if contradicts else None)


def _steps(light: Sequence[FrameLight], exposures: FrameExposures) -> list[tuple[float, float]]:
    """Steps between neighbors in stops, as shown and as listed."""
    scale = scale_of(light, [math.log2(ratio) for ratio in exposures.cycle.ratios])
    return [
        (light[index].steps[0].stops, math.log2(exposures[index] / exposures[before]))
        for before, index in pairwise(range(len(light)))
        if scale.usable(light[index].steps[0])
    ]


def _agreement(light: Sequence[FrameLight], exposures: FrameExposures) -> float:
    """Cosine between the steps shown and listed; 1 where too few can be compared."""
    steps = _steps(light, exposures)
    length = math.sqrt(sum(shown**2 for shown, _ in steps) * sum(listed**2 for _, listed in steps))
    return sum(shown * listed for shown, listed in steps) / length if len(steps) >= FEWEST_STEPS and length else 1.0


def _factor(light: Sequence[FrameLight], exposures: FrameExposures) -> float:
    """The usual step shown, as a multiple of the listed one; 1 where too few can be compared."""
    factors = [shown / listed for shown, listed in _steps(light, exposures) if abs(listed) >= LEAST_GAP]
    return median(factors) if len(factors) >= FEWEST_STEPS else 1.0
