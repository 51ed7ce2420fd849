"""Video flagged as interlaced: its fields are compared within each frame, whatever the exposures around it."""

import logging
import re
import shlex
from pathlib import Path

import av
import numpy as np
import pytest
from av.filter import Graph
from numpy.typing import NDArray
from support.clips import REC709, frame_of, write_clip
from support.converting import invoke

from lanhdr_cli.media.errors import MediaError
from lanhdr_cli.media.video_reader import FieldOrder, VideoReader

SIZE = (160, 96)
FLAGGED = {"preset": "ultrafast", "qp": "4", "x264-params": "tff=1"}
SPEEDS = {"still": 0.0, "slow": 2.0, "fast": 7.0}  # columns per frame
NOISES = {"clean": 0.0, "noisy": 6.0}  # codes of 8 bits


def picture(shift: float) -> NDArray[np.float64]:
    """Bars, a slope and a texture, moved to the left, 0..1, (H, W)."""
    columns = np.arange(SIZE[0]) + shift
    rows = np.arange(SIZE[1])[:, None]
    bars = 0.5 + 0.35 * np.sign(np.sin(columns / 7))
    return (bars + 0.1 * np.sin(columns / 2.3 + rows / 3.1) + 0.05 * np.sin(rows / 1.7)).clip(0, 1)


def clip(path: Path, *, speed: float, noise: float, interlaced: bool, flagged: bool = True, count: int = 4) -> Path:
    """Frames of two exposures in an interlaced stream; the second field is half a frame later if interlaced."""
    generator = np.random.default_rng(0)
    frames = []
    for index in range(count):
        scene = picture(speed * index)
        if interlaced:
            scene[1::2] = picture(speed * (index + 0.5))[1::2]
        codes = 16 + 219 * scene * (0.3 if index % 2 == 0 else 1.0)
        luma = (codes + generator.normal(0, noise, codes.shape)).round().clip(0, 255).astype(np.uint8)
        neutral = np.full((SIZE[1] // 2, SIZE[0] // 2), 128, np.uint8)
        frames.append(frame_of([luma, neutral, neutral], "yuv420p", size=SIZE))
    options = FLAGGED if flagged else {"preset": "ultrafast", "qp": "4"}
    return write_clip(path, frames, codec="libx264", options=options, tags=REC709)


def read(path: Path, *, field_order: FieldOrder = "auto") -> list[NDArray[np.float32]]:
    with VideoReader(path, field_order=field_order) as reader:
        return [frame.image.numpy() for frame in reader.frames()]


@pytest.mark.parametrize("noise", NOISES.values(), ids=NOISES)
@pytest.mark.parametrize("speed", SPEEDS.values(), ids=SPEEDS)
def test_progressive_pictures_in_an_interlaced_stream_are_read_and_told(
    tmp_path: Path, speed: float, noise: float, caplog: pytest.LogCaptureFixture
) -> None:
    path = clip(tmp_path / "a.mp4", speed=speed, noise=noise, interlaced=False)
    with caplog.at_level(logging.WARNING):
        images = read(path)
    assert len(images) == 4
    assert [record.message for record in caplog.records] == [
        "a.mp4: the stream is flagged as interlaced, but its fields agree: it is taken as progressive"
    ]


@pytest.mark.parametrize("noise", NOISES.values(), ids=NOISES)
@pytest.mark.parametrize("speed", [SPEEDS["slow"], SPEEDS["fast"]], ids=["slow", "fast"])
def test_combed_pictures_are_refused_with_advice(tmp_path: Path, speed: float, noise: float) -> None:
    path = clip(tmp_path / "a b.mp4", speed=speed, noise=noise, interlaced=True)
    with pytest.raises(MediaError, match=r"frame 1 is interlaced.* ffmpeg -i '.*a b.mp4' .*--field-order progressive"):
        read(path)


def test_a_still_scene_has_no_combs_however_it_was_filmed(tmp_path: Path) -> None:
    assert len(read(clip(tmp_path / "a.mp4", speed=0, noise=2, interlaced=True))) == 4


def test_fields_of_different_exposures_are_refused(tmp_path: Path) -> None:
    path = clip(tmp_path / "p.mkv", speed=0, noise=2, interlaced=False, count=2)
    short, long = (np.round(image[0] * 255).astype(np.uint8) for image in read(path))
    short[1::2] = long[1::2]
    neutral = np.full_like(short, 128)
    frames = [frame_of([short, neutral, neutral], "yuv444p", size=SIZE) for _ in range(3)]
    path = write_clip(tmp_path / "a.mkv", frames, codec="libx264", options=FLAGGED, tags=REC709)
    with pytest.raises(MediaError, match="its fields differ"):
        read(path)


def test_combs_that_come_later_are_refused_too(tmp_path: Path) -> None:
    def part(name: str, *, interlaced: bool) -> bytes:
        return clip(tmp_path / name, speed=5, noise=0, interlaced=interlaced).read_bytes()

    (tmp_path / "a.h264").write_bytes(part("1.h264", interlaced=False) + part("2.h264", interlaced=True))
    with pytest.raises(MediaError, match="frame 5 is interlaced"):
        read(tmp_path / "a.h264")


def test_the_option_takes_frames_as_they_are(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = clip(tmp_path / "a.mp4", speed=7, noise=0, interlaced=True)
    with caplog.at_level(logging.WARNING):
        images = read(path, field_order="progressive")
    assert len(images) == 4
    assert not caplog.records
    assert invoke("inspect", path).exit_code == 1
    assert invoke("inspect", path, "--field-order", "progressive").exit_code == 0


def test_frames_without_the_flag_are_not_looked_at(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert len(read(clip(tmp_path / "a.mp4", speed=7, noise=0, interlaced=True, flagged=False))) == 4
    assert not caplog.records


def test_the_advice_works_and_keeps_the_exposures_apart(tmp_path: Path) -> None:
    path = clip(tmp_path / "a.mp4", speed=7, noise=0, interlaced=True)
    with pytest.raises(MediaError) as refusal:
        read(path)
    found = re.search(r"ffmpeg (.*?), or", str(refusal.value))
    assert found
    _, source, _, filters, *_, target = shlex.split(found[1])
    assert source != target
    name, _, arguments = filters.partition("=")
    with av.open(source) as container:
        graph = Graph()
        buffer, sink = graph.add_buffer(template=container.streams.video[0]), graph.add("buffersink")
        graph.link_nodes(buffer, graph.add(name, arguments), sink).configure()
        for frame in (*container.decode(video=0), None):
            graph.vpush(frame)
        frames = [graph.vpull() for _ in range(4)]
    write_clip(Path(target), frames, tags=REC709)
    levels = [float(image.mean()) for image in read(Path(target))]
    combed = [float(image.mean()) for image in read(path, field_order="progressive")]
    np.testing.assert_allclose(levels, combed, rtol=0.03)
