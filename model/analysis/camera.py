"""Camera response and black level of a clip, and its exposures if they are not given."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from statistics import median

import torch
from torch import Tensor

from model.analysis.black_level import estimate_black
from model.analysis.brightness import FrameLight, LightMeter
from model.analysis.camera_curves import GENERIC
from model.analysis.code_matches import code_histogram, paired_histograms
from model.analysis.exposure_cycle import (
    PERIODS,
    SURE_TO,
    ExposureEstimate,
    estimate_exposures,
    follow_exposures,
    judge_exposures,
)
from model.analysis.flicker import measure_correction
from model.analysis.response import ResponseEstimate, one_thread, response_and_exposures, response_of_pairs
from model.errors import ExposureError, ResponseError
from model.exposure import GAMMA, ExposureCycle, FrameExposures
from model.response import ResponseCurve, gamma_curve, linear_curve, table_curve

DOUBTFUL = 0.3  # confidence of exposures that seem to change
CHANGE = 3.0  # times what a step varies over the picture: so much steps of the same kind differ at most
LARGEST_ERROR = 0.4  # stops; a curve that explains the frames worse says nothing
CLEAR_STEP = 4 / 255  # between the mean codes of two exposures
FEWEST_STEPS = 6
NEAR_WHOLE, MOST_STOPS = 0.08, 6.5  # of a stop; and between exposures
GIVEN_WITHIN = 0.15  # stops of a given exposure
REGULAR = 0.6  # of the variance of mean codes that their place in the cycle explains

Black = tuple[float, float, float]
NO_BLACK: Black = (0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Shot:
    """A small frame as the camera encodes, 0..1, (3, h, w), and its presentation time in seconds."""

    image: Tensor
    time: Fraction


@dataclass(frozen=True)
class CameraEstimate:
    """An estimated camera.

    Args:
        curve: The response, its black level included; gamma 2.2 where the frames don't show it.
        response: The estimate behind it; None where the frames don't show it.
        exposures: Estimated with a response that is not gamma 2.2, of the frames looked at; None otherwise.
    """

    curve: ResponseCurve
    response: ResponseEstimate | None = None
    exposures: FrameExposures | None = None


def light_of(shots: Sequence[Shot], curve: ResponseCurve) -> list[FrameLight]:
    """Measure the brightness of frames, linearised by a curve."""
    meter = LightMeter()
    return [meter.measure(curve.to_ldr(shot.image.float()), shot.time) for shot in shots]


def generic_curve(*, clip_code: float = 1.0) -> ResponseCurve:
    """A consumer camera's JPEG curve, the generic one of the family."""
    return table_curve("generic", GENERIC.table(), clip_code=clip_code)


@one_thread()
def find_black(shots: Sequence[Shot], *, exposures: FrameExposures | None) -> Black:
    """Find the black level of each channel in the first frames, whose exposures may be known.

    Returns:
        0..1 as the camera encodes; 0 where there is none, or where exposures look the same.
    """
    keys = exposure_keys(shots, exposures)
    return _black(shots, keys) if keys else NO_BLACK


@one_thread()
def estimate_camera(
    shots: Sequence[Shot],
    *,
    exposures: FrameExposures | None,
    clip_code: float = 1.0,
    black: Black | None = None,
) -> CameraEstimate:
    """Find the response in the first frames of a clip, and the exposures with it if they are not known.

    Args:
        exposures: The exposures if they are known.
        clip_code: Encoded value at which the camera clips, 0..1.
        black: Black level of each channel, 0..1; None to find it.

    Returns:
        Gamma 2.2 wherever the frames agree with it at all levels, or show too little.
    """
    keys = exposure_keys(shots, exposures)
    level = black if black is not None else _black(shots, keys) if keys else NO_BLACK
    plain = CameraEstimate(replace(gamma_curve(clip_code=clip_code), black_code=level))
    if not keys:
        return plain
    pairs = paired_histograms([shot.image for shot in shots], keys)
    estimate = response_and_exposures if exposures is None else response_of_pairs
    even = steps_are_even(shots, plain.curve, exposures=exposures)
    try:
        response = estimate(pairs, clip_code=clip_code, black=torch.tensor(level, dtype=torch.float64), gamma=even)
    except ResponseError:
        return plain
    if response.error > LARGEST_ERROR:
        return plain
    curve = replace(response.curve, black_code=level)
    response = replace(response, curve=curve)
    if exposures is not None or curve.name == plain.curve.name:
        return CameraEstimate(curve, response)
    cycle = ExposureCycle.from_ratios(response.exposures)
    return CameraEstimate(curve, response, FrameExposures.from_phases(cycle, [int(key) for key in keys]))


def steps_are_even(shots: Sequence[Shot], curve: ResponseCurve, *, exposures: FrameExposures | None) -> bool:
    """Whether exposures step by the same ratio in dark and bright parts, if frames are linearised by a curve.

    Means of parts of the picture say it, which compression does not alter; it takes contrast from dark texture, and so
    bends the codes that histograms match.

    Args:
        exposures: The exposures if they are known; then the ratio must be theirs.
    """
    light = light_of(shots, curve)
    try:
        steps = estimate_exposures(light) if exposures is None else judge_exposures(light, exposures)
    except ExposureError:
        return False
    if not (steps.sure and steps.is_even) or steps.alternating < FEWEST_STEPS:
        return False
    if exposures is None:
        return True
    usual = measure_correction(light, [steps.exposures[index] for index in range(len(light))])
    return max(abs(stops) for stops in usual.stops.values()) <= GIVEN_WITHIN


def look_linear(shots: Sequence[Shot]) -> bool:
    """Whether codes are rather linear than encoded with 1/2.2, by the exposures that cameras are set to.

    Steps of brightness are even in both cases, and 2.2 times as many stops if linear codes are taken for others. So
    the likelier steps decide: whole stops, and not more of them than cameras are set to.
    """
    try:
        found = estimate_exposures(light_of(shots, linear_curve()))
    except ExposureError:
        return False
    stops = [math.log2(ratio) for ratio in found.exposures.ratios if ratio > 1]
    if not (found.sure and stops and found.is_even):
        return False
    linear, encoded = (max(abs(stop * power - round(stop * power)) for stop in stops) for power in (1.0, GAMMA))
    return linear < NEAR_WHOLE and (encoded > NEAR_WHOLE or GAMMA * max(stops) > MOST_STOPS)


def exposures_of_camera(frames: Sequence[FrameLight], camera: CameraEstimate) -> tuple[ExposureEstimate, bool]:
    """Find each frame's exposure by the cycle that was estimated with the response, or by brightness for gamma 2.2.

    Args:
        frames: The light of all frames, measured by the estimated response.

    Returns:
        The exposures, and whether they may be used: they are sure, or the response explains the frames.

    Raises:
        ExposureError: If brightness does not alternate, or not in a cycle.
    """
    if camera.exposures is None or camera.response is None:
        estimate = estimate_exposures(frames)
        return estimate, estimate.sure
    estimate = follow_exposures(frames, camera.exposures.cycle)
    spreads = [frame.steps[0].spread for frame in frames[1:] if frame.steps[0].measured]
    scatter = estimate.uncertainty * math.sqrt(estimate.seen / estimate.exposures.period)
    if spreads and estimate.uncertainty > SURE_TO and scatter > CHANGE * median(spreads):
        # Steps are clear one by one, and yet not the same from cycle to cycle: exposures change.
        return replace(estimate, confidence=min(estimate.confidence, DOUBTFUL)), False
    return replace(estimate, confidence=min(estimate.confidence, camera.response.confidence)), True


def exposure_keys(shots: Sequence[Shot], exposures: FrameExposures | None) -> list[float]:
    """Return the exposure of each frame, or its place in the cycle if they are not known; empty if none alternate."""
    places = None if exposures and len(exposures.phases) > 1 else _seen_places(shots)
    if exposures is None:
        return [float(place) for place in places or ()]
    ratios = sorted(exposures.cycle.ratios)
    if places is None or max(places) + 1 != len(ratios) or len(set(ratios)) < len(ratios):
        return [exposures[index] for index in range(len(shots))]
    # Frames may be missing, or the first may not be as given: then brightness knows better which is which.
    by_light = sorted(set(places), key=lambda place: _mean_code(_counts(shots, places)[place]))
    return [ratios[by_light.index(place)] for place in places]


def _seen_places(shots: Sequence[Shot]) -> tuple[int, ...] | None:
    """Find the place of each frame in the cycle by brightness; None if there is no cycle.

    Whatever the response, brighter is brighter: a wrong one still shows which frames belong together.
    """
    guesses = []
    for curve in (gamma_curve(), generic_curve()):
        try:
            guess = estimate_exposures(light_of(shots, curve))
        except ExposureError:
            continue
        guesses.append(guess)
        if guess.sure:
            break
    best = max(guesses, key=lambda guess: guess.confidence, default=None)
    return best.exposures.phases if best else _places_by_mean(shots)


def _places_by_mean(shots: Sequence[Shot]) -> tuple[int, ...] | None:
    """Find places in the cycle by mean codes, where too little is well exposed to compare parts of the picture."""
    means = torch.tensor([float(shot.image.float().mean()) for shot in shots], dtype=torch.float64)
    for period in PERIODS:
        places = torch.arange(len(means)) % period
        if len(means) < 2 * period:
            continue
        levels = torch.stack([means[places == place].mean() for place in range(period)])
        regular = 1 - (means - levels[places]).square().sum() / (means - means.mean()).square().sum().clamp(min=1e-12)
        if regular > REGULAR and float(levels.max() - levels.min()) > CLEAR_STEP:
            return tuple(places.tolist())
    return None


def _black(shots: Sequence[Shot], keys: Sequence[float]) -> Black:
    counts = sorted(_counts(shots, keys).values(), key=_mean_code)
    if len(counts) < 2:
        return NO_BLACK
    red, green, blue = estimate_black(counts[0], counts[-1]).tolist()
    return red, green, blue


def _counts(shots: Sequence[Shot], keys: Sequence[float]) -> dict[float, Tensor]:
    """Add the histograms of frames with the same key."""
    counts: dict[float, Tensor] = {}
    for shot, key in zip(shots, keys, strict=True):
        counts[key] = counts.get(key, torch.zeros(())) + code_histogram(shot.image.float())
    return counts


def _mean_code(histogram: Tensor) -> float:
    return float((histogram.sum(0) * torch.arange(histogram.shape[1])).sum() / histogram.sum().clamp(min=1))
