"""Decoding of a video file to encoded pictures with their exact times."""

import logging
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Literal, Self

import av
import torch
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream
from torch import Tensor

from lanhdr_cli.media.completeness import missing_end
from lanhdr_cli.media.containers import bound_pictures, open_container
from lanhdr_cli.media.details import video_details
from lanhdr_cli.media.errors import DamageError, MediaError
from lanhdr_cli.media.faults import Faults
from lanhdr_cli.media.fields import is_combed
from lanhdr_cli.media.frame_index import FrameIndex, IndexBuilder, packets_from_key
from lanhdr_cli.media.mosaic import Pattern, demosaiced
from lanhdr_cli.media.paths import content_id, shell_word
from lanhdr_cli.media.stated_colors import NOT_STATED, StatedColors
from lanhdr_cli.media.yuv import BT709, HLG_TRANSFER, PQ_TRANSFER, UNTAGGED, coding_of, to_rgb

FieldOrder = Literal["auto", "progressive"]

logger = logging.getLogger(__name__)
LARGEST_FRAME_STEP = Fraction(3, 2)  # in frame periods; beyond it a frame is missing
FALLBACK_RATE = Fraction(25)
FALLBACK_TIME_BASE = Fraction(1, 90000)
STILLS = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image
DEINTERLACE = "estdif=mode=frame"  # within each frame: its neighbors have other exposures
COMBED_FRAMES = 2  # one alone may be damaged
FIELDS_LOOKED_AT = 12  # frames, before their fields are said to agree
LOSSLESS_CODECS = frozenset(
    {"ffv1", "rawvideo", "v210", "v410", "r210", "huffyuv", "ffvhuff", "utvideo", "png", "tiff"}
)


@dataclass(frozen=True, kw_only=True)
class DecodedFrame:
    """One picture of a clip.

    Args:
        index: Position in the clip, from 0.
        image: Encoded R, G, B as in the stream, 0..1, upright, float32, (3, H, W).
        time: Presentation time in seconds.
    """

    index: int
    image: Tensor
    time: Fraction


@dataclass(frozen=True, kw_only=True)
class VideoInfo:
    """Properties of a clip, from its header and its first frame.

    Args:
        width: Of the upright picture, as is the height.
        rate: Frames per second, None if unknown.
        time_base: Unit of times in seconds.
        frames: Number of frames, an estimate unless the header names it, None if unknown.
        start: Time in seconds that a video made of the clip begins with.
        timecode: Time code of the first frame, None if there is none.
        pixel_aspect: Width of an upright picture's pixel over its height.
        quarter_turns: Turns of 90 degrees, counter-clockwise, that make a stored picture upright.
        full_range: Whether black and white are the extreme codes.
        primaries: Code of ITU-T H.273 table 2, 2 if untagged.
        bits: Of a code.
        lossy: Whether compression altered the codes.
        colors: As the headers of pictures name them; a video has its primaries, and its transfer is for displays.
        of_sensor: Whether codes seem to be a sensor's own: they have fewer bits than their files, or are a mosaic.
    """

    width: int
    height: int
    rate: Fraction | None
    time_base: Fraction
    frames: int | None
    start: Fraction = Fraction(0)
    timecode: str | None = None
    pixel_aspect: Fraction = Fraction(1)
    quarter_turns: int = 0
    description: str
    full_range: bool = True
    primaries: int = UNTAGGED
    bits: int = 8
    lossy: bool = False
    colors: StatedColors = NOT_STATED
    of_sensor: bool = False


class VideoReader:
    """An open video file; use it in a `with`.

    Attributes:
        index: Of its frames, once they have all been decoded from the start, or as it is given; None where there is
            none. With it, a range of frames is sought.

    Args:
        threads: Threads of the decoder, 0 for its own choice.
        hwaccel: Hardware decoder to try, `auto` or FFmpeg's name of its kind; None for none.
        field_order: `auto` to look for combs where frames are flagged as interlaced, or `progressive`.
        strict: Whether damage is an error.
        bayer: Pattern of the color filters in front of a gray picture's samples; None if there are none.

    Raises:
        MediaError: On entering, if the file is missing, is no video, or no picture of it can be decoded.
    """

    numbers: tuple[int, ...] | None = None
    exposures: list[float] | None = None

    def __init__(
        self,
        path: Path,
        *,
        threads: int = 0,
        hwaccel: str | None = None,
        field_order: FieldOrder = "auto",
        strict: bool = False,
        bayer: Pattern | None = None,
    ) -> None:
        self.path, self.folder, self.name = path, path.parent, path.stem
        self.video = path
        self._threads = threads
        self._hwaccel = hwaccel
        self._field_order = field_order
        self._strict = strict
        self._bayer = bayer
        self.index: FrameIndex | None = None
        self._decoding: Iterator[av.VideoFrame] = iter(())
        self._reformatter = VideoReformatter()
        self._warnings: set[str] = set()

    @property
    def paths(self) -> tuple[Path, ...]:
        """The file."""
        return (self.video,)

    @cached_property
    def _cut_off(self) -> str:
        return missing_end(self.video)

    @cached_property
    def id(self) -> str:
        """Tells the clip from others by its content."""
        return content_id(self.paths)

    def __enter__(self) -> Self:
        self._open()
        try:
            self._first = next(self._decoding, None)
            if self._first is None:
                raise MediaError(f"{self.path}: not one frame can be decoded: check that the file is complete")
            self._layout = self._first.format.name
            self._tell_other_streams()
            self.info = _describe(self._container, self._stream, self._first, of_sensor=self._bayer is not None)
            self.details = video_details(self._container, self._stream, self._first)
        except BaseException:
            self._container.close()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self._container.close()

    def frames(self, *, start: int = 0, stop: int | None = None) -> Iterator[DecodedFrame]:
        """Decode pictures in order, one at a time; ends any pass before.

        If the index is known, decoding begins at a key frame. Every frame is compared with the index; with the first
        one that is another, decoding begins anew at the start of the clip.

        Args:
            start: First frame to convert; those before it are only decoded.
            stop: Frame to stop before, None for all.

        Raises:
            MediaError: If `start` lies behind the end, pictures change size, or their format is not supported.
        """
        reached = start
        for frame in self._sought(start):
            decoding = self._decoding
            yield self._converted(frame, reached)
            if decoding is not self._decoding:  # another pass has begun
                return
            reached += 1
            if reached == stop:
                break
        if self.index and start < reached in (stop, len(self.index.times)):
            self.faults.finished = reached == len(self.index.times)
            self._tell_fields()
        else:
            yield from self._from_start(reached, stop)

    def _sought(self, start: int) -> Iterator[av.VideoFrame]:
        """Decode from a key frame on, and yield frames from `start` on as long as they are those of the index."""
        index, number = self.index, start
        if index is None:
            if start > 0:
                logger.debug("%s: frame %d is decoded from the start, there is no index", self.path.name, start)
            return
        for key in index.keys_before(start):
            self._first = None
            packets = packets_from_key(self._container, self._stream, index, key, start=start)
            self._decoding = self._decoded(packets, since=index.times[start])
            for frame in self._decoding:
                if number == start and frame.pts is not None and frame.pts < index.times[start]:
                    continue  # on the way, or of the pictures before the key frame, which lack what they refer to
                if not index.holds(number, frame):
                    break
                self.faults.decoded = number
                yield frame
                number += 1
            if number > start:
                break
            logger.debug("%s: frame %d is not found from the key frame at %d", self.path.name, start, key[0])

    def _from_start(self, start: int, stop: int | None) -> Iterator[DecodedFrame]:
        # The first frame is already decoded; it is handed over, so that it does not stay in memory.
        first, self._first = self._first, None
        if first is None:
            self._rewind()
        decoding = self._decoding
        for index, frame in enumerate(chain(filter(None, [first]), decoding)):
            first = None
            if stop is not None and index >= stop:
                self._tell_fields()
                return
            if self.index is None:
                self._builder.add(frame)
            if index >= start:
                yield self._converted(frame, index)
            else:
                self._note(frame)
            if decoding is not self._decoding:  # another pass has begun
                return
        self.faults.finished = True
        self.index = self.index or self._builder.index()
        self._tell_fields()
        self._refuse_faults()
        if start >= self.faults.decoded:
            raise MediaError(f"{self.path} has only {self.faults.decoded} frames, {start} is behind its end")

    def _converted(self, frame: av.VideoFrame, index: int) -> DecodedFrame:
        time = self._note(frame)
        return DecodedFrame(index=index, image=self._image(frame, index), time=time)

    def _open(self) -> None:
        container = open_container(self.video, hwaccel=self._hwaccel, shown=self.path)
        try:
            self._stream = video_stream(container, self.path)
            bound_pictures(self._stream, self.path)
        except MediaError:
            container.close()
            raise
        self._container = container
        self._stream.thread_type = "AUTO"
        self._stream.codec_context.thread_count = self._threads
        self._beginning: tuple[int | None, ...] = ()
        self._decoding = self._decoded(container.demux(self._stream))

    def _tell_other_streams(self) -> None:
        moving = [stream for stream in self._container.streams.video if not stream.disposition & STILLS]
        if len(moving) > 1:
            chosen = f"stream {self._stream.index} ({self._stream.codec_context.name})"
            self._warn_once(f"the file holds {len(moving)} streams of pictures: {chosen} is converted")

    def _rewind(self) -> None:
        """Go back to the first packet, by opening the file once more where seeking leads elsewhere."""
        pts, dts, *_ = self._beginning
        packet = None
        with suppress(av.FFmpegError):
            self._container.seek(dts if dts is not None else pts or 0, stream=self._stream)
            packets = self._container.demux(self._stream)
            packet = next(packets, None)
        if packet is not None and _identity(packet) == self._beginning:
            self._decoding = self._decoded(chain([packet], packets))
        else:
            self._container.close()
            self._open()

    def _decoded(
        self, packets: "Iterable[Packet[VideoStream]]", *, since: int | None = None
    ) -> Iterator[av.VideoFrame]:
        """Decode packets, and count those before the time `since` as on the way only."""
        promised, end = _promised_frames(self._container, self._stream), _stated_end(self._container, self._stream)
        self.faults = Faults(promised=promised, stated_end=end, cut_off=self._cut_off)
        self._builder = builder = IndexBuilder()
        early: list[int] | None = [] if since is None else None  # times of packets before the first picture
        try:
            for packet in packets:
                self._beginning = self._beginning or _identity(packet)
                builder.note(packet)
                self.faults.corrupt_packets += packet.is_corrupt
                try:
                    frames = packet.decode()
                except av.FFmpegError:
                    counts = since is None or packet.pts is None or packet.pts >= since
                    self.faults.undecodable += counts and not packet.is_discard
                    continue
                if early is not None:
                    early += [packet.pts] if packet.pts is not None and not packet.is_discard else []
                    if frames:
                        self.faults.headless = sum(time < (frames[0].pts or 0) for time in early)
                        early = None
                yield from frames
        except av.FFmpegError as error:
            self._refuse_lost_disk()
            self.faults.broken_off = error.strerror or type(error).__name__

    def _refuse_lost_disk(self) -> None:
        """Tell a file that can't be reached any more from one that is cut short, which FFmpeg reports alike."""
        try:
            with self.video.open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - 1))
                file.read(1)
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise MediaError(
                f"{self.path} can't be read any more ({reason}): check that its disk or network is still there"
            ) from error

    def _note(self, frame: av.VideoFrame) -> Fraction:
        """Count a frame and its faults, and return its time."""
        faults, rate = self.faults, self.info.rate
        if frame.pts is None or frame.time_base is None:
            time = faults.decoded / (rate or FALLBACK_RATE)
        else:
            time = frame.pts * frame.time_base
        if rate and faults.last_time is not None and (time - faults.last_time) * rate > LARGEST_FRAME_STEP:
            faults.gaps += 1
            faults.first_gap = faults.first_gap or faults.decoded
        faults.last_time = time
        lasts = frame.duration * frame.time_base if frame.duration and frame.time_base else None
        faults.last_period = lasts or 1 / (rate or FALLBACK_RATE)
        if frame.is_corrupt:
            faults.note_corrupt(faults.decoded)
        faults.decoded += 1
        if frame.interlaced_frame and self._field_order == "auto":
            self._compare_fields(frame)
        self._refuse_faults()
        return time

    def _compare_fields(self, frame: av.VideoFrame) -> None:
        """Refuse pictures of two fields; those of one moment, as 25PsF has them, pass."""
        faults = self.faults
        faults.interlaced += 1
        faults.combed += is_combed(frame)
        if faults.combed == COMBED_FRAMES:
            kept = self.path if self.path == self.video else Path("saved.mkv")  # a pipe is to be saved first
            source = shell_word(kept, for_ffmpeg=True)
            target = shell_word(kept.with_name(f"{kept.stem}.progressive.mkv"), for_ffmpeg=True)
            raise MediaError(
                f"{self.path}: frame {faults.decoded - 1} is interlaced, its fields differ: deinterlace it first, "
                f"ffmpeg -i {source} -vf {DEINTERLACE} -c:v ffv1 -c:a copy {target}, "
                "or pass --field-order progressive if they are of one moment"
            )
        if faults.interlaced == FIELDS_LOOKED_AT:
            self._tell_fields()

    def _tell_fields(self) -> None:
        if self.faults.interlaced:
            self._warn_once("the stream is flagged as interlaced, but its fields agree: it is taken as progressive")

    def _refuse_faults(self) -> None:
        if self._strict and (messages := self.faults.messages()):
            raise DamageError(f"{self.path}: {messages[0]}; leave out --strict to go on")

    def _image(self, frame: av.VideoFrame, index: int) -> Tensor:
        if frame.format.name != self._layout:
            self._warn_once(f"samples change from {self._layout} to {frame.format.name} with frame {index}")
        coding = coding_of(frame)
        if coding.guessed:
            name = "BT.709" if coding.matrix == BT709 else "BT.601"
            self._warn_once(f"the stream names no color matrix: {name} is used, as usual for {frame.height} lines")
        if frame.color_trc in (PQ_TRANSFER, HLG_TRANSFER):
            self._warn_once("the stream is tagged as HDR (PQ or HLG) but is taken as gamma 2.2")
        image = to_rgb(frame, coding, reformatter=self._reformatter)
        if self._bayer:
            image = demosaiced(image, self._bayer)
        if self.info.quarter_turns:
            image = torch.rot90(image, self.info.quarter_turns, (1, 2)).contiguous()
        height, width = image.shape[1:]
        if (width, height) != (self.info.width, self.info.height):
            raise MediaError(
                f"{self.path}: frame {index} is {width}x{height}, the first is {self.info.width}x{self.info.height}: "
                "cut the clip where the size changes"
            )
        return image

    def _warn_once(self, message: str) -> None:
        if message not in self._warnings:
            self._warnings.add(message)
            logger.warning("%s: %s", self.path.name, message)


def _identity(packet: "Packet[VideoStream]") -> tuple[int | None, ...]:
    return packet.pts, packet.dts, packet.pos, packet.size


def video_stream(container: InputContainer, path: Path) -> VideoStream:
    """Find the moving pictures in an open file: no cover, no thumbnail, and the main ones if there are several.

    Raises:
        MediaError: If there are none, or no decoder for them.
    """
    moving = [stream for stream in container.streams.video if not stream.disposition & STILLS]
    if not moving:
        kinds = ", ".join(sorted({stream.type for stream in container.streams}))
        content = f"only {kinds}" if kinds else "nothing at all"
        raise MediaError(f"{path} holds no video ({content}): pass a file with pictures")
    decodable = [stream for stream in moving if stream.codec_context is not None]
    if not decodable:
        raise MediaError(f"{path}: there is no decoder for its video: convert it to H.264, HEVC or ProRes first")
    candidates = [stream for stream in decodable if stream.frames != 1] or decodable
    best = container.streams.best("video")
    return next((stream for stream in candidates if best is not None and stream.index == best.index), candidates[0])


def _promised_frames(container: InputContainer, stream: VideoStream) -> int | None:
    """Count the frames that the header names, less those that edit lists of mp4 and mov hide; None if it names none."""
    if stream.frames and "mov" in container.format.name.split(","):
        return sum(not entry.is_discard for entry in stream.index_entries) or stream.frames
    return stream.frames or None


def _stated_end(container: InputContainer, stream: VideoStream) -> Fraction | None:
    """Find the time in seconds that a Matroska or MXF file states as the end of its pictures; None if it states none.

    FFmpeg takes damaged elements there for the end of the clip. Writers of Matroska tag each stream with its duration.
    """
    names = container.format.name.split(",")
    if "mxf" in names and stream.duration and stream.time_base:
        return ((stream.start_time or 0) + stream.duration) * stream.time_base
    if "matroska" not in names:
        return None
    if tag := re.fullmatch(r"(\d{1,4}):(\d\d):(\d\d(?:\.\d{1,12})?)", stream.metadata.get("DURATION", "")):
        return 3600 * int(tag[1]) + 60 * int(tag[2]) + Fraction(tag[3])
    alone = len(container.streams) == 1 and container.duration is not None
    return Fraction(container.duration or 0, av.time_base) if alone else None


def _start(container: InputContainer, first: av.VideoFrame) -> Fraction:
    """Find the time that becomes 0: that of the first picture, unless pictures or sound begin at 0 or wait for it."""
    time = Fraction(0) if first.pts is None or first.time_base is None else first.pts * first.time_base
    sounds = [
        stream.start_time * stream.time_base
        for stream in container.streams.audio
        if stream.start_time is not None and stream.time_base is not None
    ]
    return time if time < 0 or min([time, *sounds]) > 0 else Fraction(0)


def _describe(container: InputContainer, stream: VideoStream, first: av.VideoFrame, *, of_sensor: bool) -> VideoInfo:
    rate = stream.guessed_rate or stream.average_rate
    duration = None if container.duration is None else Fraction(container.duration, av.time_base)
    if stream.duration is not None and stream.time_base is not None:
        duration = stream.duration * stream.time_base
    frames = _promised_frames(container, stream)
    tags = [stream.metadata, container.metadata, *(other.metadata for other in container.streams)]
    aspect = stream.sample_aspect_ratio or Fraction(1)
    quarter_turns = round(first.rotation / 90) % 4
    lying = quarter_turns % 2 == 1
    return VideoInfo(
        width=first.height if lying else first.width,
        height=first.width if lying else first.height,
        rate=rate,
        time_base=stream.time_base or FALLBACK_TIME_BASE,
        frames=frames or (None if rate is None or duration is None else round(duration * rate)),
        start=_start(container, first),
        timecode=next((tag["timecode"] for tag in tags if "timecode" in tag), None),
        pixel_aspect=1 / aspect if lying else aspect,
        quarter_turns=quarter_turns,
        description=f"{stream.codec_context.name} {first.format.name} {first.width}x{first.height}",
        full_range=coding_of(first).full_range,
        primaries=int(first.color_primaries),
        bits=max(component.bits for component in first.format.components),
        lossy=stream.codec_context.name not in LOSSLESS_CODECS,
        of_sensor=of_sensor,
    )
