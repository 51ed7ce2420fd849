"""Opening a video file, with a hardware decoder where one is asked for and there."""

import logging
from pathlib import Path

import av
from av.codec.hwaccel import HWAccel, hwdevices_available
from av.container import InputContainer

from lanhdr_cli.media.errors import MediaError

logger = logging.getLogger(__name__)


def open_container(path: Path, *, hwaccel: str | None = None) -> InputContainer:
    """Open a file for reading.

    Args:
        path: The file.
        hwaccel: `auto` or FFmpeg's name of a kind of device; where it is not to be had, the CPU decodes.

    Raises:
        MediaError: If it is missing, can't be read as a video, or no such hardware decoder is known.
    """
    if not path.exists():
        raise MediaError(f"no such file: {path}")
    if path.is_dir():
        raise MediaError(f"{path} is a folder without pictures: pass a video file, or a folder of PNG, TIFF or JPEG")
    for kind in _kinds(hwaccel):
        try:
            return _open(path, HWAccel(kind, allow_software_fallback=True))
        except (av.FFmpegError, RuntimeError) as error:
            logger.debug("no hardware decoder %s (%s): the CPU decodes", kind, error)
    try:
        return _open(path, None)
    except av.FFmpegError as error:
        reason = error.strerror or type(error).__name__
        raise MediaError(f"{path} can't be read as video ({reason}): check that it is a complete video file") from error


def _kinds(hwaccel: str | None) -> list[str]:
    available = hwdevices_available()
    if hwaccel is None:
        return []
    if hwaccel == "auto":
        return available
    if hwaccel not in available:
        raise MediaError(f"--hwaccel {hwaccel} is not known here: pass auto{''.join(f', {k}' for k in available)}")
    return [hwaccel]


def _open(path: Path, hwaccel: HWAccel | None) -> InputContainer:
    # Frames come back to the CPU's memory by themselves.
    return av.open(str(path), metadata_errors="replace", hwaccel=hwaccel)
