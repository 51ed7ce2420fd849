"""Decoding: a video file as encoded pictures with their exact times."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Self

import av
import torch
from av.codec.hwaccel import HWAccel, hwdevices_available
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream
from torch import Tensor

from lanhdr_cli.media.errors import MediaError
from lanhdr_cli.media.yuv import BT709, HLG_TRANSFER, PQ_TRANSFER, UNTAGGED, Coding, coding_of, to_rgb

logger = logging.getLogger(__name__)
LARGEST_FRAME_STEP = Fraction(3, 2)  # in frame periods; beyond it a frame is missing
FALLBACK_RATE = Fraction(25)
DEINTERLACE = "bwdif=mode=send_frame"
LOSSLESS_CODECS = frozenset(
    {"ffv1", "rawvideo", "v210", "v410", "r210", "huffyuv", "ffvhuff", "utvideo", "png", "tiff"}
)


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


@dataclass
class Faults:
    """Counts of what was wrong; filled by the reader, complete when it has finished.

    Args:
        promised: Number of frames that the file's header names, None if it names none.
    """

    promised: int | None = None
    decoded: int = 0
    corrupt: int = 0
    undecodable: int = 0
    gaps: int = 0
    first_gap: int = 0
    broken_off: str = ""
    finished: bool = False
    _last_time: Fraction | None = None

    def note_time(self, time: Fraction, rate: Fraction | None) -> None:
        """Count a gap if a frame comes later than its predecessor promised."""
        if rate and self._last_time is not None and (time - self._last_time) * rate > LARGEST_FRAME_STEP:
            self.gaps += 1
            self.first_gap = self.first_gap or self.decoded
        self._last_time = time

    def messages(self) -> list[str]:
        """One sentence per kind of fault."""
        found = []
        if self.corrupt:
            found.append(f"{_frames(self.corrupt)} of {self.decoded} are damaged; the decoder filled in what it could")
        if self.undecodable:
            found.append(f"{self.undecodable} packets could not be decoded; frames are missing there")
        if self.gaps:
            found.append(
                f"{self.gaps} gaps in time, the first before frame {self.first_gap}; frames may be missing there"
            )
        if self.broken_off:
            found.append(f"the file breaks off after frame {self.decoded - 1} ({self.broken_off})")
        elif self.finished and self.promised and self.decoded < self.promised:
            found.append(f"the file's header promises {self.promised} frames, {self.decoded} could be decoded")
        return found


def _frames(count: int) -> str:
    return "1 frame" if count == 1 else f"{count} frames"


@dataclass(frozen=True)
class DecodedFrame:
    """One picture of a file.

    Args:
        index: Position in the clip, from 0.
        image: Encoded R, G, B as in the stream, 0..1, upright, float32, (3, H, W).
        time: Presentation time in seconds.
    """

    index: int
    image: Tensor
    time: Fraction


@dataclass(frozen=True)
class VideoInfo:
    """What a file's header and its first frame say.

    Args:
        width: Of the upright picture.
        height: Of the upright picture.
        rate: Frames per second, None if unknown.
        frames: Number of frames, an estimate unless the header names it, None if unknown.
        timecode: Time code of the first frame, None if there is none.
        pixel_aspect: Width of an upright picture's pixel over its height.
        quarter_turns: Turns of 90 degrees, counter-clockwise, that make a stored picture upright.
        description: Codec, pixel format and size in words.
        full_range: Whether black and white are the extreme codes.
        primaries: Code of ITU-T H.273 table 2, 2 if untagged.
        bits: Bits of a code.
        lossy: Whether compression altered the codes.
    """

    width: int
    height: int
    rate: Fraction | None
    frames: int | None
    timecode: str | None
    pixel_aspect: Fraction
    quarter_turns: int
    description: str
    full_range: bool = True
    primaries: int = UNTAGGED
    bits: int = 8
    lossy: bool = False


class VideoReader:
    """An open video file; use it in a `with`.

    Args:
        path: The file.
        threads: Threads of the decoder, 0 for its own choice.
        hwaccel: Hardware decoder to try, `auto` or FFmpeg's name of its kind; None for none.
        strict: Whether damage is an error.

    Raises:
        MediaError: On entering, if the file is missing, is no video, or no picture of it can be decoded.
    """

    numbers: tuple[int, ...] | None = None
    exposures: list[float] | None = None

    def __init__(self, path: Path, *, threads: int = 0, hwaccel: str | None = None, strict: bool = False) -> None:
        self.path, self.folder, self.name = path, path.parent, path.stem
        self.paths: tuple[Path, ...] = (path,)
        self._threads = threads
        self._hwaccel = hwaccel
        self._strict = strict
        self._reformatter = VideoReformatter()
        self._told: set[str] = set()

    def __enter__(self) -> Self:
        self._container = open_container(self.path, hwaccel=self._hwaccel)
        try:
            self._stream = video_stream(self._container, self.path)
            self._stream.thread_type = "AUTO"
            self._stream.codec_context.thread_count = self._threads
            self.faults = Faults(self._stream.frames or None)
            self._decoding = self._decoded()
            self._first = next(self._decoding, None)
            if self._first is None:
                raise MediaError(f"{self.path}: not one frame can be decoded: check that the file is complete")
            self._refuse_interlaced(self._first)
            self.info = _describe(self._container, self._stream, self._first)
        except BaseException:
            self._container.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._container.close()

    def frames(self, *, start: int = 0, stop: int | None = None) -> Iterator[DecodedFrame]:
        """Decode the clip once, one picture at a time.

        Args:
            start: First frame wanted; those before it are decoded but not converted.
            stop: Frame to stop before, None for all.

        Raises:
            MediaError: If `start` lies behind the end, pictures change size, or their format is not supported.
        """
        # The first frame is already decoded; it is handed over, so that it does not stay in memory.
        first, self._first = self._first, None
        for index, frame in enumerate(chain(filter(None, [first]), self._decoding)):
            first = None
            if stop is not None and index >= stop:
                return
            time = self._note(frame)
            if index >= start:
                yield DecodedFrame(index, self._image(frame, index), time)
        self._check_end(start)

    def _decoded(self) -> Iterator[av.VideoFrame]:
        for packet in self._packets():
            try:
                frames = packet.decode()
            except av.FFmpegError:
                self.faults.undecodable += 1
                continue
            yield from frames

    def _packets(self) -> Iterator["Packet[VideoStream]"]:
        try:
            yield from self._container.demux(self._stream)
        except av.FFmpegError as error:
            self.faults.broken_off = error.strerror or type(error).__name__

    def _note(self, frame: av.VideoFrame) -> Fraction:
        time = self._time(frame)
        self.faults.note_time(time, self.info.rate)
        self.faults.decoded += 1
        self.faults.corrupt += frame.is_corrupt
        self._refuse_interlaced(frame)
        self._refuse_faults()
        return time

    def _refuse_interlaced(self, frame: av.VideoFrame) -> None:
        if frame.interlaced_frame:
            raise MediaError(
                f"{self.path}: frame {self.faults.decoded} is interlaced: deinterlace it first, "
                f"ffmpeg -i {self.path.name} -vf {DEINTERLACE} -c:v ffv1 -c:a copy {self.path.stem}.mkv"
            )

    def _refuse_faults(self) -> None:
        if self._strict and (found := self.faults.messages()):
            raise MediaError(f"{self.path}: {found[0]}; leave out --strict to go on")

    def _time(self, frame: av.VideoFrame) -> Fraction:
        if frame.pts is None or frame.time_base is None:
            return self.faults.decoded / (self.info.rate or FALLBACK_RATE)
        return frame.pts * frame.time_base

    def _image(self, frame: av.VideoFrame, index: int) -> Tensor:
        coding = coding_of(frame)
        self._tell_of_color(frame, coding)
        image = to_rgb(frame, coding, reformatter=self._reformatter)
        if self.info.quarter_turns:
            image = torch.rot90(image, self.info.quarter_turns, (1, 2)).contiguous()
        height, width = image.shape[1:]
        if (width, height) != (self.info.width, self.info.height):
            raise MediaError(
                f"{self.path}: frame {index} is {width}x{height}, the first is {self.info.width}x{self.info.height}: "
                "cut the clip where the size changes"
            )
        return image

    def _tell_of_color(self, frame: av.VideoFrame, coding: Coding) -> None:
        if coding.guessed:
            name = "BT.709" if coding.matrix == BT709 else "BT.601"
            self._tell_once(f"the stream names no color matrix: {name} is used, as usual for {frame.height} lines")
        if frame.color_trc in (PQ_TRANSFER, HLG_TRANSFER):
            self._tell_once("the stream is tagged as HDR (PQ or HLG) but is taken as gamma 2.2")

    def _tell_once(self, message: str) -> None:
        if message not in self._told:
            self._told.add(message)
            logger.warning("%s: %s", self.path.name, message)

    def _check_end(self, start: int) -> None:
        self.faults.finished = True
        self._refuse_faults()
        if start >= self.faults.decoded:
            raise MediaError(f"{self.path} has only {self.faults.decoded} frames, {start} is behind its end")


def video_stream(container: InputContainer, path: Path) -> VideoStream:
    """Find the pictures that move in an open file.

    Raises:
        MediaError: If there are none, or no decoder for them.
    """
    moving = [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]
    if not moving:
        kinds = ", ".join(sorted({stream.type for stream in container.streams}))
        found = f"only {kinds}" if kinds else "nothing at all"
        raise MediaError(f"{path} holds no video ({found}): pass a file with pictures")
    if moving[0].codec_context is None:
        raise MediaError(f"{path}: there is no decoder for its video: convert it to H.264, HEVC or ProRes first")
    return moving[0]


def _describe(container: InputContainer, stream: VideoStream, first: av.VideoFrame) -> VideoInfo:
    rate = stream.guessed_rate or stream.average_rate
    aspect = stream.sample_aspect_ratio or Fraction(1)
    quarter_turns = round(first.rotation / 90) % 4
    lying = quarter_turns % 2 == 1
    return VideoInfo(
        width=first.height if lying else first.width,
        height=first.width if lying else first.height,
        rate=rate,
        frames=stream.frames or _estimated_frames(container, stream, rate=rate),
        timecode=_timecode(container, stream),
        pixel_aspect=1 / aspect if lying else aspect,
        quarter_turns=quarter_turns,
        description=f"{stream.codec_context.name} {first.format.name} {first.width}x{first.height}",
        full_range=coding_of(first).full_range,
        primaries=int(first.color_primaries),
        bits=max(component.bits for component in first.format.components),
        lossy=stream.codec_context.name not in LOSSLESS_CODECS,
    )


def _estimated_frames(container: InputContainer, stream: VideoStream, *, rate: Fraction | None) -> int | None:
    if rate is None:
        return None
    if stream.duration is not None and stream.time_base is not None:
        return round(stream.duration * stream.time_base * rate)
    return None if container.duration is None else round(Fraction(container.duration, av.time_base) * rate)


def _timecode(container: InputContainer, stream: VideoStream) -> str | None:
    sources = [stream.metadata, container.metadata, *(other.metadata for other in container.streams)]
    return next((source["timecode"] for source in sources if "timecode" in source), None)
