"""Clips that come through a pipe, once."""

import io
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from support.clips import clip_with_sound, counting_clip
from support.converting import read_exr, save_tiny

from lanhdr_cli.main import cli
from lanhdr_cli.media.errors import MediaError
from lanhdr_cli.media.source import open_source


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of temporary files, empty again at the end."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    assert list(folder.iterdir()) == []


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("weights") / "two.safetensors")


def piped(content: bytes, *arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments], input=content)


def converted(output: object, weights: Path, source: object = "-") -> tuple[object, ...]:
    options = ("--exposures", "1,8", "--weights", weights, "--threads", 1, "--no-progress", "--preset", "ultrafast")
    return ("convert", source, "-o", output, *(options if str(output).endswith(".mp4") else options[:-2]))


def test_standard_input_becomes_frames(tmp_path: Path, places: Path, weights: Path) -> None:
    clip = counting_clip(tmp_path / "a.mp4", count=6)
    outcome = piped(clip.read_bytes(), *converted(f"{tmp_path}/o/", weights))
    assert outcome.exit_code == 0, outcome.output
    assert f"- is kept in {places}/lanhdr-" in outcome.stderr
    assert sorted(os.listdir(tmp_path / "o")) == [f"stdin.000{number}.exr" for number in range(1, 7)]
    plain = tmp_path / "plain.exr"
    assert CliRunner().invoke(cli, [str(word) for word in converted(plain, weights, clip)]).exit_code == 0
    for number in range(1, 7):
        pixels = read_exr(tmp_path / "o" / f"stdin.000{number}.exr")[0]
        assert (pixels == read_exr(tmp_path / f"plain.000{number}.exr")[0]).all()


def test_sound_of_standard_input_is_kept(tmp_path: Path, places: Path, weights: Path) -> None:
    clip = clip_with_sound(tmp_path / "a.mkv", "aac", count=6)
    outcome = piped(clip.read_bytes(), *converted(tmp_path / "o.mp4", weights))
    assert outcome.exit_code == 0, outcome.output
    with open_source(tmp_path / "o.mp4") as result:
        assert [sound.codec for sound in result.details.sounds] == ["aac"]


def test_the_same_pictures_are_the_same_clip_whatever_marks_a_program_leaves(tmp_path: Path, places: Path) -> None:
    for name in ("a.mkv", "a.mp4", "b.mkv"):
        counting_clip(tmp_path / name, count=4 if name[0] == "a" else 5, codec="ffv1" if "mkv" in name else "libx264")
    again = counting_clip(tmp_path / "again.mkv", count=4, codec="ffv1")
    again.write_bytes(again.read_bytes().replace(b"Lavf", b"Lavg"))
    ids = []
    for name in ("a.mkv", "again.mkv", "b.mkv"):
        pipe = tmp_path / f"{name}.pipe"
        os.mkfifo(pipe)
        writer = threading.Thread(target=pipe.write_bytes, args=((tmp_path / name).read_bytes(),))
        writer.start()
        with open_source(pipe) as clip:
            ids.append(clip.id)
            assert clip.name == f"{name}"
        writer.join()
    assert ids[0] == ids[1] != ids[2]


@pytest.mark.parametrize(
    "words", ["cat a.mp4 | {} /dev/stdin", "{} <(cat a.mp4)", "{} - < a.mp4", "{} /dev/stdin < a.mp4"]
)
def test_ways_of_a_shell(tmp_path: Path, words: str) -> None:
    counting_clip(tmp_path / "a.mp4", count=4)
    inspect = f"{sys.executable} -m lanhdr_cli inspect -q"
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1]), "TMPDIR": str(tmp_path)}
    run = subprocess.run(
        ["bash", "-c", words.format(inspect)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert "Frames       4, 24 per second" in run.stdout
    assert os.listdir(tmp_path) == ["a.mp4"]


def test_what_does_not_come_is_one_line(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for content, message in ((b"", "- is empty: pipe a video into it"), (b"once upon", "- can't be read as video")):
        outcome = piped(content, "inspect", "-q", "-")
        assert (outcome.exit_code, outcome.stderr.count("\n")) == (1, 1)
        assert message in outcome.stderr


def test_a_terminal_is_not_waited_for(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.BytesIO):
        def isatty(self) -> bool:
            return True

    class Stdin:
        buffer = Terminal()

    monkeypatch.setattr(sys, "stdin", Stdin())

    with (
        pytest.raises(MediaError, match="- is a terminal: pipe a video into it, or pass a file"),
        open_source(Path("-")),
    ):
        pass


def test_no_space_for_the_copy_is_one_line(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("lanhdr_cli.media.stream_reader.shutil.copyfileobj", full)
    outcome = piped(b"x", "inspect", "-q", "-")
    assert "- can't be kept in" in outcome.stderr and "set TMPDIR to a folder on a larger disk" in outcome.stderr
