"""Writers of HDR video and SDR previews: encoded beside other work, complete or absent."""

import logging
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
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
from lanhdr_cli.media.segment_notes import count_noted, note_segment
from lanhdr_cli.media.segments import Part, Segment, SegmentEncoder, SegmentPlan, light_level
from lanhdr_cli.media.sound import ClipSound
from lanhdr_cli.media.timecode import advance, parse_timecode
from lanhdr_cli.media.verification import WrittenVideo, verify_video
from lanhdr_cli.media.video_reader import FALLBACK_RATE, VideoInfo
from lanhdr_cli.media.yuv import BT709, BT2020, FORMATS, HLG_TRANSFER, PQ_TRANSFER, as_frame, coded_planes
from model.device import on_host
from model.files import hidden_name
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
    segments, adds sound and tags, and gives the file its name. On an error nothing stays but finished segments that
    a later run can take over.

    Args:
        segments: What is made of it here, None for all of it.
        begin: Position in the clip of the video's first frame; None for the first that is put.
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
        begin: int | None = None,
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
        self._begin = begin
        self._succeeded = False
        self.segments: tuple[Segment, ...] = ()

    def __enter__(self) -> Self:
        with ExitStack() as outer, ExitStack() as inner:
            self._sound: ClipSound | None = None
            if self._origin.path and self._parts.joins:
                sound = ClipSound(self._origin.path, container=self._container, kept=self._origin.sound)
                self._sound = outer.enter_context(sound)
            outer.callback(self._leave)
            with writing(self._path.parent):
                self._parts.folder.mkdir(exist_ok=True)
            self._encoder = inner.enter_context(SegmentEncoder(self._plan, self._parts, done=self._note))
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
                if self._parts.joins and self.segments and self._begin is not None:
                    self._finish(self._begin)
                self._succeeded = True

    def _leave(self) -> None:
        if self._parts.joins or not self._succeeded:
            self._parts.leave(joined=self._succeeded)

    def _note(self, segment: Segment) -> None:
        if self._parts.lasts:
            note_segment(segment)

    def encoded(self) -> tuple[Segment, ...]:
        """Wait for the encoder, and return the segments made here; no picture may follow."""
        self._inner.close()
        self.segments = tuple(self._encoder.segments)
        return self.segments

    def put(self, planes: Callable[[], Sequence[Tensor]], *, index: int, time: Fraction, alone: bool = False) -> None:
        """Hand over a picture; waits while too many are under way.

        Args:
            planes: Makes its `coded_planes` on the CPU, and a flag for NaN that may follow them; called in the
                background, in order.
            index: Position in the clip, from 0.
            time: Presentation time in seconds.
            alone: Whether it was converted from itself alone.
        """
        if self._begin is None:
            self._begin = index
        self._work.put(_Picture(planes=planes, index=index, time=time, alone=alone))

    def _encode(self, picture: "_Picture") -> None:
        with self._work.times.busy("color"):
            *planes, last = picture.planes()
            planes, nan = (planes, bool(last)) if last.ndim == 0 else ([*planes, last], False)
            frame = as_frame(planes, self.pixel_format)
        with self._work.times.busy("encode"):
            self._encoder.encode(frame, picture.time, index=picture.index, nan=nan, alone=picture.alone)

    @property
    def times(self) -> StageTimes:
        """Times of the work in the background."""
        return self._work.times

    def _metadata(self) -> StaticMetadata | None:
        """Describe the light of all frames, None if there is nothing to describe."""
        return None

    def _finish(self, index: int) -> None:
        """Join the segments to the file.

        Args:
            index: Position in the clip of the first frame; a range that begins later begins anew at 0.
        """
        origin, rate, base = self._origin, self._origin.info.rate, self._plan.info.time_base
        begin = self.segments[0].begin if index else origin.info.start
        label = parse_timecode(origin.info.timecode) if origin.info.timecode else None
        plan = MuxPlan(
            begin=round(begin / base) * base,
            end=self.segments[-1].last + 1 / (rate or FALLBACK_RATE) if origin.cut else None,
            timecode=str(advance(label, index, rate=rate)) if label and rate else None,
            rate=rate,
        )
        with complete_file(self._path) as unfinished, self._labeled(self.segments) as segments:
            mux_video(
                segments,
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

    @contextmanager
    def _labeled(self, segments: tuple[Segment, ...]) -> Iterator[tuple[Segment, ...]]:
        """Put a copy in the place of the first one, which is changed: it must stay as it is for a later run."""
        copy = hidden_name(segments[0].path, purpose=".labeled")
        try:
            with writing(self._path):
                shutil.copyfile(segments[0].path, copy)
            yield (replace(segments[0], path=copy), *segments[1:])
        finally:
            copy.unlink(missing_ok=True)


@dataclass(frozen=True, kw_only=True)
class _Picture:
    """A picture on its way to the encoder, see `VideoFile.put`."""

    planes: Callable[[], Sequence[Tensor]]
    index: int
    time: Fraction
    alone: bool


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
        begin: Position in the clip of the video's first frame; None for the first that is written.
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
        begin: int | None = None,
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
        super().__init__(path, plan, origin=origin, segments=segments, begin=begin, verify=verify)

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

    def left_behind(self, kept: int, *, shared: bool) -> str:
        """State after an interruption, in words; none if nothing is finished.

        Args:
            kept: Number of frames that were there before; they are counted with the others.
            shared: Whether other processes have made some too; likewise.
        """
        count = count_noted(self._parts)
        segments = f"1 segment of {self._path} is" if count == 1 else f"{count} segments of {self._path} are"
        return f"{segments} finished, {self._parts.frames} frames each" if count else ""

    def write(self, frame: HdrFrame, *, index: int, exposure: float) -> None:
        """Queue one frame; waits while too many are queued.

        Args:
            frame: Radiance, 1.0 = clip level of the shortest exposure.
            index: Position in the clip, from 0.
            exposure: Not used; video says nothing of single frames.
        """
        codes = on_host(lambda: self._codes(frame), frame.radiance.device)
        self.put(codes, index=index, time=frame.time, alone=not frame.merged)
        self.written += 1

    def settle(self) -> None:
        """Wait for the frames under way before an interruption: they may fill a segment."""
        self._work.wait()

    def finish(self) -> Part:
        """Wait for what is under way, and return what has been made here; no frame may follow."""
        segments = self.encoded()
        self.nan_frames = sum(segment.nan_frames for segment in segments)
        return Part(frames=self.written, nan_frames=self.nan_frames, segments=segments)

    def take(self, whole: Part) -> None:
        """Take over what all processes have made together."""
        self.written, self.nan_frames, self.segments = whole.frames, whole.nan_frames, whole.segments

    def _codes(self, frame: HdrFrame) -> tuple[Tensor, ...]:
        """Grade and code a frame, on its device; return whether there was NaN as well."""
        radiance = frame.radiance.nan_to_num(nan=0.0)
        signal = self._grading.signal(radiance, scale=self._scale, primaries=frame.primaries)
        return *coded_planes(signal, self.pixel_format), frame.radiance.isnan().any()

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
