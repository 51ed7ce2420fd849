"""Two processes never write one target; jobs of disjoint ranges do not meet; locks end with their process."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.converting import identity
from test_ranks import noise, plain_job

from lanhdr_cli.conversion import run
from lanhdr_cli.media import target_lock as locks
from lanhdr_cli.media.errors import MediaError
from lanhdr_cli.media.target_lock import target_lock
from lanhdr_cli.options import FrameRange

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="this system has no such locks")
HOLD = """
import sys, time
from pathlib import Path
from lanhdr_cli.media.target_lock import target_lock
with target_lock(Path(sys.argv[1]), 10, 19):
    print("held", flush=True)
    time.sleep(60)
"""


def test_ranges_that_overlap_exclude_each_other(tmp_path: Path) -> None:
    target = tmp_path / "a.#.exr"
    with target_lock(target, 10, 19):
        with target_lock(target, 0, 9), target_lock(target, 20):
            assert len(list(tmp_path.iterdir())) == 1
        for first, last in ((0, 10), (19, 19), (5, None), (12, 15)):
            with (
                pytest.raises(MediaError, match=r"another process is writing .*a.#.exr: wait for its end, or"),
                target_lock(target, first, last),
            ):
                pass
        with target_lock(tmp_path / "b.#.exr", 10, 19):
            pass
    with target_lock(target):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_killed_process_holds_nothing(tmp_path: Path, repository: Path) -> None:
    target = tmp_path / "o.mp4"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(target)], stdout=subprocess.PIPE, text=True, cwd=repository
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(MediaError), target_lock(target):
            pass
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    with target_lock(target):  # the file that it has left is taken over, and goes away
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_lock_survives_the_removal_of_its_file(tmp_path: Path) -> None:
    """Who opens the file just before the last holder removes it must not lock what nobody else will see."""
    target = tmp_path / "o.mp4"
    original, calls = locks._lock, 0

    def removed_first(handle: int, first: int, last: int | None) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            (tmp_path / ".o.mp4.lock").unlink()
        original(handle, first, last)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(locks, "_lock", removed_first)
        with target_lock(target), pytest.raises(MediaError), target_lock(target):
            pass
    assert calls > 2


def test_a_file_system_without_locks_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refused(handle: int, first: int, last: int | None) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(locks, "_lock", refused)
    with target_lock(tmp_path / "o.mp4"):
        pass
    assert "o.mp4: can't be locked (No locks available), let no other process write it" in caplog.text


@pytest.mark.parametrize("output", ["out/", "o.mkv"])
def test_a_second_conversion_to_one_target_refuses(tmp_path: Path, output: str) -> None:
    source = noise(tmp_path / "a.mkv", 6)
    wish = plain_job(source, f"{tmp_path}/{output}", overwrite=True)
    (tmp_path / "out").mkdir()
    target = tmp_path / ("out/a.#.exr" if output == "out/" else output)
    with target_lock(target), pytest.raises(MediaError, match="another process is writing"):
        run(wish, load=identity)


def test_jobs_of_a_farm_write_one_folder_side_by_side(tmp_path: Path) -> None:
    source = noise(tmp_path / "a.mkv", 8)
    (tmp_path / "out").mkdir()
    with target_lock(tmp_path / "out" / "a.#.exr", 1, 4):
        assert run(plain_job(source, f"{tmp_path}/out/", frames=FrameRange(4, 7)), load=identity).frames == 4
        with pytest.raises(MediaError, match="another process is writing"):
            run(plain_job(source, f"{tmp_path}/out/", frames=FrameRange(3, 3)), load=identity)
