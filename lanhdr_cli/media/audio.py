"""Sound of the source beside new pictures: copied where the container takes it, else encoded as AAC."""

import io
import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
from av.audio.codeccontext import AudioCodecContext
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.stream import Disposition

from lanhdr_cli.media.errors import MediaError

KEPT_TAGS = ("language", "title", "handler_name", "creation_time")
DEFAULT_BIT_RATE_PER_CHANNEL = 96_000

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Span:
    """A part of the source's time, in seconds.

    Args:
        begin: What becomes time 0, if the part is not the whole.
        end: Where it ends, None for the source's end.
    """

    begin: Fraction = Fraction(0)
    end: Fraction | None = None


class SoundCopy:
    """The sound of a source on its way into a container.

    Args:
        source: The open source.
        output: The container; its streams are added here.
        container: FFmpeg's name of its format.
        span: Which part.
    """

    def __init__(self, source: InputContainer, output: OutputContainer, *, container: str, span: Span) -> None:
        self._source = source
        self._span = span
        self._routes: dict[int, _Route] = {}
        for stream in source.streams.audio:
            if route := _route(stream, output, container=container):
                route.output.metadata.update(_kept(stream.metadata))
                route.output.disposition = Disposition(stream.disposition)
                self._routes[stream.index] = route

    def packets(self) -> "Iterator[Packet[AudioStream]]":
        """Read what belongs to the span, in the order of the source, ready to be stored."""
        streams = [stream for stream in self._source.streams.audio if stream.index in self._routes]
        if not streams:
            return
        for packet in self._source.demux(streams):
            if packet.size == 0 or packet.pts is None or packet.time_base is None:
                continue
            route = self._routes[packet.stream_index]
            begin = packet.pts * packet.time_base
            end = begin + (packet.duration or 0) * packet.time_base
            if self._span.end is not None and begin >= self._span.end:
                continue
            if self._span.begin == 0 or end > self._span.begin:
                yield from route.take(cast("Packet[AudioStream]", packet), self._span.begin)
        for route in self._routes.values():
            yield from route.flush()


class _Route:
    """Packets of one stream, passed on."""

    def __init__(self, output: AudioStream) -> None:
        self.output = output

    def take(self, packet: "Packet[AudioStream]", begin: Fraction) -> "Iterator[Packet[AudioStream]]":
        """Pass on a packet, earlier by `begin` seconds."""
        yield _moved(packet, self.output, begin)

    def flush(self) -> "Iterator[Packet[AudioStream]]":
        """Pass on what is left."""
        yield from ()


class _AacRoute(_Route):
    """Packets of one stream, decoded and encoded anew."""

    def __init__(self, output: AudioStream) -> None:
        super().__init__(output)
        context = output.codec_context
        self._resampler = AudioResampler(format=context.format, layout=context.layout, rate=context.sample_rate)

    def take(self, packet: "Packet[AudioStream]", begin: Fraction) -> "Iterator[Packet[AudioStream]]":
        """Decode and encode; times stay those of the samples."""
        try:
            frames = packet.decode()
        except av.FFmpegError:
            return
        for frame in frames:
            if frame.pts is not None and frame.time_base is not None:
                frame.pts -= round(begin / frame.time_base)
            yield from self._encode(self._resampler.resample(frame))

    def flush(self) -> "Iterator[Packet[AudioStream]]":
        """Encode what the resampler and the encoder still hold."""
        yield from self._encode(self._resampler.resample(None))
        yield from self.output.encode(None)

    def _encode(self, frames: Iterable[av.AudioFrame]) -> "Iterator[Packet[AudioStream]]":
        for frame in frames:
            yield from self.output.encode(frame)


def _moved(packet: "Packet[AudioStream]", output: AudioStream, begin: Fraction) -> "Packet[AudioStream]":
    steps = round(begin / (packet.time_base or Fraction(1)))
    if packet.pts is not None:
        packet.pts -= steps
    if packet.dts is not None:
        packet.dts -= steps
    packet.stream = output
    return packet


def _route(stream: AudioStream, output: OutputContainer, *, container: str) -> _Route | None:
    if _fits(stream, container):
        return _Route(output.add_stream_from_template(stream, opaque=True))
    context = stream.codec_context
    if context is None:
        logger.warning("sound stream %d can't be decoded and is left out", stream.index)
        return None
    logger.warning("%s sound does not fit the container: it is encoded as AAC", context.name)
    added = output.add_stream("aac", rate=context.sample_rate)
    assert isinstance(added, AudioStream)
    encoder: AudioCodecContext = added.codec_context
    encoder.layout = context.layout
    encoder.bit_rate = DEFAULT_BIT_RATE_PER_CHANNEL * context.layout.nb_channels
    return _AacRoute(added)


def _fits(stream: AudioStream, container: str) -> bool:
    """Find out by a trial whether a container takes a stream as it is; FFmpeg has no list to ask."""
    try:
        with av.open(io.BytesIO(), "w", format=container) as trial:
            trial.add_stream_from_template(stream, opaque=True)
            trial.start_encoding()
    except (av.FFmpegError, ValueError):
        return False
    return True


def open_source(path: Path) -> InputContainer:
    """Open a file for its sound and tags.

    Raises:
        MediaError: If it has vanished meanwhile.
    """
    try:
        return av.open(str(path), metadata_errors="replace")
    except (av.FFmpegError, OSError) as error:
        raise MediaError(f"{path} can't be read again for its sound: pass --no-audio, or convert it again") from error


def _kept(tags: dict[str, str]) -> dict[str, str]:
    lower = {key.lower(): value for key, value in tags.items()}
    return {key: lower[key] for key in KEPT_TAGS if key in lower}
