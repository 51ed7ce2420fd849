"""Disks that are full, gone or read-only: one line, exit code 1, and finished frames stay readable."""

import errno
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import pytest
from support.clips import Tags, clip_with_sound, counting_clip, frame_of, random_planes, write_clip
from support.converting import TWO, identity, job, read_exr
from test_videos import wishes

from lanhdr_cli.conversion import run
from lanhdr_cli.media.encoder import VideoEncoder
from lanhdr_cli.media.errors import MediaError
from lanhdr_cli.media.paths import landmark
from lanhdr_cli.media.video_reader import VideoReader
from lanhdr_cli.run_options import SafetyOptions
from tools.full_disk import small_disk

FORCED = SafetyOptions(force=True)
CODES = [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.ESTALE, errno.EIO]


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return counting_clip(tmp_path / "a.mp4", count=8, size=(96, 64))


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 40 KiB."""
    try:
        with small_disk(tmp_path / "disk", kib=40) as folder:
            yield folder
    except (PermissionError, FileNotFoundError) as error:
        pytest.skip(f"no file system can be mounted here: {error}")


def make_room(disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,size=4m", disk], check=True)


def test_finished_frames_stay_and_with_room_the_rest_is_made(disk: Path, tmp_path: Path, clip: Path) -> None:
    noisy = tmp_path / "noisy.mkv"
    planes = [random_planes("yuv444p", size=(96, 64), seed=number) for number in range(8)]
    write_clip(noisy, [frame_of(one, "yuv444p", size=(96, 64)) for one in planes], tags=Tags(1, 1))
    request = job(noisy, f"{disk}/o/", TWO, safety=FORCED, overwrite=True, slips=False, deflicker=False)
    with pytest.raises(MediaError, match=r"can't write .*\(No space left on device\): free some space or choose"):
        run(request, load=identity)
    finished = list((disk / "o").iterdir())
    assert 0 < len(finished) < 8
    for path in finished:
        assert path.suffix == ".exr" and path.name[0] != "."
        assert read_exr(path)[0].shape == (64, 96, 3)
    make_room(disk)
    assert run(request, load=identity).frames == 8


@pytest.mark.parametrize("fill_kib", [39, 36, 32, 24])
def test_a_video_on_a_full_disk_ends_in_one_line_and_leaves_nothing(disk: Path, tmp_path: Path, fill_kib: int) -> None:
    source = clip_with_sound(tmp_path / "sound.mp4", "aac")
    (disk / "filler").write_bytes(bytes(fill_kib << 10))
    request = job(source, f"{disk}/o.mp4", TWO, video=wishes(), safety=FORCED)
    try:
        run(request, load=identity)
    except MediaError as error:
        assert "\n" not in str(error) and "No space left on device" in str(error)
        assert ".tmp" not in str(error).partition(" (")[0]
        assert not (disk / "o.mp4").exists()
    else:
        with av.open(str(disk / "o.mp4")) as file:
            assert sum(1 for _ in file.decode(video=0)) == 24


def test_a_preview_on_a_full_disk_is_one_line(disk: Path, tmp_path: Path, clip: Path) -> None:
    (disk / "filler").write_bytes(bytes(39 << 10))
    for name in ("p.png", "p.mp4"):
        with pytest.raises(MediaError, match="No space left on device"):
            run(job(clip, f"{tmp_path}/{name}/", TWO, preview=disk / "q" / name, safety=FORCED), load=identity)


def failing(code: int, *, after: int = 0) -> Callable[..., Any]:
    """Make a function that fails from its call `after` on, as the system does."""
    calls = 0

    def fail(*arguments: object, **options: object) -> None:
        nonlocal calls
        calls += 1
        if calls > after:
            raise OSError(code, os.strerror(code))

    return fail


@pytest.mark.parametrize("code", CODES)
def test_each_way_of_failing_to_write_a_frame_is_one_line(
    tmp_path: Path, clip: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    write_bytes, fail = Path.write_bytes, failing(code, after=3)

    def write(path: Path, content: bytes) -> int:
        fail()
        return write_bytes(path, content)

    monkeypatch.setattr(Path, "write_bytes", write)
    with pytest.raises(MediaError) as told:
        run(job(clip, f"{tmp_path}/o/", TWO), load=identity)
    assert os.strerror(code) in str(told.value) and "\n" not in str(told.value)
    finished = list((tmp_path / "o").iterdir())
    assert len(finished) == 3 and all(read_exr(path)[0].size for path in finished)


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("stage", ["open", "segment", "join"])
def test_each_way_of_failing_to_write_a_video_is_one_line(
    tmp_path: Path, clip: Path, monkeypatch: pytest.MonkeyPatch, code: int, stage: str
) -> None:
    if stage == "segment":
        store = VideoEncoder._store

        def fail(encoder: VideoEncoder, packets: list[Any]) -> None:
            monkeypatch.setattr(encoder, "_container", Failing(encoder._container, code), raising=True)
            store(encoder, packets)

        monkeypatch.setattr(VideoEncoder, "_store", fail)
    else:
        opened: Any = av.open

        def open_or_fail(name: str, mode: str = "r", **options: Any) -> Any:
            is_target = mode == "w" and ((".segments" in name) == (stage == "open"))
            if is_target:
                raise av.FFmpegError(code, os.strerror(code))
            return opened(name, mode, **options)

        monkeypatch.setattr(av, "open", open_or_fail)
    with pytest.raises(MediaError) as told:
        run(job(clip, f"{tmp_path}/o.mp4", TWO, video=wishes()), load=identity)
    assert os.strerror(code) in str(told.value) and "\n" not in str(told.value)
    assert f"can't write to {tmp_path} (" in str(told.value)
    assert not (tmp_path / "o.mp4").exists()


class Failing:
    """A container that takes no packets."""

    def __init__(self, container: Any, code: int) -> None:
        self._container = container
        self._code = code

    def mux(self, packet: object) -> None:
        raise av.FFmpegError(self._code, os.strerror(self._code))

    def close(self) -> None:
        self._container.close()


def test_an_error_is_not_hidden_by_the_end_of_its_file(
    tmp_path: Path, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(encoder: VideoEncoder, frame: object, pts: int) -> None:
        monkeypatch.setattr(encoder, "_container", Closing(encoder._container))
        raise MediaError("the first error")

    monkeypatch.setattr(VideoEncoder, "encode", interrupted)
    with pytest.raises(MediaError, match="the first error"):
        run(job(clip, f"{tmp_path}/o.mp4", TWO, video=wishes()), load=identity)


class Closing(Failing):
    """A container whose end can't be written."""

    def __init__(self, container: Any) -> None:
        super().__init__(container, errno.ENOSPC)

    def close(self) -> None:
        self._container.close()
        raise av.FFmpegError(errno.ENOSPC, "No space left on device")


def test_an_encoder_that_fails_is_one_line(tmp_path: Path, clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Stream:
        def encode(self, frame: object) -> list[Any]:
            raise av.FFmpegError(errno.ENOMEM, "Cannot allocate memory")

    start = VideoEncoder._start

    def started(encoder: VideoEncoder) -> None:
        start(encoder)
        monkeypatch.setattr(encoder, "_stream", Stream())

    monkeypatch.setattr(VideoEncoder, "_start", started)
    with pytest.raises(MediaError, match=r"the encoder libx265 fails \(Cannot allocate memory\): end other programs"):
        run(job(clip, f"{tmp_path}/o.mp4", TWO, video=wishes()), load=identity)


def test_a_clip_whose_disk_is_gone_is_no_clip_that_breaks_off(
    tmp_path: Path, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded = VideoReader._decoded

    def lost(reader: VideoReader, packets: Iterator[Any], *, since: int | None = None) -> Iterator[av.VideoFrame]:
        def broken() -> Iterator[Any]:
            for number, packet in enumerate(packets):
                if number == 5:
                    raise av.FFmpegError(errno.EIO, "Input/output error")
                yield packet

        return decoded(reader, broken(), since=since)

    monkeypatch.setattr(VideoReader, "_decoded", lost)
    with VideoReader(clip) as reader:
        assert 0 < len(list(reader.frames())) < 8  # cut short: the file is there
        assert reader.faults.broken_off == "Input/output error"
    with VideoReader(clip) as reader:
        opened = Path.open

        def stale(path: Path, *arguments: Any, **options: Any) -> Any:
            if path == clip:
                raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
            return opened(path, *arguments, **options)

        monkeypatch.setattr(Path, "open", stale)
        with pytest.raises(MediaError, match=r"a\.mp4 can't be read any more \(Stale file handle\): check"):
            list(reader.frames())


def test_a_folder_that_is_gone_ends_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MediaError, match="can't write to folder"), landmark(tmp_path / "no" / "o.exr"):
        pass
    folder = tmp_path / "there"
    folder.mkdir()
    with pytest.raises(MediaError, match="another error"), landmark(folder / "o.exr"):
        shutil.rmtree(folder)
        raise MediaError("another error")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_is_refused(tmp_path: Path, clip: Path) -> None:
    folder = tmp_path / "theirs"
    folder.mkdir(mode=0o555)
    with pytest.raises(MediaError, match=r"can't write to folder .* \(Permission denied\): choose another place"):
        run(job(clip, f"{folder}/", TWO), load=identity)
