"""The last step of a video file: pictures, light levels, sound and tags into the container that was asked for."""

import heapq
import io
import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
from av.audio.codeccontext import AudioCodecContext
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.stream import Disposition
from av.video.stream import VideoStream

from lanhdr_cli.media.encoder import writing
from lanhdr_cli.media.errors import MediaError
from lanhdr_cli.media.hdr10_metadata import (
    StaticMetadata,
    add_light_boxes,
    hevc_length_size,
    with_av1_metadata,
    with_hevc_metadata,
)
from lanhdr_cli.media.video_reader import FALLBACK_RATE

KEPT_TAGS = ("language", "title", "handler_name", "creation_time")
DEFAULT_BIT_RATE_PER_CHANNEL = 96_000
# Moved to the front, mp4 and mov play while they load. Matroska must not shift all times for the sake of
# sound that begins before 0, as AAC does.
CONTAINER_OPTIONS = {
    "mp4": {"movflags": "+faststart"},
    "mov": {"movflags": "+faststart"},
    "matroska": {"avoid_negative_ts": "disabled"},
}
DROPPED_TAGS = {"major_brand", "minor_version", "compatible_brands", "encoder", "duration", "timecode"}

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


def open_audio(path: Path) -> InputContainer:
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


@dataclass(frozen=True)
class MuxPlan:
    """What comes with the pictures.

    Args:
        source: File whose sound and tags are kept, None if there is none.
        sound: Whether to keep sound.
        span: Which part of the source the pictures show.
        timecode: Of the first frame.
        rate: Frames per second, None if unknown.
        tags: More tags of the file.
    """

    source: Path | None = None
    sound: bool = True
    span: Span = field(default_factory=Span)
    timecode: str | None = None
    rate: Fraction | None = None
    tags: dict[str, str] = field(default_factory=dict)


def finish(pictures: Path, target: Path, *, container: str, plan: MuxPlan, metadata: StaticMetadata | None) -> None:
    """Copy encoded pictures into a new file, together with all that belongs to them.

    Args:
        pictures: A file that `VideoEncoder` made; boxes are added to it.
        target: The new file.
        container: FFmpeg's name of its format.
        plan: What comes with the pictures.
        metadata: What HDR10 says of them, None if nothing.

    Raises:
        MediaError: If something can't be read or written.
    """
    if metadata:
        add_light_boxes(pictures, metadata)
    with writing(target), ExitStack() as stack:
        encoded = stack.enter_context(av.open(str(pictures)))
        output = stack.enter_context(av.open(str(target), "w", format=container, options=CONTAINER_OPTIONS[container]))
        source = stack.enter_context(open_audio(plan.source)) if plan.source else None
        _fill(output, encoded, source, container=container, plan=plan, metadata=metadata)


def _fill(
    output: OutputContainer,
    encoded: InputContainer,
    source: InputContainer | None,
    *,
    container: str,
    plan: MuxPlan,
    metadata: StaticMetadata | None,
) -> None:
    video = _video_stream(output, encoded.streams.video[0], container=container, rate=plan.rate)
    streams: list[Iterator[Packet[Any]]] = [_pictures(encoded, video, metadata)]
    if source:
        output.metadata.update(_tags(source.metadata))
        video.metadata.update(_language(source))
        if plan.sound:
            streams.append(SoundCopy(source, output, container=container, span=plan.span).packets())
    output.metadata.update(plan.tags)
    if plan.timecode:
        output.metadata["timecode"] = plan.timecode
    for packet in heapq.merge(*streams, key=_time_s):
        output.mux(packet)


def _video_stream(
    output: OutputContainer, encoded: VideoStream, *, container: str, rate: Fraction | None
) -> VideoStream:
    # Opaque: what the stream says of light and color is copied as well, and no encoder is looked for.
    stream = output.add_stream_from_template(encoded, opaque=True)
    stream.codec_context.framerate = rate or FALLBACK_RATE  # time codes count with it
    if container != "matroska":  # the tag of the source's container is not carried over: hvc1, ap4h
        stream.codec_tag = encoded.codec_context.codec_tag
    return stream


def _pictures(
    encoded: InputContainer, output: VideoStream, metadata: StaticMetadata | None
) -> "Iterator[Packet[VideoStream]]":
    stream = encoded.streams.video[0]
    completed = _completion(stream, metadata) if metadata else None
    for packet in encoded.demux(stream):
        if packet.size:
            if completed and packet.is_keyframe:
                packet = _replaced(packet, completed(bytes(packet)))
            packet.stream = output
            yield packet


def _completion(stream: VideoStream, metadata: StaticMetadata) -> Callable[[bytes], bytes] | None:
    """How metadata gets into key frames, None for codecs that leave it to the container."""
    codec = stream.codec_context.codec.canonical_name
    if codec == "hevc":
        length_size = hevc_length_size(stream.codec_context.extradata or b"")
        return lambda sample: with_hevc_metadata(sample, metadata, length_size=length_size)
    return (lambda unit: with_av1_metadata(unit, metadata)) if codec == "av1" else None


def _replaced(packet: "Packet[VideoStream]", content: bytes) -> "Packet[VideoStream]":
    replacement = cast("Packet[VideoStream]", Packet(content))
    replacement.pts, replacement.dts = packet.pts, packet.dts
    replacement.time_base, replacement.duration = packet.time_base, packet.duration
    replacement.is_keyframe = packet.is_keyframe
    return replacement


def _time_s(packet: "Packet[Any]") -> float:
    time = packet.pts if packet.dts is None else packet.dts
    return 0.0 if time is None or packet.time_base is None else float(time * packet.time_base)


def _tags(tags: dict[str, str]) -> dict[str, str]:
    return {key: value for key, value in tags.items() if key.lower() not in DROPPED_TAGS}


def _language(source: InputContainer) -> dict[str, str]:
    tags = {key.lower(): value for video in source.streams.video[:1] for key, value in video.metadata.items()}
    return {key: tags[key] for key in ("language", "creation_time") if key in tags}
