"""Possession of the files that a conversion makes: locked, and known for what is there of them already."""

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lanhdr_cli.analysis import Analysis
from lanhdr_cli.destination import Destination, HdrVideo
from lanhdr_cli.frame_ranges import Dropped, result_frames, shown_place
from lanhdr_cli.media.faults import Faults
from lanhdr_cli.media.paths import landmark, refuse_existing
from lanhdr_cli.media.source import Source
from lanhdr_cli.ranks import Ranks
from lanhdr_cli.resume import Kept, find_kept, preview_beside
from lanhdr_cli.settings import settings_hash

if TYPE_CHECKING:
    from lanhdr_cli.conversion import ConvertJob, ReadyNetwork


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What rank 0 has found and planned, for all ranks.

    Args:
        dropped: Frames that are left out.
        frames: Number of frames to convert, None if unknown.
        faults: Of a pass over the whole clip, None if there was none.
        source_id: Of the clip.
        settings: Hash of all that decides what is in the files.
        kept: Result of an interrupted run.
        preview: The one to make.
        mark: A file in the folder of the results, while they are made; None for one process.
    """

    destination: Destination
    analysis: Analysis
    dropped: Dropped
    frames: int | None
    faults: Faults | None
    source_id: str
    settings: str
    kept: Kept
    preview: Path | None
    mark: Path | None


def claim(
    job: "ConvertJob",
    clip: Source,
    destination: Destination,
    network: "ReadyNetwork",
    analysis: Analysis,
    *,
    ranks: Ranks,
    stack: ExitStack,
) -> Findings:
    """Take possession of the files to make, as long as the stack is open, and see what is there of them.

    Raises:
        MediaError: If another process makes them, or they may not be replaced.
    """
    known = clip.info.frames if ranks.size == 1 and not job.resume else _counted(job, clip)
    frames = job.frames.count(in_clip=known)
    dropped = Dropped.of(analysis.exposures, clip.info) if job.exposures.doubled == "drop" else Dropped()
    made = result_frames(job.frames, total=frames, dropped=dropped) if frames else []
    first = dropped.moved_index(job.frames.first)
    last = first + len(made) - 1 if made else job.frames.last
    stack.enter_context(destination.lock(first, last))
    destination.remove_leftovers(first, last)
    if not (job.overwrite or job.resume):  # another process may have made them since
        refuse_existing(destination.existing(first, last))
    info = dropped.retimed(clip.info)
    is_one_file = isinstance(destination, HdrVideo)
    settings = settings_hash(job, clip, info, analysis, network=network, video=is_one_file)
    destination = destination.with_settings(settings)
    kept = find_kept(job, destination, settings, first=first, count=len(made))
    place = shown_place(job.frames, total=frames or 1, dropped=dropped)
    preview, kept = preview_beside(job, kept, place=place, step=destination.step)
    return Findings(
        destination=destination,
        analysis=analysis,
        dropped=dropped,
        faults=clip.faults if clip.faults.finished else None,
        frames=frames,
        source_id=clip.id,
        settings=settings,
        kept=kept,
        preview=preview,
        mark=stack.enter_context(landmark(destination.file(first))) if ranks.size > 1 else None,
    )


def _counted(job: "ConvertJob", clip: Source) -> int | None:
    """Count the frames of a clip: as its index, a pass or the header has it, else by reading them if that is needed.

    A video's header may be wrong; where a run is resumed, the number must be right.
    """
    if clip.index:
        return len(clip.index.times)
    if clip.faults.finished:
        return clip.faults.decoded
    exact = not job.resume or clip.video is None
    if exact and (clip.faults.promised or job.frames.last is not None):
        return clip.faults.promised
    return sum(1 for _ in clip.frames())
