"""Settings of a conversion: what is noted of them in files, and a hash of all that decides what is in these."""

import hashlib
import json
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import av

from lanhdr_cli.analysis import Analysis
from lanhdr_cli.analysis_file import Asked, analysis_record
from lanhdr_cli.media.exr import ClipRecord
from lanhdr_cli.media.source import Source
from lanhdr_cli.media.video_reader import VideoInfo
from train.environment import lanhdr_version

if TYPE_CHECKING:
    from lanhdr_cli.conversion import ConvertJob, ReadyNetwork

FORMAT = 1  # of what is hashed
DIGITS = 16


def clip_record(
    job: "ConvertJob", clip: Source, info: VideoInfo, analysis: Analysis, *, weights: str, settings: str = ""
) -> ClipRecord:
    """Collect the facts for the headers of EXR files.

    Args:
        info: Description of the clip as it is written.
        weights: Name of the weights.
        settings: Their hash.
    """
    cycle = analysis.exposures.cycle
    return ClipRecord(
        rate=info.rate,
        timecode=info.timecode,
        pixel_aspect=info.pixel_aspect,
        scale=job.scale or max(cycle.ratios),
        exposures=cycle.ratios,
        weights=weights,
        version=lanhdr_version(),
        colorspace=job.colorspace,
        response=analysis.camera.curve.name,
        source=clip.paths[0].name,
        source_id=clip.id,
        settings=settings,
    )


def settings_hash(
    job: "ConvertJob", clip: Source, info: VideoInfo, analysis: Analysis, *, network: "ReadyNetwork", video: bool
) -> str:
    """Hash all that decides what is in the files: the same hash, the same frames.

    Neither devices, threads and processes belong to it, nor names, nor for EXR frames the range of frames that is
    converted: they are the same in any range.

    Args:
        info: Description of the clip as it is written.
        video: Whether a video is made, not EXR frames.
    """
    asked = Asked(exposures=job.exposures, camera=job.camera, reading=job.reading)
    found = analysis_record(clip.id, asked, replace(analysis, index=None), frames=0)
    record = clip_record(job, clip, info, analysis, weights=network.name)
    decisive = {
        "format": FORMAT,
        "record": asdict(replace(record, source="")),
        "exposures": found["exposures"],
        "camera": found["camera"] | {"stated": None},
        "codes": [info.bits, info.lossy],
        "reading": [job.reading.on_missing, job.reading.bits, job.reading.bayer, job.reading.hwaccel],
        "interleave": [path.name for path in job.reading.interleave],
        "doubled": job.exposures.doubled,
        "network": network.identity,
    }
    if video:
        decisive["video"] = {
            "encoding": asdict(replace(job.video.encoding, threads=None)),
            "grading": asdict(job.video.grading),
            "frames": [job.frames.first, job.frames.last],
            "time_base": info.time_base,
            "libraries": av.library_versions,
        }
    text = json.dumps(decisive, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:DIGITS]
