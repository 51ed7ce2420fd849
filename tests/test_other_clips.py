"""Frames of another clip are never replaced."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from support.clips import counting_clip
from support.converting import invoke, read_exr, save_tiny
from support.pictures import write_flat, write_linear

from lanhdr_cli.media.paths import content_id


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("weights") / "two.safetensors")


def convert(source: Path, output: Path | str, weights: Path, *more: str) -> Result:
    options = ("--exposures", "1,8", "--weights", weights, "--threads", 1, "--no-progress", "-q", *more)
    return invoke("convert", source, "-o", output, *options)


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.exr")}


@pytest.fixture
def clips(tmp_path: Path) -> tuple[Path, Path]:
    """Two clips of one name."""
    for name, count in (("a", 4), ("b", 5)):
        (tmp_path / name).mkdir()
        counting_clip(tmp_path / name / "MVI_0042.mp4", count=count)
    return tmp_path / "a" / "MVI_0042.mp4", tmp_path / "b" / "MVI_0042.mp4"


@pytest.mark.parametrize("more", [(), ("-y",), ("-y", "--frames", "1-3"), ("-y", "--frames", "2")])
@pytest.mark.parametrize("output", ["out/", "o.exr", "MVI_0042.exr", "o.1001.exr"])
def test_frames_of_another_clip_stay(
    tmp_path: Path, weights: Path, clips: tuple[Path, Path], output: str, more: tuple[str, ...]
) -> None:
    target = f"{tmp_path}/out/{output.removeprefix('out/')}"
    assert convert(clips[0], target, weights).exit_code == 0
    before = content(tmp_path / "out")
    outcome = convert(clips[1], target, weights, *more)
    if more[1:] == ("--frames", "2") and output in ("o.exr", "MVI_0042.exr"):  # a single frame has a name of its own
        assert outcome.exit_code == 0
        assert before.items() <= content(tmp_path / "out").items()
        return
    assert (outcome.exit_code, outcome.stderr.count("\n")) == (1, 1)
    assert (
        "is a frame of another clip, MVI_0042.mp4: choose another name for -o, or remove such files" in outcome.stderr
    )
    assert content(tmp_path / "out") == before


def test_frames_numbered_like_clips_do_not_meet(tmp_path: Path, weights: Path, clips: tuple[Path, Path]) -> None:
    for number, clip in ((42, clips[0]), (43, clips[1])):
        assert convert(clip, tmp_path / "out" / f"MVI_00{number}.exr", weights, "-y").exit_code == 0
    assert len(content(tmp_path / "out")) == 4 + 5


def test_frames_of_the_same_clip_are_replaced_wherever_it_lies(
    tmp_path: Path, weights: Path, clips: tuple[Path, Path]
) -> None:
    target = tmp_path / "out" / "o.exr"
    assert convert(clips[0], target, weights).exit_code == 0
    assert "-y to overwrite" in convert(clips[0], target, weights).stderr
    shutil.move(clips[0], tmp_path / "moved.mp4")
    assert convert(tmp_path / "moved.mp4", target, weights, "-y", "--scale", "1").exit_code == 0
    header = read_exr(tmp_path / "out" / "o.0003.exr")[1]
    assert (header["lanhdr/source"], header["lanhdr/exposureScale"]) == ("moved.mp4", 1.0)


def test_pictures_of_other_programs_stay(tmp_path: Path, weights: Path, clips: tuple[Path, Path]) -> None:
    write_linear(tmp_path / "o.0003.exr", np.full((24, 32, 3), 0.5, np.float16))
    before = content(tmp_path)
    outcome = convert(clips[0], tmp_path / "o.exr", weights, "-y")
    assert "o.0003.exr is a picture that was not made of this clip: choose another name" in outcome.stderr
    assert content(tmp_path) == before


def test_damaged_frames_are_replaced(tmp_path: Path, weights: Path, clips: tuple[Path, Path]) -> None:
    assert convert(clips[0], tmp_path / "o.exr", weights).exit_code == 0
    (tmp_path / "o.0002.exr").write_bytes((tmp_path / "o.0002.exr").read_bytes()[:100])
    assert convert(clips[0], tmp_path / "o.exr", weights, "-y").exit_code == 0
    assert read_exr(tmp_path / "o.0002.exr")[0].shape == (24, 32, 3)


def test_sequences_with_the_same_first_picture_are_told_apart(tmp_path: Path) -> None:
    clips = []
    for folder, levels in (("a", (0, 50, 60)), ("b", (0, 50, 70)), ("c", (0, 50, 60))):
        clips.append([write_flat(tmp_path / folder / f"s.{n}.png", level) for n, level in enumerate(levels)])
    first, second, copy = (content_id(paths) for paths in clips)
    assert first == copy != second
