"""A video file in the making: encoded beside the other work, complete or absent."""

import logging
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import av
import torch
from torch import Tensor

from lanhdr_cli.media.background import Background
from lanhdr_cli.media.encoder import (
    EncoderOptions,
    Measure,
    StreamPlan,
    VideoEncoder,
    ffmpeg_options,
)
from lanhdr_cli.media.errors import MediaError
from lanhdr_cli.media.grading import Grading
from lanhdr_cli.media.hdr10_metadata import ContentLightMeter, MasteringDisplay, StaticMetadata
from lanhdr_cli.media.mux import MuxPlan, Span, finish
from lanhdr_cli.media.paths import complete_file, container_of, hidden_file
from lanhdr_cli.media.timecode import advance, parse_timecode
from lanhdr_cli.media.video_reader import FALLBACK_RATE, VideoInfo
from lanhdr_cli.media.yuv import BT709, BT2020, FORMATS, HLG_TRANSFER, PQ_TRANSFER, pad_to_format, to_frame
from model.frames import HdrFrame

QUEUE_DEPTH = 2  # frames that are being encoded or wait for it
SDR_PIXELS = "yuv420p"
SDR_OPTIONS = {"preset": "fast", "crf": "18"}

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ClipOrigin:
    """What a new video file takes over from the clip.

    Args:
        info: Size, rate, time code and pixel aspect.
        path: The video file, for its sound and tags; None for image sequences.
        sound: Whether to take over the sound.
        cut: Whether the clip's end may be missing; then sound ends with the pictures.
    """

    info: VideoInfo
    path: Path | None = None
    sound: bool = True
    cut: bool = False


class FrameMaker(Protocol):
    """Makes frames for an encoder; runs in its thread."""

    def frame(self, *pictures: Tensor) -> av.VideoFrame:
        """Make a frame of the tensors that were handed over."""

    def metadata(self) -> StaticMetadata | None:
        """Describe what has been encoded, None if there is nothing to say."""


class VideoFile:
    """Encodes frames in the background; use it in a `with`.

    Leaving it waits for the encoder, adds sound and tags, and gives the file its name. On an error nothing stays.

    Args:
        path: The file.
        plan: How to encode.
        origin: What to take over from the clip.
        maker: Makes the frames.
        measure: Is shown every frame as a player will decode it.

    Raises:
        MediaError: From `put` or on leaving, if the file can't be made.
    """

    def __init__(
        self,
        path: Path,
        plan: StreamPlan,
        *,
        origin: ClipOrigin,
        maker: FrameMaker,
        measure: Measure | None = None,
    ) -> None:
        self.path = path
        self._plan = plan
        self._origin = origin
        self._maker = maker
        self._measure = measure
        self._begin: tuple[int, Fraction] | None = None
        self._last = Fraction(0)

    def __enter__(self) -> Self:
        with ExitStack() as outer, ExitStack() as inner:
            self._hidden = outer.enter_context(hidden_file(self.path, "pictures"))
            self._encoder = inner.enter_context(VideoEncoder(self._hidden, self._plan, measure=self._measure))
            self._work = inner.enter_context(Background(self._encode, depth=QUEUE_DEPTH, name="video"))
            self._inner, self._outer = inner.pop_all(), outer.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._outer:
            self._inner.__exit__(kind, error, trace)
            if error is None and self._begin is not None:
                self._finish()

    def put(self, *pictures: Tensor, index: int, time: Fraction) -> None:
        """Hand over a frame; waits while too many are under way.

        Args:
            pictures: What `FrameMaker.frame` takes.
            index: Position in the clip, from 0.
            time: Presentation time in seconds.
        """
        if self._begin is None:  # a range that begins later begins anew at 0
            self._begin = (index, time if index else Fraction(0))
        self._last = time - self._begin[1]
        self._work.put((pictures, self._last))

    def _encode(self, item: tuple[tuple[Tensor, ...], Fraction]) -> None:
        pictures, time = item
        self._encoder.encode(self._maker.frame(*pictures), time)

    def _finish(self) -> None:
        container = container_of(self.path)
        with complete_file(self.path) as unfinished:
            finish(
                self._hidden,
                unfinished,
                container=container,
                plan=self._mux_plan(),
                metadata=self._maker.metadata(),
            )

    def _mux_plan(self) -> MuxPlan:
        assert self._begin is not None
        index, begin = self._begin
        origin, rate = self._origin, self._origin.info.rate
        end = begin + self._last + 1 / (rate or FALLBACK_RATE) if origin.cut else None
        plan = MuxPlan(origin.path, sound=origin.sound, span=Span(begin, end), rate=rate)
        label = parse_timecode(origin.info.timecode) if origin.info.timecode else None
        return replace(plan, timecode=str(advance(label, index, rate=rate))) if label and rate else plan


@dataclass(frozen=True)
class VideoOptions:
    """What the user says of an HDR video.

    Args:
        encoding: Codec and its settings.
        grading: How bright it is to be.
        sound: Whether to keep the sound.
    """

    encoding: EncoderOptions = field(default_factory=EncoderOptions)
    grading: Grading = field(default_factory=Grading)
    sound: bool = True


class VideoWriter:
    """Writes one HDR video; use it in a `with`. The file appears only when it is complete.

    Args:
        path: The file.
        options: How to encode.
        scale: What radiance is multiplied by, so that 1.0 becomes diffuse white.
        origin: What to take over from the clip.

    Raises:
        MediaError: On entering, if the encoder does not start; later, if the file can't be written.
    """

    def __init__(self, path: Path, options: VideoOptions, *, scale: float, origin: ClipOrigin) -> None:
        self.written = 0
        self._path = path
        self._maker = _HdrFrameMaker(options, scale)
        _tell_of_padding(path, options.encoding.pixel_format, origin)
        self._file = VideoFile(
            path,
            _stream_plan(options, origin),
            origin=origin,
            maker=self._maker,
            measure=None if options.grading.hlg else self._maker.meter.add,
        )

    @property
    def nan_frames(self) -> int:
        """Frames that held values that are no numbers."""
        return self._maker.nan_frames

    @property
    def outcome(self) -> str:
        """What was made, for people."""
        metadata = self._maker.metadata()
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


class _HdrFrameMaker:
    """Turns radiance into frames of an HDR stream."""

    def __init__(self, options: VideoOptions, scale: float) -> None:
        self.meter = ContentLightMeter()
        self.nan_frames = 0
        self._grading = options.grading
        self._format = options.encoding.pixel_format
        self._scale = scale

    def frame(self, *pictures: Tensor) -> av.VideoFrame:
        """Encode light and color of one picture."""
        (radiance,) = pictures
        self.nan_frames += bool(radiance.isnan().any())
        signal = self._grading.signal(radiance.nan_to_num(nan=0.0), scale=self._scale)
        return to_frame(pad_to_format(signal, FORMATS[self._format]), self._format)

    def metadata(self) -> StaticMetadata | None:
        """Describe the light of all frames; HLG needs no description."""
        if self._grading.hlg:
            return None
        return StaticMetadata(MasteringDisplay(self._grading.peak_nits), self.meter.level())


def _stream_plan(options: VideoOptions, origin: ClipOrigin) -> StreamPlan:
    encoding, info = options.encoding, origin.info
    encoder, form = encoding.encoder, FORMATS[encoding.pixel_format]
    if info.width < encoder.narrowest:
        raise MediaError(
            f"pictures are {info.width} wide, {encoding.codec} needs {encoder.narrowest}: write .mkv with --codec ffv1"
        )
    return StreamPlan(
        encoder.library,
        encoder.decoder,
        ffmpeg_options(encoding, options.grading),
        encoding.pixel_format,
        info.width + -info.width % form.across,
        info.height + -info.height % form.down,
        rate=info.rate,
        time_base=origin.info.time_base,
        primaries=BT2020,
        transfer=HLG_TRANSFER if options.grading.hlg else PQ_TRANSFER,
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


class _SdrFrameMaker:
    def frame(self, *pictures: Tensor) -> av.VideoFrame:
        """Put pictures side by side."""
        return to_frame(pad_to_format(torch.cat(pictures, dim=2), FORMATS[SDR_PIXELS]), SDR_PIXELS)

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
    form = FORMATS[SDR_PIXELS]
    plan = StreamPlan(
        "libx264",
        "h264",
        SDR_OPTIONS,
        SDR_PIXELS,
        width + -width % form.across,
        height + -height % form.down,
        rate=origin.info.rate,
        time_base=origin.info.time_base,
        primaries=BT709,
        transfer=BT709,
        pixel_aspect=origin.info.pixel_aspect,
        threads=threads,
        advice="pass --preview FILE.png instead",
    )
    return VideoFile(path, plan, origin=origin, maker=_SdrFrameMaker())
