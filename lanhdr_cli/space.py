"""Space on the disk that a result needs, estimated before the first frame is computed."""

import logging
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lanhdr_cli.analysis import Analysis
from lanhdr_cli.camera import encoded_for_network
from lanhdr_cli.console import FORECAST, size_text
from lanhdr_cli.destination import Destination, ExrFrames
from lanhdr_cli.media.encoder import EncoderOptions
from lanhdr_cli.media.errors import MediaError
from lanhdr_cli.media.exr import compressed_size
from lanhdr_cli.media.source import Source
from lanhdr_cli.media.video_reader import VideoInfo
from lanhdr_cli.media.yuv import FORMATS
from model.exposure import to_radiance

EXR_PIXEL = 6  # bytes: three half floats, where nothing compresses
EXR_HEADER = 4096  # bytes, with the table of the blocks
VIDEO_COPIES = 2  # the segments, and the file that is made of them
CRF_STEP = 6.0  # of --crf that halves the bits of x265 and SVT-AV1, more or less
# Bits per pixel, measured at the default quality: still, flat pictures and white noise, with some reserve.
LOSSY_BITS = {"hevc": (0.001, 5.0), "av1": (0.001, 5.0), "hevc_nvenc": (0.001, 5.0), "av1_nvenc": (0.001, 5.0)}
INTRA_BITS = {"prores-4444": (0.1, 10.0), "prores-422hq": (0.1, 7.0)}
LOSSLESS_SHARE = (0.002, 1.1)  # of the codes as they are
FEW_FRAMES = 1000  # in all, where their number is unknown

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class SpaceNeed:
    """Bytes that a result needs on the disk while it is made.

    Args:
        least: With pictures that compress very well.
        most: With pictures that hardly compress.
    """

    least: int
    most: int


def video_need(encoding: EncoderOptions, info: VideoInfo, *, frames: int, sound_bytes: int = 0) -> SpaceNeed:
    """Bound the space of a video.

    Args:
        frames: Number of its frames.
        sound_bytes: Of the source, whose sound may be copied.
    """
    form = FORMATS[encoding.pixel_format]
    width, height = form.padded_size(info.width, info.height)
    pixels = width * height * frames
    if encoding.codec in LOSSY_BITS:
        default = encoding.encoder.default_quality
        finer = 2.0 ** ((default - (default if encoding.crf is None else encoding.crf)) / CRF_STEP)
        least, most = (bits * finer for bits in LOSSY_BITS[encoding.codec])
        most = min(most, 1.1 * raw_bits(encoding.pixel_format))
    elif encoding.codec in INTRA_BITS:
        least, most = INTRA_BITS[encoding.codec]
    else:
        least, most = (share * raw_bits(encoding.pixel_format) for share in LOSSLESS_SHARE)
    copies = VIDEO_COPIES * pixels / 8
    return SpaceNeed(least=round(least * copies), most=round(most * copies) + sound_bytes)


def raw_bits(pixel_format: str) -> float:
    """Bits per pixel of codes that are not compressed."""
    form = FORMATS[pixel_format]
    return (1 + 2 / (form.down * form.across)) * form.bits


def exr_need(info: VideoInfo, *, frames: int, sampled: Callable[[], int] | None = None) -> SpaceNeed:
    """Bound the space of EXR frames.

    Args:
        frames: Number of them.
        sampled: Bytes of one that is made of an input frame alone, which has fewer values than a merged one.
    """
    full = info.width * info.height * EXR_PIXEL + EXR_HEADER
    return SpaceNeed(least=frames * min(sampled() if sampled else 0, full), most=frames * full)


def sampled_frame(clip: Source, analysis: Analysis, *, first: int, scale: float) -> int:
    """Compress a frame of each exposure as it is, from `first` on, and return the bytes of the smallest file."""
    exposures = analysis.exposures
    frames = clip.frames(start=first, stop=first + exposures.period)
    sizes = [
        compressed_size(to_radiance(frame.image, exposures[frame.index]), scale)
        for frame in encoded_for_network(frames, analysis.camera.curve)
    ]
    return min(sizes, default=0)


def check_space(
    destination: Destination,
    info: VideoInfo,
    *,
    frames: int | None,
    sampled: Callable[[], int],
    replaced: Sequence[Path] = (),
    sound: Path | None = None,
    force: bool = False,
) -> None:
    """Refuse a result that can't fit on the disk, and warn of one that may not.

    Args:
        frames: Number of frames of the result, None if unknown.
        sampled: Bytes of a typical EXR frame; asked for where space may be short.
        replaced: Existing files that make room as they are replaced.
        sound: File whose sound is copied.
        force: Whether a result that does not fit is only warned of.

    Raises:
        MediaError: If even a result that compresses very well does not fit.
    """
    free = shutil.disk_usage(destination.folder).free
    if isinstance(destination, ExrFrames):
        free += sum(path.stat().st_size for path in replaced)
        kind, need = "EXR frames", exr_need(info, frames=frames or 1)
    else:
        sound_bytes = sound.stat().st_size if sound else 0
        kind = f"frames of {destination.options.encoding.codec}"
        need = video_need(destination.options.encoding, info, frames=frames or 1, sound_bytes=sound_bytes)
    if need.most <= free and frames is not None:
        return
    place = f"{destination.folder} has {size_text(free)} free"
    if frames is None:
        count = free // need.most
        if count < FEW_FRAMES:
            logger.warning("%s, which may end after %d %s of unknown number", place, count, kind, extra=FORECAST)
        return
    if isinstance(destination, ExrFrames):
        need = exr_need(info, frames=frames, sampled=sampled)
    wanted = f"{frames} {kind} of {info.width}x{info.height}"
    if need.least > free and not force:
        raise MediaError(
            f"{place}, {wanted} need {size_text(need.least)} at the least: "
            "free some space, choose another place, or pass --force"
        )
    logger.warning("%s, %s may need up to %s", place, wanted, size_text(need.most), extra=FORECAST)
