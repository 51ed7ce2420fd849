"""Inspection of a clip: format, exposures, light."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from statistics import fmean, median
from typing import Any

import torch
from torch import Tensor

from lanhdr_cli.analysis import first_findings
from lanhdr_cli.analysis_file import Asked, analysis_record
from lanhdr_cli.camera import Camera, CameraOptions, shrunk
from lanhdr_cli.exposure_list import find_list
from lanhdr_cli.exposures import contradicts, followed
from lanhdr_cli.media.details import Details
from lanhdr_cli.media.paths import check_plot, prepare_folder, refuse_existing, refuse_sources
from lanhdr_cli.media.source import Reading, Source, open_source
from lanhdr_cli.media.video_reader import DecodedFrame
from lanhdr_cli.options import ExposureOptions
from model.analysis.brightness import FrameLight, LightMeter
from model.analysis.camera import CameraEstimate, exposures_of_camera
from model.analysis.exposure_cycle import ExposureEstimate
from model.errors import ExposureError
from model.exposure import FrameExposures, to_radiance
from model.physical_merge import noise_level
from model.response import ResponseCurve, gamma_curve

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


@dataclass(frozen=True, kw_only=True)
class FrameStats:
    """Measurements of a frame.

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


def measure_frames(frames: Iterable[DecodedFrame], curve: ResponseCurve) -> list[FrameStats]:
    """Measure all frames, as the camera encodes, in order; about 1 KiB of each is kept.

    Their light is measured as a conversion does it, so that both find the same exposures.
    """
    meter, stats = LightMeter(), []
    for frame in frames:
        light = meter.measure(curve.to_ldr(shrunk(frame.image).float()), frame.time)
        stats.append(_frame_stats(replace(frame, image=curve.to_ldr(frame.image)), light))
    return stats


def _frame_stats(frame: DecodedFrame, light: FrameLight) -> FrameStats:
    height, width = frame.image.shape[1:]
    stride = max(1, round((height * width / MOST_SAMPLES) ** 0.5))
    samples = frame.image[:, ::stride, ::stride].flatten()
    linear = to_radiance(samples, 1.0)
    bins = ((linear.clamp_min(1e-9).log2() - DARKEST_STOP) * BINS_PER_STOP).floor().clamp(0, BINS - 1)
    noise = None
    if min(height, width) >= 10 and (frame.index // 2 % (NOISE_EVERY // 2) == 0 or frame.index < NOISE_EVERY):
        top, left = max(0, (height - NOISE_CROP) // 2), max(0, (width - NOISE_CROP) // 2)
        crop = frame.image[:, top : top + NOISE_CROP, left : left + NOISE_CROP]
        noise = float(noise_level(to_radiance(crop, 1.0)[None]))
    return FrameStats(
        index=frame.index,
        light=light,
        clipped=float((samples >= CLIP_CODE).float().mean()),
        black=float((samples <= BLACK_CODE).float().mean()),
        bright=float(linear.kthvalue(max(1, round(0.999 * linear.numel()))).values),
        histogram=torch.bincount(bins.long(), minlength=BINS).float() / bins.numel(),
        noise=noise,
    )


@dataclass(frozen=True, kw_only=True)
class ExposureGroup:
    """All frames of one exposure.

    Args:
        exposure: Linear, relative to the shortest.
        frames: Number of frames.
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


@dataclass(frozen=True, kw_only=True)
class KnownExposures:
    """The exposures of a clip, as far as they are known.

    Args:
        origin: Where they come from: `options`, `list`, `pictures` or `brightness`.
        exposures: Exposure of each frame, None if unknown.
        estimate: Estimate from brightness; None if it was not made, or failed.
        trouble: Why they are unknown.
    """

    origin: str
    exposures: FrameExposures | None
    estimate: ExposureEstimate | None = None
    trouble: str = ""


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """The results of an inspection; `groups` are the frames by exposure, shortest first.

    `conversion` is what `lanhdr convert --analysis` takes from it.
    """

    source: Source
    details: Details
    frames: list[FrameStats]
    known: KnownExposures
    groups: list[ExposureGroup]
    camera: Camera
    conversion: dict[str, Any]

    @property
    def exposures(self) -> list[float]:
        """Linear exposure of each frame, the shortest 1; empty if unknown."""
        known = self.known.exposures
        return [known[frame.index] for frame in self.frames] if known else []

    @property
    def stops_gained(self) -> float:
        """Stops that the shortest exposure reaches above the longest one's clip level."""
        return math.log2(self.groups[-1].exposure / self.groups[0].exposure)

    @property
    def stops_used(self) -> float:
        """Stops of these that the scene fills: up to the quantile 0.999 of the shortest frames."""
        reached = self.groups[0].bright * self.groups[-1].exposure / self.groups[0].exposure
        return min(self.stops_gained, max(0.0, math.log2(max(reached, 1e-9))))

    @property
    def slips(self) -> list[tuple[int, str]]:
        """Frames where the order of exposures breaks, and how."""
        estimate = self.known.estimate
        if estimate is None:
            return []
        breaks = {index: "its brightness is not that of its exposure" for index in estimate.unexplained}
        breaks |= {slip.index: str(slip).partition(": ")[2] for slip in estimate.slips}
        return sorted(breaks.items())

    @property
    def has_varying_rate(self) -> bool:
        """Whether frames come at an uneven pace."""
        steps = [float(later.light.time - earlier.light.time) for earlier, later in pairwise(self.frames)]
        usual = median(steps) if steps else 0.0
        return any(abs(step - usual) > max(VARIES_BY * usual, VARIES_BY_S) for step in steps)


def inspect_clip(
    path: Path,
    *,
    exposures: ExposureOptions,
    reading: Reading,
    camera: CameraOptions,
    threads: int | None = None,
    plot: Path | None = None,
    overwrite: bool = False,
) -> Inspection:
    """Measure every frame of a clip, and find its camera and exposures.

    Args:
        threads: Number of threads for computing and decoding, None for the default.
        plot: File that will be made of the result; it is refused now, before the clip is read, if it can't be.
        overwrite: Whether that file may exist.

    Raises:
        LanHdrError: If an option, the clip or a file does not fit.
    """
    if plot:
        check_plot(plot)
    if threads:
        torch.set_num_threads(threads)
    with open_source(path, reading, threads=threads or 0) as clip:
        if plot:
            existing = [plot] if plot.exists() else []
            refuse_sources(existing, clip.paths)
            if not overwrite:
                refuse_existing(existing)
            prepare_folder(plot.parent)
        asked = Asked(exposures=exposures, camera=camera, reading=reading)
        found = first_findings(clip, exposures=exposures, camera=camera, reading=reading)
        frames = measure_frames(clip.frames(), found.camera.curve)
        clip_id = clip.id  # while the copy of a stream is there
    known = _known_exposures(clip, frames, exposures, given=found.given, camera=found.camera.estimate)
    groups = group_by_exposure(frames, [known.exposures[frame.index] if known.exposures else 1.0 for frame in frames])
    analysis, trouble = None, ""
    try:
        analysis = found.concluded([frame.light for frame in frames])
    except ExposureError as error:
        trouble = str(error)
    return Inspection(
        source=clip,
        details=clip.details,
        frames=frames,
        known=known,
        groups=groups,
        camera=found.camera,
        conversion=analysis_record(clip_id, asked, analysis, frames=len(frames), trouble=trouble),
    )


def _known_exposures(
    clip: Source,
    frames: Sequence[FrameStats],
    options: ExposureOptions,
    *,
    given: FrameExposures | None,
    camera: CameraEstimate | None,
) -> KnownExposures:
    """Take the given exposures, and let brightness decide what they leave open."""
    listed = options.file or find_list(clip.folder, clip.name)
    origin = "brightness" if given is None else "options" if options.cycle else "list" if listed else "pictures"
    light = [frame.light for frame in frames]
    try:
        if given:
            estimate = followed(light, given)
        else:
            estimate, _ = exposures_of_camera(light, camera or CameraEstimate(gamma_curve()))
    except ExposureError as error:
        return KnownExposures(origin=origin, exposures=given, trouble="" if given else str(error))
    exposures = given if given and contradicts(estimate) else estimate.exposures
    return KnownExposures(origin=origin, exposures=exposures, estimate=estimate)


def group_by_exposure(frames: Sequence[FrameStats], exposures: Sequence[float]) -> list[ExposureGroup]:
    """Group frames whose exposures are within 5 %, shortest first."""
    members: dict[float, list[FrameStats]] = {}
    for frame, exposure in sorted(zip(frames, exposures, strict=True), key=lambda pair: pair[1]):
        known = next((key for key in members if exposure <= key * SAME_EXPOSURE), exposure)
        members.setdefault(known, []).append(frame)
    groups = []
    for exposure, group in members.items():
        noises = [frame.noise for frame in group if frame.noise is not None]
        groups.append(
            ExposureGroup(
                exposure=exposure,
                frames=len(group),
                clipped=fmean(frame.clipped for frame in group),
                black=fmean(frame.black for frame in group),
                bright=median(frame.bright for frame in group),
                noise=median(noises) if noises else None,
                histogram=torch.stack([frame.histogram for frame in group]).mean(0),
            )
        )
    return groups


def self_check(inspection: Inspection) -> list[str]:
    """List in words where a clip lies outside of what the bundled weights were trained on."""
    if inspection.known.trouble:
        return [inspection.known.trouble]
    if not inspection.exposures or len(inspection.groups) < 2:
        return ["all frames have one exposure: there is nothing to merge"]
    return [*_exposure_warnings(inspection), *_light_warnings(inspection)]


def _exposure_warnings(inspection: Inspection) -> Iterator[str]:
    estimate, camera, count = inspection.known.estimate, inspection.camera.estimate, len(inspection.groups)
    # An estimated curve explains the steps as well as the frames allow, and says how well.
    if estimate and estimate.sure and estimate.warning and not (camera and camera.response):
        yield estimate.warning
    elif estimate and contradicts(estimate) and inspection.known.origin != "brightness":
        yield f"brightness does not follow these exposures ({estimate.explained:.0%} of its steps agree)"
    elif estimate and not estimate.sure and inspection.known.origin == "brightness":
        yield f"the exposures are uncertain (confidence {estimate.confidence:.2f}): pass --exposures if you know them"
    if count not in TRAINED_RATIOS:
        yield f"there are {count} exposures; weights are for two or three"
        return
    low, high = TRAINED_RATIOS[count]
    ratio = inspection.groups[-1].exposure / inspection.groups[0].exposure
    if not low / RATIO_TOLERANCE <= ratio <= high * RATIO_TOLERANCE:
        yield f"the exposures' ratio is {ratio:.3g}; weights were trained on {low} to {high}"


def _light_warnings(inspection: Inspection) -> Iterator[str]:
    shortest, longest = inspection.groups[0], inspection.groups[-1]
    # Texture looks like noise, the more so the brighter it is: only the least of the estimates says something.
    noise = min((group.noise for group in inspection.groups if group.noise is not None), default=0.0)
    if noise > NOISIEST:
        yield f"noise is {noise:.1f} times the nominal; weights were trained up to {NOISIEST:g}"
    if shortest.clipped > MOST_CLIPPED_SHORT:
        yield f"{shortest.clipped:.0%} is clipped in the shortest frames too: no frame has seen it, it is guessed"
    if longest.clipped > MOST_CLIPPED_LONG:
        yield f"{longest.clipped:.0%} is clipped in the longest frames: expose less"
    if longest.black > MOST_BLACK_LONG:
        yield f"{longest.black:.0%} is black in the longest frames: shadows are lost in every frame"
    if inspection.stops_used < 0.5 and longest.clipped < 0.001:
        yield "nothing is brighter than the longest exposure can hold: there is little to gain"
