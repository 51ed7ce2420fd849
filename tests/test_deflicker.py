"""Clips whose exposures are not quite what the user says: converted without flicker."""

from pathlib import Path

import numpy as np
import pytest
import torch
from clips import frame_of, write_clip
from converting import identity, invoke, read_exr, save_lite

from lanhdr_cli.conversion import Request, run
from lanhdr_cli.options import FrameRange
from model.analysis.flicker import FlickerMeter
from model.exposure import ExposureCycle, to_ldr

COUNT, SIZE = 16, (80, 48)
TOLD = ExposureCycle((1.0, 8.0))


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pan over six stops, filmed at 1 and 8.8; nothing clips, or single frames would differ by that."""
    generator = torch.Generator().manual_seed(0)
    scene = 0.1 * 2.0 ** (-6 * torch.rand(3, 12, 26, generator=generator))
    scene = scene.repeat_interleave(4, 1).repeat_interleave(4, 2)
    frames = []
    for index in range(COUNT):
        light = scene[:, :, index : index + SIZE[0]] * (1, 8.8)[index % 2]
        red, green, blue = to_ldr(light, 1.0).mul(1023).round().to(torch.uint16).numpy()
        frames.append(frame_of([green, blue, red], "gbrp10le", size=SIZE))
    return write_clip(tmp_path_factory.mktemp("clip") / "a.mkv", frames, codec="ffv1")


def jump_of(folder: Path) -> float:
    meter = FlickerMeter()
    for index in range(COUNT):
        pixels, header = read_exr(folder / f"o.{index + 1:04d}.exr")
        scale = float(str(header["lanhdr/exposureScale"]))
        meter.add(torch.from_numpy(pixels.astype(np.float32)).permute(2, 0, 1) / scale, (1.0, 8.0)[index % 2])
    return meter.jump(2)


def exposures_of(path: Path) -> list[float]:
    return [float(part) for part in str(read_exr(path)[1]["lanhdr/exposures"]).split(",")]


def test_the_flicker_of_a_wrong_ratio_is_gone(tmp_path: Path, clip: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        run(Request(clip, f"{tmp_path}/with/o.exr", TOLD), load=identity)
    run(Request(clip, f"{tmp_path}/without/o.exr", TOLD, deflicker=False), load=identity)
    assert jump_of(tmp_path / "with") < 0.25 * jump_of(tmp_path / "without")
    assert exposures_of(tmp_path / "with" / "o.0001.exr") == pytest.approx([1, 8.8], rel=0.01)
    assert exposures_of(tmp_path / "without" / "o.0001.exr") == [1, 8]
    assert "exposures 1, 8 look like 1, 8.8 in the frames" in caplog.text


def test_parts_converted_apart_fit_together(tmp_path: Path, clip: Path) -> None:
    run(Request(clip, f"{tmp_path}/whole.exr", TOLD), load=identity)
    run(Request(clip, f"{tmp_path}/part.exr", TOLD, frames=FrameRange(3, 6)), load=identity)
    for number in range(4, 8):
        whole, part = (read_exr(tmp_path / f"{name}.{number:04d}.exr")[0] for name in ("whole", "part"))
        np.testing.assert_array_equal(whole, part)


def test_the_command_line_measures_and_obeys(tmp_path: Path, clip: Path) -> None:
    weights = save_lite(tmp_path / "lite.safetensors")
    arguments = ("convert", clip, "--exposures", "1,8", "--weights", weights, "--device", "cpu", "--threads", 1, "-v")
    outcome = invoke(*arguments, "-o", tmp_path / "a.exr", "--frames", "0-7", "--no-deflicker")
    assert outcome.exit_code == 0, outcome.output
    assert "brightness jumps by 0.0" in outcome.stderr
    assert "look like" not in outcome.stderr
    assert exposures_of(tmp_path / "a.0001.exr") == [1, 8]
    outcome = invoke(*arguments, "-o", tmp_path / "b.exr", "--frames", "0-1")
    assert "look like 1, 8.8 in the frames" in outcome.stderr
