"""HDR video files: HDR10 and HLG, with light levels that are true of what was encoded."""

import logging
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import av
from torch import Tensor

from lanhdr_cli.media.encode import StreamPlan
from lanhdr_cli.media.encoders import BT2020_PRIMARIES, HLG_TRANSFER, PQ_TRANSFER, EncodingWishes, encoder_options
from lanhdr_cli.media.errors import MediaError
from lanhdr_cli.media.grading import Grading
from lanhdr_cli.media.light_level import LightMeter, MasteringDisplay, StaticMetadata
from lanhdr_cli.media.video_file import ClipOrigin, VideoFile
from lanhdr_cli.media.yuv_planes import FORMATS, pad_to_format, to_frame
from model.frames import HdrFrame

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class VideoWishes:
    """What the user says of an HDR video.

    Args:
        encoding: Codec and its settings.
        grading: How bright it is to be.
        sound: Whether to keep the sound.
    """

    encoding: EncodingWishes = field(default_factory=EncodingWishes)
    grading: Grading = field(default_factory=Grading)
    sound: bool = True


class VideoWriter:
    """Writes one HDR video; use it in a `with`. The file appears only when it is complete.

    Args:
        path: The file.
        wishes: How to encode.
        scale: What radiance is multiplied by, so that 1.0 becomes diffuse white.
        origin: What to take over from the clip.

    Raises:
        MediaError: On entering, if the encoder does not start; later, if the file can't be written.
    """

    def __init__(self, path: Path, wishes: VideoWishes, *, scale: float, origin: ClipOrigin) -> None:
        self.written = 0
        self._path = path
        self._pictures = _HdrPictures(wishes, scale)
        _tell_of_padding(path, wishes.encoding.pixel_format, origin)
        self._file = VideoFile(
            path,
            _stream_plan(wishes, origin),
            origin=origin,
            pictures=self._pictures,
            measure=None if wishes.grading.hlg else self._pictures.meter.add,
        )

    @property
    def frames_with_gaps(self) -> int:
        """Frames that held values that are no numbers."""
        return self._pictures.frames_with_gaps

    @property
    def outcome(self) -> str:
        """What was made, for people."""
        metadata = self._pictures.metadata()
        if metadata is None:
            return f"{self._path} (HLG)"
        return f"{self._path} (MaxCLL {metadata.light.max_cll}, MaxFALL {metadata.light.max_fall} cd/m2)"

    @property
    def left_behind(self) -> str:
        """What stays after an interruption, for people."""
        return f"nothing was written to {self._path}"

    def __enter__(self) -> Self:
        self._file.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.__exit__(kind, error, trace)

    def write(self, frame: HdrFrame, *, index: int, exposure: float) -> None:
        """Queue one frame; waits while too many are queued.

        Args:
            frame: Rec.709 radiance, 1.0 = clip level of the shortest exposure.
            index: Position in the clip, from 0.
            exposure: Not used; video says nothing of single frames.
        """
        self._file.put(frame.radiance, index=index, time=frame.time)
        self.written += 1


class _HdrPictures:
    """Turns radiance into frames of an HDR stream."""

    def __init__(self, wishes: VideoWishes, scale: float) -> None:
        self.meter = LightMeter()
        self.frames_with_gaps = 0
        self._grading = wishes.grading
        self._format = wishes.encoding.pixel_format
        self._scale = scale

    def frame(self, *pictures: Tensor) -> av.VideoFrame:
        """Encode light and color of one picture."""
        (radiance,) = pictures
        self.frames_with_gaps += bool(radiance.isnan().any())
        signal = self._grading.signal(radiance.nan_to_num(nan=0.0), scale=self._scale)
        return to_frame(pad_to_format(signal, FORMATS[self._format]), self._format)

    def metadata(self) -> StaticMetadata | None:
        """Describe the light of all frames; HLG needs no description."""
        if self._grading.hlg:
            return None
        return StaticMetadata(MasteringDisplay(self._grading.peak_nits), self.meter.level())


def _stream_plan(wishes: VideoWishes, origin: ClipOrigin) -> StreamPlan:
    encoding, info = wishes.encoding, origin.info
    encoder, form = encoding.encoder, FORMATS[encoding.pixel_format]
    if info.width < encoder.narrowest:
        raise MediaError(
            f"pictures are {info.width} wide, {encoding.codec} needs {encoder.narrowest}: write .mkv with --codec ffv1"
        )
    return StreamPlan(
        encoder.library,
        encoder.decoder,
        encoder_options(encoding, wishes.grading),
        encoding.pixel_format,
        info.width + -info.width % form.across,
        info.height + -info.height % form.down,
        rate=info.rate,
        time_base=origin.time_base(),
        primaries=BT2020_PRIMARIES,
        transfer=HLG_TRANSFER if wishes.grading.hlg else PQ_TRANSFER,
        pixel_aspect=info.pixel_aspect or Fraction(1),
        tag=encoder.tag,
        container="mov" if encoder.library == "prores_ks" else "mp4",
        threads=encoding.threads,
        advice=encoder.advice,
    )


def _tell_of_padding(path: Path, pixel_format: str, origin: ClipOrigin) -> None:
    form, info = FORMATS[pixel_format], origin.info
    width, height = info.width + -info.width % form.across, info.height + -info.height % form.down
    if (width, height) != (info.width, info.height):
        logger.warning(
            "%s: %s needs even sizes; the last column or row is repeated: %dx%d becomes %dx%d",
            *(path.name, pixel_format, info.width, info.height, width, height),
        )
