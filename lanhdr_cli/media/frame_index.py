"""The index of a video's frames, by which a decode from a key frame on gives what one from the start gives."""

import zlib
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import pairwise

import av
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

KeyTimes = tuple[int, int | None]
TRIES = 2  # key frames: pictures are not whole at once after one where a refresh runs through several of them
ROWS = 4  # every fourth row counts in a checksum: blocks that a decoder conceals are at least as high


@dataclass(frozen=True, kw_only=True)
class FrameIndex:
    """The frames of a whole video, as a decode from its start gave them.

    Containers and headers say where key frames are, not which frames come out of a decoder: packets may hold none,
    or be damaged. So numbers are those of frames that were decoded, and each has a checksum of its codes.

    Args:
        time_base: Unit of all times, in seconds.
        times: Presentation time of each frame, rising.
        checksums: Of the codes of each frame, see `checksum`.
        keys: Presentation and decoding time of each packet that begins at a key frame, in the order of the file; None
            for a decoding time that the container does not say.
    """

    time_base: Fraction
    times: tuple[int, ...]
    checksums: tuple[int, ...]
    keys: tuple[KeyTimes, ...]

    @cached_property
    def _decoded_keys(self) -> list[KeyTimes]:
        """The key frames that come out of the decoder, in the order of presentation."""
        return sorted((key for key in self.keys if self.number_of(key[0]) is not None), key=lambda key: key[0])

    def number_of(self, time: int) -> int | None:
        """Return the number of the frame of a time, None if there is none."""
        number = bisect_left(self.times, time)
        return number if number < len(self.times) and self.times[number] == time else None

    def keys_before(self, number: int) -> list[KeyTimes]:
        """Return the last key frames up to a frame, the nearest first; none where that is the first of all."""
        if number >= len(self.times):
            return []
        place = bisect_right(self._decoded_keys, self.times[number], key=lambda key: key[0])
        return self._decoded_keys[max(1, place - TRIES) : place][::-1]

    def holds(self, number: int, frame: av.VideoFrame) -> bool:
        """Whether a decoded frame is the one of this number."""
        return (
            number < len(self.times)
            and frame.pts == self.times[number]
            and frame.time_base == self.time_base
            and checksum(frame) == self.checksums[number]
        )


class IndexBuilder:
    """Makes an index from a decode that begins at the start; takes each packet and each frame, in order."""

    def __init__(self) -> None:
        self._times: list[int | None] = []
        self._bases: set[Fraction | None] = set()
        self._checksums: list[int] = []
        self._keys: dict[KeyTimes, None] = {}

    def add(self, frame: av.VideoFrame) -> None:
        """Add the next frame."""
        self._times.append(frame.pts)
        self._bases.add(frame.time_base)
        self._checksums.append(checksum(frame))

    def note(self, packet: "Packet[VideoStream]") -> None:
        """Note a packet if decoding can begin with it."""
        if packet.is_keyframe and packet.pts is not None:
            self._keys[packet.pts, packet.dts] = None

    def index(self) -> FrameIndex | None:
        """Return the index of all frames added; None where times are missing, stand still or go back."""
        times = [time for time in self._times if time is not None]
        base = next(iter(self._bases), None)
        rising = all(before < after for before, after in pairwise(times))
        if not rising or not times or len(times) < len(self._times) or len(self._bases) > 1 or base is None:
            return None
        return FrameIndex(time_base=base, times=tuple(times), checksums=tuple(self._checksums), keys=tuple(self._keys))


def checksum(frame: av.VideoFrame) -> int:
    """CRC-32 of every fourth row of each plane of a frame as it was decoded, without what pads the rows."""
    value = 0
    for number, plane in enumerate(frame.planes):
        rows = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)
        used = plane.width * max(1, _bits(frame, number) // 8)
        value = zlib.crc32(rows[::ROWS, :used].tobytes(), value)
    return value


def _bits(frame: av.VideoFrame, plane: int) -> int:
    """Bits of a sample of a plane as it lies in memory, all components that share the plane together."""
    parts = [component for component in frame.format.components if component.plane == plane]
    step = 8 if max((part.bits for part in parts), default=8) <= 8 else 16
    return step * len(parts)


def packets_from_key(
    container: InputContainer, stream: VideoStream, index: FrameIndex, key: KeyTimes, *, start: int
) -> "Iterator[Packet[VideoStream]]":
    """Seek to a key frame, or to one before it, and yield the packets from there on; none if this leads elsewhere.

    Containers look for presentation times, for decoding times, or nearly for any of these: the packets say where one
    has come to.

    Args:
        start: Frame that lies behind the key frame.
    """
    known = {time for time, _ in index.keys}
    for target in dict.fromkeys(time for time in key if time is not None):
        try:
            container.seek(target, stream=stream)
            packets = container.demux(stream)
            begin = next((packet for packet in packets if packet.is_keyframe and packet.pts in known), None)
        except av.FFmpegError:
            continue
        if begin is not None and begin.pts is not None and begin.pts <= index.times[start]:
            yield begin
            yield from packets
            return
