"""Encoding: frames into a hidden file that holds one video stream and nothing else."""

import logging
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import av
import av.logging
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from lanhdr_cli.media.errors import MediaError
from lanhdr_cli.media.yuv_planes import FORMATS

FALLBACK_RATE = Fraction(25)
Measure = Callable[[av.VideoFrame], None]


@dataclass(frozen=True)
class StreamPlan:
    """How a video stream is to be encoded.

    Args:
        library: FFmpeg's name of the encoder.
        decoder: FFmpeg's name of the decoder that measures what was encoded.
        options: Of the encoder.
        pixel_format: A key of `yuv_planes.FORMATS`.
        width: Of the coded picture.
        height: Of the coded picture.
        rate: Frames per second, None if unknown.
        time_base: Unit of times.
        primaries: Code of ITU-T H.273 table 2.
        transfer: Code of ITU-T H.273 table 3.
        pixel_aspect: Width of a pixel over its height.
        tag: Of the stream, None for FFmpeg's choice.
        container: FFmpeg's name of the hidden file's format.
        threads: Of encoders that count them in this way, None for their own choice.
        advice: What to do if it does not start.
    """

    library: str
    decoder: str
    options: dict[str, str]
    pixel_format: str
    width: int
    height: int
    rate: Fraction | None
    time_base: Fraction
    primaries: int
    transfer: int
    pixel_aspect: Fraction = Fraction(1)
    tag: str | None = None
    container: str = "mp4"
    threads: int | None = None
    advice: str = "check --crf, --preset and --enc"


class VideoEncoder:
    """An open encoder; use it in a `with`. Leaving it finishes the file, or breaks off on an error.

    Args:
        path: The hidden file.
        plan: How to encode.
        measure: Is shown every frame as a player will decode it.

    Raises:
        MediaError: On entering, if the encoder does not start; later, if the disk is full.
    """

    def __init__(self, path: Path, plan: StreamPlan, *, measure: Measure | None = None) -> None:
        self._path = path
        self._plan = plan
        self._measure = measure
        self._last_pts: int | None = None

    def __enter__(self) -> Self:
        os.environ.setdefault("SVT_LOG", "1")  # errors only; SVT-AV1 prints a banner else
        self._container = av.open(str(self._path), "w", format=self._plan.container)
        try:
            self._start()
        except BaseException:
            self._container.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._store(self._stream.encode(None))
                self._look_at(None)
        finally:
            with _writing(self._path):
                self._container.close()

    def encode(self, frame: av.VideoFrame, time: Fraction) -> None:
        """Add a frame.

        Args:
            frame: In the plan's format and size.
            time: When it is shown, in seconds.

        Raises:
            MediaError: If it is not later than the frame before, or can't be stored.
        """
        base = self._plan.time_base
        pts = round(time / base)
        if self._last_pts is not None and pts <= self._last_pts:
            raise MediaError(
                f"the frame at {float(time):.6f} s is not later than the one before: repair the clip's times"
            )
        self._last_pts = pts
        frame.pts, frame.time_base = pts, base
        frame.duration = max(1, round(1 / (self._plan.rate or FALLBACK_RATE) / base))
        frame.color_primaries, frame.color_trc = self._plan.primaries, self._plan.transfer
        self._store(self._stream.encode(frame))

    def _start(self) -> None:
        plan = self._plan
        with _heard() as messages:
            try:
                stream = self._container.add_stream(plan.library, rate=plan.rate or FALLBACK_RATE, options=plan.options)
                assert isinstance(stream, VideoStream)
                self._stream = stream
                self._describe(stream, stream.codec_context)
                stream.codec_context.open()
                self._container.start_encoding()
            except (av.FFmpegError, ValueError) as error:
                reason = "; ".join(_texts(messages)) or getattr(error, "strerror", None) or str(error)
                raise MediaError(f"the encoder {plan.library} does not start ({reason}): {plan.advice}") from error
        unused = [f"unknown option {name}" for name in stream.codec_context.options]  # PyAV leaves only these
        if refused := [*_about_options(messages), *unused]:
            raise MediaError(f"the encoder {plan.library} refuses a parameter ({'; '.join(refused)}): {plan.advice}")
        self._decoder = self._open_decoder(stream.codec_context) if self._measure else None

    def _describe(self, stream: VideoStream, context: VideoCodecContext) -> None:
        plan, form = self._plan, FORMATS[self._plan.pixel_format]
        stream.width, stream.height, stream.pix_fmt = plan.width, plan.height, plan.pixel_format
        context.time_base = plan.time_base
        context.color_primaries, context.color_trc = plan.primaries, plan.transfer
        context.colorspace, context.color_range = form.matrix, form.range
        context.sample_aspect_ratio = plan.pixel_aspect
        if plan.threads:
            context.thread_count = plan.threads
        if plan.tag:
            context.codec_tag = plan.tag

    def _open_decoder(self, context: VideoCodecContext) -> VideoCodecContext:
        decoder = av.CodecContext.create(self._plan.decoder, "r")
        assert isinstance(decoder, VideoCodecContext)
        decoder.width, decoder.height = context.width, context.height
        decoder.extradata, decoder.codec_tag = context.extradata, context.codec_tag
        decoder.thread_count = 1
        return decoder

    def _store(self, packets: "Iterable[Packet[VideoStream]]") -> None:
        for packet in packets:
            self._look_at(packet)
            with _writing(self._path):
                self._container.mux(packet)

    def _look_at(self, packet: "Packet[VideoStream] | None") -> None:
        if self._decoder is not None and self._measure is not None:
            for frame in self._decoder.decode(packet):
                self._measure(frame)


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except (av.FFmpegError, OSError) as error:
        reason = error.strerror or type(error).__name__
        raise MediaError(f"can't write to {path.parent} ({reason}): free some space or choose another place") from error


@contextmanager
def _heard() -> Iterator[list[tuple[int, str, str]]]:
    """Gather what FFmpeg says while an encoder starts, and keep it off the terminal."""
    logging.getLogger("libav").addHandler(logging.NullHandler())
    logging.getLogger("libav").propagate = False
    level = av.logging.get_level()
    av.logging.set_level(av.logging.WARNING)
    try:
        with av.logging.Capture() as messages:
            yield messages
    finally:
        av.logging.set_level(level)


def _texts(messages: list[tuple[int, str, str]]) -> list[str]:
    return list(dict.fromkeys(message.strip().rstrip(".") for _, _, message in messages))


def _about_options(messages: list[tuple[int, str, str]]) -> list[str]:
    """Encoders skip parameters that they don't know, and only mention it."""
    return [text for text in _texts(messages) if "nknown option" in text or "parsing option" in text]
