"""A path is a path wherever it goes, whatever letters are in it; places for numbers count only where they are typed."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support.clips import clip_with_sound, counting_clip
from support.converting import invoke, read_exr, save_tiny
from support.pictures import write_flat, write_linear
from test_fields import clip as combed_clip

from lanhdr_cli.console import one_line
from lanhdr_cli.media.paths import frame_names, printable, shell_word

ODD_STEMS = [
    "2024-05-01T12:30:05",
    "take #2",
    "sun 100%d",
    "100%done ####",
    "shot [v2]",
    "-dash",
    "a\nb",
    "caf\udce9",
    "a  b $x$ 'ü' 日本",
    "a\\b*?",
]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("weights") / "two.safetensors")


@pytest.fixture
def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to be in, so that names are relative."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def convert(source: str, output: str, weights: Path, *more: str) -> None:
    options = ("--exposures", "1,8", "--weights", str(weights), "--threads", "1", "--no-progress", "-q", *more)
    outcome = invoke("convert", "-o", output, *options, "--", source)
    assert outcome.exit_code == 0, outcome.output


@pytest.mark.parametrize("stem", ODD_STEMS)
def test_a_clip_of_any_name_becomes_frames_of_its_name(inside: Path, weights: Path, stem: str) -> None:
    shutil.move(counting_clip(inside / "plain.mp4", count=2), f"{stem}.mp4")
    convert(f"{stem}.mp4", "out/", weights)
    assert sorted(os.listdir("out")) == [f"{stem}.0001.exr", f"{stem}.0002.exr"]


@pytest.mark.parametrize("stem", ODD_STEMS)
def test_video_sound_and_preview_of_any_name(inside: Path, weights: Path, stem: str) -> None:
    shutil.move(clip_with_sound(inside / "plain.mp4", "aac", count=4), f"{stem}.mp4")
    preview = f"{stem}.preview.mp4"
    convert(f"{stem}.mp4", f"{stem}.mov", weights, "--preset", "ultrafast", "--preview", preview)
    assert sorted(os.listdir()) == sorted([f"{stem}.mov", f"{stem}.mp4", preview])
    told = json.loads(invoke("inspect", "-q", "--json", "--", f"{stem}.mov").stdout)
    assert (told["path"], len(told["format"]["sounds"])) == (f"{stem}.mov", 1)


@pytest.mark.parametrize("stem", ["2024-05-01T12:30:05", "take #2 %d", "shot [v2]", "caf\udce9"])
@pytest.mark.parametrize("pattern", ["", "*.png", "s.##.png", "s.%02d.png"])
def test_a_folder_of_any_name_and_patterns_in_it(inside: Path, weights: Path, stem: str, pattern: str) -> None:
    for number in (1, 2):
        write_flat(inside / stem / f"s.{number:02d}.png", 50 * number)
    convert(f"{stem}/{pattern}", f"{stem}/o.exr", weights)
    assert sorted(os.listdir(stem)) == ["o.0001.exr", "o.0002.exr", "s.01.png", "s.02.png"]


@pytest.mark.parametrize("stem", ODD_STEMS)
def test_pictures_of_any_name(inside: Path, weights: Path, stem: str) -> None:
    for number in (1, 2):
        write_flat(inside / "plain.png", 50 * number).rename(f"{stem} {number:02d}.png")
    convert(f"{stem} ##.png", "out/", weights)
    assert sorted(os.listdir("out")) == [f"{stem}.0001.exr", f"{stem}.0002.exr"]


@pytest.mark.parametrize("stem", ODD_STEMS)
def test_openexr_of_any_name_is_read(inside: Path, weights: Path, stem: str) -> None:
    for number in (1, 2):
        write_linear(inside / "plain.exr", np.full((24, 32, 3), 0.2 * number, np.float16)).rename(
            f"{stem}.{number:04d}.exr"
        )
    convert(f"{stem}.####.exr", "o/", weights)
    assert sorted(os.listdir("o")) == [f"{stem}.0001.exr", f"{stem}.0002.exr"]


@pytest.mark.parametrize(
    ("typed", "second"),
    [
        ("take #2.exr", "take #2.0002.exr"),
        ("100%done.exr", "100%done.0002.exr"),
        ("take #2.####.exr", "take #2.0002.exr"),
        ("take #2 #.exr", "take #2 0002.exr"),
        ("dir #1/o.exr", "dir #1/o.0002.exr"),
        ("dir ####/", "dir ####/clip.0002.exr"),
        ("out####b.exr", "out0002b.exr"),
    ],
)
def test_a_place_for_a_number_is_no_part_of_a_word(typed: str, second: str) -> None:
    assert str(frame_names(typed, "clip").path(1)) == second


def test_brackets_are_wildcards_where_nothing_is_called_so(inside: Path, weights: Path) -> None:
    for number in (1, 2, 3):
        write_flat(inside / f"s.{number}.png", 50 * number)
    convert("s.[23].png", "o/", weights)
    assert sorted(os.listdir("o")) == ["s.0002.exr", "s.0003.exr"]


@pytest.mark.parametrize("stem", ODD_STEMS)
def test_what_is_missing_is_named_on_one_line(inside: Path, stem: str) -> None:
    outcome = invoke("convert", "-o", "o/", "--", f"{stem}.mp4")
    assert (outcome.exit_code, outcome.stderr) == (1, f"Error: no such file: {printable(stem)}.mp4\n")


@pytest.mark.parametrize("stem", ODD_STEMS)
@pytest.mark.parametrize("name", ["a.7.png", "shot 01 1920x1080.png"])
def test_the_pattern_that_is_advised_finds_the_sequence(inside: Path, weights: Path, stem: str, name: str) -> None:
    for number in (1, 2):
        other = name.replace("7", str(number)).replace("01", f"0{number}", 1)
        write_flat(inside / stem / other, 50 * number)
    outcome = invoke("convert", "-o", "o/", "--", f"{stem}/{other}")
    assert outcome.exit_code == 1
    advised = outcome.stderr.partition("e.g. ")[2]
    pasted = subprocess.run(["bash", "-c", f"printf %s {advised}"], capture_output=True, check=True).stdout
    convert(os.fsdecode(pasted), "o/", weights)
    assert len(os.listdir("o")) == 2


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed")
@pytest.mark.parametrize("stem", [*ODD_STEMS, "plain"])
def test_the_advised_command_of_ffmpeg_works_when_pasted(inside: Path, weights: Path, stem: str) -> None:
    shutil.move(combed_clip(inside / "source.mkv", speed=6.0, noise=0.0, interlaced=True), f"{stem}.mkv")
    outcome = invoke("convert", "-o", "o/", "--", f"{stem}.mkv")
    assert "is interlaced" in outcome.stderr
    command = "ffmpeg" + outcome.stderr.partition(", ffmpeg")[2].partition(", or pass --field-order")[0]
    subprocess.run(["bash", "-c", f"{command.strip()} -v error"], check=True, stdin=subprocess.DEVNULL)
    convert(f"{stem}.progressive.mkv", "o/", weights)


def test_words_for_a_shell() -> None:
    assert shell_word(Path("a b")) == "'a b'"
    assert shell_word(Path("-a")) == "./-a"
    assert shell_word(Path("12:30.mp4"), for_ffmpeg=True) == "file:12:30.mp4"
    for stem in ODD_STEMS:
        said = subprocess.run(["bash", "-c", f"printf %s {shell_word(Path(stem))}"], capture_output=True, check=True)
        assert os.fsdecode(said.stdout).removeprefix("./") == stem
    assert shlex.split(shell_word(Path("it's"))) == ["it's"]


def test_messages_show_names_as_they_are() -> None:
    assert one_line("a  b\nc\x1b[31m caf\udce9 日本 ") == r"a  b\nc\x1b[31m caf\xe9 日本"


@pytest.mark.parametrize("encoding", ["ascii:strict", "utf-8:strict"])
def test_results_are_told_whatever_the_encoding_of_the_terminal(inside: Path, weights: Path, encoding: str) -> None:
    stem = "caf\udce9 日本"
    shutil.move(counting_clip(inside / "plain.mp4", count=2), f"{stem}.mp4")
    command = [sys.executable, "-m", "lanhdr_cli", "convert", f"{stem}.mp4", "-o", "out/", "--exposures", "1,8"]
    environment = os.environ | {"PYTHONIOENCODING": encoding, "PYTHONPATH": str(Path(__file__).parents[1])}
    run = subprocess.run([*command, "--weights", str(weights)], capture_output=True, env=environment, check=False)
    assert run.returncode == 0, run.stderr
    assert b"2 frames in" in run.stdout


def test_a_plot_of_a_clip_of_any_name(inside: Path) -> None:
    for stem in ("cost $\\frac$", "caf\udce9 日本\n"):
        shutil.move(counting_clip(inside / "plain.mp4", count=4), f"{stem}.mp4")
        assert invoke("inspect", "-q", f"{stem}.mp4", "--plot", f"{stem}.png").exit_code == 0
        assert Path(f"{stem}.png").stat().st_size > 1000


def test_frames_of_a_long_name(inside: Path, weights: Path) -> None:
    stem = "é" * 120  # 240 bytes of 255
    shutil.move(counting_clip(inside / "plain.mp4", count=2), f"{stem}.mp4")
    convert(f"{stem}.mp4", "out/", weights)
    assert len(os.listdir("out")) == 2
    assert read_exr(Path("out") / f"{stem}.0001.exr")[0].shape == (24, 32, 3)
    convert(f"{stem}.mp4", f"{stem}.mov", weights, "--codec", "prores-4444")
    assert sorted(os.listdir()) == sorted(["out", f"{stem}.mov", f"{stem}.mp4"])
