"""SDR video for every player: H.264, 8 bits, BT.709."""

from pathlib import Path

import av
import torch
from torch import Tensor

from lanhdr_cli.media.encode import StreamPlan
from lanhdr_cli.media.light_level import StaticMetadata
from lanhdr_cli.media.video_file import ClipOrigin, VideoFile
from lanhdr_cli.media.yuv_planes import FORMATS, pad_to_format, to_frame

PIXELS = "yuv420p"
BT709_CODE = 1  # ITU-T H.273 tables 2 and 3
OPTIONS = {"preset": "fast", "crf": "18"}


class _SdrPictures:
    def frame(self, *pictures: Tensor) -> av.VideoFrame:
        """Put pictures side by side."""
        return to_frame(pad_to_format(torch.cat(pictures, dim=2), FORMATS[PIXELS]), PIXELS)

    def metadata(self) -> StaticMetadata | None:
        """SDR needs no description."""
        return None


def sdr_video(path: Path, *, width: int, height: int, origin: ClipOrigin, threads: int | None = None) -> VideoFile:
    """Prepare a video of encoded pictures; `put` takes those that are to stand side by side, 0..1, (3, H, W) each.

    Args:
        path: The file.
        width: Of all pictures together.
        height: Of each.
        origin: What to take over from the clip.
        threads: Of the encoder, None for its own choice.
    """
    form = FORMATS[PIXELS]
    plan = StreamPlan(
        "libx264",
        "h264",
        OPTIONS,
        PIXELS,
        width + -width % form.across,
        height + -height % form.down,
        rate=origin.info.rate,
        time_base=origin.time_base(),
        primaries=BT709_CODE,
        transfer=BT709_CODE,
        pixel_aspect=origin.info.pixel_aspect,
        threads=threads,
        advice="pass --preview FILE.png instead",
    )
    return VideoFile(path, plan, origin=origin, pictures=_SdrPictures())
