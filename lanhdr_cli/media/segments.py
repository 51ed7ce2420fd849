"""Segments of a video: encoded one by one to files that decode by themselves, and joined without encoding again."""

import heapq
import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Self

import av
from av.packet import Packet
from av.video.stream import VideoStream

from lanhdr_cli.media.encoder import StreamPlan, VideoEncoder
from lanhdr_cli.media.errors import MediaError
from lanhdr_cli.media.hdr10_metadata import ContentLightMeter, LightLevel
from lanhdr_cli.media.paths import complete_file, ffmpeg_name
from model.files import hidden_name

# A little less than 250, the distance of key frames that x265 keeps by itself: 0.5 % more bytes on a clip of one shot.
SEGMENT_FRAMES = 240


@dataclass(frozen=True, kw_only=True)
class SegmentPlan:
    """The segments of a video, as one process makes them.

    Args:
        folder: Where they are put, under their numbers; it is made, and goes away with the process that joins.
        frames: Number of frames in each but the last, the same for all processes.
        first: Number of the first segment that is made here.
        joins: Whether this process makes the file of the segments; if not, it leaves them to one that does.
    """

    folder: Path
    frames: int
    first: int = 0
    joins: bool = True

    @classmethod
    def beside(cls, video: Path) -> "SegmentPlan":
        """Plan segments in a hidden folder beside the video that is made of them."""
        return cls(folder=hidden_name(video, purpose=".segments"), frames=SEGMENT_FRAMES)


@dataclass(frozen=True, kw_only=True)
class Segment:
    """A file of encoded pictures that needs no other one to be decoded; times in it count from 0.

    Args:
        frames: Number of its frames.
        begin: Time of its first frame in the clip, in seconds, in whole units of the stream.
        last: Time of its last frame, likewise.
        max_cll_nits: Brightest pixel of its decoded pictures, 0 if that was not measured.
        max_fall_nits: Highest mean of one of them, likewise.
        ticks: Times of its frames from its begin on, in units of the stream.
    """

    path: Path
    frames: int
    begin: Fraction
    last: Fraction
    max_cll_nits: float = 0.0
    max_fall_nits: float = 0.0
    ticks: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Part:
    """What one process has made of a result.

    Args:
        frames: Number of frames written.
        nan_frames: Number of those that contained NaN.
        indices: First and last EXR frame, as positions in the clip; None if there is none.
        segments: Segments of a video, in order.
        verified: Number of frames that were read again and found as written; None if none were to be.
    """

    frames: int = 0
    nan_frames: int = 0
    indices: tuple[int, int] | None = None
    segments: tuple[Segment, ...] = ()
    verified: int | None = None

    @classmethod
    def together(cls, parts: Sequence["Part"]) -> "Part":
        """Put consecutive parts together."""
        ranges = [part.indices for part in parts if part.indices]
        verified = [part.verified for part in parts if part.verified is not None]
        return cls(
            frames=sum(part.frames for part in parts),
            nan_frames=sum(part.nan_frames for part in parts),
            indices=(ranges[0][0], ranges[-1][1]) if ranges else None,
            segments=tuple(segment for part in parts for segment in part.segments),
            verified=sum(verified) if verified else None,
        )


class SegmentEncoder:
    """Encodes a clip in segments, each by an encoder of its own; use it in a `with`.

    So a segment depends on its own pictures alone, whoever makes it and whatever was encoded before it. Leaving
    finishes the last one, which may be shorter; on an error it vanishes.

    Raises:
        MediaError: As `VideoEncoder`; if a frame is not later than the one before.
    """

    def __init__(self, plan: StreamPlan, parts: SegmentPlan) -> None:
        self.segments: list[Segment] = []
        self._plan = plan
        self._parts = parts
        self._ticks: list[int] = []  # times of the frames in the segment under way
        self._last = -math.inf

    def __enter__(self) -> Self:
        self._open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._files.__exit__(kind, error, trace)
        if error is None and self._ticks:
            self._note()

    def encode(self, frame: av.VideoFrame, time: Fraction) -> None:
        """Add a frame in the plan's format and size, shown at `time` in seconds."""
        ticks = round(time / self._plan.info.time_base)
        if ticks <= self._last:
            raise _not_later(time)
        if len(self._ticks) == self._parts.frames:
            self._files.close()
            self._note()
            self._open()
        self._ticks.append(ticks)
        self._last = ticks
        self._encoder.encode(frame, ticks - self._ticks[0])

    def _open(self) -> None:
        self._path = self._parts.folder / f"{self._parts.first + len(self.segments):06d}"
        self._meter = ContentLightMeter() if self._plan.measured else None
        self._ticks = []
        with ExitStack() as stack:
            unfinished = stack.enter_context(complete_file(self._path))
            measure = self._meter.add if self._meter else None
            encoder = VideoEncoder(unfinished, self._plan, measure=measure, folder=self._parts.folder.parent)
            self._encoder = stack.enter_context(encoder)
            self._files = stack.pop_all()

    def _note(self) -> None:
        base, meter = self._plan.info.time_base, self._meter
        segment = Segment(
            path=self._path,
            frames=len(self._ticks),
            begin=self._ticks[0] * base,
            last=self._ticks[-1] * base,
            max_cll_nits=meter.max_cll_nits if meter else 0.0,
            max_fall_nits=meter.max_fall_nits if meter else 0.0,
            ticks=tuple(tick - self._ticks[0] for tick in self._ticks),
        )
        self.segments.append(segment)


def light_level(segments: Sequence[Segment]) -> LightLevel:
    """The light of all segments together."""
    return LightLevel.of(
        max_cll_nits=max((segment.max_cll_nits for segment in segments), default=0.0),
        max_fall_nits=max((segment.max_fall_nits for segment in segments), default=0.0),
    )


def joined_packets(segments: Sequence[Segment], *, begin: Fraction) -> "Iterator[Packet[VideoStream]]":
    """Read the packets of consecutive segments, with the times that they have in one stream.

    Where pictures are reordered, decoding times are anew those that one encoder gives: the presentation times in
    order, late by as many frames as it holds back. Those of segments would run backward where frames vary in length.

    Args:
        begin: Time in the clip that becomes 0, in seconds.

    Raises:
        MediaError: If the segments can't follow each other.
    """
    for before, after in pairwise(segments):
        if after.begin <= before.last:
            raise _not_later(after.begin)
    held_back, configuration = _held_back(segments[0]), None
    waiting: list[int] = []  # presentation times that are not yet a decoding time
    count = 0
    for segment in segments:
        with av.open(ffmpeg_name(segment.path)) as file:
            stream = file.streams.video[0]
            settings = (stream.codec_context.extradata, stream.time_base)
            configuration = configuration or settings
            if settings != configuration:
                raise MediaError("segments were encoded differently: use one version of lanhdr and PyAV everywhere")
            assert stream.time_base is not None
            offset = round((segment.begin - begin) / stream.time_base)
            for packet in file.demux(stream):
                if packet.size == 0 or packet.pts is None:
                    continue
                packet.pts += offset
                heapq.heappush(waiting, packet.pts)
                early = (held_back - count) * (packet.duration or 1)
                packet.dts = heapq.heappop(waiting) if early <= 0 else offset - early
                count += 1
                yield packet


def _held_back(segment: Segment) -> int:
    """Count the frames that the encoder holds back to reorder them: so many are decoded before the first is shown."""
    with av.open(ffmpeg_name(segment.path)) as file:
        count = 0
        for packet in file.demux(file.streams.video[0]):
            if packet.dts is None or packet.dts >= 0:
                break
            count += 1
    return count


def _not_later(time: Fraction) -> MediaError:
    return MediaError(f"the frame at {float(time):.6f} s is not later than the one before: repair the clip's times")
