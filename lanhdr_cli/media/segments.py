"""Segments of a video: encoded one by one to files that decode by themselves, and joined without encoding again."""

import heapq
import math
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
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
from model.files import hidden_beside, hidden_name, remove_unfinished

# A little less than 250, the distance of key frames that x265 keeps by itself: 0.5 % more bytes on a clip of one shot.
SEGMENT_FRAMES = 240


@dataclass(frozen=True, kw_only=True)
class SegmentPlan:
    """The segments of a video, as one process makes them.

    Args:
        folder: Where they are put, under their numbers; it is made, and goes away with the process that joins.
        frames: Number of frames in each but the last, the same for all processes.
        first: Number of the first segment that is made here, None if none is.
        joins: Whether this process makes the file of the segments; if not, it leaves them to one that does.
        lasts: Whether finished segments stay for a later run if the video is not completed.
        settings: Hash of all that decides what is in them, under which a later run takes them over; None before it is
            known, and where they don't last.
    """

    folder: Path
    frames: int
    first: int | None = 0
    joins: bool = True
    lasts: bool = False
    settings: str | None = None

    @classmethod
    def beside(cls, video: Path) -> "SegmentPlan":
        """Plan segments of this process alone, in a hidden folder beside the video that is made of them."""
        return cls(folder=hidden_name(video, purpose=".segments"), frames=SEGMENT_FRAMES)

    @classmethod
    def lasting(cls, video: Path) -> "SegmentPlan":
        """Plan segments in a hidden folder that every process that makes this video finds."""
        return cls(folder=hidden_beside(video, ".segments"), frames=SEGMENT_FRAMES, lasts=True)

    def path(self, number: int) -> Path:
        """File of a segment; those of other settings have other names."""
        return self.folder / (f"{number:06d}" if self.settings is None else f"{number:06d}.{self.settings}")

    def leave(self, *, joined: bool, pids: Iterable[int] = ()) -> None:
        """Remove what no other process needs: all once the video is made, else what is unfinished.

        Args:
            pids: Processes that are gone.
        """
        if joined or not self.lasts:
            shutil.rmtree(self.folder, ignore_errors=True)
            return
        remove_unfinished(self.folder, pids)
        with suppress(OSError):  # it holds finished segments, or is in use
            self.folder.rmdir()


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
        nan_frames: Number of frames that contained NaN.
        alone: Frames that were converted from themselves alone, as positions in the clip.
    """

    path: Path
    frames: int
    begin: Fraction
    last: Fraction
    max_cll_nits: float = 0.0
    max_fall_nits: float = 0.0
    ticks: tuple[int, ...] = ()
    nan_frames: int = 0
    alone: tuple[int, ...] = ()


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
        """Put parts together."""
        ranges = [part.indices for part in parts if part.indices]
        verified = [part.verified for part in parts if part.verified is not None]
        segments = [segment for part in parts for segment in part.segments]
        return cls(
            frames=sum(part.frames for part in parts),
            nan_frames=sum(part.nan_frames for part in parts),
            indices=(min(first for first, _ in ranges), max(last for _, last in ranges)) if ranges else None,
            segments=tuple(sorted(segments, key=lambda segment: segment.begin)),
            verified=sum(verified) if verified else None,
        )


class SegmentEncoder:
    """Encodes a clip in segments, each by an encoder of its own; use it in a `with`.

    So a segment depends on its own pictures alone, whoever makes it and whatever was encoded before it. One that is
    full is finished at once. Leaving finishes the last one, which may be shorter; on an error it vanishes.

    Args:
        done: Called with every finished segment.

    Raises:
        MediaError: As `VideoEncoder`; if a frame is not later than the one before.
    """

    def __init__(self, plan: StreamPlan, parts: SegmentPlan, *, done: Callable[[Segment], None]) -> None:
        self.segments: list[Segment] = []
        self._plan = plan
        self._parts = parts
        self._done = done
        self._files: ExitStack | None = None  # of the segment under way
        self._ticks: list[int] = []  # times of its frames
        self._first_index: int | None = None
        self._last = -math.inf

    def __enter__(self) -> Self:
        if self._parts.first is not None:
            self._open(self._parts.first)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None and self._ticks:
            self._finish()
        elif self._files is not None:
            unused = error or EOFError()
            self._files.__exit__(type(unused), unused, trace)

    def encode(
        self, frame: av.VideoFrame, time: Fraction, *, index: int, nan: bool = False, alone: bool = False
    ) -> None:
        """Add a frame in the plan's format and size.

        Args:
            time: When it is shown, in seconds.
            index: Position in the clip; the place in the video goes with it.
            nan: Whether it contained NaN.
            alone: Whether it was converted from itself alone.
        """
        ticks = round(time / self._plan.info.time_base)
        if ticks <= self._last:
            raise _not_later(time)
        if self._first_index is None:
            self._first_index = index
        if self._files is None:
            assert self._parts.first is not None
            self._open(self._parts.first + (index - self._first_index) // self._parts.frames)
        self._ticks.append(ticks)
        self._last = ticks
        self._nan_frames += nan
        self._alone += [index] if alone else []
        self._encoder.encode(frame, ticks - self._ticks[0])
        if len(self._ticks) == self._parts.frames:
            self._finish()

    def _open(self, number: int) -> None:
        self._path = self._parts.path(number)
        self._meter = ContentLightMeter() if self._plan.measured else None
        self._ticks = []
        self._nan_frames = 0
        self._alone: list[int] = []
        with ExitStack() as stack:
            unfinished = stack.enter_context(complete_file(self._path, to_disk=self._parts.lasts))
            measure = self._meter.add if self._meter else None
            encoder = VideoEncoder(unfinished, self._plan, measure=measure, folder=self._parts.folder.parent)
            self._encoder = stack.enter_context(encoder)
            self._files = stack.pop_all()

    def _finish(self) -> None:
        assert self._files is not None
        files, self._files = self._files, None
        files.close()
        base, meter = self._plan.info.time_base, self._meter
        segment = Segment(
            path=self._path,
            frames=len(self._ticks),
            begin=self._ticks[0] * base,
            last=self._ticks[-1] * base,
            max_cll_nits=meter.max_cll_nits if meter else 0.0,
            max_fall_nits=meter.max_fall_nits if meter else 0.0,
            ticks=tuple(tick - self._ticks[0] for tick in self._ticks),
            nan_frames=self._nan_frames,
            alone=tuple(self._alone),
        )
        self._ticks = []
        self.segments.append(segment)
        self._done(segment)


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
