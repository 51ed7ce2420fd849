"""Ranges of a video that are sought: the frames of a decode from the start, whatever codec and container."""

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from support.clips import REC709, frame_of, write_clip

from lanhdr_cli.media.errors import MediaError
from lanhdr_cli.media.frame_index import FrameIndex, checksum
from lanhdr_cli.media.video_reader import DecodedFrame, VideoReader

SIZE = (96, 64)
COUNT = 40
H264 = {"preset": "medium", "crf": "18", "g": "8", "bf": "3"}
X265 = "log-level=none:keyint=8:min-keyint=8:bframes=3:pools=1:frame-threads=1"


def moving(count: int = COUNT, format: str = "yuv420p", *, block: int = 8) -> list[av.VideoFrame]:
    """Frames of texture in blocks that move, so that each refers to others."""
    texture = np.random.default_rng(0).integers(40, 200, (SIZE[1], SIZE[0]), dtype=np.uint8)
    texture = np.kron(texture[::block, ::block], np.ones((block, block), np.uint8))
    chroma = np.full((SIZE[1] // 2, SIZE[0] // 2), 120, np.uint8)
    frames = [frame_of([np.roll(texture, 3 * k, 1), chroma, chroma], "yuv420p", size=SIZE) for k in range(count)]
    return frames if format == "yuv420p" else [frame.reformat(format=format) for frame in frames]


def remuxed(source: Path, name: str) -> Path:
    """Copy the packets into another container."""
    target = source.with_name(name)
    with av.open(str(source)) as container, av.open(str(target), "w") as copy:
        stream = copy.add_stream_from_template(container.streams.video[0], opaque=True)
        for packet in container.demux(video=0):
            if packet.size:
                packet.stream = stream
                copy.mux(packet)
    return target


class Decodes:
    """A reader of a clip, what a decode from the start gives, and the passes from the start that follow."""

    def __init__(self, path: Path) -> None:
        with VideoReader(path, threads=1) as reader:
            self.whole = list(reader.frames())
            self.index = reader.index
            self.faults = reader.faults
        self.path = path

    def agree(self, starts: Iterator[int] | range | list[int], *, index: FrameIndex | None = None) -> list[int]:
        """Compare ranges with the whole, and return the starts that were not sought."""
        fallen: list[int] = []
        with VideoReader(self.path, threads=1) as reader:
            reader.index = index or self.index
            from_start = reader._from_start
            for start in starts:

                def noting(start: int, stop: int | None, *, wanted: int = start) -> Iterator[DecodedFrame]:
                    fallen.append(wanted)
                    return from_start(start, stop)

                reader._from_start = noting  # type: ignore[method-assign]
                same(list(reader.frames(start=start, stop=start + 3)), self.whole[start : start + 3])
        return fallen


def same(frames: list[DecodedFrame], expected: list[DecodedFrame]) -> None:
    assert [(frame.index, frame.time) for frame in frames] == [(frame.index, frame.time) for frame in expected]
    assert all(torch.equal(frame.image, other.image) for frame, other in zip(frames, expected, strict=True))


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts", "a.mov"])
@pytest.mark.parametrize(
    ("codec", "options"),
    [
        ("libx264", H264),
        ("libx264", H264 | {"x264-params": "open-gop=1"}),
        ("libx265", {"x265-params": f"{X265}:open-gop=0"}),
        ("libx265", {"x265-params": f"{X265}:open-gop=1"}),
    ],
    ids=["h264", "h264-open", "hevc", "hevc-open"],
)
def test_ranges_are_sought_and_are_those_of_the_whole(
    tmp_path: Path, name: str, codec: str, options: dict[str, str]
) -> None:
    clip = Decodes(write_clip(tmp_path / name, moving(), codec=codec, options=options, tags=REC709))
    assert clip.index is not None
    assert len(clip.index.keys) >= 4
    assert [start for start in clip.agree(range(0, COUNT, 3)) if start >= 8] == []


@pytest.mark.parametrize(
    ("name", "codec", "format", "options"),
    [
        ("a.webm", "libvpx-vp9", "yuv420p", {"g": "8", "auto-alt-ref": "1", "lag-in-frames": "8", "cpu-used": "8"}),
        ("a.webm", "libvpx", "yuv420p", {"g": "8", "auto-alt-ref": "1", "lag-in-frames": "8", "cpu-used": "8"}),
        ("a.mkv", "ffv1", "yuv420p10le", {"g": "8"}),
        ("a.mov", "prores_ks", "yuv422p10le", {}),
        ("a.avi", "mjpeg", "yuvj420p", {}),
        ("a.mpg", "mpeg2video", "yuv420p", {"g": "8", "bf": "2"}),
        ("a.ts", "mpeg2video", "yuv420p", {"g": "8", "bf": "2"}),
        ("a.avi", "mpeg4", "yuv420p", {"g": "8", "bf": "2"}),
    ],
    ids=["vp9", "vp8", "ffv1", "prores", "mjpeg", "mpg", "mpeg2-ts", "packed-b"],
)
def test_other_codecs_agree(tmp_path: Path, name: str, codec: str, format: str, options: dict[str, str]) -> None:
    frames = moving(24, format)
    clip = Decodes(write_clip(tmp_path / name, frames, codec=codec, options=options, tags=REC709))
    fallen = clip.agree(range(0, 24, 2))
    assert len(fallen) < 12


def test_a_stream_without_times_has_no_index(tmp_path: Path) -> None:
    clip = Decodes(write_clip(tmp_path / "a.h264", moving(), codec="libx264", options=H264, tags=REC709))
    assert clip.index is None
    assert clip.agree([0, 11, 30]) == [0, 11, 30]


def test_pictures_that_refresh_bit_by_bit_are_decoded_from_farther_back(tmp_path: Path) -> None:
    options = H264 | {"x264-params": "intra-refresh=1"}
    for name in ("a.mp4", "a.ts"):
        Decodes(write_clip(tmp_path / name, moving(), codec="libx264", options=options, tags=REC709)).agree(
            range(0, COUNT, 3)
        )


def test_uneven_times_and_a_late_start(tmp_path: Path) -> None:
    pts = [90000 + 3003 * k + (1500 if k % 5 == 4 else 0) for k in range(COUNT)]
    clip = Decodes(
        write_clip(
            tmp_path / "a.mp4",
            moving(),
            codec="libx264",
            options=H264,
            tags=REC709,
            pts=pts,
            time_base=Fraction(1, 90000),
        )
    )
    assert [frame.time for frame in clip.whole] == [Fraction(time, 90000) for time in pts]
    assert [start for start in clip.agree(range(0, COUNT, 3)) if start >= 8] == []


def test_a_stream_that_begins_between_key_frames(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.ts", moving(), codec="mpeg2video", options={"g": "8", "bf": "2"}, tags=REC709)
    data = path.read_bytes()
    path.write_bytes(data[len(data) // 4 + 77 :])
    clip = Decodes(path)
    assert 10 < len(clip.whole) < COUNT
    assert len(clip.agree(range(len(clip.whole)))) < 16


@pytest.mark.parametrize("name", ["a.mp4", "a.ts", "a.mkv"])
@pytest.mark.parametrize("where", [0.25, 0.45])
def test_numbers_behind_damage_are_those_of_a_decode_from_the_start(tmp_path: Path, name: str, where: float) -> None:
    path = write_clip(tmp_path / name, moving(block=1), codec="libx264", options=H264, tags=REC709)
    data = bytearray(path.read_bytes())
    begin = int(len(data) * where)
    data[begin : begin + 100] = bytes((value * 7 + 13) % 256 for value in range(100))
    path.write_bytes(data)
    clip = Decodes(path)
    assert clip.faults.messages()
    fallen = clip.agree(range(0, len(clip.whole), 2))
    assert len(fallen) < len(clip.whole) // 2


def test_a_packet_without_a_frame_moves_all_numbers_behind_it(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", moving(), codec="libx264", options=H264 | {"bf": "0"}, tags=REC709)
    with av.open(str(path)) as container:
        packet = [packet for packet in container.demux(video=0) if packet.size][13]
        assert packet.pos is not None
        begin = packet.pos
    data = bytearray(path.read_bytes())
    data[begin : begin + 8] = b"\x7f" * 8
    path.write_bytes(data)
    clip = Decodes(path)
    assert (clip.faults.undecodable, len(clip.whole)) == (1, COUNT - 1)
    assert clip.whole[20].time == Fraction(21, 24)
    assert [start for start in clip.agree(range(16, COUNT - 1)) if start > 18] == []


def test_an_index_of_other_pictures_is_noticed(tmp_path: Path) -> None:
    clip = Decodes(write_clip(tmp_path / "a.mp4", moving(), codec="libx264", options=H264, tags=REC709))
    assert clip.index is not None
    others = [
        replace(clip.index, checksums=(*clip.index.checksums[:21], 0, *clip.index.checksums[22:])),
        replace(clip.index, times=(*clip.index.times[:21], clip.index.times[21] + 1, *clip.index.times[22:])),
    ]
    for other in others:  # frame 21 is the second of the range
        assert clip.agree([20], index=other) == [20]
    beyond = replace(clip.index, keys=((10**15, 10**15), *clip.index.keys))
    assert clip.agree([20], index=beyond) == []


def test_the_end_of_a_clip_that_is_sought(tmp_path: Path) -> None:
    clip = Decodes(write_clip(tmp_path / "a.mp4", moving(), codec="libx264", options=H264, tags=REC709))
    with VideoReader(clip.path, threads=1) as reader:
        reader.index = clip.index
        same(list(reader.frames(start=30)), clip.whole[30:])
        assert (reader.faults.decoded, reader.faults.finished) == (COUNT, True)
        same(list(reader.frames(start=38, stop=99)), clip.whole[38:])
        with pytest.raises(MediaError, match=f"has only {COUNT} frames, 99 is behind its end"):
            next(reader.frames(start=99))
        same(list(reader.frames()), clip.whole)


def test_another_pass_ends_one_that_is_sought(tmp_path: Path) -> None:
    clip = Decodes(write_clip(tmp_path / "a.mp4", moving(), codec="libx264", options=H264, tags=REC709))
    with VideoReader(clip.path, threads=1) as reader:
        reader.index = clip.index
        sought = reader.frames(start=30)
        next(sought)
        same(list(reader.frames(start=12, stop=14)), clip.whole[12:14])
        assert next(sought, None) is None


def test_a_checksum_sees_every_block_and_no_padding() -> None:
    frames = [moving(1)[0] for _ in range(2)]
    assert checksum(frames[0]) == checksum(frames[1])
    plane = frames[0].planes[0]
    assert plane.line_size > plane.width or plane.line_size == plane.width
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size).copy()
    rows[:, plane.width :] += 1
    plane.update(rows.tobytes())
    assert checksum(frames[0]) == checksum(frames[1])
    rows[20:24, 40:44] += 1
    plane.update(rows.tobytes())
    assert checksum(frames[0]) != checksum(frames[1])
