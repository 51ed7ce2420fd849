"""`lanhdr convert` as a user calls it."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import numpy as np
import pytest
from support.clips import counting_clip, frame_of, random_planes, write_clip
from support.converting import invoke, read_exr, save_tiny


@pytest.fixture(scope="module")
def tiny_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("weights") / "tiny.safetensors")


def test_the_real_network_through_the_command_line(tmp_path: Path, tiny_weights: Path) -> None:
    source = counting_clip(tmp_path / "a.mp4", count=6, size=(37, 23), codec="ffv1")
    preview = tmp_path / "pictures" / "p.png"
    outcome = invoke(
        *("convert", source, "-o", f"{tmp_path}/out/", "--stops", "0,3", "--weights", tiny_weights),
        *("--preview", preview, "--device", "cpu", "--frames", "1-4", "--threads", 1),
    )
    assert outcome.exit_code == 0, outcome.output
    files, account = outcome.stdout.splitlines()
    assert re.search(r"^4 frames in .* fps\): .*out/a.0002.exr to a.0005.exr$", files)
    assert re.match(r"\d frames read, 4 written: 0 concealed, ", account)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        f"a.000{number}.exr" for number in range(2, 6)
    ]
    pixels, header = read_exr(tmp_path / "out" / "a.0003.exr")
    assert pixels.shape == (23, 37, 3)
    assert np.isfinite(pixels).all()
    assert header["lanhdr/weights"] == "tiny test"
    with av.open(str(preview)) as container:
        assert next(container.decode(video=0)).height == 23


def to_exr(source: Path, output: Path, weights: Path) -> tuple[str | Path | int, ...]:
    """Words of a conversion that takes exposures and weights as given."""
    return ("convert", source, "-o", output, "--exposures", "1,8", "--weights", weights, "--threads", 1)


def test_existing_files_stay_without_y(tmp_path: Path, tiny_weights: Path) -> None:
    source = counting_clip(tmp_path / "a.mp4", count=3)
    arguments = to_exr(source, tmp_path / "o.exr", tiny_weights)
    (tmp_path / "o.0002.exr").write_text("precious")
    outcome = invoke(*arguments)
    assert outcome.exit_code == 1
    told = r"Error: .*o.0002.exr exists already: pass --resume to keep what is finished, -y to overwrite, or .*\n"
    assert re.fullmatch(told, outcome.stderr)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4", "o.0002.exr"]
    assert (tmp_path / "o.0002.exr").read_text() == "precious"
    assert invoke(*arguments, "-y").exit_code == 0
    assert read_exr(tmp_path / "o.0002.exr")[0].shape == (24, 32, 3)


def test_an_existing_preview_stays_without_y(tmp_path: Path, tiny_weights: Path) -> None:
    source = counting_clip(tmp_path / "a.mp4", count=3)
    (tmp_path / "p.png").write_text("precious")
    outcome = invoke(
        *("convert", source, "-o", tmp_path / "o.exr", "--exposures", "1,8"),
        *("--weights", tiny_weights, "--preview", tmp_path / "p.png"),
    )
    assert outcome.exit_code == 1
    assert "p.png exists already" in outcome.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4", "p.png"]


def test_quiet_says_nothing_and_verbose_more(tmp_path: Path, tiny_weights: Path) -> None:
    source = counting_clip(tmp_path / "a.mp4", count=3)
    arguments = (*to_exr(source, tmp_path / "o.exr", tiny_weights), "-y")
    assert invoke(*arguments, "-q").output == ""
    verbose = invoke(*arguments, "-v").stderr
    assert "h264 yuv420p 32x24" in verbose
    assert "tiny test on" in verbose


def test_a_warning_is_one_line_on_stderr(tmp_path: Path, tiny_weights: Path) -> None:
    frames = [frame_of(random_planes("yuv444p", size=(32, 24)), "yuv444p", size=(32, 24)) for _ in range(3)]
    source = write_clip(tmp_path / "a.mkv", frames)
    arguments = to_exr(source, tmp_path / "o.exr", tiny_weights)
    outcome = invoke(*arguments, "--frames", "0-9")
    assert outcome.exit_code == 0
    kinds = [line.partition(":")[0] for line in outcome.stderr.splitlines()]
    assert kinds == ["Warning", "lanhdr", "Warning"]  # the middle one says how many frames are done
    assert "no color matrix: BT.601" in outcome.stderr
    assert "asks for frames up to 9, the clip ends with 2" in outcome.stderr


def start(*arguments: object) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "lanhdr_cli", *(str(argument) for argument in arguments)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_run_leaves_whole_files(
    tmp_path: Path, tiny_weights: Path, number: signal.Signals, code: int
) -> None:
    source = counting_clip(tmp_path / "a.mkv", count=120, size=(320, 240))
    folder = tmp_path / "out"
    # Without a look at the whole clip first: frames are to come soon, and no line of progress on a slow machine.
    options = ("--exposures", "1,8", "--no-slips", "--no-deflicker", "--no-progress")
    running = start("convert", source, "-o", f"{folder}/", *options, "--weights", tiny_weights, "--threads", 1)
    deadline = time.monotonic() + 60
    while len(list(folder.glob("*.exr"))) < 2 and time.monotonic() < deadline and running.poll() is None:
        time.sleep(0.05)
    running.send_signal(number)
    output, errors = running.communicate(timeout=60)
    assert running.returncode == code, errors
    files = sorted(folder.iterdir())
    assert 2 <= len(files) < 120
    assert [path.name for path in files] == [f"a.{index + 1:04d}.exr" for index in range(len(files))]
    assert read_exr(files[-1])[0].shape == (240, 320, 3)
    assert output == ""
    word = {signal.SIGINT: "Interrupted", signal.SIGTERM: "Terminated"}[number]
    told = f"{word}: {len(files)} finished frames stay in {folder}; go on with: lanhdr convert {source} -o "
    assert errors.startswith(told)
    assert errors.endswith(" --resume\n")
