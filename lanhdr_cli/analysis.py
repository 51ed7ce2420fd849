"""The analysis of a clip: its camera and its exposures, as a conversion takes them."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from lanhdr_cli.camera import Camera, CameraOptions, FirstLook, find_camera, known_curve
from lanhdr_cli.console import Remarks
from lanhdr_cli.exposures import (
    BrightnessPass,
    agreeing_exposures,
    checked_exposures,
    estimated_exposures,
    given_exposures,
)
from lanhdr_cli.media.frame_index import FrameIndex
from lanhdr_cli.media.source import Reading, Source
from lanhdr_cli.options import ExposureOptions
from model.analysis.brightness import FrameLight
from model.analysis.camera import CameraEstimate
from model.exposure import FrameExposures

FINDERS = ("lanhdr_cli.camera", "lanhdr_cli.exposures")  # loggers of what is found


@dataclass(frozen=True, kw_only=True)
class Analysis:
    """All that a conversion takes from looking at a clip.

    It is that of the whole clip, whatever part of it is converted, so that parts fit together.

    Args:
        index: By which ranges of frames are sought; None where there is none.
        warnings: What was guessed or repaired on the way.
    """

    exposures: FrameExposures
    camera: Camera
    index: FrameIndex | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class FirstFindings:
    """What is known of a clip from its first frames.

    Args:
        given: Exposures that are given or listed and agree with the frames; None to find them.
    """

    clip: Source
    look: FirstLook
    options: ExposureOptions
    given: FrameExposures | None
    camera: Camera
    warnings: tuple[str, ...]

    def complete(self, *, show_progress: bool = False) -> Analysis:
        """Look at as many more frames as the exposures depend on: at none where they are given and taken as given.

        Raises:
            LanHdrError: If the clip can't be read, or its exposures are not found.
        """
        brightness = BrightnessPass(
            look=self.look, curve=self.camera.curve, total=self.clip.info.frames, show_progress=show_progress
        )
        all_count = self.given is None or self.options.slips
        light = brightness.measure() if all_count else brightness.measure_first() if self.options.deflicker else []
        return self.concluded(light)

    def concluded(self, light: Sequence[FrameLight]) -> Analysis:
        """Find the exposures in the light of all frames, or check those that are given.

        Raises:
            ExposureError: If they are not found.
        """
        with _noted() as remarks:
            if self.given is None:
                camera = self.camera.estimate or CameraEstimate(self.camera.curve)
                exposures = estimated_exposures(light, camera, slips=self.options.slips)
            else:
                exposures = checked_exposures(light, self.given, options=self.options)
        warnings = (*self.warnings, *remarks.messages)
        return Analysis(exposures=exposures, camera=self.camera, index=self.clip.index, warnings=warnings)


def first_findings(
    clip: Source, *, exposures: ExposureOptions, camera: CameraOptions, reading: Reading
) -> FirstFindings:
    """Look at the first frames of an open clip, and hold given exposures against them.

    Raises:
        LanHdrError: If an option does not fit, or the clip can't be read.
    """
    look = FirstLook(clip)
    if reading.bayer is None:
        look.refuse_mosaics()
    with _noted() as remarks:
        given = given_exposures(clip, exposures)
        curve = known_curve(clip, camera)
        given = given and agreeing_exposures(given, clip, look=look, options=exposures, curve=curve)
        found = find_camera(clip, camera, exposures=given, look=look)
    return FirstFindings(
        clip=clip, look=look, options=exposures, given=given, camera=found, warnings=tuple(remarks.messages)
    )


@contextmanager
def _noted() -> Iterator[Remarks]:
    """Keep the warnings of what is found inside."""
    remarks = Remarks()
    for name in FINDERS:
        logging.getLogger(name).addHandler(remarks)
    try:
        yield remarks
    finally:
        for name in FINDERS:
            logging.getLogger(name).removeHandler(remarks)
