"""What an interrupted conversion has left finished, and what becomes of it."""

import logging
import shutil
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from lanhdr_cli.console import frame_progress
from lanhdr_cli.destination import Destination, ExrFrames, HdrVideo
from lanhdr_cli.media.errors import MediaError
from lanhdr_cli.media.exr import FinishedFrame, finished_frame
from lanhdr_cli.media.paths import is_video
from lanhdr_cli.media.segment_notes import noted_segments, other_segments
from lanhdr_cli.media.segments import Part

if TYPE_CHECKING:
    from lanhdr_cli.conversion import ConvertJob

CHECKED_AT_ONCE = 4  # files

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class FinishedStep:
    """A step of a result that is there already: one EXR frame, or one segment of a video.

    Args:
        alone: Frames that were converted from themselves alone, as they are numbered in the result.
    """

    part: Part
    alone: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Kept:
    """The steps of a result that are there already, by number."""

    steps: Mapping[int, FinishedStep] = field(default_factory=dict)

    @property
    def numbers(self) -> frozenset[int]:
        """Numbers of the steps."""
        return frozenset(self.steps)

    @property
    def part(self) -> Part:
        """All that is there."""
        return Part.together([step.part for step in self.steps.values()])

    @property
    def alone(self) -> tuple[int, ...]:
        """Frames that were converted from themselves alone, as they are numbered in the result."""
        return tuple(index for _, step in sorted(self.steps.items()) for index in step.alone)

    def without(self, number: int) -> "Kept":
        """Leave one step to be made again."""
        return Kept(steps={other: step for other, step in self.steps.items() if other != number})


def find_kept(job: "ConvertJob", destination: Destination, settings: str, *, first: int, count: int) -> Kept:
    """Find what an interrupted run has left for this one; what is of no use is removed where the user allows it.

    Args:
        settings: Hash of all that decides what is in the files.
        first: First frame, as it is numbered in the result.
        count: Number of frames of the result.

    Raises:
        MediaError: If there is something that was made with other settings, or that is not asked for.
    """
    if isinstance(destination, HdrVideo):
        return _kept_segments(job, destination, count=count)
    if not job.resume:
        return Kept()
    kept = _kept_frames(job, destination, settings, range(first, first + count))
    if kept.steps:
        logger.info("%d of %d frames are there already", len(kept.steps), count)
    return kept


def preview_beside(job: "ConvertJob", kept: Kept, *, place: int, step: int) -> tuple[Path | None, Kept]:
    """Choose what becomes of a preview of a resumed run; for a picture one step may have to be made again.

    Args:
        place: Of the frame that a picture shows, in the result.
        step: Number of frames of a step.

    Returns:
        The preview to make, None for none, and what is kept.
    """
    preview = job.preview
    if preview is None or not job.resume:
        return preview, kept
    if preview.exists() and not job.overwrite:
        return None, kept  # it appeared when it was complete
    if not kept.steps or not is_video(preview):
        return preview, kept.without(place // step)
    logger.warning("--preview %s is left out: it would show only the frames that are made now", preview)
    return None, kept


def _kept_frames(job: "ConvertJob", destination: ExrFrames, settings: str, indices: range) -> Kept:
    names = destination.names
    existing = {path.name for path in destination.existing(indices.start, indices.stop - 1)}
    there = [index for index in indices if names.path(index).name in existing]

    def check(index: int) -> FinishedFrame | None:
        try:
            return finished_frame(names.path(index), settings, index=index, number=names.number(index))
        except MediaError:
            if job.overwrite:
                return None
            raise

    steps = {}
    with (
        frame_progress(len(there), show=job.show_progress, label="checking what is there: frame") as advance,
        ThreadPoolExecutor(CHECKED_AT_ONCE, thread_name_prefix="check") as pool,
    ):
        for index, frame in zip(there, pool.map(check, there), strict=True):
            advance()
            if frame:
                part = Part(frames=1, nan_frames=int(frame.nan), indices=(index, index))
                steps[index - indices.start] = FinishedStep(part=part, alone=(index,) if frame.alone else ())
    if lost := len(there) - len(steps):
        logger.info("%d files are damaged or were made with other settings: they are made anew", lost)
    return Kept(steps=steps)


def _kept_segments(job: "ConvertJob", destination: HdrVideo, *, count: int) -> Kept:
    plan, path = destination.segments, destination.path
    segments = noted_segments(plan, count=count) if job.resume else {}
    others = other_segments(plan if job.resume else replace(plan, settings=None))
    if others and not segments and not job.overwrite:
        reason = f"an interrupted run has left {len(others)} finished segments of {path}"
        if job.resume:
            raise MediaError(f"{reason}, made with other settings: pass the same options as then, or -y to start anew")
        raise MediaError(f"{reason}: pass --resume to go on with them, or -y to start anew")
    if others and not segments:
        level = logging.WARNING if job.resume else logging.INFO
        logger.log(level, "%d finished segments of an interrupted run are removed, all is made anew", len(others))
        shutil.rmtree(plan.folder)
    if job.resume and path.exists() and not segments and not job.overwrite:
        raise MediaError(f"{path} exists already, and nothing unfinished beside it: pass -y to make it anew")
    steps = {
        number: FinishedStep(
            part=Part(frames=segment.frames, nan_frames=segment.nan_frames, segments=(segment,)), alone=segment.alone
        )
        for number, segment in segments.items()
    }
    if steps:
        logger.info("%d of %d segments are there already", len(steps), -(-count // plan.frames))
    return Kept(steps=steps)
