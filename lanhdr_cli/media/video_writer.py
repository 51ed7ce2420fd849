"""Writers of HDR video and SDR previews: encoded beside other work, complete or absent."""

import logging
import shutil
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

from torch import Tensor

from lanhdr_cli.media.background import Background, StageTimes
from lanhdr_cli.media.encoder import Encoder, EncoderOptions, StreamPlan, ffmpeg_options, writing
from lanhdr_cli.media.errors import MediaError
from lanhdr_cli.media.grading import Grading
from lanhdr_cli.media.hdr10_metadata import LightLevel, MasteringDisplay, StaticMetadata
from lanhdr_cli.media.mux import MuxPlan, mux_video
from lanhdr_cli.media.paths import CONTAINERS, complete_file
from lanhdr_cli.media.segments import Part, Segment, SegmentEncoder, SegmentPlan, light_level
from lanhdr_cli.media.sound import ClipSound
from lanhdr_cli.media.timecode import advance, parse_timecode
from lanhdr_cli.media.verification import WrittenVideo, verify_video
from lanhdr_cli.media.video_reader import FALLBACK_RATE, VideoInfo
from lanhdr_cli.media.yuv import BT709, BT2020, FORMATS, HLG_TRANSFER, PQ_TRANSFER, as_frame, coded_planes
from model.device import on_host
from model.frames import HdrFrame

QUEUE_DEPTH = 2  # frames that are being encoded or wait for it
SDR_ENCODER = Encoder(library="libx264", decoder="h264", pixels=("yuv420p",), advice="pass --preview FILE.png instead")
SDR_OPTIONS = {"preset": "fast", "crf": "18"}

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class ClipOrigin:
    """Properties of the clip that a new video file takes over.

    Args:
        path: The video file, for its sound and tags; None for image sequences.
        sound: Whether to take over the sound.
        cut: Whether the clip's end may be missing; then sound ends with the pictures.
    """

    info: VideoInfo
    path: Path | None = None
    sound: bool = True
    cut: bool = False


class VideoFile:
    """A video of encoded pictures, made in the background; use it in a `with`.

    Pictures are encoded to segments in a hidden folder beside the file. Leaving waits for the encoder, joins the
    segments, adds sound and tags, and gives the file its name. On an error nothing stays.

    Args:
        segments: What is made of it here, None for all of it.
        verify: Whether the file is read again before it gets its name.

    Raises:
        MediaError: On entering, if the encoder does not start; later, if the file can't be made.
    """

    def __init__(
        self,
        path: Path,
        plan: StreamPlan,
        *,
        origin: ClipOrigin,
        segments: SegmentPlan | None = None,
        verify: bool = False,
    ) -> None:
        self.verified: int | None = None  # frames that were read again and found as written
        self._verify = verify
        self._path = path
        self._container = CONTAINERS[path.suffix.lower()]
        self._plan = plan
        self.pixel_format = plan.pixel_format
        self._origin = origin
        self._parts = segments or SegmentPlan.beside(path)
        self._begin: tuple[int, Fraction] | None = None
        self.segments: tuple[Segment, ...] = ()

    def __enter__(self) -> Self:
        with ExitStack() as outer, ExitStack() as inner:
            self._sound: ClipSound | None = None
            if self._origin.path and self._parts.joins:
                sound = ClipSound(self._origin.path, container=self._container, kept=self._origin.sound)
                self._sound = outer.enter_context(sound)
            self._kept = outer.enter_context(ExitStack())  # empty once the segments are somebody else's
            self._kept.callback(shutil.rmtree, self._parts.folder, ignore_errors=True)
            with writing(self._path.parent):
                self._parts.folder.mkdir(exist_ok=True)
            self._encoder = inner.enter_context(SegmentEncoder(self._plan, self._parts))
            self._work = inner.enter_context(Background(self._encode, depth=QUEUE_DEPTH, name="video"))
            self._inner, self._outer = inner.pop_all(), outer.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._outer:
            self._inner.__exit__(kind, error, trace)
            if error is None:
                self.segments = self.segments or tuple(self._encoder.segments)
                if not self._parts.joins:
                    self._kept.pop_all()
                elif self.segments and self._begin is not None:
                    self._finish(*self._begin)

    def encoded(self) -> tuple[Segment, ...]:
        """Wait for the encoder, and return the segments made here; no picture may follow."""
        self._inner.close()
        self.segments = tuple(self._encoder.segments)
        return self.segments

    def put(self, planes: Callable[[], Sequence[Tensor]], *, index: int, time: Fraction) -> None:
        """Hand over a picture; waits while too many are under way.

        Args:
            planes: Makes its `coded_planes` on the CPU; called in the background, in order.
            index: Position in the clip, from 0.
            time: Presentation time in seconds.
        """
        if self._begin is None:  # a range that begins later begins anew at 0
            self._begin = (index, time if index else self._origin.info.start)
        self._work.put((planes, time))

    def _encode(self, item: tuple[Callable[[], Sequence[Tensor]], Fraction]) -> None:
        planes, time = item
        with self._work.times.busy("color"):
            frame = as_frame(planes(), self.pixel_format)
        with self._work.times.busy("encode"):
            self._encoder.encode(frame, time)

    @property
    def times(self) -> StageTimes:
        """Times of the work in the background."""
        return self._work.times

    def _metadata(self) -> StaticMetadata | None:
        """Describe the light of all frames, None if there is nothing to describe."""
        return None

    def _finish(self, index: int, begin: Fraction) -> None:
        origin, rate, base = self._origin, self._origin.info.rate, self._plan.info.time_base
        label = parse_timecode(origin.info.timecode) if origin.info.timecode else None
        plan = MuxPlan(
            begin=round(begin / base) * base,
            end=self.segments[-1].last + 1 / (rate or FALLBACK_RATE) if origin.cut else None,
            timecode=str(advance(label, index, rate=rate)) if label and rate else None,
            rate=rate,
        )
        with complete_file(self._path) as unfinished:
            mux_video(
                self.segments,
                unfinished,
                container=self._container,
                plan=plan,
                sound=self._sound,
                metadata=self._metadata(),
            )
            if self._verify:
                written = self._written(begin=plan.begin)
                verify_video(unfinished, written, container=self._container, shown=self._path)
                self.verified = sum(segment.frames for segment in self.segments)

    def _written(self, *, begin: Fraction) -> WrittenVideo:
        base = self._plan.info.time_base
        times = (segment.begin + tick * base - begin for segment in self.segments for tick in segment.ticks)
        return WrittenVideo(
            times=tuple(times),
            primaries=self._plan.primaries,
            transfer=self._plan.transfer,
            metadata=self._metadata(),
        )


@dataclass(frozen=True, kw_only=True)
class VideoOptions:
    """Options of an HDR video."""

    encoding: EncoderOptions = field(default_factory=EncoderOptions)
    grading: Grading = field(default_factory=Grading)
    sound: bool = True


class VideoWriter(VideoFile):
    """Writes one HDR video; use it in a `with`. The file appears only when it is complete.

    Args:
        scale: Factor on radiance that makes 1.0 diffuse white.
        segments: What is made of it here, None for all of it.
        verify: Whether the file is read again before it gets its name.

    Raises:
        MediaError: If pictures are too narrow for the encoder.
    """

    def __init__(
        self,
        path: Path,
        options: VideoOptions,
        *,
        scale: float,
        origin: ClipOrigin,
        segments: SegmentPlan | None = None,
        verify: bool = False,
    ) -> None:
        encoding, info = options.encoding, origin.info
        encoder, pixel_format = encoding.encoder, encoding.pixel_format
        coded_size = FORMATS[pixel_format].padded_size(info.width, info.height)
        if coded_size != (info.width, info.height):
            logger.warning(
                "%s: %s needs even sizes; the last column or row is repeated: %dx%d becomes %dx%d",
                *(path.name, pixel_format, info.width, info.height, *coded_size),
            )
        if info.width < encoder.narrowest:
            needed = f"{encoding.codec} needs {encoder.narrowest}"
            raise MediaError(f"pictures are {info.width} wide, {needed}: write .mkv with --codec ffv1")
        plan = StreamPlan(
            encoder=encoder,
            options=ffmpeg_options(encoding, options.grading),
            pixel_format=pixel_format,
            info=info,
            primaries=BT2020,
            transfer=HLG_TRANSFER if options.grading.hlg else PQ_TRANSFER,
            measured=not options.grading.hlg,
            threads=encoding.threads,
        )
        self.written = 0
        self.nan_frames = 0
        self._grading = options.grading
        self._scale = scale
        super().__init__(path, plan, origin=origin, segments=segments, verify=verify)

    @property
    def outcome(self) -> str:
        """The file made, in words."""
        if self.light is None:
            return f"{self._path} (HLG)"
        return f"{self._path} (MaxCLL {self.light.max_cll}, MaxFALL {self.light.max_fall} cd/m2)"

    @property
    def light(self) -> LightLevel | None:
        """Light of all frames, None if it is not measured."""
        return None if self._grading.hlg else light_level(self.segments)

    @property
    def left_behind(self) -> str:
        """State after an interruption, in words."""
        return f"nothing was written to {self._path}"

    def write(self, frame: HdrFrame, *, index: int, exposure: float) -> None:
        """Queue one frame; waits while too many are queued.

        Args:
            frame: Radiance, 1.0 = clip level of the shortest exposure.
            index: Position in the clip, from 0.
            exposure: Not used; video says nothing of single frames.
        """
        codes = on_host(lambda: self._codes(frame), frame.radiance.device)
        self.put(lambda: self._counted(codes()), index=index, time=frame.time)
        self.written += 1

    def finish(self) -> Part:
        """Wait for what is under way, and return what has been made here; no frame may follow."""
        segments = self.encoded()
        return Part(frames=self.written, nan_frames=self.nan_frames, segments=segments)

    def take(self, whole: Part) -> None:
        """Take over what all processes have made together."""
        self.written, self.nan_frames, self.segments = whole.frames, whole.nan_frames, whole.segments

    def _codes(self, frame: HdrFrame) -> tuple[Tensor, ...]:
        """Grade and code a frame, on its device; return whether there was NaN as well."""
        radiance = frame.radiance.nan_to_num(nan=0.0)
        signal = self._grading.signal(radiance, scale=self._scale, primaries=frame.primaries)
        return *coded_planes(signal, self.pixel_format), frame.radiance.isnan().any()

    def _counted(self, codes: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        *planes, nan = codes
        self.nan_frames += bool(nan)
        return tuple(planes)

    def _metadata(self) -> StaticMetadata | None:
        if self.light is None:
            return None
        return StaticMetadata(display=MasteringDisplay(peak_nits=self._grading.peak_nits), light=self.light)


def sdr_video(path: Path, *, width: int, height: int, origin: ClipOrigin, threads: int | None = None) -> VideoFile:
    """Prepare a video of encoded pictures of this size; threads None are the encoder's own choice."""
    (pixel_format,) = SDR_ENCODER.pixels
    plan = StreamPlan(
        encoder=SDR_ENCODER,
        options=SDR_OPTIONS,
        pixel_format=pixel_format,
        info=replace(origin.info, width=width, height=height),
        primaries=BT709,
        transfer=BT709,
        threads=threads,
    )
    return VideoFile(path, plan, origin=origin)
