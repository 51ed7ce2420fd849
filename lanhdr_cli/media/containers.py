"""Containers, opened for reading: nothing that they refer to is opened, and pictures have a bounded size."""

import logging
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

import av
from av.codec.hwaccel import HWAccel, hwdevices_available
from av.container import InputContainer
from av.video.stream import VideoStream

from lanhdr_cli.media.advice import missing_file
from lanhdr_cli.media.errors import MediaError
from lanhdr_cli.media.paths import ffmpeg_name

# Demuxers of lists and scripts that name other files or addresses, and devices; FFmpeg recognizes them by content.
REFERRING = frozenset(
    {"concat", "concatf", "dash", "hls", "hls,applehttp", "image2", "imf", "lavfi", "rtp", "rtsp", "sap", "sdp"}
    | {"avisynth", "vapoursynth", "vobsub", "webm_dash_manifest"}
    | {"alsa", "fbdev", "jack", "kmsgrab", "openal", "oss", "pulse", "sndio", "v4l2", "video4linux2,v4l2", "x11grab"}
)
PLAYLISTS = (b"#EXTM3U", b"ffconcat version", b"<?xml", b"<MPD", b"v=0", b"[playlist]")
PROGRAM_STREAM = b"\0\0\1\xba"  # shows its streams only when they come
LARGEST_PICTURE = 1 << 27  # pixels: 16384x8192
MOST_STREAMS = 64  # whose pictures are bounded while the file is probed

logger = logging.getLogger(__name__)


def open_container(path: Path, *, hwaccel: str | None = None, shown: Path | None = None) -> InputContainer:
    """Open a file for reading.

    Args:
        shown: Its name in messages, None for the path.
        hwaccel: `auto` or FFmpeg's name of a kind of device; where it is not available, the CPU decodes.

    Raises:
        MediaError: If it is missing, can't be read as a video, or no such hardware decoder is known.
    """
    if not path.exists():
        raise MediaError(missing_file(path))
    if path.is_dir():
        raise MediaError(f"{path} is a folder without pictures: pass a video file, or a folder of PNG, TIFF or JPEG")
    kinds = hwdevices_available() if hwaccel else []
    if hwaccel not in (None, "auto"):
        if hwaccel not in kinds:
            raise MediaError(f"--hwaccel {hwaccel} is not known here: pass {', '.join(['auto', *kinds])}")
        kinds = [hwaccel]
    for kind in kinds:
        try:  # frames come back to the CPU's memory by themselves
            return open_media(path, decoder=HWAccel(kind, allow_software_fallback=True))
        except (av.FFmpegError, RuntimeError) as error:
            logger.debug("no hardware decoder %s (%s): the CPU decodes", kind, error)
    try:
        return open_media(path)
    except (av.FFmpegError, ValueError, OverflowError) as error:
        name = shown or path
        if _is_playlist(path):
            raise MediaError(
                f"{name} is a list of other files or addresses, which are not read: pass the video file itself"
            ) from error
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise MediaError(f"{name} can't be read as video ({reason}): check that it is a complete video file") from error


def open_media(file: Path | BinaryIO, *, decoder: HWAccel | None = None) -> InputContainer:
    """Open a file, or bytes, by FFmpeg; nothing that it names is opened, and no picture may be larger than allowed."""
    bounds: Any = [{"max_pixels": str(LARGEST_PICTURE)}] * MOST_STREAMS  # PyAV names another type
    for options in (None,) if _starts_with(file, PROGRAM_STREAM) else (bounds, None):
        try:
            return av.open(
                ffmpeg_name(file) if isinstance(file, Path) else file,
                "r",
                metadata_errors="replace",
                hwaccel=decoder,
                container_options={"protocol_whitelist": "file", "format_whitelist": _formats()},
                stream_options=options,
            )
        except ValueError as error:  # formats without headers, as program streams, show their streams later
            if options is None or "stream_options" not in str(error) or isinstance(error, av.FFmpegError):
                raise
            if not isinstance(file, Path):
                file.seek(0)
    raise AssertionError("the second way returns or raises")


def _starts_with(file: Path | BinaryIO, mark: bytes) -> bool:
    if isinstance(file, Path):
        with file.open("rb") as opened:
            return opened.read(len(mark)) == mark
    return False


def bound_pictures(stream: VideoStream, path: Path) -> None:
    """Make the decoder of a stream refuse pictures that are too large.

    Raises:
        MediaError: If the header says already that they are.
    """
    width, height = stream.codec_context.width, stream.codec_context.height
    if width * height > LARGEST_PICTURE:
        raise MediaError(too_large(path, width, height))
    stream.codec_context.options = {"max_pixels": str(LARGEST_PICTURE)}


def too_large(path: Path, width: int, height: int) -> str:
    """Say that pictures are larger than any that can be converted."""
    return f"{path} says that it is {width}x{height}, at most {LARGEST_PICTURE >> 20} Mi pixels are read: scale it down"


@cache
def _formats() -> str:
    return ",".join(sorted(av.formats_available - REFERRING))


def _is_playlist(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(64).lstrip(b"\xef\xbb\xbf \r\n\t").startswith(PLAYLISTS)
