"""Several processes make what one makes, say what one says, and end together."""

import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from support.clips import Tags, clip_with_sound, frame_of, random_planes, write_clip
from support.converting import TWO, identity, invoke, job, save_lite

from lanhdr_cli.camera import CameraOptions
from lanhdr_cli.conversion import ConvertJob, run
from lanhdr_cli.media import segments
from lanhdr_cli.media.encoder import EncoderOptions
from lanhdr_cli.media.video_writer import VideoOptions
from lanhdr_cli.options import FrameRange
from lanhdr_cli.ranks import Ranks

SIZE = (64, 48)
PLAIN = CameraOptions(response="gamma2.2", black_code=(0.0, 0.0, 0.0))
AS_GIVEN = ("--exposures=1,8", "--response=gamma2.2", "--black-code=0", "--no-slips", "--no-deflicker", "--threads=1")


def noise(path: Path, count: int) -> Path:
    frames = [frame_of(random_planes("yuv444p", size=SIZE, seed=seed), "yuv444p", size=SIZE) for seed in range(count)]
    return write_clip(path, frames, tags=Tags(1, 1))


def plain_job(source: Path, output: Path | str, **options: Any) -> ConvertJob:
    """A job whose clip is not looked at for long."""
    wishes = {"slips": False, "deflicker": False, "camera": PLAIN, "threads": 1, **options}
    return job(source, str(output), TWO, **wishes)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    return save_lite(tmp_path / "lite.safetensors")


@pytest.mark.parametrize(
    ("size", "count", "step", "ranges"),
    [
        (1, 7, 1, [(0, 7)]),
        (2, 7, 1, [(0, 4), (4, 7)]),
        (3, 500, 240, [(0, 240), (240, 480), (480, 500)]),
        (2, 500, 240, [(0, 480), (480, 500)]),
        (3, 200, 240, [(0, 200), (200, 200), (200, 200)]),
    ],
)
def test_ranks_take_whole_steps_in_order(size: int, count: int, step: int, ranges: list[tuple[int, int]]) -> None:
    found = [Ranks(rank, size).positions(count, step=step) for rank in range(size)]
    assert found == [range(*ends) for ends in ranges]


def test_three_ranks_write_the_frames_of_one(tmp_path: Path, weights: Path) -> None:
    """The network of each sees the frames beside its range; threads make no difference either."""
    source = noise(tmp_path / "a.mkv", 14)
    frames = FrameRange(1, 12)
    alone = plain_job(source, f"{tmp_path}/one/", weights=weights, device="cpu", frames=frames, threads=2)
    alone = replace(alone, preview=tmp_path / "one.png")
    shared = replace(
        alone, output=f"{tmp_path}/three/", preview=tmp_path / "three.png", devices=("cpu",) * 3, threads=None
    )
    first, second = run(alone), run(shared)
    assert replace(second, seconds=0, outcome="", decoded=0) == replace(first, seconds=0, outcome="", decoded=0)
    assert second.outcome == first.outcome.replace("/one/", "/three/")
    names = [f"a.{number:04d}.exr" for number in range(2, 14)]
    for folder in ("one", "three"):
        assert sorted(path.name for path in (tmp_path / folder).iterdir()) == names
    for name in names:
        assert (tmp_path / "three" / name).read_bytes() == (tmp_path / "one" / name).read_bytes(), name
    assert (tmp_path / "three.png").read_bytes() == (tmp_path / "one.png").read_bytes()


def packets(path: Path, kind: str) -> list[tuple[Fraction, Fraction, bytes]]:
    """Times and content of all packets of a stream."""
    with av.open(str(path)) as container:
        return [
            (packet.pts * packet.time_base, packet.dts * packet.time_base, bytes(packet))
            for packet in container.demux(**{kind: 0})
            if packet.pts is not None and packet.dts is not None
        ]


def test_two_ranks_make_the_video_of_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "SEGMENT_FRAMES", 8)
    source = clip_with_sound(tmp_path / "a.mp4", "aac", count=30)
    video = VideoOptions(encoding=EncoderOptions(preset="ultrafast"))
    (tmp_path / "out").mkdir()
    alone = plain_job(source, tmp_path / "out" / "one.mp4", video=video)
    first = run(alone, load=identity)
    shared = replace(alone, output=str(tmp_path / "out" / "two.mp4"), devices=("cpu", "cpu"), threads=2)
    second = run(shared, load=identity)
    assert second.outcome == first.outcome.replace("one.mp4", "two.mp4")  # MaxCLL and MaxFALL among others
    assert second.frames == 30
    assert packets(tmp_path / "out" / "two.mp4", "video") == packets(tmp_path / "out" / "one.mp4", "video")
    assert packets(tmp_path / "out" / "two.mp4", "audio") == packets(tmp_path / "out" / "one.mp4", "audio")
    pictures = []
    for name in ("one.mp4", "two.mp4"):
        with av.open(str(tmp_path / "out" / name)) as container:
            pictures.append([frame.to_ndarray() for frame in container.decode(video=0)])
    np.testing.assert_array_equal(pictures[0], pictures[1])
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["one.mp4", "two.mp4"]


def test_torchrun_starts_ranks_too(tmp_path: Path, weights: Path, repository: Path) -> None:
    source = noise(tmp_path / "a.mkv", 9)
    words = ("convert", source, *AS_GIVEN, "--weights", weights, "--device", "cpu", "-o")
    assert invoke(*words, f"{tmp_path}/one/").exit_code == 0
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "lanhdr_cli")
    command = [sys.executable, *launcher, *map(str, words), f"{tmp_path}/two/", "--no-progress"]
    finished = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.count("9 frames in ") == 1  # rank 0 alone says it
    for index in range(9):
        name = f"a.{index + 1:04d}.exr"
        assert (tmp_path / "two" / name).read_bytes() == (tmp_path / "one" / name).read_bytes()


def start(source: Path, output: Path | str, weights: Path, *options: str) -> subprocess.Popen[str]:
    """Start two processes that convert together."""
    command = [sys.executable, "-m", "lanhdr_cli", "convert", str(source), "-o", str(output), "--weights", str(weights)]
    command += [*AS_GIVEN, "--devices=cpu,cpu", "--no-progress", *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(pattern: str, folder: Path, running: subprocess.Popen[str]) -> None:
    """Wait until there is a file."""
    deadline = time.monotonic() + 120
    while not list(folder.glob(pattern)):
        assert running.poll() is None and time.monotonic() < deadline, running.communicate()[1]
        time.sleep(0.05)


def ranks_of(process: subprocess.Popen[str]) -> list[int]:
    """Processes that it has started to share the work, by their command lines."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return [pid for pid in map(int, children) if "spawn_main" in Path(f"/proc/{pid}/cmdline").read_text()]


def is_running(pid: str) -> bool:
    """Whether a process is there, and more than its exit code, which waits for a parent."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


BY_PROC = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds the processes by /proc")


@BY_PROC
def test_ranks_leave_with_a_launcher_that_is_killed(tmp_path: Path, weights: Path, repository: Path) -> None:
    source, out = noise(tmp_path / "a.mkv", 400), tmp_path / "out"
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "lanhdr_cli", "convert")
    words = (source, *AS_GIVEN, "--weights", weights, "--device", "cpu", "-o", f"{out}/", "--no-progress")
    command = [sys.executable, *launcher, *map(str, words)]
    running = subprocess.Popen(command, cwd=repository, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_for("*.exr", out, running)
    children = Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split()
    assert len(children) >= 2
    running.kill()
    running.communicate()
    until = time.monotonic() + 60
    while any(is_running(pid) for pid in children):
        assert time.monotonic() < until, "ranks go on without their launcher"
        time.sleep(0.2)
    assert len(list(out.glob("*.exr"))) < 400
    assert not [path for path in out.iterdir() if path.suffix != ".exr"]


@BY_PROC
def test_a_killed_rank_stops_the_others_and_another_run_completes(tmp_path: Path, weights: Path) -> None:
    source, out = noise(tmp_path / "a.mkv", 60), tmp_path / "out"
    running = start(source, f"{out}/", weights)
    wait_for("a.0032.exr", out, running)  # rank 1 begins with 31
    (rank1,) = ranks_of(running)
    os.kill(rank1, signal.SIGKILL)
    begin = time.monotonic()
    output, errors = running.communicate(timeout=60)
    assert time.monotonic() - begin < 20  # a second on a quiet machine
    told = f"Error: rank 1 (cpu) was killed by SIGKILL, all others stop; finished frames stay in {out}; go on with: "
    assert (running.returncode, output) == (1, "")
    assert errors.startswith(told + f"lanhdr convert {source} -o {out}/ ")
    assert errors.endswith(" --resume\n")
    assert list(out.glob(".*")) == []
    assert 0 < len(list(out.iterdir())) < 60
    again = start(source, f"{out}/", weights, "--resume")
    output, errors = again.communicate(timeout=120)
    assert again.returncode == 0, errors
    assert re.fullmatch(r"\d+ of 60 frames are there already\n", errors)
    assert re.match(r"60 frames, \d+ of them kept, in ", output)
    assert sorted(path.name for path in out.iterdir()) == [f"a.{number:04d}.exr" for number in range(1, 61)]


@BY_PROC
def test_an_interruption_stops_all_ranks(tmp_path: Path, weights: Path) -> None:
    source, out = noise(tmp_path / "a.mkv", 400), tmp_path / "out"
    out.mkdir()
    running = start(source, out / "o.mp4", weights, "--preset=ultrafast")
    wait_for(".o.mp4.segments/.000001.*", out, running)
    (rank1,) = ranks_of(running)
    running.send_signal(signal.SIGINT)
    output, errors = running.communicate(timeout=60)
    told = f"Interrupted: nothing was written to {out / 'o.mp4'}\n"
    assert (running.returncode, output, errors) == (130, "", told)
    assert not Path(f"/proc/{rank1}").exists()
    assert list(out.iterdir()) == []


def test_what_ranks_cannot_share(tmp_path: Path) -> None:
    source = noise(tmp_path / "a.mkv", 2)
    outcome = invoke("convert", "-", "-o", tmp_path / "o.exr", "--devices", "cpu,cpu")
    assert outcome.exit_code == 1
    assert "- comes once, 2 processes can't read it: save it to a file first" in outcome.stderr
    words = ("convert", source, "-o", tmp_path / "o.exr", "--devices", "cpu,cpu")
    outcome = invoke(*words, "--preview", tmp_path / "p.mp4")
    assert outcome.exit_code == 1
    assert "p.mp4 is made by one process, not by 2: pass a .png instead" in outcome.stderr
    outcome = invoke("convert", source, "-o", tmp_path / "o.exr", "--devices", "cpu,cuda:99")
    assert outcome.exit_code == 1
    assert "cuda:99" in outcome.stderr
    outcome = invoke(*words, "--device", "cpu")
    assert outcome.exit_code == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mkv"]
