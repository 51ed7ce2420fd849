"""What `lanhdr inspect` finds in a clip: format, exposures, light."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import fmean, median

import torch
from torch import Tensor

from lanhdr_cli.camera import Camera
from lanhdr_cli.media.details import Details, describe
from lanhdr_cli.media.exposures import find_list
from lanhdr_cli.media.response import encoded_for_network
from lanhdr_cli.media.source import Source
from lanhdr_cli.survey import Surveyed, survey
from model.brightness import FrameLight
from model.camera_estimate import CameraEstimate, exposures_of_camera
from model.cycle import ExposureEstimate, FrameExposures, follow_exposures
from model.errors import ExposureError
from model.exposure import ExposureCycle
from model.response import gamma_curve

VARIES_BY = 0.1  # of a frame's duration
VARIES_BY_S = 0.0015  # Matroska rounds times to milliseconds
SAME_EXPOSURE = 1.05  # a factor


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
class Known:
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
    frames: list[Surveyed]
    known: Known
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
    cycle: ExposureCycle | None,
    *,
    file: Path | None = None,
    said: FrameExposures | None = None,
    camera: Camera,
) -> Inspection:
    """Look at every frame of an open clip.

    Args:
        source: The clip.
        cycle: Exposures that the user gave, None to find them.
        file: A list of exposures that the user named.
        said: Exposures as the user, a list or the pictures say them.
        camera: What is known or was found of the camera.

    Raises:
        LanHdrError: If it can't be read.
    """
    details = describe(source)
    frames = survey(encoded_for_network(source.frames(), camera.curve))
    light = [frame.light for frame in frames]
    known = find_exposures(source, light, cycle=cycle, file=file, known=said, camera=camera.estimate)
    of_frames = [known.exposures[frame.index] if known.exposures else 1.0 for frame in frames]
    return Inspection(source, details, frames, known, _groups(frames, of_frames), camera)


def find_exposures(
    source: Source,
    light: Sequence[FrameLight],
    *,
    cycle: ExposureCycle | None,
    file: Path | None,
    known: FrameExposures | None,
    camera: CameraEstimate | None = None,
) -> Known:
    """Take the exposures that somebody says, and let brightness say what is left open."""
    beside = file or find_list(source.folder, source.name)
    origin = "brightness" if known is None else "options" if cycle else "list" if beside else "pictures"
    if known is not None and len(known.phases) > 1:  # each frame's own
        return Known(origin, known)
    try:
        if known:
            estimate = follow_exposures(light, known.cycle)
        else:
            estimate, _ = exposures_of_camera(light, camera or CameraEstimate(gamma_curve()))
    except ExposureError as error:
        return Known(origin, known, trouble="" if known else str(error))
    return Known(origin, known if known and not estimate.sure else estimate.exposures, estimate)


def _groups(frames: Sequence[Surveyed], exposures: Sequence[float]) -> list[ExposureGroup]:
    by_exposure: dict[float, list[Surveyed]] = {}
    for frame, exposure in sorted(zip(frames, exposures, strict=True), key=lambda pair: pair[1]):
        known = next((key for key in by_exposure if exposure <= key * SAME_EXPOSURE), exposure)
        by_exposure.setdefault(known, []).append(frame)
    return [_group(exposure, members) for exposure, members in by_exposure.items()]


def _group(exposure: float, frames: list[Surveyed]) -> ExposureGroup:
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
