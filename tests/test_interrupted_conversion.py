"""An interrupted conversion is resumed: what is whole and of the same settings stays, the result is the same."""

import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import OpenEXR
import pytest
from support.clips import alternating_clip, clip_with_sound
from support.converting import TWO, identity, invoke, save_lite
from support.killing import packets
from test_exposures import doubled_clip
from test_ranks import noise, plain_job

from lanhdr_cli import conversion, pipeline
from lanhdr_cli.conversion import ConvertJob, Load, load_network_for, run
from lanhdr_cli.media import exr, segments
from lanhdr_cli.media.encoder import EncoderOptions
from lanhdr_cli.media.errors import MediaError
from lanhdr_cli.media.video_writer import VideoOptions
from lanhdr_cli.options import ExposureOptions, FrameRange
from lanhdr_cli.summary import Summary

FRAMES = 30
QUICK = VideoOptions(encoding=EncoderOptions(preset="ultrafast"))


def whole(summary: Summary) -> Summary:
    """What a resumed run and an uninterrupted one have in common."""
    return replace(summary, seconds=0, outcome="", kept=0, decoded=0)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "SEGMENT_FRAMES", 8)


def stopped_at(index: int) -> Callable[[Any], Iterator[Any]]:
    """Make a stand-in for `reconstructed`, in which Ctrl-C comes while a frame is computed."""
    original = pipeline.reconstructed

    def reconstructed(*arguments: Any, **options: Any) -> Any:
        def results() -> Iterator[Any]:
            for result in original(*arguments, **options):
                if result.index == index:
                    signal.raise_signal(signal.SIGINT)
                yield result

        return results()

    return reconstructed


def interrupt(job: ConvertJob, index: int, *, load: Load = identity) -> KeyboardInterrupt:
    """Interrupt a conversion while a frame is computed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(conversion, "reconstructed", stopped_at(index))
        with pytest.raises(KeyboardInterrupt) as caught:
            run(job, load=load)
    return caught.value


@pytest.mark.parametrize("devices", [(), ("cpu", "cpu")])
def test_whole_frames_are_kept_and_others_made_again(tmp_path: Path, devices: tuple[str, ...]) -> None:
    source, weights = noise(tmp_path / "a.mkv", 20), save_lite(tmp_path / "lite.safetensors")
    job = plain_job(source, f"{tmp_path}/one/", weights=weights, device="cpu")
    first = run(job)
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    two = tmp_path / "two"
    for number in (1, 5, 6, 20):  # gaps inside and at both ends
        (two / f"a.{number:04d}.exr").unlink()
    (two / "a.0009.exr").write_bytes(b"")  # what a loss of power leaves
    os.truncate(two / "a.0012.exr", 9000)
    damaged = bytearray((two / "a.0015.exr").read_bytes())
    damaged[9000:9100] = bytes(100)
    (two / "a.0015.exr").write_bytes(damaged)
    (two / ".a.0005.exr.4711.tmp").write_bytes(b"left by a killed process")
    times = {path.name: path.stat().st_mtime_ns for path in two.iterdir()}
    second = run(replace(job, output=f"{two}/", resume=True, devices=devices, threads=1))
    assert contents(two) == contents(tmp_path / "one")
    assert second.kept == 13
    kept = [path.name for path in two.iterdir() if times.get(path.name) == path.stat().st_mtime_ns]
    assert len(kept) == 13
    assert whole(second) == whole(first)
    third = run(replace(job, output=f"{two}/", resume=True))
    assert (third.frames, third.kept, third.outcome) == (20, 20, second.outcome)


def test_resume_begins_where_nothing_is(tmp_path: Path) -> None:
    source = noise(tmp_path / "a.mkv", 6)
    assert run(plain_job(source, f"{tmp_path}/out/", resume=True), load=identity).kept == 0
    assert len(list((tmp_path / "out").iterdir())) == 6
    (tmp_path / "v").mkdir()
    assert run(plain_job(source, f"{tmp_path}/v/o.mkv", resume=True), load=identity).frames == 6
    assert [path.name for path in (tmp_path / "v").iterdir()] == ["o.mkv"]


def test_frames_of_other_settings_are_never_mixed_in(tmp_path: Path) -> None:
    source = noise(tmp_path / "a.mkv", 6)
    job = plain_job(source, f"{tmp_path}/out/", frames=FrameRange(0, 2))
    run(job, load=identity)
    before = contents(tmp_path / "out")
    others: list[dict[str, Any]] = [
        {"colorspace": "acescg"},
        {"scale": 2.0},
        {"exposures": ExposureOptions(cycle=TWO, slips=False, deflicker=False, doubled="drop")},
        {"start_number": 2},  # a.0002.exr would be frame 0
    ]
    for other in others:
        resumed = replace(job, frames=FrameRange(), resume=True, **other)
        with pytest.raises(MediaError, match=r"a.000[12].exr was made with other settings, or by another version"):
            run(resumed, load=identity)
        assert contents(tmp_path / "out") == before
    assert run(replace(job, frames=FrameRange(), resume=True), load=identity).kept == 3  # the range may be another one
    replaced = run(replace(job, frames=FrameRange(), resume=True, overwrite=True, scale=2.0), load=identity)
    assert (replaced.frames, replaced.kept) == (6, 0)


def test_the_number_format_of_the_network_belongs_to_the_settings(tmp_path: Path) -> None:
    source, weights = noise(tmp_path / "a.mkv", 4), save_lite(tmp_path / "lite.safetensors")
    job = plain_job(source, f"{tmp_path}/out/", weights=weights, device="cpu", precision="float32")
    run(job)
    with pytest.raises(MediaError, match="other settings"):
        run(replace(job, resume=True, precision="bf16"))
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(MediaError, match="other settings"):
        run(replace(job, resume=True))


@pytest.mark.parametrize("devices", [(), ("cpu", "cpu")])
def test_finished_segments_are_joined_later(tmp_path: Path, small_segments: None, devices: tuple[str, ...]) -> None:
    source = clip_with_sound(tmp_path / "a.mp4", "aac", count=FRAMES)
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    job = plain_job(source, tmp_path / "one" / "o.mp4", video=QUICK)
    first = run(job, load=identity)
    job = replace(job, output=str(tmp_path / "two" / "o.mp4"), again="go on")
    error = interrupt(job, 15)  # the last of a segment
    folder = tmp_path / "two" / ".o.mp4.segments"
    assert error.__notes__ == [f"2 segments of {job.output} are finished, 8 frames each", "go on"]
    assert sorted(path.name[:6] for path in folder.iterdir()) == ["000000", "000000", "000001", "000001"]
    with pytest.raises(MediaError, match=r"has left 2 finished segments of .*o.mp4: pass --resume to go on with them"):
        run(job, load=identity)
    for note in folder.glob("000000.*.json"):  # a loss of power, before it was written
        note.unlink()
    second = run(replace(job, resume=True, devices=devices), load=identity)
    assert second.kept == 8
    assert whole(second) == whole(first)
    assert second.outcome == first.outcome.replace("/one/", "/two/")  # MaxCLL and MaxFALL among others
    assert contents(tmp_path / "two") == contents(tmp_path / "one")
    with pytest.raises(MediaError, match="exists already, and nothing unfinished beside it: pass -y"):
        run(replace(job, resume=True), load=identity)


def test_a_run_that_is_killed_while_it_joins_is_joined_again(
    tmp_path: Path, small_segments: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = clip_with_sound(tmp_path / "a.mp4", "aac", count=FRAMES)
    job = plain_job(source, tmp_path / "o.mp4", video=QUICK)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lanhdr_cli.media.mux._time_s", lambda packet: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run(job, load=identity)
    summary = run(replace(job, resume=True), load=identity)
    assert (summary.frames, summary.kept) == (FRAMES, FRAMES)
    run(replace(job, output=str(tmp_path / "whole.mp4")), load=identity)
    assert (tmp_path / "o.mp4").read_bytes() == (tmp_path / "whole.mp4").read_bytes()


def test_segments_of_other_settings_are_refused_or_made_anew(
    tmp_path: Path, small_segments: None, caplog: pytest.LogCaptureFixture
) -> None:
    source = noise(tmp_path / "a.mkv", FRAMES)
    ffv1 = VideoOptions(encoding=EncoderOptions(codec="ffv1"))
    job = plain_job(source, tmp_path / "o.mkv", video=ffv1)
    interrupt(job, 20)
    other = replace(job, frames=FrameRange(1), resume=True)
    with pytest.raises(MediaError, match=r"2 finished segments of .*o.mkv, made with other settings: pass the same"):
        run(other, load=identity)
    summary = run(replace(other, overwrite=True), load=identity)
    assert (summary.frames, summary.kept) == (FRAMES - 1, 0)
    assert "2 finished segments of an interrupted run are removed, all is made anew" in caplog.text
    run(replace(other, output=str(tmp_path / "whole.mkv"), resume=False), load=identity)
    assert list(packets(tmp_path / "o.mkv", "video")) == list(packets(tmp_path / "whole.mkv", "video"))
    assert [path.name for path in tmp_path.glob(".*")] == []


def test_a_damaged_segment_is_made_again(tmp_path: Path, small_segments: None) -> None:
    source = noise(tmp_path / "a.mkv", FRAMES)
    job = plain_job(source, tmp_path / "o.mkv", video=VideoOptions(encoding=EncoderOptions(codec="ffv1")))
    interrupt(job, 25)
    folder = tmp_path / ".o.mkv.segments"
    first, second, third = (path for path in sorted(folder.iterdir()) if path.suffix != ".json")
    os.truncate(first, first.stat().st_size - 1)
    second.unlink()
    note = third.with_name(third.name + ".json")
    note.write_text(json.dumps(json.loads(note.read_text()) | {"frames": 7}))
    assert run(replace(job, resume=True), load=identity).kept == 0


def test_previews_of_resumed_runs(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = noise(tmp_path / "a.mkv", 9)
    job = plain_job(source, f"{tmp_path}/one/", preview=tmp_path / "one.png")
    run(job, load=identity)
    job = plain_job(source, f"{tmp_path}/two/", preview=tmp_path / "two.png")
    interrupt(job, 7)
    assert run(replace(job, resume=True), load=identity).kept == 7  # the frame that it shows is made again
    assert (tmp_path / "two.png").read_bytes() == (tmp_path / "one.png").read_bytes()
    (tmp_path / "two.png").write_bytes(b"there")
    assert run(replace(job, resume=True), load=identity).kept == 9
    assert (tmp_path / "two.png").read_bytes() == b"there"
    run(replace(job, resume=True, preview=tmp_path / "p.mp4"), load=identity)
    assert "p.mp4 is left out: it would show only the frames that are made now" in caplog.text
    assert not (tmp_path / "p.mp4").exists()


def test_the_command_that_goes_on_can_be_pasted(tmp_path: Path) -> None:
    source = noise(tmp_path / "it's $a clip.mkv", 9)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(conversion, "reconstructed", stopped_at(5))
        words = ("--exposures=1,8", "--response=gamma2.2", "--black-code=0", "--no-slips", "--no-deflicker", "-q")
        outcome = invoke("convert", *words, "-o", f"{tmp_path}/o/", "--", source)
    assert outcome.exit_code == 130
    told, command = outcome.stderr.rstrip("\n").split("; go on with: ")
    assert told == f"Interrupted: 6 finished frames stay in {tmp_path}/o"
    assert command.endswith(f"-o {tmp_path}/o/ --resume -- '{tmp_path}/it'\"'\"'s $a clip.mkv'")


def test_checksums_find_every_changed_byte(tmp_path: Path) -> None:
    source = noise(tmp_path / "a.mkv", 2)
    run(plain_job(source, f"{tmp_path}/out/"), load=identity)
    path = tmp_path / "out" / "a.0001.exr"
    with path.open("rb") as file, OpenEXR.File(file, header_only=True) as picture:
        settings = picture.header()[exr.SETTINGS]
    assert exr.finished_frame(path, settings, index=0, number=1) == exr.FinishedFrame(nan=False, alone=False)
    content = path.read_bytes()
    for place in range(2000, len(content), 997):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        assert exr.finished_frame(path, settings, index=0, number=1) is None, place
    for length in range(0, len(content), 1999):
        path.write_bytes(content[:length])
        assert exr.finished_frame(path, settings, index=0, number=1) is None, length


@pytest.mark.parametrize("output", ["exr/", "o.mkv"])
def test_dropped_frames_stay_left_out(tmp_path: Path, small_segments: None, output: str) -> None:
    source, _ = doubled_clip(tmp_path / "a.mkv")
    options = ExposureOptions(doubled="drop")
    job = ConvertJob(source=source, output=f"{tmp_path}/one-{output}", exposures=options, frames=FrameRange(1))
    first = run(job, load=identity)
    job = replace(job, output=f"{tmp_path}/two-{output}")
    interrupt(job, 11)
    second = run(replace(job, resume=True), load=identity)
    assert second.kept == (9 if output == "exr/" else 8)
    assert whole(second) == whole(first)
    one, two = (tmp_path / f"{name}-{output}" for name in ("one", "two"))
    if output == "exr/":
        assert contents(two) == contents(one)
    else:
        assert list(packets(two, "video")) == list(packets(one, "video"))


@pytest.mark.parametrize("output", ["exr/", "o.mkv"])
def test_what_is_said_of_frames_is_said_again(tmp_path: Path, small_segments: None, output: str) -> None:
    """Frames that are kept count among those converted alone."""
    source, weights = (
        alternating_clip(tmp_path / "a.mkv", [8.0] * 12 + [1.0, 8.0] * 6),
        save_lite(tmp_path / "l.safetensors"),
    )
    job = ConvertJob(source=source, output=f"{tmp_path}/{output}", weights=weights, device="cpu")
    interrupt(job, 14, load=load_network_for)
    summary = run(replace(job, resume=True))
    assert summary.kept >= 8
    assert summary.unmerged == tuple(range(8))
