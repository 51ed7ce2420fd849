"""Multiplexing of encoded pictures with light levels, sound and tags into the container that was asked for."""

import heapq
import io
import logging
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
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
from lanhdr_cli.media.paths import ffmpeg_name
from lanhdr_cli.media.video_reader import FALLBACK_RATE, video_stream

KEPT_SOUND_TAGS = ("language", "title", "handler_name", "creation_time")
KEPT_PICTURE_TAGS = ("language", "creation_time")
DROPPED_TAGS = {"major_brand", "minor_version", "compatible_brands", "encoder", "duration", "timecode"}
DEFAULT_BIT_RATE_PER_CHANNEL = 96_000
LEAD_IN_S = Fraction(1, 20)  # before the first picture; decoders of compressed sound begin with it
# Moved to the front, mp4 and mov play while they load. Matroska must not shift all times for the sake of
# sound that begins before 0, as AAC does.
CONTAINER_OPTIONS = {
    "mp4": {"movflags": "+faststart"},
    "mov": {"movflags": "+faststart"},
    "matroska": {"avoid_negative_ts": "disabled"},
}

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class MuxPlan:
    """Companions of the pictures in their file.

    Args:
        source: File whose sound and tags are kept, None if there is none.
        begin: Time in the source that becomes 0, in seconds.
        end: Time in the source at which sound ends, in seconds; None for the source's end.
        rate: Frames per second, None if unknown.
    """

    source: Path | None = None
    sound: bool = True
    begin: Fraction = Fraction(0)
    end: Fraction | None = None
    timecode: str | None = None
    rate: Fraction | None = None


def mux_video(pictures: Path, target: Path, *, container: str, plan: MuxPlan, metadata: StaticMetadata | None) -> None:
    """Copy encoded pictures into a new file, together with all that belongs to them.

    Args:
        pictures: A file that `VideoEncoder` made; boxes are added to it.
        container: FFmpeg's name of its format.
        metadata: HDR10 metadata, None if there is none.

    Raises:
        MediaError: If something can't be read or written.
    """
    if metadata:
        add_light_boxes(pictures, metadata)
    with writing(target), ExitStack() as stack:
        encoded = stack.enter_context(av.open(ffmpeg_name(pictures)))
        options = CONTAINER_OPTIONS[container]
        output = stack.enter_context(av.open(ffmpeg_name(target), "w", format=container, options=options))
        # Opaque: light and color of the stream are copied as well, and no encoder is looked for.
        video = output.add_stream_from_template(encoded.streams.video[0], opaque=True)
        video.codec_context.framerate = plan.rate or FALLBACK_RATE  # time codes count with it
        if container != "matroska":  # the tag of the source's container is not carried over: hvc1, ap4h
            video.codec_tag = encoded.streams.video[0].codec_context.codec_tag
        streams: list[Iterator[Packet[Any]]] = [_picture_packets(encoded, video, metadata)]
        if plan.source:
            source = stack.enter_context(_open_sound(plan.source))
            tags = {key: value for key, value in source.metadata.items() if key.lower() not in DROPPED_TAGS}
            output.metadata.update(tags)
            video.metadata.update(_selected(video_stream(source, plan.source).metadata, KEPT_PICTURE_TAGS))
            if plan.sound:
                streams.append(_sound_packets(source, _sound_routes(source, output, container=container), plan))
        if plan.timecode:
            output.metadata["timecode"] = plan.timecode
        for packet in heapq.merge(*streams, key=_time_s):
            output.mux(packet)


def _open_sound(path: Path) -> InputContainer:
    try:
        return av.open(ffmpeg_name(path), metadata_errors="replace")
    except (av.FFmpegError, OSError) as error:
        raise MediaError(f"{path} can't be read again for its sound: pass --no-audio, or convert it again") from error


def _selected(tags: dict[str, str], keys: tuple[str, ...]) -> dict[str, str]:
    lower = {key.lower(): value for key, value in tags.items()}
    return {key: lower[key] for key in keys if key in lower}


def _time_s(packet: "Packet[Any]") -> float:
    time = packet.pts if packet.dts is None else packet.dts
    return 0.0 if time is None or packet.time_base is None else float(time * packet.time_base)


def _picture_packets(
    encoded: InputContainer, output: VideoStream, metadata: StaticMetadata | None
) -> "Iterator[Packet[VideoStream]]":
    """Read encoded pictures; HEVC and AV1 carry metadata in their key frames too, others leave it to the container."""
    stream = encoded.streams.video[0]
    codec = stream.codec_context.codec.canonical_name
    for packet in encoded.demux(stream):
        if packet.size == 0:
            continue
        if metadata and packet.is_keyframe and codec in ("hevc", "av1"):
            if codec == "hevc":
                length_size = hevc_length_size(stream.codec_context.extradata or b"")
                content = with_hevc_metadata(bytes(packet), metadata, length_size=length_size)
            else:
                content = with_av1_metadata(bytes(packet), metadata)
            key_frame = packet
            packet = cast("Packet[VideoStream]", Packet(content))
            packet.pts, packet.dts = key_frame.pts, key_frame.dts
            packet.time_base, packet.duration = key_frame.time_base, key_frame.duration
            packet.is_keyframe = True
        packet.stream = output
        yield packet


@dataclass(frozen=True, kw_only=True)
class _SoundRoute:
    """Stream that sound is copied to, or encoded to as AAC by way of a resampler.

    `lead_in` is the time in seconds, before the first picture, of sound that is needed to decode what comes after.
    """

    output: AudioStream
    lead_in: Fraction = Fraction(0)
    resampler: AudioResampler | None = None


def _sound_routes(source: InputContainer, output: OutputContainer, *, container: str) -> dict[int, _SoundRoute]:
    """Add a stream to the output for each stream of sound, by its index in the source."""
    routes = {}
    for stream in source.streams.audio:
        context = stream.codec_context
        lead_in = Fraction(0) if context is not None and context.name.startswith("pcm_") else LEAD_IN_S
        if _fits(stream, container):
            route = _SoundRoute(output=output.add_stream_from_template(stream, opaque=True), lead_in=lead_in)
        elif context is None:
            logger.warning("sound stream %d can't be decoded and is left out", stream.index)
            continue
        else:
            logger.warning("%s sound does not fit the container: it is encoded as AAC", context.name)
            added = output.add_stream("aac", rate=context.sample_rate)
            assert isinstance(added, AudioStream)
            encoder = added.codec_context
            encoder.layout = context.layout
            encoder.bit_rate = DEFAULT_BIT_RATE_PER_CHANNEL * context.layout.nb_channels
            resampler = AudioResampler(format=encoder.format, layout=encoder.layout, rate=encoder.sample_rate)
            route = _SoundRoute(output=added, lead_in=lead_in, resampler=resampler)
        route.output.metadata.update(_selected(stream.metadata, KEPT_SOUND_TAGS))
        route.output.disposition = Disposition(stream.disposition)
        routes[stream.index] = route
    return routes


def _fits(stream: AudioStream, container: str) -> bool:
    """Find out by a trial whether a container takes a stream as it is; FFmpeg has no list to ask."""
    try:
        with av.open(io.BytesIO(), "w", format=container) as trial:
            trial.add_stream_from_template(stream, opaque=True)
            trial.start_encoding()
    except (av.FFmpegError, ValueError):
        return False
    return True


def _sound_packets(
    source: InputContainer, routes: dict[int, _SoundRoute], plan: MuxPlan
) -> "Iterator[Packet[AudioStream]]":
    """Read the sound between the plan's times, in the order of the source."""
    streams = [stream for stream in source.streams.audio if stream.index in routes]
    if not streams:
        return
    for packet in source.demux(streams):
        if packet.size == 0 or packet.pts is None or packet.time_base is None:
            continue
        begin = packet.pts * packet.time_base
        end = begin + (packet.duration or 0) * packet.time_base
        route = routes[packet.stream_index]
        if (plan.end is not None and begin >= plan.end) or end <= plan.begin - route.lead_in:
            continue
        if route.resampler is not None:
            yield from _transcoded(route, cast("Packet[AudioStream]", packet), begin=plan.begin)
            continue
        steps = round(plan.begin / packet.time_base)
        packet.pts -= steps
        if packet.dts is not None:
            packet.dts -= steps
        packet.stream = route.output
        yield cast("Packet[AudioStream]", packet)
    for route in routes.values():
        if route.resampler is not None:
            yield from _transcoded(route, None, begin=plan.begin)


def _transcoded(
    route: _SoundRoute, packet: "Packet[AudioStream] | None", *, begin: Fraction
) -> "Iterator[Packet[AudioStream]]":
    """Decode sound and encode it again at its samples' times, less `begin` seconds; None flushes the encoder."""
    assert route.resampler is not None
    frames: list[av.AudioFrame | None] = [None]
    if packet is not None:
        try:
            frames = list(packet.decode())
        except av.FFmpegError:
            return
    for frame in frames:
        if frame is not None and frame.pts is not None and frame.time_base is not None:
            frame.pts -= round(begin / frame.time_base)
        for resampled in route.resampler.resample(frame):
            yield from route.output.encode(resampled)
    if packet is None:
        yield from route.output.encode(None)
