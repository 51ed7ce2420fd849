"""The budget of memory: read, estimated, kept within by tiles, and refused where no tiles are small enough."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
from support.clips import counting_clip
from support.converting import TWO, identity, invoke, job, save_lite

from lanhdr_cli import memory
from lanhdr_cli.conversion import run
from lanhdr_cli.media.encoder import EncoderOptions
from lanhdr_cli.media.video_reader import VideoInfo
from lanhdr_cli.memory import available_bytes, fitting_tiles, needed_bytes, warn_of_memory
from lanhdr_cli.options import read_size
from lanhdr_cli.run_options import SafetyOptions
from model.errors import DeviceError
from model.network import NetworkConfig
from model.tiles import Tiling

LITE = NetworkConfig(design="lite", output="guided", channels=48)
GIB = 1 << 30


def info(width: int, height: int) -> VideoInfo:
    return VideoInfo(
        width=width, height=height, rate=Fraction(24), time_base=Fraction(1, 24), frames=8, description="a clip"
    )


@pytest.mark.parametrize(
    ("text", "size"),
    [("8G", 8 * GIB), ("512M", 512 << 20), ("1.5GiB", 3 * GIB // 2), ("2tb", 2 << 40), ("64 k", 64 << 10)],
)
def test_sizes_are_read(text: str, size: int) -> None:
    assert read_size(text) == size


@pytest.mark.parametrize("text", ["", "8", "G", "-8G", "8X", "8GG", "1e9G", "nanG", "0G", "9" * 15 + "T", "8G\n8G"])
def test_other_texts_are_no_sizes(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no size; pass e\.g\. 512M or 8G"):
        read_size(text)


def test_the_need_grows_with_the_frame_and_shrinks_with_its_tiles() -> None:
    needs = [needed_bytes(LITE, Tiling(height=h, width=w), encoding=None) or 0 for w, h in ((640, 360), (1920, 1080))]
    assert needs[0] < needs[1]
    tiling = Tiling(height=1080, width=1920)
    tiled = [needed_bytes(LITE, t, encoding=None) or 0 for t in (tiling, tiling.finer(), tiling.finer().finer())]
    assert tiled[0] > tiled[1] > tiled[2]
    with_encoder = needed_bytes(LITE, tiling, encoding=EncoderOptions()) or 0
    assert with_encoder > tiled[0]


def test_the_estimate_fits_known_peaks() -> None:
    """Peaks of whole conversions by `lite` to EXR, from benchmarks/speed.py and /usr/bin/time."""
    for (width, height), known in {(640, 360): 0.7, (3840, 2160): 8.0}.items():
        needed = (needed_bytes(LITE, Tiling(height=height, width=width), encoding=None) or 0) / GIB
        assert 0.85 * known < needed < 1.25 * known


def test_the_largest_tiles_within_the_budget_are_chosen(caplog: pytest.LogCaptureFixture) -> None:
    whole = Tiling(height=1080, width=1920)
    need = needed_bytes(LITE, whole, encoding=None) or 0
    assert fitting_tiles(LITE, info(1920, 1080), budget=need, encoding=None) == whole
    assert caplog.text == ""
    assert fitting_tiles(LITE, info(1920, 1080), budget=need - 1, encoding=None) == whole.finer()
    assert "they are computed in 2 tiles" in caplog.text


def test_a_budget_that_no_tiles_keep_is_refused_with_both_numbers() -> None:
    with pytest.raises(DeviceError, match=r"1920x1080 need about .* in \d+ tiles, --max-memory is 64\.0 MiB: pass"):
        fitting_tiles(LITE, info(1920, 1080), budget=64 << 20, encoding=None)
    with pytest.raises(DeviceError, match=r"320x180 need about [^,]*iB, --max-memory"):
        fitting_tiles(LITE, info(320, 180), budget=64 << 20, encoding=None)


def test_what_is_advised_is_enough() -> None:
    with pytest.raises(DeviceError) as refused:
        fitting_tiles(LITE, info(1920, 1080), budget=64 << 20, encoding=None)
    advised = str(refused.value).partition("pass ")[2].split()[0]
    assert len(fitting_tiles(LITE, info(1920, 1080), budget=read_size(advised), encoding=None)) > 1


def test_conversions_keep_within_the_budget(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    clip = counting_clip(tmp_path / "a.mp4", count=5, size=(576, 64))
    weights = save_lite(tmp_path / "lite.safetensors")
    monkeypatch.setattr(memory, "BASE", 0)
    need = needed_bytes(LITE, Tiling(height=64, width=576), encoding=None) or 0
    safety = SafetyOptions(max_memory=need - 1)
    request = job(clip, f"{tmp_path}/o/", TWO, slips=False, deflicker=False, weights=weights, device="cpu", threads=1)
    run(replace(request, safety=safety))
    assert "whole frames of 576x64 need about" in caplog.text
    assert "they are computed in 2 tiles" in caplog.text
    assert len(list((tmp_path / "o").iterdir())) == 5


def test_a_budget_that_has_no_effect_is_told_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    clip = counting_clip(tmp_path / "a.mp4", count=5)
    request = job(clip, f"{tmp_path}/o/", TWO, slips=False, deflicker=False)
    run(replace(request, safety=SafetyOptions(max_memory=64 << 20)), load=identity)
    assert "--max-memory is for networks on a CPU" in caplog.text


def test_refused_in_one_line_before_the_first_frame(tmp_path: Path) -> None:
    clip = counting_clip(tmp_path / "a.mp4", count=5)
    words = ("--exposures", "1,8", "--device", "cpu", "--size", "lite", "--max-memory", "64M")
    outcome = invoke("convert", clip, "-o", f"{tmp_path}/o/", *words)
    assert outcome.exit_code == 1
    (error,) = [line for line in outcome.stderr.splitlines() if line.startswith("Error")]
    assert "--max-memory is 64.0 MiB: pass " in error
    assert list((tmp_path / "o").iterdir()) == []


def test_weights_whose_need_is_not_known_are_said_to_be(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match="it is not known what lanhdr needs"):
        fitting_tiles(NetworkConfig(), info(320, 180), budget=GIB, encoding=None)


def test_short_memory_is_warned_of(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(memory, "available_bytes", lambda: 3 * GIB)
    warn_of_memory(LITE, info(1920, 1080), processes=1, encoding=None)
    assert caplog.text == ""
    warn_of_memory(LITE, info(1920, 1080), processes=2, encoding=None)
    assert "3.0 GiB are free: pass --max-memory to compute them in tiles" in caplog.text


def write(path: Path, text: str | int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{text}\n")


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("sys.platform", "linux")
    write(tmp_path / "proc/meminfo", "MemTotal:  16777216 kB\nMemAvailable:   8388608 kB")
    return tmp_path


def test_without_control_groups_the_machine_counts(machine: Path) -> None:
    assert available_bytes(machine) == 8 * GIB


def test_limits_of_all_control_groups_above_count(machine: Path) -> None:
    write(machine / "proc/self/cgroup", "0::/outer/inner")
    groups = machine / "sys/fs/cgroup"
    write(groups / "outer/inner/memory.max", "max")
    write(groups / "outer/inner/memory.current", GIB)
    write(groups / "outer/memory.max", 5 * GIB)
    write(groups / "outer/memory.current", 3 * GIB)
    assert available_bytes(machine) == 2 * GIB
    write(groups / "outer/memory.stat", f"anon 5\ninactive_file {GIB}")
    assert available_bytes(machine) == 3 * GIB


def test_control_groups_of_version_1_count(machine: Path) -> None:
    write(machine / "proc/self/cgroup", "5:cpu,cpuacct:/job\n4:memory:/job")
    write(machine / "sys/fs/cgroup/memory/job/memory.limit_in_bytes", 4 * GIB)
    write(machine / "sys/fs/cgroup/memory/job/memory.usage_in_bytes", 3 * GIB)
    write(machine / "sys/fs/cgroup/memory/memory.limit_in_bytes", 9223372036854771712)
    write(machine / "sys/fs/cgroup/memory/memory.usage_in_bytes", 3 * GIB)
    assert available_bytes(machine) == GIB


def test_an_unknown_machine_tells_nothing(tmp_path: Path) -> None:
    assert available_bytes(tmp_path) is None
