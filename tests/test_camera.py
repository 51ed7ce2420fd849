"""Clips of log cameras become scene-linear pixels in the primaries wanted."""

import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import av
import colour
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from support.clips import REC709 as TAGGED_709
from support.clips import counting_clip, frame_of, write_clip
from support.converting import TWO, identity, invoke, job, read_exr, save_lite
from support.pictures import write_linear

from lanhdr_cli.camera import Camera, CameraOptions, FirstLook, find_camera, named_response
from lanhdr_cli.conversion import run
from lanhdr_cli.exposures import BrightnessPass
from lanhdr_cli.media.source import open_source
from model.analysis.camera import exposures_of_camera, generic_curve
from model.color import REC709, REC2020
from model.exposure import ExposureCycle, FrameExposures
from model.response import ResponseCurve, gamma_curve, srgb_curve

Pixels = NDArray[np.float64]

SIZE = (96, 64)
PATCH = 16
S_LOG3_AT_WHITE = float(colour.log_decoding(940 / 1023, function="S-Log3"))  # light of signal 1.0
LOG = CameraOptions(response="S-Log3", gamut="S-Gamut3.Cine")
PLAIN = CameraOptions()


def scene() -> Pixels:
    """Flat patches of ACEScg light from 0.01 to 1.6, none out of the camera's gamut, (H, W, 3)."""
    rows, columns = SIZE[1] // PATCH, SIZE[0] // PATCH
    generator = np.random.default_rng(4)
    light = 2.0 ** generator.uniform(-6.5, 0.5, (rows, columns, 1)) * generator.uniform(0.7, 1.15, (rows, columns, 3))
    return light.repeat(PATCH, 0).repeat(PATCH, 1)


def matrix(source: str, target: str) -> Pixels:
    first, second = colour.RGB_COLOURSPACES[source], colour.RGB_COLOURSPACES[target]
    return colour.matrix_RGB_to_RGB(first, second, "Bradford").astype(np.float64)


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
    run(job(source, str(tmp_path / "o.exr"), TWO, camera=LOG, colorspace="acescg"), load=identity)
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
    run(job(source, str(tmp_path / "o.exr"), TWO, camera=wishes, colorspace="acescg"), load=identity)
    first, second = (patches(read_exr(tmp_path / f"o.{number:04d}.exr")[0]) for number in (1, 2))
    np.testing.assert_allclose(first, 8.0, rtol=2e-3)  # above the clip level: no more than it
    np.testing.assert_allclose(second, 1.0, rtol=0.02)


def camera_of(clip: Path, wishes: CameraOptions = PLAIN, **changes: object) -> Camera:
    with open_source(clip) as source:
        source.info = replace(source.info, **changes)  # type: ignore[arg-type]
        return find_camera(source, wishes, exposures=FrameExposures(TWO), look=FirstLook(source))


def test_tagged_primaries_are_taken_unless_a_gamut_is_named(tmp_path: Path) -> None:
    clip = counting_clip(tmp_path / "a.mp4", count=2)
    assert camera_of(clip).gamut == REC709
    assert camera_of(clip, primaries=9).gamut == REC2020
    assert camera_of(clip, CameraOptions(gamut="rec709"), primaries=9).gamut == REC709


def test_the_range_of_a_clip_decides_what_its_codes_are(tmp_path: Path) -> None:
    clip = counting_clip(tmp_path / "a.mp4", count=2)
    limited, full = (camera_of(clip, LOG, full_range=full).curve for full in (False, True))
    codes = torch.tensor([420.0, 598.0]).expand(3, 1, 2)
    in_full, in_limited = full.linearize(codes / 1023)[0, 0], limited.linearize((codes - 64) / 876)[0, 0]
    torch.testing.assert_close(in_full / in_full[0], in_limited / in_limited[0], rtol=1e-4, atol=0)


def srgb_clip(path: Path) -> Path:
    """Eight stops of noise at exposures 1 and 8, encoded as sRGB."""
    frames = []
    for index in range(6):
        generator = torch.Generator().manual_seed(index)
        light = 0.5 * 2.0 ** (-8 * torch.rand(64, 96, generator=generator).pow(0.8)) * (1, 8)[index % 2]
        encoded = srgb_curve().encode(light.clamp(max=1).expand(3, 64, 96))[0]
        codes = (16 + 219 * encoded).round().byte().numpy()
        neutral = np.full_like(codes, 128)
        frames.append(frame_of([codes, neutral, neutral], "yuv444p", size=(96, 64)))
    return write_clip(path, frames, tags=TAGGED_709)


def test_the_response_is_found_from_the_clip(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        found = camera_of(srgb_clip(tmp_path / "a.mkv"), CameraOptions(response="auto")).curve
    codes = torch.linspace(0.05, 1, 100).expand(3, 1, 100)
    assert (found.to_ldr(codes) - srgb_curve().to_ldr(codes)).abs().max() < 0.015
    assert (gamma_curve().to_ldr(codes) - srgb_curve().to_ldr(codes)).abs().max() > 0.03
    assert "camera response: srgb, from codes" in caplog.text


def contrasty_clip(
    path: Path,
    *,
    curve: ResponseCurve | None = None,
    floor: tuple[int, int, int] = (0, 0, 0),
    dark: float = 0.0,
) -> Path:
    """Patches of light over nine stops at exposures 1 and 16, a share of it dark, by a contrasty JPEG curve."""
    curve = curve or generic_curve()
    rng = np.random.default_rng(5)
    light = 2.0 ** np.kron(rng.uniform(-9, 0, (16, 24, 3)), np.ones((6, 6, 1)))
    light[: round(dark * len(light))] *= 1e-4
    black = curve.linearize(torch.tensor(floor).view(3, 1, 1) / 255).flatten().numpy()
    frames = []
    for index in range(10):
        exposed = light * (1 / 16, 1)[index % 2] * (1 - black) + black
        codes = 255 * curve.encode(torch.from_numpy(exposed.clip(0, 1)).permute(2, 0, 1).float()).numpy()
        noisy = (codes + rng.normal(scale=0.7, size=codes.shape)).round().clip(0, 255)
        red, green, blue = (noisy * 1023 / 255).round().astype(np.uint16)
        frames.append(frame_of([green, blue, red], "gbrp10le", size=(144, 96)))
    return write_clip(path, frames, codec="ffv1")


def test_the_response_is_found_with_the_exposures(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = contrasty_clip(tmp_path / "a.mkv", curve=srgb_curve())
    with caplog.at_level("INFO"):
        run(job(source, str(tmp_path / "o.exr")), load=identity)
    header = read_exr(tmp_path / "o.0001.exr")[1]
    assert header["lanhdr/response"] == "srgb"
    assert [float(part) for part in str(header["lanhdr/exposures"]).split(",")] == pytest.approx([1, 16], rel=0.03)
    assert "camera response: srgb" in caplog.text
    assert "from the first frame on, confidence" in caplog.text


def test_a_contrasty_clip_is_converted_with_its_curve_and_ratio(tmp_path: Path) -> None:
    source = contrasty_clip(tmp_path / "a.mkv")
    outcome = invoke("inspect", source, "--threads", 1)
    assert outcome.exit_code == 0
    assert re.search(r"Response +auto, found from codes 0.\d+ to 0.9\d, exposures fit to 0.0\d+ stops", outcome.stdout)
    with open_source(source) as reader:
        look = FirstLook(reader)
        camera = find_camera(reader, PLAIN, exposures=None, look=look)
        light = BrightnessPass(look=look, curve=camera.curve).measure()
    assert camera.estimate is not None
    found, usable = exposures_of_camera(light, camera.estimate)
    assert usable
    assert found.exposures.ratios == pytest.approx((1, 16), rel=0.1)
    codes = (torch.arange(16, 230) / 255).expand(3, 1, -1)
    off = (camera.curve.linearize(codes)[0, 0] / generic_curve().linearize(codes)[0, 0]).log2()
    assert (off - off.median()).square().mean().sqrt() < 0.15
    assert (off - off.median()).abs().max() < 0.5


def test_exposures_that_are_given_are_kept_where_the_curve_explains_the_frames(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = contrasty_clip(tmp_path / "a.mkv")
    with caplog.at_level("INFO"):
        run(job(source, str(tmp_path / "o.exr"), ExposureCycle((1.0, 16.0))), load=identity)
    header = read_exr(tmp_path / "o.0001.exr")[1]
    assert [float(part) for part in str(header["lanhdr/exposures"]).split(",")] == pytest.approx([1, 16], rel=0.05)
    assert "does not follow" not in caplog.text


def test_the_black_level_is_found_said_and_overridden(tmp_path: Path) -> None:
    source = contrasty_clip(tmp_path / "a.mkv", floor=(5, 2, 17), dark=0.4)
    told = invoke("inspect", source, "--threads", 1, "--exposures", "1,16")
    levels = re.search(r"Black level +R, G, B = (\d+), (\d+), (\d+) of 255; darkest code", told.stdout)
    assert levels is not None, told.stdout
    assert [int(level) for level in levels.groups()] == pytest.approx([5, 2, 17], abs=2)
    assert "taken off (--black-code 0: not)" in told.stderr
    for typed, expected in (("0", [0, 0, 0]), ("0.02", [0.02] * 3), ("0.02,0.01,0.07", [0.02, 0.01, 0.07])):
        found = json.loads(invoke("inspect", source, "--json", "--black-code", typed, "--threads", 1).stdout)
        assert found["camera"]["black_code"] == expected
    assert "pass one number or three" in invoke("inspect", source, "--black-code", "1,2").stderr


def test_generic_is_a_name() -> None:
    assert named_response("generic", full_range=True).name == "generic"


def test_openexr_is_linear_unless_a_response_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for number in range(2):
        write_linear(tmp_path / f"{number}.exr", np.full((24, 32, 3), 0.5, np.float16))
    assert (
        camera_of(tmp_path).curve.name == camera_of(tmp_path, CameraOptions(response="linear")).curve.name == "linear"
    )
    assert not caplog.records
    assert camera_of(tmp_path, CameraOptions(response="srgb")).curve.name == "srgb"
    assert "--response srgb is taken, OpenEXR says linear" in caplog.text


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
