"""Camera raw: linear pictures of a steady clip level and white balance; without rawpy one line says what to install."""

import logging
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from support.camera_raw import write_dng
from support.converting import invoke, read_exr

from lanhdr_cli.media.source import open_source
from model.color import REC709, REC2020, convert_primaries

COLOR = np.array([0.2, 0.4, 0.1])  # where the long exposure does not clip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """CinemaDNG of two exposures, of a gray ramp above a field of one color; the brightest light clips only long."""
    light = np.repeat(np.linspace(0.01, 0.9, 64)[None, :, None], 48, axis=0).repeat(3, axis=2)
    light[24:] = COLOR / 8
    for number in range(6):
        exposure = (1, 8)[number % 2]
        write_dng(tmp_path / "clip" / f"M01_{number:06d}.dng", light * exposure, time_s=exposure / 800)
    return tmp_path / "clip"


def test_without_rawpy_one_line_says_what_to_install(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "rawpy", None)
    for command in (("convert", folder, "-o", tmp_path / "o.exr"), ("inspect", folder / "M01_######.dng")):
        outcome = invoke(*command)
        assert outcome.exit_code == 1
        assert "M01_000000.dng: camera raw needs rawpy, which is not installed: pip install 'lanhdr[raw]'" in (
            outcome.stderr
        )
        assert outcome.stderr.count("\n") == 1


def test_light_is_as_the_sensor_saw_it(folder: Path) -> None:
    pytest.importorskip("rawpy")
    with open_source(folder) as clip:
        frames = list(clip.frames())
        assert clip.exposures == pytest.approx([1, 8] * 3)
        assert (clip.numbers, clip.name) == (tuple(range(6)), "M01")
        assert clip.details.colors["transfer"].value == "linear"
    for frame, exposure in zip(frames, [1, 8] * 3, strict=True):
        light = convert_primaries(frame.image, REC2020, target=REC709)
        assert light[:, 36, 32] == pytest.approx(COLOR * exposure / 8, rel=0.02)
        ramp = light[:, 12, 4:60].mean(0)
        expected = torch.linspace(0.01, 0.9, 64)[4:60] * exposure
        assert torch.allclose(ramp, expected.clamp(max=1).float(), rtol=0.05, atol=0.002)


def test_a_folder_of_raw_becomes_frames(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("rawpy")
    outcome = invoke("convert", folder, "-o", f"{tmp_path}/o/", "--no-progress", "--device", "cpu")
    assert outcome.exit_code == 0, outcome.output
    assert "as noted in the pictures" in outcome.stderr
    pixels = read_exr(tmp_path / "o" / "M01.0002.exr")[0]
    assert pixels[36, 32] == pytest.approx(COLOR, rel=0.05)


def test_one_white_balance_is_used_for_all(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pytest.importorskip("rawpy")
    light = np.full((48, 64, 3), 0.3)
    for number, blue in enumerate((0.6, 0.6, 0.9)):
        write_dng(tmp_path / f"a.{number}.dng", light, white=(0.5, 1.0, blue))
    with caplog.at_level(logging.WARNING), open_source(tmp_path) as clip:
        frames = list(clip.frames())
    assert "white balance varies, that of a.0.dng is used for all" in caplog.text
    first, _, last = (frame.image[:, 24, 32] for frame in frames)
    assert first == pytest.approx([0.3] * 3, rel=0.02)
    assert last[2] > 1.2 * first[2]


@pytest.mark.parametrize("stem", ["caf\udce9", "a#1"])
def test_raw_of_any_name(tmp_path: Path, stem: str) -> None:
    pytest.importorskip("rawpy")
    for number in range(2):
        write_dng(tmp_path / stem / f"{stem}.{number}.dng", np.full((48, 64, 3), 0.3))
    with open_source(tmp_path / stem) as clip:
        assert len(list(clip.frames())) == 2


def test_what_is_no_raw_is_named(tmp_path: Path) -> None:
    pytest.importorskip("rawpy")
    for number in range(2):
        (tmp_path / f"a.{number}.dng").write_bytes(b"nothing that a camera has made" * 100)
    outcome = invoke("inspect", tmp_path)
    assert (outcome.exit_code, outcome.stderr.count("\n")) == (1, 1)
    assert "a.0.dng can't be read as camera raw (Unsupported file format" in outcome.stderr
