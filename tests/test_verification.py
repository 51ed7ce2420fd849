"""`--verify`: results that are as written pass, and each kind of damage is found."""

import os
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import OpenEXR
import pytest
import torch
from support.clips import counting_clip
from support.converting import TWO, identity, invoke, job
from test_videos import COMBINATIONS, wishes

from lanhdr_cli.conversion import run
from lanhdr_cli.media.errors import MediaError
from lanhdr_cli.media.exr import half_pixels, write_exr
from lanhdr_cli.media.hdr10_metadata import LightLevel, MasteringDisplay, StaticMetadata
from lanhdr_cli.media.mux import mux_video
from lanhdr_cli.media.paths import FrameNames
from lanhdr_cli.media.verification import WrittenPixels, WrittenVideo, verify_exr, verify_video
from lanhdr_cli.run_options import SafetyOptions

VERIFIED = SafetyOptions(verify=True)
RADIANCE = torch.rand(3, 24, 32, generator=torch.Generator().manual_seed(0)) * 5
WRITTEN = WrittenPixels.of(half_pixels(RADIANCE, 8.0))


@pytest.fixture
def frame(tmp_path: Path) -> Path:
    write_exr(tmp_path / "a.exr", RADIANCE, 8.0, header={"compression": OpenEXR.ZIP_COMPRESSION})
    return tmp_path / "a.exr"


def test_a_frame_as_written_passes(frame: Path) -> None:
    verify_exr(frame, WRITTEN)


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) * 2 // 3] ^= 4
    path.write_bytes(content)


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def other_pixels(path: Path) -> None:
    write_exr(path, RADIANCE.roll(1, 0), 8.0, header={})


def smaller(path: Path) -> None:
    write_exr(path, RADIANCE[..., 1:], 8.0, header={})


@pytest.mark.parametrize("damage", [flip_a_bit, cut_short, other_pixels, smaller, os.unlink])
def test_damage_of_a_frame_is_found(frame: Path, damage: Callable[[Path], None]) -> None:
    damage(frame)
    with pytest.raises(MediaError, match=r"--verify: .*a\.exr is not as written, .*: check that disk, and convert"):
        verify_exr(frame, WRITTEN)


@pytest.mark.parametrize(("codec", "suffix", "tag"), COMBINATIONS)
@pytest.mark.parametrize("hlg", [False, True])
def test_videos_as_written_pass(tmp_path: Path, codec: str, suffix: str, tag: str | None, hlg: bool) -> None:
    clip = counting_clip(tmp_path / "a.mp4", count=9, size=(96, 64))
    video = wishes(codec, hlg=hlg)
    summary = run(job(clip, f"{tmp_path}/o{suffix}", TWO, video=video, safety=VERIFIED), load=identity)
    assert summary.verified == summary.frames == 9
    assert "9 read again and found as written" in summary.account


def test_frames_are_verified_where_they_are_asked_to_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = counting_clip(tmp_path / "a.mp4", count=5)
    assert run(job(clip, f"{tmp_path}/plain/", TWO), load=identity).verified is None
    assert run(job(clip, f"{tmp_path}/o/", TWO, safety=VERIFIED), load=identity).verified == 5


def test_a_frame_that_changes_on_the_disk_ends_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = counting_clip(tmp_path / "a.mp4", count=5)
    path_of = FrameNames.path

    def damaged(names: FrameNames, index: int) -> Path:
        path = path_of(names, index)
        if index == 3 and path.exists():
            flip_a_bit(path)
        return path

    monkeypatch.setattr(FrameNames, "path", damaged)
    outcome = invoke("convert", clip, "-o", f"{tmp_path}/o/", "--exposures", "1,8", "--verify", "--device", "cpu")
    assert outcome.exit_code == 1
    (error,) = [line for line in outcome.stderr.splitlines() if line.startswith("Error")]
    assert "--verify: " in error and "a.0004.exr is not as written" in error


TIMES = tuple(Fraction(number, 24) for number in range(9))


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, WrittenVideo]:
    """A video, and what its writer meant it to be."""
    folder = tmp_path_factory.mktemp("video")
    clip = counting_clip(folder / "a.mp4", count=9, size=(96, 64))
    summary = run(job(clip, f"{folder}/o.mp4", TWO, video=wishes()), load=identity)
    assert summary.max_cll and summary.max_fall
    light = LightLevel(max_cll=summary.max_cll, max_fall=summary.max_fall)
    metadata = StaticMetadata(display=MasteringDisplay(peak_nits=1000.0), light=light)
    return folder / "o.mp4", WrittenVideo(times=TIMES, primaries=9, transfer=16, metadata=metadata)


def other_light(written: WrittenVideo) -> StaticMetadata:
    assert written.metadata
    light = LightLevel(max_cll=written.metadata.light.max_cll + 1, max_fall=written.metadata.light.max_fall)
    return StaticMetadata(display=written.metadata.display, light=light)


def other_display(written: WrittenVideo) -> StaticMetadata:
    assert written.metadata
    return StaticMetadata(display=MasteringDisplay(peak_nits=600.0), light=written.metadata.light)


def test_what_differs_in_a_video_is_named(video: tuple[Path, WrittenVideo]) -> None:
    from dataclasses import replace

    path, written = video
    verify_video(path, written, container="mp4")
    for other, message in (
        (replace(written, times=(*TIMES, Fraction(1))), "only 9 of 10 frames can be decoded"),
        (replace(written, times=TIMES[:-1]), "more than 8 of 8 frames can be decoded"),
        (replace(written, times=(*TIMES[:4], TIMES[4] + Fraction(1, 1000), *TIMES[5:])), "frame 4 has the time 1/6"),
        (replace(written, transfer=18), "colors are tagged 9, 16 in frame 0"),
        (replace(written, metadata=other_light(written)), "MaxCLL and MaxFALL are "),
        (replace(written, metadata=other_display(written)), "its mastering display is "),
    ):
        with pytest.raises(MediaError, match=message):
            verify_video(path, other, container="mp4")


@pytest.mark.parametrize("damage", [cut_short, flip_a_bit, os.unlink])
def test_damage_of_a_video_is_found(
    video: tuple[Path, WrittenVideo], tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    path, written = video
    copy = tmp_path / "copy.mp4"
    copy.write_bytes(path.read_bytes())
    damage(copy)
    with pytest.raises(MediaError, match=r"--verify: .*copy\.mp4 is not as written"):
        verify_video(copy, written, container="mp4")


def test_a_video_that_fails_gets_no_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mux = mux_video

    def damaging(segments: object, target: Path, **arguments: object) -> None:
        mux(segments, target, **arguments)  # type: ignore[arg-type]
        cut_short(target)

    monkeypatch.setattr("lanhdr_cli.media.video_writer.mux_video", damaging)
    clip = counting_clip(tmp_path / "a.mp4", count=5, size=(96, 64))
    with pytest.raises(MediaError, match="is not as written"):
        run(job(clip, f"{tmp_path}/o.mp4", TWO, video=wishes(), safety=VERIFIED), load=identity)
    assert not (tmp_path / "o.mp4").exists()
