"""Reading one picture of a sequence."""

import io
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import torch
from av.video.reformatter import VideoReformatter
from torch import Tensor

from lanhdr_cli.media.errors import MediaError
from lanhdr_cli.media.headers import EXR_MAGIC
from lanhdr_cli.media.pixels import coding_of, to_rgb
from model.exposure import to_ldr

DAMAGED = "replace it, or remove it and pass --on-missing skip or repeat"


@dataclass(frozen=True)
class Picture:
    """One picture of a file.

    Args:
        image: Encoded R, G, B, 0..1, upright, float32, (3, H, W).
        format: Codec and layout of the samples in words.
        share_above_one: Share of linear values above 1.0, which are clipped here; 0 for encoded pictures.
    """

    image: Tensor
    format: str
    share_above_one: float = 0.0


def read_picture(path: Path, *, reformatter: VideoReformatter | None = None) -> Picture:
    """Decode a PNG, TIFF, JPEG or OpenEXR file.

    OpenEXR is linear already. A clip level can't be seen in it; 1.0 is taken for it, and what is below is encoded
    with 1/2.2, as if a camera of this response had made it.

    Args:
        path: The file.
        reformatter: Keeps what swscale needs from picture to picture.

    Raises:
        MediaError: If it can't be read.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise MediaError(f"{path} can't be read ({error.strerror}): check the file") from error
    return _read_exr(path) if data.startswith(EXR_MAGIC) else _decode(path, data, reformatter or VideoReformatter())


def _decode(path: Path, data: bytes, reformatter: VideoReformatter) -> Picture:
    # From memory: FFmpeg would read a % in a file's name as the number of a sequence.
    try:
        with av.open(io.BytesIO(data), "r") as container:
            stream = container.streams.video[0]
            if stream.codec_context.name == "mjpeg":
                # Without it the end of a JPEG that was cut off is filled in with gray, silently.
                stream.codec_context.options = {"err_detect": "explode"}
            frame = next(container.decode(stream))
            name = stream.codec_context.name
    except (av.FFmpegError, IndexError, StopIteration) as error:
        raise MediaError(f"{path} is damaged or of an unknown kind: {DAMAGED}") from error
    try:
        image = to_rgb(frame, coding_of(frame), reformatter=reformatter)
    except MediaError as error:
        raise MediaError(f"{path}: {error}") from error
    turns = round(frame.rotation / 90) % 4
    upright = torch.rot90(image, turns, (1, 2)).contiguous() if turns else image
    return Picture(upright, f"{name} {frame.format.name}")


def _read_exr(path: Path) -> Picture:
    import OpenEXR

    try:
        with OpenEXR.File(str(path), separate_channels=True) as file:
            channels = {name: np.array(channel.pixels, np.float32) for name, channel in file.channels().items()}
            kind = next(iter(file.channels().values())).type()
    except (RuntimeError, ValueError, StopIteration) as error:
        raise MediaError(f"{path} is damaged or of an unknown kind: {DAMAGED}") from error
    names = ("R", "G", "B") if "R" in channels else ("Y", "Y", "Y")
    if not set(names) <= set(channels):
        found = ", ".join(sorted(channels))
        raise MediaError(f"{path} has no channels R, G and B ({found}): write them as its first layer")
    linear = torch.from_numpy(np.stack([channels[name] for name in names])).nan_to_num_(nan=0.0)  # (3, H, W)
    above = float((linear > 1).float().mean())
    return Picture(to_ldr(linear, 1.0), f"exr {str(kind).rpartition('.')[2].lower()}", above)
