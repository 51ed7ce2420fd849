"""Video made in segments is the video made in one go: pictures, times and light, without a seam."""

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from lanhdr_cli.media import segments
from lanhdr_cli.media.encoder import EncoderOptions
from lanhdr_cli.media.errors import MediaError
from lanhdr_cli.media.segments import Segment, SegmentPlan, joined_packets, light_level
from lanhdr_cli.media.video_reader import VideoInfo
from lanhdr_cli.media.video_writer import ClipOrigin, VideoOptions, VideoWriter
from model.frames import HdrFrame

SIZE, COUNT, SPAN = (96, 64), 23, 5  # three frames are left for the last segment
BASE = Fraction(1, 12288)
QUICK = {"hevc": "ultrafast", "av1": "11"}
COMBINATIONS = [
    ("hevc", ".mp4"),
    ("hevc", ".mov"),
    ("hevc", ".mkv"),
    ("av1", ".mp4"),
    ("av1", ".mkv"),
    ("prores-4444", ".mov"),
    ("prores-422hq", ".mkv"),
    ("ffv1", ".mkv"),
]


@dataclass(frozen=True)
class Shown:
    """A video as a player sees it: pictures and times in order, and decoding times as they are stored."""

    pictures: list[NDArray[Any]]
    times: list[Fraction]
    decoding_times: list[Fraction]
    light: bytes


def moving() -> list[HdrFrame]:
    """A block that moves over noise, so that encoders reorder frames; after every fourth frame there is a gap."""
    noise = 0.1 * torch.rand(3, SIZE[1], SIZE[0], generator=torch.Generator().manual_seed(0))
    frames = []
    for index in range(COUNT):
        radiance = noise.clone()
        radiance[:, 16:48, 2 * index : 2 * index + 32] = 0.5 + 0.02 * index
        frames.append(HdrFrame(radiance, (512 * index + 1024 * (index // 4)) * BASE))
    return frames


def written(path: Path, codec: str, frames: slice = slice(None)) -> Path:
    video = VideoOptions(encoding=EncoderOptions(codec=codec, preset=QUICK.get(codec), threads=1))
    info = VideoInfo(
        width=SIZE[0], height=SIZE[1], rate=Fraction(24), time_base=BASE, frames=COUNT, description="a test"
    )
    with VideoWriter(path, video, scale=8.0, origin=ClipOrigin(info=info)) as writer:
        for index, frame in list(enumerate(moving()))[frames]:
            writer.write(frame, index=index, exposure=1.0)
    return path


def shown(path: Path) -> Shown:
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
        decoding_times = [packet.dts * packet.time_base for packet in packets if packet.dts is not None]
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    side_data: Any = frames[0].side_data
    return Shown(
        pictures=[frame.to_ndarray(format="gray16le") for frame in frames],
        times=[frame.pts * frame.time_base for frame in frames if frame.pts is not None and frame.time_base],
        decoding_times=decoding_times,
        light=bytes(side_data["CONTENT_LIGHT_LEVEL"]),
    )


@pytest.mark.parametrize(("codec", "suffix"), COMBINATIONS)
def test_segments_join_without_a_seam(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, codec: str, suffix: str) -> None:
    whole = shown(written(tmp_path / f"whole{suffix}", codec))
    monkeypatch.setattr(segments, "SEGMENT_FRAMES", SPAN)
    path = written(tmp_path / f"joined{suffix}", codec)
    joined = shown(path)
    assert joined.times == whole.times
    assert joined.decoding_times == whole.decoding_times
    assert all(after > before for before, after in zip(joined.decoding_times, joined.decoding_times[1:], strict=False))
    assert len(joined.pictures) == COUNT
    for found, expected in zip(joined.pictures, whole.pictures, strict=True):
        difference = np.abs(found.astype(np.float64) - expected.astype(np.float64)).mean() / 65535
        assert difference < (0.03 if codec in QUICK else 1e-9)  # of motion, a seam alters the coding, not the picture
    if codec not in QUICK:
        assert joined.light == whole.light
    assert [file.name for file in tmp_path.glob(".*")] == []
    assert warnings_of(path) == warnings_of(tmp_path / f"whole{suffix}")  # FFmpeg 5 has one for ProRes in Matroska


def warnings_of(path: Path) -> set[str]:
    """What FFmpeg's program says when it decodes a file."""
    if not (ffmpeg := shutil.which("ffmpeg")):
        return set()
    command = [ffmpeg, "-v", "warning", "-i", str(path), "-f", "null", "-"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    return set(re.sub(r"0x\w+", "", said).splitlines())


def test_a_segment_depends_on_its_own_pictures_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that whoever makes it, it is the same: here the second one of a clip, and a clip of those frames alone."""
    monkeypatch.setattr(segments, "SEGMENT_FRAMES", SPAN)
    second = slice(SPAN, 2 * SPAN)
    whole, alone = shown(written(tmp_path / "whole.mp4", "hevc")), written(tmp_path / "alone.mp4", "hevc", second)
    np.testing.assert_array_equal(whole.pictures[second], shown(alone).pictures)


def test_segments_lie_hidden_beside_their_video(tmp_path: Path) -> None:
    beside, lasting = SegmentPlan.beside(tmp_path / "o.mkv").folder, SegmentPlan.lasting(tmp_path / "o.mkv").folder
    assert {beside.parent, lasting.parent} == {tmp_path} and lasting.name == ".o.mkv.segments"
    assert beside.name.startswith(".") and beside.name.endswith(f".{os.getpid()}.segments.tmp")


def segment(path: Path, begin: int, last: int, *, cll: float = 0.0, fall: float = 0.0) -> Segment:
    return Segment(
        path=path, frames=1, begin=Fraction(begin), last=Fraction(last), max_cll_nits=cll, max_fall_nits=fall
    )


def test_light_is_that_of_the_brightest_segment(tmp_path: Path) -> None:
    found = light_level([segment(tmp_path, 0, 1, cll=400.4, fall=90.0), segment(tmp_path, 2, 3, cll=20.0, fall=99.6)])
    assert (found.max_cll, found.max_fall) == (400, 100)


def test_segments_that_overlap_in_time_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match=r"at 3\.000000 s is not later than the one before"):
        next(joined_packets([segment(tmp_path, 0, 3), segment(tmp_path, 3, 5)], begin=Fraction(0)))
