"""Clips of log cameras become scene-linear pixels in the primaries wanted."""

import shutil
import subprocess
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import colour
import numpy as np
import pytest
from clips import REC709 as TAGGED_709
from clips import frame_of, write_clip
from converting import TWO, identity, invoke, read_exr, save_lite
from numpy.typing import NDArray

from lanhdr_cli.camera import CameraWishes, find_camera
from lanhdr_cli.conversion import Request, run
from lanhdr_cli.media.decode import VideoInfo
from model.color import REC709, REC2020

Pixels = NDArray[np.float64]

SIZE = (96, 64)
PATCH = 16
S_LOG3_AT_WHITE = float(colour.log_decoding(940 / 1023, function="S-Log3"))  # light of signal 1.0
LOG = CameraWishes(response="S-Log3", gamut="S-Gamut3.Cine")


def scene() -> Pixels:
    """Flat patches of ACEScg light from 0.01 to 1.6, none out of the camera's gamut, (H, W, 3)."""
    rows, columns = SIZE[1] // PATCH, SIZE[0] // PATCH
    generator = np.random.default_rng(4)
    light = 2.0 ** generator.uniform(-6.5, 0.5, (rows, columns, 1)) * generator.uniform(0.7, 1.15, (rows, columns, 3))
    return light.repeat(PATCH, 0).repeat(PATCH, 1)


def matrix(source: str, target: str) -> Pixels:
    found: Pixels = colour.matrix_RGB_to_RGB(
        colour.RGB_COLOURSPACES[source], colour.RGB_COLOURSPACES[target], "Bradford"
    )
    return found


def log_frame(light: Pixels) -> av.VideoFrame:
    """Film ACEScg light with S-Log3 and S-Gamut3.Cine, coded as 10-bit 4:2:2 BT.709 of limited range."""
    camera = light @ matrix("ACEScg", "S-Gamut3.Cine").T
    signal = (1023 * colour.log_encoding(camera, function="S-Log3") - 64) / 876
    luma = signal @ (0.2126, 0.7152, 0.0722)
    blue, red = (signal[..., 2] - luma) / 1.8556, (signal[..., 0] - luma) / 1.5748
    codes = [64 + 876 * luma, 512 + 896 * blue[:, ::2], 512 + 896 * red[:, ::2]]
    return frame_of([plane.round().astype(np.uint16) for plane in codes], "yuv422p10le", size=SIZE)


def log_clip(path: Path, *, codec: str, count: int = 6) -> Path:
    frames = [log_frame(scene() * (1, 8)[index % 2]) for index in range(count)]
    return write_clip(path, frames, codec=codec, tags=TAGGED_709)


def patches(pixels: NDArray[np.floating]) -> Pixels:
    """Middles of the patches, (rows, columns, 3): chroma of 4:2:2 runs over the edges."""
    return pixels[PATCH // 2 :: PATCH, PATCH // 2 :: PATCH].astype(np.float64)


@pytest.mark.parametrize(("codec", "suffix", "tolerance"), [("ffv1", "mkv", 0.02), ("prores_ks", "mov", 0.04)])
def test_a_log_clip_becomes_scene_light_in_acescg(tmp_path: Path, codec: str, suffix: str, tolerance: float) -> None:
    """One code of S-Log3 is 0.9 % of light, one of red or blue difference up to 1.4 %."""
    source = log_clip(tmp_path / f"a.{suffix}", codec=codec)
    run(Request(source, str(tmp_path / "o.exr"), TWO, camera=LOG, colorspace="acescg"), load=identity)
    for number in range(1, 7):
        pixels, header = read_exr(tmp_path / f"o.{number:04d}.exr")
        found = patches(pixels) * S_LOG3_AT_WHITE / 8
        np.testing.assert_allclose(found, patches(scene()), rtol=tolerance, atol=1e-3)
        assert header["colorInteropID"] == "lin_ap1_scene"
        assert header["lanhdr/response"] == "S-Log3"


@pytest.mark.skipif(shutil.which("oiiotool") is None, reason="oiiotool is not installed")
def test_the_command_line_and_the_network_keep_the_light(tmp_path: Path) -> None:
    source = log_clip(tmp_path / "a.mkv", codec="ffv1")
    outcome = invoke(
        *("convert", source, "-o", tmp_path / "o.exr", "--exposures", "1,8", "--frames", "2-3"),
        *("--response", "s-log3", "--gamut", "S-Gamut3.Cine", "--colorspace", "acescg"),
        *("--weights", save_lite(tmp_path / "lite.safetensors"), "--device", "cpu", "--threads", 1),
    )
    assert outcome.exit_code == 0, outcome.output
    for number in (3, 4):
        found = patches(read_exr(tmp_path / f"o.{number:04d}.exr")[0]) * S_LOG3_AT_WHITE / 8
        # the merge averages frames of both exposures
        np.testing.assert_allclose(found, patches(scene()), rtol=0.03, atol=2e-3)
    told = subprocess.run(
        ["oiiotool", "--info", "-v", str(tmp_path / "o.0003.exr")], capture_output=True, text=True, check=True
    ).stdout
    assert "chromaticities: 0.713, 0.293, 0.165, 0.83, 0.128, 0.044, 0.32168, 0.33767" in told
    assert "lin_ap1_scene" in told


def test_a_camera_that_clips_early_is_clipped_in_the_file(tmp_path: Path) -> None:
    """Light of the given signal becomes the clip level, which is 1.0 in the file for the longest exposure."""
    gray = np.full((SIZE[1], SIZE[0], 3), S_LOG3_AT_WHITE / 2)
    frames = [log_frame(gray), log_frame(gray / 2)] * 2
    signal = (1023 * float(colour.log_encoding(S_LOG3_AT_WHITE / 4, function="S-Log3")) - 64) / 876
    source = write_clip(tmp_path / "a.mkv", frames, tags=TAGGED_709)
    wishes = replace(LOG, clip_code=signal)
    run(Request(source, str(tmp_path / "o.exr"), TWO, camera=wishes, colorspace="acescg"), load=identity)
    first, second = (patches(read_exr(tmp_path / f"o.{number:04d}.exr")[0]) for number in (1, 2))
    np.testing.assert_allclose(first, 8.0, rtol=2e-3)  # above the clip level: no more than it
    np.testing.assert_allclose(second, 1.0, rtol=0.02)


def info(**changes: object) -> VideoInfo:
    plain = VideoInfo(32, 24, Fraction(24), 1, None, Fraction(1), 0, "test")
    return replace(plain, **changes)  # type: ignore[arg-type]


def test_tagged_primaries_are_taken_unless_a_gamut_is_named() -> None:
    assert find_camera(info(), CameraWishes()).gamut == REC709
    assert find_camera(info(primaries=9), CameraWishes()).gamut == REC2020
    assert find_camera(info(primaries=9), CameraWishes(gamut="rec709")).gamut == REC709


def test_the_range_of_a_clip_decides_what_its_codes_are() -> None:
    import torch

    code = torch.full((3, 1, 1), 420 / 1023)
    limited, full = (find_camera(info(full_range=full), LOG).curve for full in (False, True))
    in_full = full.linearize(code) / full.linearize(code + 0.1)
    signal = (1023 * code - 64) / 876
    in_limited = limited.linearize(signal) / limited.linearize(signal + 102.3 / 876)
    torch.testing.assert_close(in_full, in_limited, rtol=1e-4, atol=0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--response", "S-Log9"), "--response S-Log9 is unknown: names near to it are"),
        (("--gamut", "S-Gamut8"), "--gamut S-Gamut8 is unknown: names near to it are"),
        (("--response", "curve.cube"), "--response curve.cube: no such file"),
    ],
)
def test_unknown_cameras_end_in_one_line(tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    source = log_clip(tmp_path / "a.mkv", codec="ffv1", count=2)
    outcome = invoke("convert", source, "-o", tmp_path / "o.exr", "--exposures", "1,8", *arguments)
    assert outcome.exit_code == 1
    assert outcome.stderr.startswith(f"Error: {message}")
    assert outcome.stderr.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["a.mkv"]
