"""The two doors for Python programs, used as their documentation shows."""

import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
from support.converting import read_exr

from lanhdr_cli import convert
from model import LanHdrError, load_reconstructor


def test_a_file_is_converted_and_a_summary_returned(sample_clip: Path, tmp_path: Path) -> None:
    summary = convert(sample_clip, tmp_path / "out.exr", exposures=(1, 8), frames=(0, 1), device="cpu", threads=1)
    assert summary.frames == 2
    assert summary.exposures == pytest.approx((1, 8), rel=0.02)
    assert (summary.response, summary.weights) == ("gamma2.2", "lite-2e")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.0001.exr", "out.0002.exr"]
    assert read_exr(tmp_path / "out.0001.exr")[0].shape == (360, 640, 3)


def test_arrays_and_files_agree(sample_clip: Path, tmp_path: Path) -> None:
    with av.open(str(sample_clip)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)][:8]
    reconstructor = load_reconstructor(exposures=2, device="cpu")
    radiance = reconstructor.reconstruct_array(np.stack(frames), exposures=[1, 8], layout="channels_last")
    convert(
        sample_clip, tmp_path / "o.exr", exposures=(1, 8), response="gamma2.2", frames=(2, 2), scale=1, device="cpu"
    )
    difference = np.abs(radiance[2] - read_exr(tmp_path / "o.exr")[0].astype(np.float32))
    assert np.median(difference) < 2e-3  # codes were rounded to 8-bit RGB on the way here


def test_what_does_not_fit_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(LanHdrError, match=r"nothing\.mp4"):
        convert(tmp_path / "nothing.mp4", tmp_path / "out.exr")


def test_a_device_that_is_not_there_is_named() -> None:
    with pytest.raises(LanHdrError, match="CUDA devices were found: pass --device cpu or auto"):
        load_reconstructor(exposures=2, device="cuda:63")


def test_importing_loads_nothing_heavy() -> None:
    probe = "import lanhdr_cli, model, sys; print({'torch', 'av', 'numpy'} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"
