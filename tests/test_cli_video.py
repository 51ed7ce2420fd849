"""`lanhdr convert -o out.mp4` as a user calls it, and what a user can get wrong."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import pytest
from support.clips import counting_clip
from support.converting import invoke, save_tiny

WEIGHTS_OPTIONS = ("--exposures", "1,8", "--device", "cpu", "--threads", 1)


@pytest.fixture(scope="module")
def tiny_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("weights") / "tiny.safetensors")


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return counting_clip(tmp_path / "clip.mkv", count=4, size=(64, 48))


def test_the_real_network_makes_a_video(tmp_path: Path, clip: Path, tiny_weights: Path) -> None:
    outcome = invoke(
        *(
            "convert",
            clip,
            "-o",
            tmp_path / "o.mp4",
            *WEIGHTS_OPTIONS,
            "--weights",
            tiny_weights,
            "--preset",
            "ultrafast",
        ),
        *("--crf", 20, "--enc", "aq-mode=1", "--white-nits", 150, "--peak-nits", 600, "--pix-fmt", "yuv444p10le"),
    )
    assert outcome.exit_code == 0, outcome.output
    assert outcome.stdout.startswith("4 frames in ")
    assert "o.mp4 (MaxCLL " in outcome.stdout
    with av.open(str(tmp_path / "o.mp4")) as container:
        frames = list(container.decode(video=0))
    assert len(frames) == 4
    assert frames[0].format.name == "yuv444p10le"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clip.mkv", "o.mp4"]


@pytest.mark.parametrize(
    ("output", "arguments", "message"),
    [
        ("o.mov", ("--codec", "av1"), "o.mov: av1 does not go into mov: name a .mp4 or .mkv file or pass --codec hevc"),
        ("o.mp4", ("--codec", "ffv1"), "o.mp4: ffv1 does not go into mp4: name a .mkv file or pass --codec hevc"),
        ("o.mp4", ("--codec", "prores-4444"), "name a .mov or .mkv file or pass --codec hevc"),
        (
            "o.mp4",
            ("--peak-nits", "100"),
            "--peak-nits 100 is below --white-nits 203: raise the peak or lower the white",
        ),
        ("o.mp4", ("--peak-nits", "20000"), "--peak-nits 20000: PQ ends at 10000 cd/m2, pass 10000 or less"),
        ("o.mp4", ("--peak-nits", "2000", "--hlg"), "--peak-nits 2000: HLG ends at 1000 cd/m2"),
        ("o.mkv", ("--codec", "ffv1", "--crf", "20"), "--crf 20: ffv1 has no such setting: leave it out"),
        ("o.mkv", ("--codec", "ffv1", "--preset", "slow"), "--preset slow: ffv1 has no presets: leave it out"),
        ("o.mp4", ("--pix-fmt", "yuv420p"), "--pix-fmt yuv420p: hevc takes yuv420p10le, "),
        ("o.mp4", ("--enc", "max-cll=1,1"), "--enc max-cll=1,1: lanhdr sets this itself"),
        ("o.mp4", ("--enc", "a=1:b=2"), "--enc a=1:b=2: a colon begins another parameter"),
        ("o.mp4", ("--enc", "nonsense=1"), "libx265 refuses a parameter (Unknown option: nonsense)"),
        ("o.mp4", ("--preset", "nonsense"), "libx265 does not start"),
        ("o.mp4", ("--start-number", "5"), "--start-number 5 is for EXR frames"),
        ("o.mp4", ("--colorspace", "acescg"), "--colorspace acescg is for EXR frames, HDR video is in BT.2020"),
        ("o.exr", ("--codec", "av1"), "o.exr means EXR frames, options of video"),
        ("o.mp4", ("--preview", "o.mp4"), "-o and --preview both name"),
    ],
)
def test_wishes_that_do_not_fit(
    tmp_path: Path,
    clip: Path,
    tiny_weights: Path,
    monkeypatch: pytest.MonkeyPatch,
    output: str,
    arguments: tuple[str, ...],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = invoke("convert", clip.name, "-o", output, *WEIGHTS_OPTIONS, "--weights", tiny_weights, *arguments)
    assert outcome.exit_code == 1, outcome.output
    assert outcome.stdout == ""
    lines = [line for line in outcome.stderr.splitlines() if not line.startswith("Warning")]
    assert len(lines) == 1
    assert lines[0].startswith("Error: ")
    assert message in lines[0]
    assert [path.name for path in tmp_path.iterdir()] == [clip.name]


def test_the_source_and_existing_videos_stay(tmp_path: Path, clip: Path, tiny_weights: Path) -> None:
    content = clip.read_bytes()
    words = ("convert", clip, *WEIGHTS_OPTIONS, "--weights", tiny_weights)
    outcome = invoke(*words, "-o", clip, "-y")
    assert outcome.exit_code == 1
    assert "is the input itself" in outcome.stderr
    assert clip.read_bytes() == content
    (tmp_path / "o.mp4").write_text("precious")
    outcome = invoke(*words, "-o", tmp_path / "o.mp4")
    assert outcome.exit_code == 1
    assert "o.mp4 exists already: pass -y" in outcome.stderr
    assert (tmp_path / "o.mp4").read_text() == "precious"


def test_parameters_need_a_value(tmp_path: Path, clip: Path) -> None:
    outcome = invoke("convert", clip, "-o", tmp_path / "o.mp4", "--enc", "aq-mode")
    assert outcome.exit_code == 2
    assert "'aq-mode' is no parameter; pass e.g. aq-mode=3" in outcome.stderr


def test_an_encoder_without_its_hardware_is_told(tmp_path: Path, clip: Path, tiny_weights: Path) -> None:
    words = ("convert", clip, *WEIGHTS_OPTIONS, "--weights", tiny_weights, "-o", tmp_path / "o.mp4")
    outcome = invoke(*words, "--codec", "hevc_nvenc")
    if outcome.exit_code == 0:
        pytest.skip("this machine has the hardware")
    assert "hevc_nvenc" in outcome.stderr
    assert "pass --codec hevc" in outcome.stderr
    assert [path.name for path in tmp_path.iterdir()] == [clip.name]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_video_leaves_nothing(
    tmp_path: Path, tiny_weights: Path, number: signal.Signals, code: int
) -> None:
    source = counting_clip(tmp_path / "a.mkv", count=120, size=(320, 240))
    (tmp_path / "out").mkdir()
    command = [sys.executable, "-m", "lanhdr_cli", "convert", source, "-o", tmp_path / "out" / "o.mp4"]
    command += [*WEIGHTS_OPTIONS, "--no-slips", "--no-deflicker", "--weights", tiny_weights, "--preset", "ultrafast"]
    running = subprocess.Popen(
        [str(word) for word in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    deadline = time.monotonic() + 60
    while not list((tmp_path / "out").iterdir()) and time.monotonic() < deadline and running.poll() is None:
        time.sleep(0.05)
    time.sleep(0.3)
    running.send_signal(number)
    output, errors = running.communicate(timeout=60)
    assert running.returncode == code, errors
    assert list((tmp_path / "out").iterdir()) == []
    assert output == ""
    if number == signal.SIGINT:
        assert f"Interrupted: nothing was written to {tmp_path / 'out' / 'o.mp4'}\n" in errors
