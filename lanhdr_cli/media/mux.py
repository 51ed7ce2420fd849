"""The last step of a video file: pictures, light levels, sound and tags into the container that was asked for."""

import heapq
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from lanhdr_cli.media.audio import SoundCopy, Span, open_source
from lanhdr_cli.media.bitstream import hevc_length_size, with_av1_metadata, with_hevc_metadata
from lanhdr_cli.media.boxes import add_light_boxes
from lanhdr_cli.media.encode import FALLBACK_RATE
from lanhdr_cli.media.errors import MediaError
from lanhdr_cli.media.light_level import StaticMetadata

# Moved to the front, mp4 and mov play while they load. Matroska must not shift all times for the sake of
# sound that begins before 0, as AAC does.
OPTIONS = {
    "mp4": {"movflags": "+faststart"},
    "mov": {"movflags": "+faststart"},
    "matroska": {"avoid_negative_ts": "disabled"},
}
OF_THE_CONTAINER = {"major_brand", "minor_version", "compatible_brands", "encoder", "duration", "timecode"}


@dataclass(frozen=True)
class Surroundings:
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


def finish(
    pictures: Path, target: Path, *, container: str, around: Surroundings, metadata: StaticMetadata | None
) -> None:
    """Copy encoded pictures into a new file, together with all that belongs to them.

    Args:
        pictures: A file that `VideoEncoder` made; boxes are added to it.
        target: The new file.
        container: FFmpeg's name of its format.
        around: What comes with the pictures.
        metadata: What HDR10 says of them, None if nothing.

    Raises:
        MediaError: If something can't be read or written.
    """
    if metadata:
        add_light_boxes(pictures, metadata)
    try:
        with ExitStack() as stack:
            encoded = stack.enter_context(av.open(str(pictures)))
            output = stack.enter_context(av.open(str(target), "w", format=container, options=OPTIONS[container]))
            source = stack.enter_context(open_source(around.source)) if around.source else None
            _fill(output, encoded, source, container=container, around=around, metadata=metadata)
    except (av.FFmpegError, OSError) as error:
        reason = error.strerror or type(error).__name__
        raise MediaError(f"can't write to {target.parent} ({reason}): free some space or choose another") from error


def _fill(
    output: OutputContainer,
    encoded: InputContainer,
    source: InputContainer | None,
    *,
    container: str,
    around: Surroundings,
    metadata: StaticMetadata | None,
) -> None:
    video = _video_stream(output, encoded.streams.video[0], container=container, rate=around.rate)
    streams: list[Iterator[Packet[Any]]] = [_pictures(encoded, video, metadata)]
    if source:
        output.metadata.update(_tags(source.metadata))
        video.metadata.update(_language(source))
        if around.sound:
            streams.append(SoundCopy(source, output, container=container, span=around.span).packets())
    output.metadata.update(around.tags)
    if around.timecode:
        output.metadata["timecode"] = around.timecode
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
    return {key: value for key, value in tags.items() if key.lower() not in OF_THE_CONTAINER}


def _language(source: InputContainer) -> dict[str, str]:
    tags = {key.lower(): value for video in source.streams.video[:1] for key, value in video.metadata.items()}
    return {key: tags[key] for key in ("language", "creation_time") if key in tags}
