"""What a user can get wrong: one line that names the thing, the value and the next step; nothing left behind."""

import pickle
import re
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import av
import pytest
import torch
from click.testing import CliRunner, Result
from support.clips import counting_clip, sine_audio
from support.converting import TWO, job, save_tiny

from lanhdr_cli.conversion import ReadyNetwork, run
from lanhdr_cli.main import cli
from model.errors import DeviceError
from model.exposure import ExposureCycle
from model.frames import HdrFrame, LdrFrame

EXPOSURES = ("--exposures", "1,8")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("weights") / "two.safetensors")


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return counting_clip(tmp_path / "clip.mp4", count=6)


def convert(source: Path, *arguments: object, output: object) -> Result:
    words = ["convert", str(source), "-o", str(output), "--device", "cpu", "--threads", "1", "--no-progress"]
    words += [str(argument) for argument in arguments]
    return CliRunner().invoke(cli, words)


def check_refusal(outcome: Result, *, code: int, message: str) -> None:
    """One line that says what is wrong, without a traceback."""
    assert outcome.exception is None or isinstance(outcome.exception, SystemExit), outcome.exception
    assert outcome.exit_code == code, outcome.output
    assert outcome.stdout == ""
    lines = outcome.stderr.splitlines()
    if code == 2:  # click shows the usage before the line
        assert lines[0].startswith("Usage:")
        lines = lines[-1:]
    assert len(lines) == 1, outcome.stderr
    assert re.match(f"Error: .*{message}", lines[0]), lines[0]


@pytest.fixture
def untouched(tmp_path: Path) -> Iterator[Path]:
    """A folder for output that must not come to be."""
    folder = tmp_path / "out"
    yield folder
    assert not folder.exists() or list(folder.iterdir()) == []
    assert not [path for path in tmp_path.rglob("*") if path.name.endswith((".tmp", ".exr", ".png"))]


def empty_video(path: Path) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=24)
        stream.width, stream.height, stream.pix_fmt = 32, 24, "yuv420p"
        stream.codec_context.open()
        container.start_encoding()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing.mp4", "no such file: .*missing.mp4"),
        ("text.mp4", "text.mp4 can't be read as video .*: check that it is a complete video file"),
        ("empty.mp4", "empty.mp4 can't be read as video .*: check"),
        ("cut.mp4", "cut.mp4 can't be read as video .*: check"),
        ("sound.m4a", r"sound.m4a holds no video \(only audio\): pass a file with pictures"),
        ("none.mp4", "none.mp4 .*: (check|pass)"),
        ("none.avi", "none.avi.*: (check|pass)"),
        ("folder", "folder .*folder holds no pictures: PNG, TIFF, JPEG, OpenEXR, BMP and camera raw are read"),
    ],
)
def test_what_is_no_clip(tmp_path: Path, weights: Path, untouched: Path, name: str, message: str) -> None:
    (tmp_path / "text.mp4").write_text("once upon a time\n" * 50)
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "folder").mkdir()
    cut = counting_clip(tmp_path / "cut.mp4", count=6)
    cut.write_bytes(cut.read_bytes()[:600])
    sine_audio(tmp_path / "sound.m4a")
    empty_video(tmp_path / "none.mp4")
    empty_video(tmp_path / "none.avi")
    outcome = convert(tmp_path / name, *EXPOSURES, "--weights", weights, output=f"{untouched}/")
    check_refusal(outcome, code=1, message=message)


@pytest.mark.parametrize("count", [2, 3, 4])
def test_clips_shorter_than_a_window_still_work(tmp_path: Path, weights: Path, count: int) -> None:
    source = counting_clip(tmp_path / "a.mp4", count=count)
    outcome = convert(source, *EXPOSURES, "--weights", weights, output=tmp_path / "o.exr")
    assert outcome.exit_code == 0, outcome.output
    assert len(list(tmp_path.glob("o.*.exr"))) == count


def test_a_clip_shorter_than_a_period(tmp_path: Path, weights: Path, untouched: Path) -> None:
    source = counting_clip(tmp_path / "a.mp4", count=1)
    outcome = convert(source, *EXPOSURES, "--weights", weights, output=f"{untouched}/")
    check_refusal(outcome, code=1, message="the clip has 1 frames, one exposure period is 2")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--exposures", "1,8", "--stops", "0,3"), "--exposures and --stops say the same"),
        (("--exposures", "1,x"), "'1,x' is no list of numbers; pass e.g. 1,8"),
        (("--exposures", ""), "'' is no list of numbers; pass e.g. 1,8"),
        (("--exposures", "1,,8"), "'1,,8' is no list"),
        (("--exposures", "8"), "'8' does not alternate; pass two values"),
        (("--exposures", "4,4"), "'4,4' does not alternate"),
        (("--exposures", "0,8"), "'0,8': numbers must be above 0"),
        (("--exposures", "-1,8"), "'-1,8': numbers must be above 0"),
        (("--exposures", "nan,1"), "'nan,1': numbers must be"),
        (("--exposures", "1,inf"), "'1,inf': numbers must be"),
        (("--stops", "0,4000"), "'0,4000': numbers must be from -24 to 24; pass e.g. 0,3"),
        ((*EXPOSURES, "--frames", "9-3"), "'9-3' ends before it begins; pass e.g. 3-9"),
        ((*EXPOSURES, "--frames", "a-b"), "'a-b' is no range of frames; pass e.g. 0-47"),
        ((*EXPOSURES, "--device", "gpu"), "'gpu' is no device; pass auto, cpu"),
        ((*EXPOSURES, "--scale", "0"), "'0' must be a finite number above 0"),
        ((*EXPOSURES, "--scale", "nan"), "'nan' must be a finite number above 0"),
        ((*EXPOSURES, "--size", "huge"), "'huge' is not one of 'lite', 'small', 'base'"),
        ((*EXPOSURES, "--start-number", "-1"), "-1 is not in the range"),
        ((*EXPOSURES, "--threads", "0"), "0 is not in the range"),
    ],
)
def test_wrong_usage(clip: Path, untouched: Path, arguments: tuple[str, ...], message: str) -> None:
    outcome = convert(clip, *arguments, output=f"{untouched}/")
    check_refusal(outcome, code=2, message=message)


@pytest.mark.parametrize(
    ("output", "arguments", "message"),
    [
        ("o.webm", (), "-o .*o.webm: can't write .webm; pass out.mp4, .mov or .mkv"),
        ("o.tiff", (), "can't write .tiff; pass out.mp4"),
        ("o", (), "can't write a name without suffix; pass out.mp4, .* out.exr, or out/ for a folder"),
        ("a.##.##.exr", (), "has 2 places for a number: keep one"),
        ("o.1001.exr", ("--start-number", "5"), "already starts at 1001: leave out --start-number 5"),
        ("o.exr", ("--preview", "p.jpg"), "--preview p.jpg: can only write PNG and video"),
        ("o.exr", ("--frames", "6-9"), "--frames begins at 6, .*clip.mp4 has only frames 0-5"),
        ("o.exr", ("--device", "cuda:99"), "--device cuda:99: .* CUDA devices were found: pass --device cpu or auto"),
        ("folder.mp4", ("-y",), "folder.mp4 is a folder: name a file in it, or end with a slash for EXR frames"),
        ("file/o.exr", (), r"can't write to folder .*file \((Not a directory|File exists)\): choose another place"),
        ("file/sub/o.exr", (), r"can't write to folder .*file/sub \(Not a directory\): choose another place"),
    ],
)
def test_wishes_that_can_not_be_met(
    tmp_path: Path, clip: Path, weights: Path, untouched: Path, output: str, arguments: tuple[str, ...], message: str
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder.mp4").mkdir()
    outcome = convert(clip, *EXPOSURES, "--weights", weights, *arguments, output=tmp_path / output)
    check_refusal(outcome, code=1, message=message)


def test_an_unwritable_preview(tmp_path: Path, clip: Path, weights: Path, untouched: Path) -> None:
    (tmp_path / "file").touch()
    preview = ("--preview", tmp_path / "file" / "p.png")
    outcome = convert(clip, *EXPOSURES, "--weights", weights, *preview, output=f"{untouched}/")
    check_refusal(outcome, code=1, message="can't write to folder .*file .*: choose another place")


def test_a_range_behind_the_end_of_a_clip_of_unknown_length(tmp_path: Path, weights: Path, untouched: Path) -> None:
    source = counting_clip(tmp_path / "a.mkv", count=6)
    frames = ("--frames", "40-50")
    outcome = convert(source, *EXPOSURES, "--weights", weights, *frames, output=f"{untouched}/")
    check_refusal(outcome, code=1, message="a.mkv has only 6 frames")


def test_weights_of_the_other_exposure_count(tmp_path: Path, clip: Path, weights: Path, untouched: Path) -> None:
    three = save_tiny(tmp_path / "three.safetensors", nexps=3)
    outcome = convert(clip, *EXPOSURES, "--weights", three, output=f"{untouched}/")
    check_refusal(outcome, code=1, message="weights are for three exposures, the clip has two exposures: pass other")
    outcome = convert(clip, "--exposures", "1,4,16", "--weights", weights, output=f"{untouched}/")
    check_refusal(outcome, code=1, message="weights are for two exposures, the clip has three exposures: pass other")


def test_exposures_that_no_network_is_for(clip: Path, untouched: Path) -> None:
    outcome = convert(clip, "--exposures", "1,2,4,8", output=f"{untouched}/")
    check_refusal(outcome, code=1, message="no weights for 4 exposures")


class Malicious:
    """Unpickled, it would make a file."""

    def __init__(self, victim: Path) -> None:
        self.victim = victim

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return (open, (str(self.victim), "w"))


def test_a_malicious_checkpoint_is_refused_and_nothing_is_run(tmp_path: Path, clip: Path, untouched: Path) -> None:
    victim = tmp_path / "victim"
    raw, zipped = tmp_path / "raw.pt", tmp_path / "zipped.pt"
    raw.write_bytes(pickle.dumps({"g": Malicious(victim)}))
    torch.save({"g": Malicious(victim)}, zipped)
    for checkpoint in (raw, zipped):
        outcome = convert(clip, *EXPOSURES, "--weights", checkpoint, output=f"{untouched}/")
        check_refusal(outcome, code=1, message=f"{checkpoint.name} .*nothing was run")
        imported = CliRunner().invoke(
            cli, ["weights", "import", str(checkpoint), "-o", str(tmp_path / "w.safetensors")]
        )
        check_refusal(imported, code=1, message=f"{checkpoint.name} .*nothing was run")
    assert not victim.exists()
    assert not (tmp_path / "w.safetensors").exists()


@pytest.mark.parametrize("content", [b"", b"hello", b"\x10\0\0\0\0\0\0\0{not json at all"])
def test_files_that_are_no_weights(tmp_path: Path, clip: Path, untouched: Path, content: bytes) -> None:
    (tmp_path / "w.safetensors").write_bytes(content)
    for name in ("w.safetensors", "missing.safetensors"):
        outcome = convert(clip, *EXPOSURES, "--weights", tmp_path / name, output=f"{untouched}/")
        check_refusal(outcome, code=1, message=name)


def test_a_device_with_too_little_memory(clip: Path, untouched: Path) -> None:
    class Greedy:
        def reconstruct(
            self, frames: Iterable[LdrFrame], *, period: int, cycle: ExposureCycle | None = None
        ) -> Iterator[HdrFrame]:
            yield from (HdrFrame(frame.image, frame.time) for frame in islice(frames, 0))
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB")

    request = job(clip, f"{untouched}/", TWO, device="cuda")
    with pytest.raises(DeviceError, match="cuda has too little memory: try --size lite or --device cpu"):
        run(request, load=lambda *_: ReadyNetwork(reconstructor=Greedy(), name="greedy", margin=2))


def test_an_unknown_bug_keeps_its_traceback(
    clip: Path, tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise AssertionError("a bug")

    monkeypatch.setattr("lanhdr_cli.destination.frame_names", broken)
    outcome = convert(clip, *EXPOSURES, "--weights", weights, output=tmp_path / "o.exr")
    assert isinstance(outcome.exception, AssertionError)


def test_the_disk_fills_up(
    clip: Path, tmp_path: Path, weights: Path, untouched: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("lanhdr_cli.media.paths.os.replace", full)
    outcome = convert(clip, *EXPOSURES, "--weights", weights, output=f"{untouched}/")
    check_refusal(
        outcome, code=1, message=r"can't write .*clip.0001.exr \(No space left on device\): .*free some space"
    )
