"""From a clip to EXR frames: each frame is the right one, at its time, in its scale."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import OpenEXR
import pytest
import torch
from support.clips import QUIET_X264, Tags, counting_clip, frame_of, random_planes, write_clip
from support.converting import THREE, TWO, identity, job, read_exr, save_lite, save_tiny

from lanhdr_cli.conversion import convolution_type, run
from lanhdr_cli.options import FrameRange
from model.exposure import ExposureCycle
from model.network import NetworkConfig

HALF = 2e-3  # half float keeps 11 bits: relative


@pytest.fixture(scope="module")
def tiny_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("weights") / "tiny.safetensors")


def level_of(index: int) -> float:
    """What frame `index` of a counting clip shows, encoded, 0..1."""
    return (4 + 4 * (index % 50)) / 219


@pytest.mark.parametrize(("cycle", "count"), [(TWO, 12), (THREE, 13)])
def test_frame_k_of_the_output_belongs_to_frame_k_of_the_input(
    tmp_path: Path, cycle: ExposureCycle, count: int
) -> None:
    source = counting_clip(tmp_path / "a.mp4", count=count)
    summary = run(job(source, str(tmp_path / "o.exr"), cycle), load=identity)
    assert summary.frames == count
    for index in range(count):
        pixels, header = read_exr(tmp_path / f"o.{index + 1:04d}.exr")
        exposure = cycle.ratios[index % cycle.period]
        expected = level_of(index) ** 2.2 / exposure * max(cycle.ratios)
        np.testing.assert_allclose(pixels, expected, rtol=HALF)
        assert header["lanhdr/sourceFrame"] == index
        assert header["lanhdr/sourceExposure"] == exposure
        assert Fraction(str(header["lanhdr/sourceTime"])) == Fraction(index, 24)
        assert header["lanhdr/exposureScale"] == max(cycle.ratios)
    assert len(list(tmp_path.glob("*.exr"))) == count


@pytest.mark.parametrize(("first", "last"), [(0, 0), (5, 9), (8, None), (3, 100)])
def test_a_range_equals_the_same_frames_of_the_whole(tmp_path: Path, first: int, last: int | None) -> None:
    source = counting_clip(tmp_path / "a.mkv", count=14)
    frames = FrameRange(first, last)
    run(job(source, str(tmp_path / "whole.####.exr"), TWO), load=identity)
    run(job(source, str(tmp_path / "part.####.exr"), TWO, frames=frames), load=identity)
    wanted = range(first, min(13 if last is None else last, 13) + 1)
    assert sorted(path.name for path in tmp_path.glob("part.*")) == [f"part.{index + 1:04d}.exr" for index in wanted]
    for index in wanted:
        whole, part = (read_exr(tmp_path / f"{name}.{index + 1:04d}.exr") for name in ("whole", "part"))
        np.testing.assert_array_equal(whole[0], part[0])
        assert {key: str(value) for key, value in whole[1].items() if "/" in key} == {
            key: str(value) for key, value in part[1].items() if "/" in key
        }


def test_scale_replaces_the_factor(tmp_path: Path) -> None:
    source = counting_clip(tmp_path / "a.mp4", count=4)
    run(job(source, str(tmp_path / "o.exr"), TWO, scale=2.5), load=identity)
    pixels, header = read_exr(tmp_path / "o.0004.exr")
    np.testing.assert_allclose(pixels, level_of(3) ** 2.2 / 8 * 2.5, rtol=HALF)
    assert header["lanhdr/exposureScale"] == 2.5


def test_odd_sizes_time_code_and_aspect(tmp_path: Path) -> None:
    size = (37, 23)
    frames = [frame_of(random_planes("yuv444p", size=size, seed=seed), "yuv444p", size=size) for seed in range(4)]
    tags = Tags(1, 1, timecode="10:20:30:23", aspect=Fraction(4, 3))
    source = write_clip(tmp_path / "a.mov", frames, codec="libx264", options=QUIET_X264, tags=tags)
    run(job(source, str(tmp_path / "o.1001.exr"), TWO), load=identity)
    pixels, header = read_exr(tmp_path / "o.1002.exr")
    assert pixels.shape == (23, 37, 3)
    assert header["pixelAspectRatio"] == pytest.approx(4 / 3)
    label = header["timeCode"]
    assert isinstance(label, OpenEXR.TimeCode)
    assert (label.hours, label.minutes, label.seconds, label.frame) == (10, 20, 31, 0)


def test_the_lite_network_answers_for_frame_k_with_frame_k(tmp_path: Path) -> None:
    """A bright block steps to the right in a dim, still scene; each result must show it at its own place."""
    count, height, width, block = 11, 48, 128, 10
    background = np.random.default_rng(0).uniform(0.02, 0.05, (height, width))
    frames = []
    for index in range(count):
        radiance = background.copy()
        radiance[12:36, 4 + block * index : 4 + block * (index + 1)] = 0.6
        encoded = (radiance * (1, 8)[index % 2]).clip(0, 1) ** (1 / 2.2)
        codes = (16 + 219 * encoded).round().astype(np.uint8)
        neutral = np.full_like(codes, 128)
        frames.append(frame_of([codes, neutral, neutral], "yuv444p", size=(width, height)))
    source = write_clip(tmp_path / "a.mkv", frames, tags=Tags(1, 1))
    weights = save_lite(tmp_path / "lite.safetensors")
    run(job(source, str(tmp_path / "o.exr"), TWO, weights=weights, device="cpu", threads=1))
    for index in range(count):
        rows = read_exr(tmp_path / f"o.{index + 1:04d}.exr")[0][16:32, :, 1].astype(np.float64).mean(0)
        places = [rows[4 + block * place : 4 + block * (place + 1)].mean() for place in range(count)]
        assert int(np.argmax(places)) == index
        if index % 2 == 0:  # the short frames saw the block unclipped; in the file they are 8 times brighter
            assert places[index] == pytest.approx(0.6 * 8, rel=0.1)


@pytest.mark.parametrize("design", ["tiny", "lite"])
def test_a_range_of_the_real_network_equals_the_whole(tmp_path: Path, tiny_weights: Path, design: str) -> None:
    weights = save_lite(tmp_path / "lite.safetensors") if design == "lite" else tiny_weights
    size = (32, 24)
    frames = [frame_of(random_planes("yuv444p", size=size, seed=seed), "yuv444p", size=size) for seed in range(13)]
    source = write_clip(tmp_path / "a.mkv", frames, tags=Tags(1, 1))
    request = job(source, str(tmp_path / "whole.exr"), TWO, weights=weights, device="cpu", threads=1)
    run(request)
    run(replace(request, output=str(tmp_path / "part.exr"), frames=FrameRange(7, 9)))
    for number in (8, 9, 10):
        whole, part = (read_exr(tmp_path / f"{name}.{number:04d}.exr")[0] for name in ("whole", "part"))
        np.testing.assert_array_equal(whole, part)


def test_the_sample_clip_converts(tmp_path: Path, sample_clip: Path) -> None:
    frames = FrameRange(10, 13)
    request = job(sample_clip, str(tmp_path / "o.exr"), TWO, frames=frames, preview=tmp_path / "p.png")
    assert run(request, load=identity).frames == 4
    short, long = (read_exr(tmp_path / f"o.{number:04d}.exr")[0].astype(np.float64) for number in (11, 12))
    assert short.shape == (360, 640, 3)
    assert long.max() == 1.0  # the long exposure clips at 1.0, the short one goes on above
    assert short.max() > 1.0
    # The same scene, brought to one scale: where the long frame is not clipped both agree in the mean.
    well_exposed = (long > 0.05) & (long < 0.7)
    assert np.median(short[well_exposed] / long[well_exposed]) == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize("has_bf16", [True, False])
def test_bfloat16_where_it_is_fast_and_a_correction_is_bounded(monkeypatch: pytest.MonkeyPatch, has_bf16: bool) -> None:
    for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.setattr(torch.cpu, name, lambda: has_bf16, raising=False)
    cpu = torch.device("cpu")
    lite, published = NetworkConfig(design="lite", output="guided"), NetworkConfig()
    assert convolution_type("auto", lite, cpu) == (torch.bfloat16 if has_bf16 else torch.float32)
    assert convolution_type("auto", published, cpu) == torch.float32
    assert convolution_type("bf16", published, cpu) == torch.bfloat16
    assert convolution_type("float32", lite, cpu) == torch.float32
