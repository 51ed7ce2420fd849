"""Input that needs another program or another path first: one line, whose commands work."""

import shutil
import subprocess
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image
from support.clips import alternating_clip
from support.converting import invoke

from lanhdr_cli.media.source import open_source


def refused(*words: object) -> str:
    outcome = invoke(*words)
    assert (outcome.exit_code, outcome.stderr.count("\n")) == (1, 1), outcome.output
    return outcome.stderr


@pytest.mark.parametrize("output", ["-", "/dev/stdout"])
def test_standard_output_is_refused(tmp_path: Path, output: str) -> None:
    assert f"-o {output}: can't write" in refused("convert", tmp_path / "a.mp4", "-o", output)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("https://example.org/a.mp4", "https://example.org/a.mp4 is an address, and only files are read: download it"),
        ("rtsp://camera/1", "rtsp://camera/1 is an address"),
        (
            r"C:\clips\a b.mkv",
            "pass it as it is called here, under WSL e.g. '/mnt/c/clips/a b.mkv'",
        ),
        ("d:/clips/a.png", "d:/clips/a.png is a path of Windows: "),
        ("12:30.mp4", "no such file: 12:30.mp4"),
        ("missing.mlv", "no such file: missing.mlv"),
    ],
)
def test_addresses_and_paths_of_windows(source: str, message: str) -> None:
    assert message in refused("inspect", source)
    assert message in refused("convert", source, "-o", "o/")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "clip.mlv",
            "raw video of Magic Lantern: export CinemaDNG with MLV App (or mlv_dump --dng), and",
        ),
        ("clip.MLV", "raw video of Magic Lantern"),
        ("clip.braw", "raw video of Blackmagic: export it as ProRes 4444 with DaVinci Resolve"),
        ("a.heic", "is a picture that is not read: make PNG of .heic first, e.g. by ImageMagick: magick mogrify"),
    ],
)
def test_files_for_other_programs(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / name).write_bytes(b"MLVI" + bytes(500))
    assert message in refused("inspect", tmp_path / name)


def test_a_moving_gif_is_a_clip(tmp_path: Path) -> None:
    pictures = [Image.new("L", (32, 24), 60 * number) for number in (1, 2, 3)]
    pictures[0].save(tmp_path / "a.gif", save_all=True, append_images=pictures[1:], duration=40)
    with open_source(tmp_path / "a.gif") as clip:
        assert len(list(clip.frames())) == 3


@pytest.mark.parametrize("pattern", ["", "*.webp", "a_%d.webp"])
def test_folders_of_pictures_that_are_not_read(tmp_path: Path, pattern: str) -> None:
    folder = tmp_path / "web p"
    folder.mkdir()
    for number in (1, 2):
        Image.new("RGB", (32, 24), (number, 9, 9)).save(folder / f"a_{number}.webp")
    message = refused("inspect", f"{folder}/{pattern}")
    assert f"make PNG of .webp first, e.g. by ImageMagick: magick mogrify -format png '{folder}'/*.webp" in message


@pytest.mark.parametrize("kind", ["RGB", "L", "P"])
def test_bmp_is_read(tmp_path: Path, kind: str) -> None:
    for number in (1, 2):
        picture = Image.new("RGB", (33, 24), (60 * number,) * 3)
        picture = picture.quantize(2) if kind == "P" else picture.convert(kind)
        picture.save(tmp_path / f"a_{number}.bmp")
    with open_source(tmp_path) as clip:
        assert (clip.info.width, clip.info.height) == (33, 24)
        assert [round(float(frame.image.mean()) * 255) for frame in clip.frames()] == [60, 120]


@pytest.mark.parametrize(
    ("kind", "alpha", "warned"), [("LA", 255, False), ("LA", 9, True), ("RGBA", 255, False), ("RGBA", 9, True)]
)
def test_transparency_is_left_out_and_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: str, alpha: int, warned: bool
) -> None:
    for number in (1, 2):
        color = (60 * number, alpha) if kind == "LA" else (*[60 * number] * 3, alpha)
        Image.new(kind, (33, 24), color).save(tmp_path / f"a_{number}.png")
    with open_source(tmp_path) as clip:
        assert [round(float(frame.image.mean()) * 255) for frame in clip.frames()] == [60, 120]
    assert ("transparency is left out" in caplog.text) == warned


def test_gray_and_alpha_of_16_bits(tmp_path: Path) -> None:
    for number in (1, 2):
        codes = np.full((24, 32, 2), 65535, ">u2")
        codes[..., 0] = 12345 * number
        frame = av.VideoFrame(32, 24, "ya16be")
        plane = frame.planes[0]
        rows = np.zeros((24, plane.line_size), np.uint8)
        rows[:, : 32 * 4] = codes.reshape(24, -1).view(np.uint8)
        plane.update(rows.tobytes())
        context = av.CodecContext.create("png", "w")
        assert isinstance(context, av.VideoCodecContext)
        context.width, context.height, context.pix_fmt = 32, 24, "ya16be"
        (tmp_path / f"a.{number}.png").write_bytes(
            b"".join(map(bytes, [*context.encode(frame), *context.encode(None)]))
        )
    with open_source(tmp_path) as clip:
        assert [round(float(frame.image.mean()) * 65535) for frame in clip.frames()] == [12345, 24690]


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed")
@pytest.mark.parametrize("name", ["four.mkv", "12:30 it's.mkv"])
def test_the_command_that_keeps_three_exposures_works(tmp_path: Path, name: str) -> None:
    alternating_clip(tmp_path / "plain.mkv", [1, 2, 4, 8] * 3).rename(tmp_path / name)
    message = refused("convert", tmp_path / name, "--exposures", "1,2,4,8", "-o", tmp_path / "o.exr", "-q")
    assert "no weights for 4 exposures (1, 2, 4, 8): weights are for two or three; keep three of them: ffm" in message
    command, _, rest = message.partition("them: ")[2].partition(", and pass that with ")
    subprocess.run(["bash", "-c", f"{command} -v error"], check=True, stdin=subprocess.DEVNULL)
    three = tmp_path / f"{Path(name).stem}.three.mkv"
    outcome = invoke("convert", three, *rest.split(), "-o", tmp_path / "o.exr", "--no-progress")
    assert outcome.exit_code == 0, outcome.output
    assert len(list(tmp_path.glob("o.*.exr"))) == 9


def test_more_than_three_exposures_in_pictures(tmp_path: Path) -> None:
    for number, level in enumerate([40, 60, 80, 110] * 2):
        Image.new("RGB", (32, 24), (level,) * 3).save(tmp_path / f"a.{number}.png")
    message = refused("convert", tmp_path, "--exposures", "1,2,4,8", "-o", f"{tmp_path}/o/", "-q")
    assert "keep three of them: pass a folder of the pictures of 1,2,8" in message
