"""Inspection of a clip: format, exposures, light."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from statistics import fmean, median

import torch
from torch import Tensor

from lanhdr_cli.camera import Camera, encoded_for_network
from lanhdr_cli.exposures import find_list
from lanhdr_cli.media.details import Details
from lanhdr_cli.media.source import Source
from lanhdr_cli.media.video_reader import DecodedFrame
from lanhdr_cli.options import ExposureOptions
from model.analysis.brightness import FrameLight, LightMeter
from model.analysis.camera import CameraEstimate, exposures_of_camera
from model.analysis.exposure_cycle import ExposureEstimate, follow_exposures
from model.errors import ExposureError
from model.exposure import FrameExposures, to_radiance
from model.physical_merge import noise_level
from model.response import gamma_curve

CLIP_CODE = 0.96  # encoded; as the exposure finder has it
BLACK_CODE = 1.5 / 255  # encoded; the lowest code of 8 bits but black itself still counts as black
DARKEST_STOP = -14  # of the histogram, below the clip level
BINS_PER_STOP = 4
BINS = -DARKEST_STOP * BINS_PER_STOP
MOST_SAMPLES = 300_000
NOISE_EVERY = 8  # frames, two at a time, so that every exposure comes by
NOISE_CROP = 768
VARIES_BY = 0.1  # of a frame's duration
VARIES_BY_S = 0.0015  # Matroska rounds times to milliseconds
SAME_EXPOSURE = 1.05  # a factor
# What the bundled weights were trained on, see train/synthesis/dataset.py and train/synthesis/capture.py.
TRAINED_RATIOS = {2: (2, 64), 3: (4, 64)}
RATIO_TOLERANCE = 1.15
NOISIEST = 6.0
MOST_CLIPPED_SHORT, MOST_CLIPPED_LONG, MOST_BLACK_LONG = 0.15, 0.8, 0.5


@dataclass(frozen=True)
class FrameStats:
    """What is kept of a frame.

    Args:
        index: Position in the clip, from 0.
        light: Brightness against its neighbors.
        clipped: Share of samples at white, 0..1.
        black: Share of samples at black, 0..1.
        bright: The quantile 0.999 of linear light, 0..1 = clip level of this frame.
        histogram: Shares of samples per quarter stop below the clip level, darkest first, (56,).
        noise: Factor on the nominal noise, None where it was not measured.
    """

    index: int
    light: FrameLight
    clipped: float
    black: float
    bright: float
    histogram: Tensor
    noise: float | None

    @property
    def time(self) -> Fraction:
        """Presentation time in seconds."""
        return self.light.time


def survey(frames: Iterable[DecodedFrame]) -> list[FrameStats]:
    """Measure all frames; about 1 KiB of each is kept.

    Args:
        frames: Encoded with 1/2.2, in order.
    """
    meter = LightMeter()
    return [_measure(frame, meter.measure(frame.image, frame.time)) for frame in frames]


def _measure(frame: DecodedFrame, light: FrameLight) -> FrameStats:
    height, width = frame.image.shape[1:]
    stride = max(1, round((height * width / MOST_SAMPLES) ** 0.5))
    samples = frame.image[:, ::stride, ::stride].flatten()
    linear = to_radiance(samples, 1.0)
    bins = ((linear.clamp_min(1e-9).log2() - DARKEST_STOP) * BINS_PER_STOP).floor().clamp(0, BINS - 1)
    histogram = torch.bincount(bins.long(), minlength=BINS).float() / bins.numel()
    bright = float(linear.kthvalue(max(1, round(0.999 * linear.numel()))).values)
    measured = frame.index // 2 % (NOISE_EVERY // 2) == 0 or frame.index < NOISE_EVERY
    return FrameStats(
        index=frame.index,
        light=light,
        clipped=float((samples >= CLIP_CODE).float().mean()),
        black=float((samples <= BLACK_CODE).float().mean()),
        bright=bright,
        histogram=histogram,
        noise=_noise(frame.image) if measured and min(height, width) >= 10 else None,
    )


def _noise(image: Tensor) -> float:
    """Noise of the middle of a picture against the nominal one."""
    height, width = image.shape[1:]
    top, left = max(0, (height - NOISE_CROP) // 2), max(0, (width - NOISE_CROP) // 2)
    crop = image[:, top : top + NOISE_CROP, left : left + NOISE_CROP]
    return float(noise_level(to_radiance(crop, 1.0)[None]))


@dataclass(frozen=True)
class ExposureGroup:
    """All frames of one exposure.

    Args:
        exposure: Linear, relative to the shortest.
        frames: How many there are.
        clipped: Mean share of samples at white, 0..1.
        black: Mean share of samples at black, 0..1.
        bright: Median over the frames of the quantile 0.999 of light, 0..1 = clip level of this exposure.
        noise: Median of the noise level, 1 = nominal; None if not measured.
        histogram: Mean shares per quarter stop below this exposure's clip level, darkest first.
    """

    exposure: float
    frames: int
    clipped: float
    black: float
    bright: float
    noise: float | None
    histogram: Tensor


@dataclass(frozen=True)
class KnownExposures:
    """The exposures of a clip, as far as they are known.

    Args:
        origin: Where they come from: `options`, `list`, `pictures` or `brightness`.
        exposures: Exposure of each frame, None if unknown.
        estimate: What brightness says of them; None if it was not asked, or says nothing.
        trouble: Why they are unknown.
    """

    origin: str
    exposures: FrameExposures | None
    estimate: ExposureEstimate | None = None
    trouble: str = ""


@dataclass(frozen=True)
class Inspection:
    """Everything that is found.

    Args:
        source: The open clip.
        details: Its format.
        frames: What was measured of each frame.
        known: The exposures, and where they come from.
        groups: Frames by exposure, shortest first.
        camera: Its response, black level and gamut.
    """

    source: Source
    details: Details
    frames: list[FrameStats]
    known: KnownExposures
    groups: list[ExposureGroup]
    camera: Camera

    @property
    def exposures(self) -> list[float]:
        """Linear exposure of each frame, the shortest 1; empty if unknown."""
        known = self.known.exposures
        return [known[frame.index] for frame in self.frames] if known else []

    @property
    def ratio(self) -> float:
        """Longest exposure over the shortest."""
        return self.groups[-1].exposure / self.groups[0].exposure

    @property
    def stops_gained(self) -> float:
        """Stops that the shortest exposure reaches above the longest one's clip level."""
        return math.log2(self.ratio)

    @property
    def stops_used(self) -> float:
        """Stops of these that the scene fills: up to the quantile 0.999 of the shortest frames."""
        reached = self.groups[0].bright * self.ratio
        return min(self.stops_gained, max(0.0, math.log2(max(reached, 1e-9))))

    @property
    def slips(self) -> list[tuple[int, str]]:
        """Frames where the order of exposures breaks, and what is the matter."""
        if self.known.estimate:
            return [(slip.index, str(slip).partition(": ")[2]) for slip in self.known.estimate.slips]
        phases, period = (self.known.exposures.phases, self.known.exposures.period) if self.known.exposures else ((), 1)
        steps = enumerate(pairwise(phases[: len(self.frames)]), 1)
        return [(index, "out of order") for index, (before, after) in steps if (after - before - 1) % period]

    @property
    def varies(self) -> bool:
        """Whether frames come at an uneven pace."""
        steps = [float(later.time - earlier.time) for earlier, later in pairwise(self.frames)]
        usual = median(steps) if steps else 0.0
        return any(abs(step - usual) > max(VARIES_BY * usual, VARIES_BY_S) for step in steps)


def inspect_clip(
    source: Source,
    options: ExposureOptions,
    *,
    given: FrameExposures | None,
    camera: Camera,
) -> Inspection:
    """Look at every frame of an open clip.

    Args:
        source: The clip.
        options: The exposures as the user gives them.
        given: Exposures that the user, a list or the pictures give.
        camera: What is known or was found of the camera.

    Raises:
        LanHdrError: If it can't be read.
    """
    frames = survey(encoded_for_network(source.frames(), camera.curve))
    light = [frame.light for frame in frames]
    known = _known_exposures(source, light, options, given=given, camera=camera.estimate)
    of_frames = [known.exposures[frame.index] if known.exposures else 1.0 for frame in frames]
    return Inspection(source, source.details, frames, known, _groups(frames, of_frames), camera)


def _known_exposures(
    source: Source,
    light: Sequence[FrameLight],
    options: ExposureOptions,
    *,
    given: FrameExposures | None,
    camera: CameraEstimate | None,
) -> KnownExposures:
    """Take the exposures that are given, and let brightness decide what is left open."""
    listed = options.file or find_list(source.folder, source.name)
    origin = "brightness" if given is None else "options" if options.cycle else "list" if listed else "pictures"
    if given is not None and len(given.phases) > 1:  # each frame's own
        return KnownExposures(origin, given)
    try:
        if given:
            estimate = follow_exposures(light, given.cycle)
        else:
            estimate, _ = exposures_of_camera(light, camera or CameraEstimate(gamma_curve()))
    except ExposureError as error:
        return KnownExposures(origin, given, trouble="" if given else str(error))
    return KnownExposures(origin, given if given and not estimate.sure else estimate.exposures, estimate)


def _groups(frames: Sequence[FrameStats], exposures: Sequence[float]) -> list[ExposureGroup]:
    by_exposure: dict[float, list[FrameStats]] = {}
    for frame, exposure in sorted(zip(frames, exposures, strict=True), key=lambda pair: pair[1]):
        known = next((key for key in by_exposure if exposure <= key * SAME_EXPOSURE), exposure)
        by_exposure.setdefault(known, []).append(frame)
    return [_group(exposure, members) for exposure, members in by_exposure.items()]


def _group(exposure: float, frames: list[FrameStats]) -> ExposureGroup:
    noises = [frame.noise for frame in frames if frame.noise is not None]
    return ExposureGroup(
        exposure=exposure,
        frames=len(frames),
        clipped=fmean(frame.clipped for frame in frames),
        black=fmean(frame.black for frame in frames),
        bright=median(frame.bright for frame in frames),
        noise=median(noises) if noises else None,
        histogram=torch.stack([frame.histogram for frame in frames]).mean(0),
    )


def self_check(found: Inspection) -> list[str]:
    """Say in words where a clip lies outside of what the bundled weights were trained on; empty if nowhere."""
    if found.known.trouble:
        return [found.known.trouble]
    if not found.exposures or len(found.groups) < 2:
        return ["all frames have one exposure: there is nothing to merge"]
    return [*_doubts(found), *_range_warnings(found), *_light_warnings(found)]


def _doubts(found: Inspection) -> list[str]:
    estimate = found.known.estimate
    if estimate is None:
        return []
    if found.known.origin != "brightness" and not estimate.sure:
        return [f"brightness does not follow these exposures ({estimate.explained:.0%} of its steps agree)"]
    if not estimate.sure:
        return [
            f"the exposures are uncertain (confidence {estimate.confidence:.2f}): pass --exposures if you know them"
        ]
    # A curve that was found explains the steps as well as the frames allow, and says how well.
    found_curve = found.camera.estimate is not None and found.camera.estimate.response is not None
    return [estimate.warning] if estimate.warning and not found_curve else []


def _range_warnings(found: Inspection) -> list[str]:
    count = len(found.groups)
    if count not in TRAINED_RATIOS:
        return [f"there are {count} exposures; weights are for two or three"]
    low, high = TRAINED_RATIOS[count]
    if low / RATIO_TOLERANCE <= found.ratio <= high * RATIO_TOLERANCE:
        return []
    return [f"the exposures' ratio is {found.ratio:.3g}; weights were trained on {low} to {high}"]


def _light_warnings(found: Inspection) -> list[str]:
    shortest, longest = found.groups[0], found.groups[-1]
    # Texture looks like noise, the more so the brighter it is: only the least of the estimates says something.
    noise = min((group.noise for group in found.groups if group.noise is not None), default=0.0)
    checks = (
        (noise > NOISIEST, f"noise is {noise:.1f} times the nominal; weights were trained up to {NOISIEST:g}"),
        (
            shortest.clipped > MOST_CLIPPED_SHORT,
            f"{shortest.clipped:.0%} is clipped in the shortest frames too: no frame has seen it, it is guessed",
        ),
        (longest.clipped > MOST_CLIPPED_LONG, f"{longest.clipped:.0%} is clipped in the longest frames: expose less"),
        (
            longest.black > MOST_BLACK_LONG,
            f"{longest.black:.0%} is black in the longest frames: shadows are lost in every frame",
        ),
        (
            found.stops_used < 0.5 and longest.clipped < 0.001,
            "nothing is brighter than the longest exposure can hold: there is little to gain",
        ),
    )
    return [text for applies, text in checks if applies]
