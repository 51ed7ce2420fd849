"""`lanhdr inspect`: what is found in clips that are known."""

import json
import re
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from support.clips import QUIET_X264, alternating_clip, gray_frame, ramp_scene, write_clip
from support.converting import invoke
from support.pictures import add_exif, exif, write_picture

from lanhdr_cli.camera import CameraOptions
from lanhdr_cli.inspection import inspect_clip, self_check
from lanhdr_cli.media.source import Reading
from lanhdr_cli.options import ExposureOptions
from model.analysis.response import ResponseEstimate
from model.response import srgb_curve


def inspected(path: object, *arguments: object) -> dict[str, Any]:
    outcome = invoke("inspect", "--threads", 1, path, "--json", "-q", *arguments)
    assert outcome.exit_code == 0, outcome.output
    record = json.loads(outcome.stdout)
    assert isinstance(record, dict)
    return record


def test_everything_about_a_simple_clip(tmp_path: Path) -> None:
    found = inspected(alternating_clip(tmp_path / "a.mkv", [1 / 8, 1] * 8, rate=25))
    assert found["format"]["codec"] == "ffv1"
    assert (found["format"]["width"], found["format"]["height"]) == (96, 64)
    assert (found["format"]["rate"], found["format"]["variable_rate"], found["format"]["frames"]) == ("25", False, 16)
    assert found["format"]["colors"]["matrix"] == {"value": "bt709", "assumed": False}
    assert found["format"]["colors"]["transfer"] == {"value": "gamma22", "assumed": True}
    assert found["exposures"]["cycle"] == pytest.approx([1, 8], rel=0.03)
    assert found["exposures"]["confidence"] > 0.9
    assert found["exposures"]["slips"] == []
    assert [row["exposure"] for row in found["frames"]] == pytest.approx([1, 8] * 8, rel=0.03)
    assert [row["time_s"] for row in found["frames"]] == pytest.approx(np.arange(16) / 25)


def test_clipped_and_black_shares_are_those_of_the_scene(tmp_path: Path) -> None:
    found = inspected(alternating_clip(tmp_path / "a.mkv", [1 / 8, 1] * 4), "--exposures", "1,8")
    for group, exposure in zip(found["groups"], (1 / 8, 1), strict=True):
        light = ramp_scene() * exposure
        # The codes 0.96 and 1.5 of 255, a little less sharp for 8 limited bits.
        assert group["clipped"] == pytest.approx((light > 0.96**2.2).mean(), abs=0.01)
        assert group["black"] == pytest.approx((light < (1.5 / 255) ** 2.2).mean(), abs=0.01)
        assert sum(group["histogram"]) == pytest.approx(1)
    assert found["stops_gained"] == pytest.approx(3)
    assert found["stops_used"] == pytest.approx(3, abs=0.05)
    assert found["exposures"]["from"] == "options"


def test_a_dim_scene_fills_none_of_the_stops_gained(tmp_path: Path) -> None:
    found = inspected(alternating_clip(tmp_path / "a.mkv", [1 / 64, 1 / 16] * 6))
    assert found["stops_gained"] == pytest.approx(2, abs=0.1)
    assert found["stops_used"] == 0
    assert any("there is little to gain" in warning for warning in found["warnings"])


def test_a_dropped_frame_is_named_with_its_time(tmp_path: Path) -> None:
    path = alternating_clip(tmp_path / "a.mkv", [1 / 8, 1] * 6 + [1, 1 / 8] * 6)
    found = inspected(path)
    assert [(slip["frame"], slip["time_s"]) for slip in found["exposures"]["slips"]] == [(12, 0.5)]
    assert [row["frame"] for row in found["frames"] if row["slip"]] == [12]
    assert "  frame 12 at 0.500 s: " in invoke("inspect", "--threads", 1, path).stdout


@pytest.mark.parametrize(
    ("exposures", "warning"),
    [
        ([1 / 80, 1] * 6, "the exposures' ratio is 80.*; weights were trained on 2 to 64"),
        ([1, 8] * 6, "clipped in the shortest frames too"),
    ],
)
def test_what_the_weights_do_not_know_is_said(tmp_path: Path, exposures: list[float], warning: str) -> None:
    path = alternating_clip(tmp_path / "a.mkv", exposures)
    ratio = round(max(exposures) / min(exposures))
    outcome = invoke("inspect", "--threads", 1, path, "--exposures", f"1,{ratio}")
    assert outcome.exit_code == 0
    assert any(line.startswith("Warning: ") for line in outcome.stdout.splitlines())
    assert re.search(warning, outcome.stdout)


@pytest.mark.parametrize("curve_found", [True, False])
def test_uneven_steps_are_no_news_once_a_curve_explains_them(tmp_path: Path, curve_found: bool) -> None:
    path = alternating_clip(tmp_path / "a.mkv", [1 / 8, 1] * 8)
    response = "auto" if curve_found else "gamma2.2"
    found = inspect_clip(
        path, exposures=ExposureOptions(), reading=Reading(), camera=CameraOptions(response=response), threads=1
    )
    uneven = found.known.estimate
    assert uneven is not None
    if curve_found:
        assert found.camera.estimate is not None
        response_found = ResponseEstimate(
            curve=srgb_curve(), error=0.05, covered=(0.01, 0.97), exposures=(1, 8), confidence=1
        )
        camera = replace(found.camera, estimate=replace(found.camera.estimate, response=response_found))
        found = replace(found, camera=camera)
    found = replace(found, known=replace(found.known, estimate=replace(uneven, unevenness=1.0)))
    assert any("the camera response is not the one assumed" in text for text in self_check(found)) != curve_found


def test_one_exposure_is_no_alternation(tmp_path: Path) -> None:
    outcome = invoke("inspect", "--threads", 1, alternating_clip(tmp_path / "a.mkv", [1 / 8] * 12))
    assert outcome.exit_code == 0
    assert "Exposures    unknown: the clip does not alternate" in outcome.stdout


def test_an_uneven_pace_is_seen(tmp_path: Path) -> None:
    pts = [0, 3003, 6006, 12012, 15015, 18018, 21021, 24024]
    even = [3003 * index for index in range(8)]
    for name, times, varies in (("a.mp4", pts, True), ("b.mp4", even, False), ("c.mkv", even, False)):
        path = write_clip(
            tmp_path / name,
            [gray_frame(60 if index % 2 else 150) for index in range(8)],
            codec="libx264",
            options=QUIET_X264,
            rate=Fraction(30000, 1001),
            pts=times,
            time_base=Fraction(1, 90000),
        )
        assert inspected(path)["format"]["variable_rate"] is varies


def test_colors_that_are_assumed_are_marked(tmp_path: Path) -> None:
    told = invoke("inspect", "--threads", 1, write_clip(tmp_path / "a.mkv", [gray_frame(99)] * 4)).stdout
    assert "range limited (assumed), matrix smpte170m (assumed), primaries bt709 (assumed)" in told


def test_a_sequence_and_what_its_camera_noted(tmp_path: Path) -> None:
    for number in range(8):
        encoded = (ramp_scene() * (1, 1 / 4)[number % 2]).clip(0, 1) ** (1 / 2.2)
        codes = (255 * encoded).round().astype(np.uint8)[..., None].repeat(3, 2)
        path = write_picture(tmp_path / "in" / f"a.{number:04d}.jpg", codes)
        add_exif(path, exif(time=(1, 400 if number % 2 else 100), iso=100))
    found = inspected(tmp_path / "in" / "a.####.jpg", "--fps", 10)
    assert found["exposures"]["from"] == "pictures"
    assert [row["exposure"] for row in found["frames"]] == pytest.approx([4, 1] * 4)
    assert [row["number"] for row in found["frames"]] == list(range(8))
    assert (found["format"]["container"], found["format"]["codec"]) == ("images", "mjpeg")


def test_the_sample_clip_is_fit_for_the_weights(sample_clip: Path) -> None:
    told = invoke("inspect", "--threads", 1, sample_clip).stdout
    assert "Nothing speaks against converting this clip." in told
    assert "48, 24 per second (24), at a constant rate, 2.000 s" in told
    assert re.search(r"^Sound +aac, 48000 Hz, stereo", told, re.MULTILINE)


def test_the_picture_shows_slips_and_both_exposures(tmp_path: Path) -> None:
    path = alternating_clip(tmp_path / "a.mkv", [1 / 8, 1] * 6 + [1, 1 / 8] * 6)
    plot = tmp_path / "pictures" / "p.png"
    assert invoke("inspect", "--threads", 1, path, "--plot", plot).exit_code == 0
    with av.open(str(plot)) as container:
        pixels = next(container.decode(video=0)).to_ndarray(format="rgb24").reshape(-1, 3)
    drawn = {tuple(color) for color in np.unique(pixels, axis=0).tolist()}
    assert {(0, 114, 178), (230, 159, 0), (200, 30, 30)} <= drawn
    refused = invoke("inspect", "--threads", 1, path, "--plot", plot)
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "p.png exists already: pass -y" in refused.stderr
    assert invoke("inspect", "--threads", 1, path, "--plot", plot, "-y").exit_code == 0
    assert "can only write PNG" in invoke("inspect", "--threads", 1, path, "--plot", tmp_path / "p.jpg").stderr


def test_a_picture_of_the_sequence_is_not_drawn_over(tmp_path: Path) -> None:
    for number in (1, 2):
        write_picture(tmp_path / f"{number}.png", np.full((24, 32, 3), 99, np.uint8))
    before = (tmp_path / "1.png").read_bytes()
    outcome = invoke("inspect", "--threads", 1, tmp_path, "--plot", tmp_path / "1.png", "-y")
    assert "1.png is the input itself" in outcome.stderr
    assert (tmp_path / "1.png").read_bytes() == before
