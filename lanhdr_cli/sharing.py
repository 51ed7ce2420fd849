"""Jobs that several processes share: what can't be shared, and the job of each."""

from dataclasses import replace
from typing import TYPE_CHECKING

from lanhdr_cli.media.errors import MediaError
from lanhdr_cli.media.paths import is_video
from lanhdr_cli.media.stream_reader import names_stream
from lanhdr_cli.ranks import Ranks, rank_device

if TYPE_CHECKING:
    from lanhdr_cli.conversion import ConvertJob


def refuse_sharing(job: "ConvertJob", processes: int) -> None:
    """Refuse what several processes can't share."""
    if names_stream(job.source):
        raise MediaError(f"{job.source} comes once, {processes} processes can't read it: save it to a file first")
    if job.preview and is_video(job.preview):
        raise MediaError(f"--preview {job.preview} is made by one process, not by {processes}: pass a .png instead")


def job_of_rank(job: "ConvertJob", ranks: Ranks) -> "ConvertJob":
    """Give a process its device, and its share of the cores.

    Raises:
        LanHdrError: If the job can't be shared, or there are too few devices.
    """
    refuse_sharing(job, ranks.size)
    device = rank_device(ranks, job.devices, default=job.device)
    show_progress = job.show_progress and ranks.leads
    return replace(job, device=device, threads=job.threads or ranks.threads, show_progress=show_progress)
