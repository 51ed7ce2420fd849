"""A clip's source: read again from its beginning, with as few openings of its file as possible."""

from collections import Counter
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from support.clips import REC709, clip_with_sound, grays, write_clip
from support.converting import TWO, identity, invoke, job
from support.pictures import write_picture

from lanhdr_cli.conversion import run
from lanhdr_cli.media.encoder import EncoderOptions
from lanhdr_cli.media.source import open_source
from lanhdr_cli.media.video_reader import DecodedFrame
from lanhdr_cli.media.video_writer import VideoOptions

QUICK = VideoOptions(encoding=EncoderOptions(preset="ultrafast", threads=1))
B_FRAMES = {"preset": "medium", "crf": "20", "g": "8"}


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each file is opened."""
    counts: Counter[str] = Counter()
    original = av.open

    def counting(file: object, *arguments: object, **options: object) -> object:
        counts[Path(str(file)).name] += 1
        return original(file, *arguments, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(av, "open", counting)
    return counts


def assert_equal(frames: list[DecodedFrame], expected: list[DecodedFrame]) -> None:
    assert [(frame.index, frame.time) for frame in frames] == [(frame.index, frame.time) for frame in expected]
    for frame, other in zip(frames, expected, strict=True):
        assert torch.equal(frame.image, other.image)


@pytest.mark.parametrize(
    ("name", "codec", "options", "opens"),
    [
        ("a.mp4", "libx264", B_FRAMES, 1),
        ("a.mkv", "libx264", B_FRAMES | {"x264-params": "open-gop=1"}, 1),
        ("a.ts", "libx264", B_FRAMES, 1),
        ("a.mpg", "mpeg2video", {"bf": "2"}, 1),
        ("a.mkv", "ffv1", {}, 1),
        ("a.h264", "libx264", B_FRAMES, 3),  # FFmpeg can't seek in it
    ],
    ids=["mp4", "open-gop", "ts", "mpg", "ffv1", "raw"],
)
def test_a_video_is_read_again_from_its_beginning(
    tmp_path: Path, opened: Counter[str], name: str, codec: str, options: dict[str, str], opens: int
) -> None:
    path = write_clip(tmp_path / name, grays(30), codec=codec, rate=25, options=options, tags=REC709)
    opened.clear()
    with open_source(path) as clip:
        first = list(clip.frames())
        faults = clip.faults.messages()
        begun = clip.frames()
        next(begun)
        again = list(clip.frames())
        assert clip.faults.messages() == faults
        assert next(begun, None) is None
    assert len(first) == 30
    assert_equal(again, first)
    assert opened[name] == opens


def test_damage_is_counted_anew_in_each_pass(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.ts", grays(30), codec="libx264", rate=25, options=B_FRAMES, tags=REC709)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 600] = bytes((value * 7 + 13) % 256 for value in range(600))
    path.write_bytes(data)
    with open_source(path) as clip:
        first = list(clip.frames())
        faults = clip.faults.messages()
        again = list(clip.frames())
        assert faults
        assert clip.faults.messages() == faults
    assert_equal(again, first)


def test_pictures_are_read_again_from_their_beginning(tmp_path: Path) -> None:
    for number in range(3):
        write_picture(tmp_path / f"s.{number:04d}.png", np.full((24, 32, 3), 50 + 20 * number, np.uint8))
    with open_source(tmp_path) as clip:
        first, again = list(clip.frames()), list(clip.frames())
        assert clip.faults.decoded == 3
    assert_equal(again, first)


def test_a_conversion_to_exr_opens_the_clip_once(tmp_path: Path, opened: Counter[str], sample_clip: Path) -> None:
    run(job(sample_clip, f"{tmp_path}/o/", threads=1), load=identity)
    assert opened[sample_clip.name] == 1


def test_a_conversion_to_video_opens_the_clip_once_more_for_its_sound(tmp_path: Path, opened: Counter[str]) -> None:
    source = clip_with_sound(tmp_path / "a.mp4", "aac")
    opened.clear()
    run(job(source, str(tmp_path / "o.mp4"), TWO, video=QUICK, threads=1), load=identity)
    assert opened["a.mp4"] == 2


def test_an_inspection_opens_the_clip_once(opened: Counter[str], sample_clip: Path) -> None:
    outcome = invoke("inspect", sample_clip, "--threads", 1)
    assert outcome.exit_code == 0
    assert opened[sample_clip.name] == 1
