"""Multiplexing of encoded pictures with light levels, sound and tags into the container that was asked for."""

import heapq
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
from av.packet import Packet
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
from lanhdr_cli.media.paths import DISK_FULL, ffmpeg_name
from lanhdr_cli.media.segments import Segment, joined_packets
from lanhdr_cli.media.sound import ClipSound
from lanhdr_cli.media.video_reader import FALLBACK_RATE, video_stream

KEPT_PICTURE_TAGS = ("language", "creation_time")
DROPPED_TAGS = {"major_brand", "minor_version", "compatible_brands", "encoder", "duration", "timecode"}
# Moved to the front, mp4 and mov play while they load. Matroska must not shift all times for the sake of
# sound that begins before 0, as AAC does.
CONTAINER_OPTIONS = {
    "mp4": {"movflags": "+faststart"},
    "mov": {"movflags": "+faststart"},
    "matroska": {"avoid_negative_ts": "disabled"},
}


@dataclass(frozen=True, kw_only=True)
class MuxPlan:
    """Companions of the pictures in their file.

    Args:
        begin: Time in the source that becomes 0, in seconds.
        end: Time in the source at which sound ends, in seconds; None for the source's end.
        rate: Frames per second, None if unknown.
    """

    begin: Fraction = Fraction(0)
    end: Fraction | None = None
    timecode: str | None = None
    rate: Fraction | None = None


def mux_video(
    segments: Sequence[Segment],
    target: Path,
    *,
    container: str,
    plan: MuxPlan,
    sound: ClipSound | None,
    metadata: StaticMetadata | None,
) -> None:
    """Copy encoded pictures into a new file, together with all that belongs to them.

    Args:
        segments: Of the pictures, in order, at least one; boxes are added to the first.
        container: FFmpeg's name of its format.
        sound: Sound and tags of the clip, None if it is no video.
        metadata: HDR10 metadata, None if there is none.

    Raises:
        MediaError: If something can't be read or written.
    """
    if metadata:
        add_light_boxes(segments[0].path, metadata)
    with writing(target.parent), ExitStack() as stack:
        encoded = stack.enter_context(av.open(ffmpeg_name(segments[0].path)))
        options = CONTAINER_OPTIONS[container]
        output = stack.enter_context(av.open(ffmpeg_name(target), "w", format=container, options=options))
        # Opaque: light and color of the stream are copied as well, and no encoder is looked for.
        video = output.add_stream_from_template(encoded.streams.video[0], opaque=True)
        video.codec_context.framerate = plan.rate or FALLBACK_RATE  # time codes count with it
        if container != "matroska":  # the tag of the source's container is not carried over: hvc1, ap4h
            video.codec_tag = encoded.streams.video[0].codec_context.codec_tag
        streams: list[Iterator[Packet[Any]]] = [_picture_packets(segments, video, metadata, begin=plan.begin)]
        if sound:
            source = sound.file
            tags = {key: value for key, value in source.metadata.items() if key.lower() not in DROPPED_TAGS}
            output.metadata.update(tags)
            video.metadata.update(_selected(video_stream(source, sound.path).metadata, KEPT_PICTURE_TAGS))
            streams.append(sound.add_to(output, begin=plan.begin, end=plan.end))
        if plan.timecode:
            output.metadata["timecode"] = plan.timecode
        for packet in heapq.merge(*streams, key=_time_s):
            try:
                output.mux(packet)
            except av.FFmpegError as error:
                if packet.stream.type == "audio" and error.errno not in DISK_FULL:
                    raise MediaError(
                        f"the sound does not fit {container} ({error.strerror}): pass --no-audio"
                    ) from error
                raise


def _selected(tags: dict[str, str], keys: tuple[str, ...]) -> dict[str, str]:
    lower = {key.lower(): value for key, value in tags.items()}
    return {key: lower[key] for key in keys if key in lower}


def _time_s(packet: "Packet[Any]") -> float:
    time = packet.pts if packet.dts is None else packet.dts
    return 0.0 if time is None or packet.time_base is None else float(time * packet.time_base)


def _picture_packets(
    segments: Sequence[Segment], output: VideoStream, metadata: StaticMetadata | None, *, begin: Fraction
) -> "Iterator[Packet[VideoStream]]":
    """Read encoded pictures; HEVC and AV1 carry metadata in their key frames too, others leave it to the container."""
    for packet in joined_packets(segments, begin=begin):
        stream = packet.stream
        codec = stream.codec_context.codec.canonical_name
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
