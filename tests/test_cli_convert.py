"""`lanhdr convert` and the group around it, as a user calls them."""

import os
import pty
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import OpenEXR
import pytest
import torch
from click.testing import CliRunner, Result
from clips import QUIET_X264, Tags, counting_clip, frame_of, random_planes, write_clip
from identity import Identity
from numpy.typing import NDArray

from lanhdr_cli.__main__ import foreign_siblings
from lanhdr_cli.console import frame_progress, progress_line
from lanhdr_cli.conversion import Loaded, Request, run
from lanhdr_cli.main import COMMANDS, cli
from lanhdr_cli.params import FrameRange
from model.exposure import ExposureCycle
from model.network import LanHdr, NetworkConfig
from model.pretrained import save_network

TWO = ExposureCycle((1.0, 8.0))
THREE = ExposureCycle((1.0, 4.0, 16.0))
HALF = 2e-3  # half float keeps 11 bits: relative


def identity(request: Request) -> Loaded:
    period = request.cycle.period
    return Loaded(Identity(2 * len(set(request.cycle.ratios)) + 1), "identity", 2 * period)


def level_of(index: int) -> float:
    """What frame `index` of a counting clip shows, encoded, 0..1."""
    return (4 + 4 * (index % 50)) / 219


def read(path: Path) -> tuple[NDArray[np.float16], dict[str, object]]:
    with OpenEXR.File(str(path)) as file:
        return file.channels()["RGB"].pixels.copy(), dict(file.header())


@pytest.fixture(scope="module")
def tiny_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_network(LanHdr(NetworkConfig(channels=8, pyramid_channels=4)), path, record={"name": "tiny test"}, half=False)
    return path


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


@pytest.mark.parametrize(("cycle", "count"), [(TWO, 12), (THREE, 13)])
def test_frame_k_of_the_output_belongs_to_frame_k_of_the_input(
    tmp_path: Path, cycle: ExposureCycle, count: int
) -> None:
    source = counting_clip(tmp_path / "a.mp4", count=count)
    summary = run(Request(source, str(tmp_path / "o.exr"), cycle), load=identity)
    assert summary.frames == count
    for index in range(count):
        pixels, header = read(tmp_path / f"o.{index + 1:04d}.exr")
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
    run(Request(source, str(tmp_path / "whole.####.exr"), TWO), load=identity)
    run(Request(source, str(tmp_path / "part.####.exr"), TWO, frames=frames), load=identity)
    wanted = range(first, min(13 if last is None else last, 13) + 1)
    assert sorted(path.name for path in tmp_path.glob("part.*")) == [f"part.{index + 1:04d}.exr" for index in wanted]
    for index in wanted:
        whole, part = (read(tmp_path / f"{name}.{index + 1:04d}.exr") for name in ("whole", "part"))
        np.testing.assert_array_equal(whole[0], part[0])
        assert {key: str(value) for key, value in whole[1].items() if "/" in key} == {
            key: str(value) for key, value in part[1].items() if "/" in key
        }


def test_scale_replaces_the_factor(tmp_path: Path) -> None:
    source = counting_clip(tmp_path / "a.mp4", count=4)
    run(Request(source, str(tmp_path / "o.exr"), TWO, scale=2.5), load=identity)
    pixels, header = read(tmp_path / "o.0004.exr")
    np.testing.assert_allclose(pixels, level_of(3) ** 2.2 / 8 * 2.5, rtol=HALF)
    assert header["lanhdr/exposureScale"] == 2.5


def test_odd_sizes_time_code_and_aspect(tmp_path: Path) -> None:
    size = (37, 23)
    frames = [frame_of(random_planes("yuv444p", size=size, seed=seed), "yuv444p", size=size) for seed in range(4)]
    tags = Tags(1, 1, timecode="10:20:30:23", aspect=Fraction(4, 3))
    source = write_clip(tmp_path / "a.mov", frames, codec="libx264", options=QUIET_X264, tags=tags)
    run(Request(source, str(tmp_path / "o.1001.exr"), TWO), load=identity)
    pixels, header = read(tmp_path / "o.1002.exr")
    assert pixels.shape == (23, 37, 3)
    assert header["pixelAspectRatio"] == pytest.approx(4 / 3)
    label = header["timeCode"]
    assert isinstance(label, OpenEXR.TimeCode)
    assert (label.hours, label.minutes, label.seconds, label.frame) == (10, 20, 31, 0)


def test_the_real_network_through_the_command_line(tmp_path: Path, tiny_weights: Path) -> None:
    source = counting_clip(tmp_path / "a.mp4", count=6, size=(37, 23), codec="ffv1")
    preview = tmp_path / "pictures" / "p.png"
    outcome = invoke(
        *("convert", source, "-o", f"{tmp_path}/out/", "--stops", "0,3", "--weights", tiny_weights),
        *("--preview", preview, "--device", "cpu", "--frames", "1-4", "--threads", 1),
    )
    assert outcome.exit_code == 0, outcome.output
    assert re.search(r"^4 frames in .* fps\): .*out/a.0002.exr to a.0005.exr$", outcome.stdout.strip())
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        f"a.000{number}.exr" for number in range(2, 6)
    ]
    pixels, header = read(tmp_path / "out" / "a.0003.exr")
    assert pixels.shape == (23, 37, 3)
    assert np.isfinite(pixels).all()
    assert header["lanhdr/weights"] == "tiny test"
    with av.open(str(preview)) as container:
        assert next(container.decode(video=0)).height == 23


def test_a_range_of_the_real_network_equals_the_whole(tmp_path: Path, tiny_weights: Path) -> None:
    size = (32, 24)
    frames = [frame_of(random_planes("yuv444p", size=size, seed=seed), "yuv444p", size=size) for seed in range(13)]
    source = write_clip(tmp_path / "a.mkv", frames, tags=Tags(1, 1))
    request = Request(source, str(tmp_path / "whole.exr"), TWO, weights=tiny_weights, device="cpu")
    run(request)
    run(replace(request, output=str(tmp_path / "part.exr"), frames=FrameRange(7, 9)))
    for number in (8, 9, 10):
        whole, part = (read(tmp_path / f"{name}.{number:04d}.exr")[0] for name in ("whole", "part"))
        np.testing.assert_array_equal(whole, part)


def test_existing_files_stay_without_y(tmp_path: Path, tiny_weights: Path) -> None:
    source = counting_clip(tmp_path / "a.mp4", count=3)
    arguments = ("convert", source, "-o", tmp_path / "o.exr", "--exposures", "1,8", "--weights", tiny_weights)
    (tmp_path / "o.0002.exr").write_text("precious")
    outcome = invoke(*arguments)
    assert outcome.exit_code == 1
    assert re.fullmatch(r"Error: .*o.0002.exr exists already: pass -y to overwrite, or another name\n", outcome.stderr)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4", "o.0002.exr"]
    assert (tmp_path / "o.0002.exr").read_text() == "precious"
    assert invoke(*arguments, "-y").exit_code == 0
    assert read(tmp_path / "o.0002.exr")[0].shape == (24, 32, 3)


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
    arguments = ("convert", source, "-y", "-o", tmp_path / "o.exr", "--exposures", "1,8", "--weights", tiny_weights)
    assert invoke(*arguments, "-q").output == ""
    verbose = invoke(*arguments, "-v").stderr
    assert "h264 yuv420p 32x24" in verbose
    assert "tiny test on" in verbose


def test_a_warning_is_one_line_on_stderr(tmp_path: Path, tiny_weights: Path) -> None:
    frames = [frame_of(random_planes("yuv444p", size=(32, 24)), "yuv444p", size=(32, 24)) for _ in range(3)]
    source = write_clip(tmp_path / "a.mkv", frames)
    arguments = ("convert", source, "-o", tmp_path / "o.exr", "--exposures", "1,8", "--weights", tiny_weights)
    outcome = invoke(*arguments, "--frames", "0-9")
    assert outcome.exit_code == 0
    assert [line.partition(":")[0] for line in outcome.stderr.splitlines()] == ["Warning", "Warning"]
    assert "no color matrix: BT.601" in outcome.stderr
    assert "asks for frames up to 9, the clip ends with 2" in outcome.stderr


def test_progress_in_words() -> None:
    assert progress_line(12, 48, elapsed_s=4.0) == "frame 12/48, 3.00 fps, ETA 0:00:12"
    assert progress_line(10, 50_000, elapsed_s=10.0) == "frame 10/50000, 1.00 fps, ETA 13:53:10"
    assert progress_line(5, None, elapsed_s=2.0) == "frame 5, 2.50 fps"


def test_progress_lines_where_there_is_no_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("lanhdr_cli.console.LINE_EVERY_S", 0.0)
    for show in (True, False):
        with frame_progress(3, show=show) as advance:
            for _ in range(3):
                advance()
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.splitlines()
    assert [line.split(",")[0] for line in lines] == ["frame 1/3", "frame 2/3", "frame 3/3"]


def test_a_bar_on_a_terminal(repository: Path) -> None:
    program = """
import sys, time, click
from lanhdr_cli.console import frame_progress
with frame_progress(3, show=True) as advance:
    for number in range(3):
        advance()
        time.sleep(0.15)
        click.echo(f"told {number}", err=True)
"""
    parent, child = pty.openpty()
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "100"}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=child, env=environment, cwd=repository, check=True)
    os.close(child)
    told = os.read(parent, 1 << 16).decode()
    os.close(parent)
    assert done.stdout == b""
    assert "1/3" in told
    assert "fps" in told
    assert "told 2\r\n" in told


def start(*arguments: object) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "lanhdr_cli", *(str(argument) for argument in arguments)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_run_leaves_whole_files(
    tmp_path: Path, tiny_weights: Path, number: signal.Signals, code: int
) -> None:
    source = counting_clip(tmp_path / "a.mkv", count=400, size=(320, 240))
    folder = tmp_path / "out"
    running = start("convert", source, "-o", f"{folder}/", "--exposures", "1,8", "--weights", tiny_weights)
    deadline = time.monotonic() + 60
    while len(list(folder.glob("*.exr"))) < 2 and time.monotonic() < deadline and running.poll() is None:
        time.sleep(0.05)
    running.send_signal(number)
    output, errors = running.communicate(timeout=60)
    assert running.returncode == code, errors
    files = sorted(folder.iterdir())
    assert 2 <= len(files) < 400
    assert [path.name for path in files] == [f"a.{index + 1:04d}.exr" for index in range(len(files))]
    assert read(files[-1])[0].shape == (240, 320, 3)
    assert output == ""
    if number == signal.SIGINT:
        assert errors == f"Interrupted: {len(files)} finished frames stay in {folder}\n"


def test_help_is_quick_and_imports_nothing_heavy(repository: Path) -> None:
    heavy = ("torch", "av", "numpy", "OpenEXR", "rich")
    program = (
        "import sys; from lanhdr_cli.__main__ import main; sys.argv = ['lanhdr', *{arguments!r}]\n"
        "try: main()\n"
        "except SystemExit: print([name for name in {heavy!r} if name in sys.modules])"
    )
    for arguments in (["--help"], ["--version"], ["convert", "--help"]):
        command = [sys.executable, "-c", program.format(arguments=arguments, heavy=heavy)]
        told = subprocess.run(command, capture_output=True, text=True, check=True, cwd=repository).stdout
        assert told.splitlines()[-1] == "[]", told


def test_help_lists_the_commands_in_words() -> None:
    told = invoke("--help").stdout
    for name, (_, summary) in COMMANDS.items():
        assert re.search(rf"^  {name} +{re.escape(summary)}$", told, re.MULTILINE)
    assert re.fullmatch(r"lanhdr (\d+\.\d+\.\d+.*|unknown)\n", invoke("--version").stdout)
    assert invoke("transmogrify").exit_code == 2


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_can_be_imported_and_has_help(name: str) -> None:
    outcome = invoke(name, "--help")
    assert outcome.exit_code == 0, outcome.output
    assert outcome.stdout.startswith(f"Usage: cli {name}")


def test_a_foreign_model_package_is_named(tmp_path: Path, repository: Path) -> None:
    assert foreign_siblings() == []
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "__init__.py").touch()
    places = [str(tmp_path), str(repository)]
    program = f"import sys; sys.path[:0] = {places!r}; import lanhdr_cli.__main__ as start; start.main()"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 1
    assert re.fullmatch(rf"Error: Python finds 'model' at {tmp_path}/model/__init__.py, .*own venv\n", done.stderr)


def test_weights_are_imported_verified_and_listed(tmp_path: Path, tiny_weights: Path) -> None:
    outcome = invoke("weights", "verify", tiny_weights)
    assert outcome.exit_code == 0
    assert "config.nexps = 2" in outcome.stdout
    assert "record.name = tiny test" in outcome.stdout
    target = tmp_path / "new" / "copy.safetensors"
    assert invoke("weights", "import", tiny_weights, "-o", target, "--half").exit_code == 0
    assert target.stat().st_size < 0.6 * tiny_weights.stat().st_size
    refused = invoke("weights", "import", tiny_weights, "-o", target)
    assert refused.exit_code == 1
    assert "copy.safetensors exists already: pass -y" in refused.stderr
    assert invoke("weights", "list").exit_code == 0


def test_the_published_checkpoint_form_is_imported(tmp_path: Path, shared: Path) -> None:
    checkpoints = sorted(shared.glob("reference/**/tiny*ckpt.pt"))
    assert checkpoints
    for checkpoint in checkpoints:
        target = tmp_path / f"{checkpoint.stem}.safetensors"
        outcome = invoke("weights", "import", checkpoint, "-o", target)
        assert outcome.exit_code == 0, outcome.output
        verified = invoke("weights", "verify", target)
        assert "record.source = published checkpoint" in verified.stdout


def test_the_sample_clip_converts(tmp_path: Path, sample_clip: Path) -> None:
    frames = FrameRange(10, 13)
    request = Request(sample_clip, str(tmp_path / "o.exr"), TWO, frames=frames, preview=tmp_path / "p.png")
    assert run(request, load=identity).frames == 4
    short, long = (read(tmp_path / f"o.{number:04d}.exr")[0].astype(np.float64) for number in (11, 12))
    assert short.shape == (360, 640, 3)
    assert long.max() == 1.0  # the long exposure clips at 1.0, the short one goes on above
    assert short.max() > 1.0
    # The same scene, brought to one scale: where the long frame is not clipped both agree in the mean.
    well_exposed = (long > 0.05) & (long < 0.7)
    assert np.median(short[well_exposed] / long[well_exposed]) == pytest.approx(1.0, abs=0.1)
