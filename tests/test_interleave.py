"""Exposures in a folder each, taken in turn."""

import subprocess
from pathlib import Path

import pytest
from support.clips import counting_clip
from support.converting import invoke, save_tiny
from support.pictures import write_flat

from lanhdr_cli.media.errors import MediaError
from lanhdr_cli.media.source import Reading, open_source


def write(folder: Path, name: str, *levels: int, begin: int = 0) -> Path:
    """Pictures of these grays."""
    for number, level in enumerate(levels, begin):
        write_flat(folder / f"{name}{number:04d}.png", level)
    return folder


def levels(path: Path, *others: Path) -> list[int]:
    with open_source(path, Reading(interleave=others)) as clip:
        assert clip.numbers is None
        return [round(float(frame.image.mean()) * 255) for frame in clip.frames()]


def test_pictures_are_taken_in_turn(tmp_path: Path) -> None:
    short, long = write(tmp_path / "short", "a_", 10, 20, 30), write(tmp_path / "long", "a_", 11, 21, 31)
    middle = write(tmp_path / "middle", "b", 12, 22, 32, begin=7)
    assert levels(short, long) == [10, 11, 20, 21, 30, 31]
    assert levels(long / "a_####.png", short / "*.png") == [11, 10, 21, 20, 31, 30]
    assert levels(short, middle, long) == [10, 12, 11, 20, 22, 21, 30, 32, 31]


def test_numbers_that_were_shared_out(tmp_path: Path) -> None:
    for number in range(6):
        write_flat(tmp_path / ("even", "odd")[number % 2] / f"s.{number}.png", number)
    assert levels(tmp_path / "even" / "s.#.png", tmp_path / "odd" / "s.#.png") == [0, 1, 2, 3, 4, 5]


def test_the_command_that_is_advised_for_two_names_in_a_folder_works(tmp_path: Path) -> None:
    folder = tmp_path / "two of [2024] $x"
    write(folder, "short_", 10, 20, 30)
    write(folder, "long_", 80, 160, 240)
    outcome = invoke("inspect", folder)
    assert "pictures of 2 names (long_0000.png, short_0000.png): pass one sequence, or if frames" in outcome.stderr
    advised = outcome.stderr.partition("were taken in turn, ")[2].partition(", that of")[0]
    words = subprocess.run(["bash", "-c", f"printf '%s\\n' {advised}"], capture_output=True, text=True, check=True)
    first, option, second = words.stdout.splitlines()
    assert option == "--interleave"
    assert levels(Path(first), Path(second)) == [80, 10, 160, 20, 240, 30]


def test_two_folders_become_one_clip_of_frames(tmp_path: Path) -> None:
    weights = save_tiny(tmp_path / "w.safetensors")
    short, long = write(tmp_path / "short", "a_", 50, 50), write(tmp_path / "long", "a_", 128, 128)
    outcome = invoke(
        *("convert", short, "--interleave", long, "-o", f"{tmp_path}/o/", "--exposures", "1,8"),
        *("--weights", weights, "--no-progress", "--threads", 1, "-q"),
    )
    assert outcome.exit_code == 0, outcome.output
    assert sorted(path.name for path in (tmp_path / "o").iterdir()) == [f"a.000{number}.exr" for number in range(1, 5)]


def test_what_can_not_be_taken_in_turn(tmp_path: Path) -> None:
    short, long = write(tmp_path / "short", "a", 1, 2, 3), write(tmp_path / "long", "a", 1, 2)
    gap = write(tmp_path / "gap", "a", 1, 2)
    write_flat(gap / "a0003.png", 3)
    video = counting_clip(tmp_path / "a.mp4", count=2)
    for path, others, message in (
        (short, (long,), r"are 3 pictures like .*short/a0000.png, 2 like .*long/a0000.png: .*pass as many of each"),
        (short, (gap,), r"numbers are missing between .*gap/a0000.png and a0003.png: --interleave needs all"),
        (short, (short,), r"short/a0000.png is in two of the sequences: pass different ones"),
        (short, (video,), r"--interleave is for image sequences, .*a.mp4 is none: make pictures of it first"),
        (video, (short,), r"--interleave is for image sequences, .*a.mp4 is none"),
        (short, (tmp_path / "x",), r"no such file: .*/x"),
    ):
        with pytest.raises(MediaError, match=message), open_source(path, Reading(interleave=others)):
            pass
