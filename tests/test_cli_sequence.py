"""`lanhdr convert` on image sequences."""

import re
from pathlib import Path

import numpy as np
import pytest
from support.converting import identity, invoke, read_exr
from support.pictures import write_flat, write_linear, write_picture


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lanhdr_cli.conversion.run.__kwdefaults__", {"load": identity})


def convert(source: Path, output: object, *arguments: object) -> tuple[int, str]:
    outcome = invoke("convert", source, "-o", output, "--exposures", "1,8", "--no-progress", *arguments)
    return outcome.exit_code, outcome.stderr


def numbers(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_output_keeps_the_numbers_of_the_input(tmp_path: Path) -> None:
    for number in range(1001, 1006):
        write_flat(tmp_path / "in" / f"shot.{number}.tif", number - 900)
    source = tmp_path / "in" / "shot.####.tif"
    assert convert(source, f"{tmp_path}/out/", "--frames", "1-3") == (
        0,
        f"{source}: 5 pictures, taken as 24 frames per second: --fps says otherwise\n",
    )
    assert numbers(tmp_path / "out") == ["shot.1002.exr", "shot.1003.exr", "shot.1004.exr"]
    pixels, header = read_exr(tmp_path / "out" / "shot.1002.exr")
    np.testing.assert_allclose(pixels, (102 / 255) ** 2.2, rtol=2e-3)
    assert header["imageCounter"] == 1002
    assert convert(source, tmp_path / "b" / "o.exr", "--start-number", 7, "--fps", 25) == (0, "")
    assert numbers(tmp_path / "b")[0] == "o.0007.exr"


def test_skipped_numbers_are_left_out_of_the_output(tmp_path: Path) -> None:
    for number in (1, 2, 4, 5):
        write_flat(tmp_path / "in" / f"{number}.png", 100)
    code, told = convert(tmp_path / "in", tmp_path / "out" / "o.exr", "--on-missing", "skip", "--fps", 24)
    assert code == 0, told
    assert numbers(tmp_path / "out") == ["o.0001.exr", "o.0002.exr", "o.0004.exr", "o.0005.exr"]
    assert read_exr(tmp_path / "out" / "o.0004.exr")[1]["lanhdr/sourceTime"] == "1/8"


def test_sixteen_bits_arrive(tmp_path: Path) -> None:
    codes = (np.arange(32 * 24 * 3) * 7 + 20000).astype(np.uint16).reshape(24, 32, 3)
    for number in range(4):
        write_picture(tmp_path / "in" / f"{number}.tif", codes + number)
    assert convert(tmp_path / "in", tmp_path / "o.exr")[0] == 0
    pixels, _ = read_exr(tmp_path / "o.0000.exr")
    np.testing.assert_allclose(pixels, (codes / 65535) ** 2.2 * 8, rtol=6e-4)  # half float


@pytest.mark.parametrize(("response", "power"), [("linear", 1.0), ("gamma24", 2.4)])
def test_a_named_power_gives_the_light_of_both_exposures(tmp_path: Path, response: str, power: float) -> None:
    light = np.random.default_rng(0).uniform(0.05, 1.0, (24, 32, 3))
    for number in range(4):
        codes = (65535 * (light * (1 / 8, 1)[number % 2]) ** (1 / power)).round().astype(np.uint16)
        write_picture(tmp_path / "in" / f"{number}.tif", codes)
    assert convert(tmp_path / "in", tmp_path / "o.exr", "--response", response, "--no-deflicker")[0] == 0
    for number in range(4):
        pixels, header = read_exr(tmp_path / f"o.{number:04d}.exr")
        np.testing.assert_allclose(pixels, light, rtol=2e-3)
        assert header["lanhdr/response"] == {"gamma24": "gamma2.4"}.get(response, response)


@pytest.mark.parametrize("listed", ["0.000000\n3.000000\n", "exposure\n" + "1\n8\n" * 4])
def test_sixteen_bit_tiff_with_a_list_of_exposures_becomes_exr(tmp_path: Path, listed: str) -> None:
    """Short and long frames of one scene must come out the same where neither clips."""
    light = np.random.default_rng(0).uniform(0.02, 1.0, (24, 32, 3))
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "Exposures.txt").write_text(listed)
    for number in range(8):
        codes = (65535 * (light * (1 / 8, 1)[number % 2]) ** (1 / 2.2)).round().astype(np.uint16)
        write_picture(tmp_path / "in" / f"shot.{number + 1001}.tif", codes)
    outcome = invoke("convert", tmp_path / "in", "-o", f"{tmp_path}/out/", "--no-progress", "--device", "cpu")
    assert outcome.exit_code == 0, outcome.output
    assert "Exposures.txt" in outcome.stderr
    assert numbers(tmp_path / "out") == [f"shot.{number}.exr" for number in range(1001, 1009)]
    for number in range(1001, 1009):
        pixels, header = read_exr(tmp_path / "out" / f"shot.{number}.exr")
        np.testing.assert_allclose(pixels, light, rtol=2e-3)  # half float, and 16-bit codes of the short frames
        assert header["lanhdr/sourceExposure"] == pytest.approx((1, 8)[number % 2 == 0], rel=1e-3)


def test_the_input_is_not_overwritten(tmp_path: Path) -> None:
    for number in range(1, 4):
        write_linear(tmp_path / f"a.{number:04d}.exr", np.full((24, 32, 3), 0.5, np.float16))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    code, told = convert(tmp_path / "a.####.exr", tmp_path / "a.exr", "-y", "-q")
    assert (code, told.count("\n")) == (1, 1)
    assert "a.0001.exr is the input itself: choose another name for the output" in told
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def spoil(folder: Path, how: str) -> Path:
    """A sequence with something wrong in it; the path to pass."""
    for number in range(1, 5):
        write_flat(folder / f"a.{number}.png", 50 * (1 + number % 2))
    if how == "a gap":
        (folder / "a.3.png").unlink()
    elif how == "mixed sizes":
        write_flat(folder / "a.3.png", 50, size=(16, 24))
    elif how == "cut off":
        (folder / "a.3.png").write_bytes((folder / "a.3.png").read_bytes()[:-30])
    elif how == "no picture":
        (folder / "a.3.png").write_text("once upon a time")
    elif how == "nothing":
        for path in folder.iterdir():
            path.unlink()
    return folder / "a.2.png" if how == "a still" else folder


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("a gap", r"1 of its numbers missing \(3\): find them, or pass --on-missing skip or repeat"),
        ("mixed sizes", "a.3.png is 16x24, .*a.1.png is 32x24: all pictures of a sequence must have one size"),
        ("cut off", "a.3.png is damaged or of an unknown kind: replace it"),
        (
            "no picture",
            "a.3.png can't be read as a picture .it is none of PNG, TIFF, JPEG, .*raw.: replace",
        ),
        ("nothing", "folder .* holds no pictures: PNG, TIFF, JPEG, OpenEXR, BMP and camera raw are read"),
        ("a still", r"a.2.png is a single picture: pass its sequence, e.g. '.*a.#.png'"),
    ],
)
@pytest.mark.parametrize("command", ["convert", "inspect"])
def test_what_is_wrong_with_a_sequence_is_one_line(tmp_path: Path, command: str, how: str, message: str) -> None:
    source = spoil(tmp_path / "in", how)
    output = ("-o", f"{tmp_path}/out/", "--exposures", "1,4", "--no-progress") if command == "convert" else ()
    outcome = invoke(command, source, *output, "-q", "--fps", 24)
    assert (outcome.exit_code, outcome.stdout) == (1, "")
    assert re.fullmatch(f"Error: .*{message}.*\n", outcome.stderr), outcome.stderr
    assert not list(tmp_path.rglob("*.exr"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--fps", "0"), "'0': a frame rate must be above 0"),
        (("--fps", "x"), "'x' is no frame rate; pass e.g. 24, 23.976 or 30000/1001"),
        (("--fps", "1/0"), "'1/0' is no frame rate"),
        (("--on-missing", "guess"), "'guess' is not one of 'error', 'skip', 'repeat'"),
    ],
)
def test_wrong_usage(tmp_path: Path, arguments: tuple[str, str], message: str) -> None:
    code, told = convert(tmp_path, tmp_path / "o.exr", *arguments)
    assert code == 2
    assert message in told
