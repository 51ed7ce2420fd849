"""Files that were cut off say so, in every container that states its length; whole ones say nothing."""

import struct
from pathlib import Path

import av
import pytest
from support.clips import QUIET_X264, REC709, clip_with_sound, counting_clip, gray_frame, write_clip
from support.converting import invoke

from lanhdr_cli.media.completeness import missing_end
from lanhdr_cli.media.errors import DamageError
from lanhdr_cli.media.source import Reading, open_source

CODECS = {"mp4": "libx264", "mov": "mpeg4", "mkv": "ffv1", "webm": "libvpx-vp9", "ts": "mpeg2video"}


@pytest.fixture(params=CODECS)
def clip(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    name: str = request.param
    return counting_clip(tmp_path / f"a.{name}", count=8, codec=CODECS[name])


def test_a_whole_file_misses_nothing(clip: Path) -> None:
    assert missing_end(clip) == ""


@pytest.mark.parametrize("share", [0.5, 0.9, 0.999])
def test_a_file_that_was_cut_off_says_so(clip: Path, share: float) -> None:
    clip.write_bytes(clip.read_bytes()[: int(clip.stat().st_size * share)])
    assert "the file" in missing_end(clip)


def test_a_whole_file_with_sound_misses_nothing(tmp_path: Path) -> None:
    assert missing_end(clip_with_sound(tmp_path / "a.mkv", "aac")) == ""


@pytest.mark.parametrize("content", [b"", b"\x1aE\xdf\xa3", b"\x1aE\xdf\xa3\x00", b"\0\0\0\x08ftyp", b"G" * 10])
def test_what_states_no_length_misses_nothing_that_is_known(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.mkv").write_bytes(content)
    assert missing_end(tmp_path / "a.mkv") == ""


def test_boxes_that_lead_back_come_to_an_end(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(struct.pack(">I4sQ", 1, b"ftyp", 4) * 10)
    assert missing_end(tmp_path / "a.mp4") == ""


def test_a_live_recording_of_unknown_length_misses_nothing(tmp_path: Path) -> None:
    clip = counting_clip(tmp_path / "a.mkv", count=8, codec="ffv1")
    data = bytearray(clip.read_bytes())
    place = data.index(b"\x18S\x80g") + 4
    data[place : place + 8] = b"\x01" + b"\xff" * 7
    clip.write_bytes(data[: len(data) // 2])
    assert missing_end(clip) == ""


@pytest.mark.parametrize("name", ["mkv", "ts"])
def test_frames_lost_at_the_end_are_told_of_and_strict_stops(tmp_path: Path, name: str) -> None:
    clip = counting_clip(tmp_path / f"a.{name}", count=8, codec=CODECS[name])
    clip.write_bytes(
        clip.read_bytes()[: int(clip.stat().st_size * 0.8) // 188 * 188 + 100]
    )  # within a packet of MPEG-TS
    with open_source(clip) as source:
        assert 0 < len(list(source.frames())) < 8
        assert any("it was cut off, and frames at its end are missing" in text for text in source.faults.messages())
    with open_source(clip, Reading(strict=True)) as source, pytest.raises(DamageError, match="it was cut off"):
        list(source.frames())
    assert invoke("inspect", clip, "--strict", "--exposures", "1,8").exit_code == 3


@pytest.mark.parametrize("tagged", [True, False])
def test_frames_that_matroska_loses_to_damage_are_told_of(tmp_path: Path, tagged: bool) -> None:
    clip = counting_clip(tmp_path / "a.mkv", count=8, codec="ffv1")
    data = clip.read_bytes() if tagged else clip.read_bytes().replace(b"DURATION", b"SOMETIME")
    clip.write_bytes(data)
    with av.open(clip) as container:
        place = [packet.pos or 0 for packet in container.demux()][6]
    with open_source(clip, Reading(strict=True)) as source:
        assert len(list(source.frames())) == 8
    clip.write_bytes(data[: place + 1] + b"\x1f\xff\xff\xff" + data[place + 5 :])  # longer than its cluster
    with open_source(clip) as source:
        assert len(list(source.frames())) == 6
        assert source.faults.messages() == ["the file states 0.334 s of pictures, they end before that"]
    with open_source(clip, Reading(strict=True)) as source, pytest.raises(DamageError, match=r"states 0\.334 s"):
        list(source.frames())


def test_frames_that_mxf_loses_at_its_end_are_told_of(tmp_path: Path) -> None:
    frames = [gray_frame(40 + 10 * number) for number in range(12)]
    clip = write_clip(tmp_path / "a.mxf", frames, codec="mpeg2video", options={"g": "1"}, tags=REC709)
    with open_source(clip, Reading(strict=True)) as source:
        assert len(list(source.frames())) == 12
    with av.open(clip) as container:
        place = [packet.pos or 0 for packet in container.demux()][9]
    data = bytearray(clip.read_bytes()[:place])
    footer = 20 + 24  # of the header's partition pack: where the file's footer is
    data[footer : footer + 8] = bytes(8)
    clip.write_bytes(data)
    assert missing_end(clip) == ""
    with open_source(clip) as source:
        assert len(list(source.frames())) == 9
        assert source.faults.messages() == ["the file states 0.500 s of pictures, they end before that"]


def test_pictures_before_the_first_key_frame_are_told_of(tmp_path: Path) -> None:
    frames, groups = [gray_frame(40 + 10 * number) for number in range(12)], {"g": "4", "bf": "0"}
    clip = write_clip(tmp_path / "a.ts", frames, codec="libx264", options=QUIET_X264 | groups, tags=REC709)
    with av.open(clip) as container:
        packets = [packet for packet in container.demux() if packet.pos is not None]
    assert [packet.is_keyframe for packet in packets] == [True, False, False, False] * 3
    data, tables = clip.read_bytes(), packets[0].pos or 0
    clip.write_bytes(data[:tables] + data[packets[1].pos :])  # as a recording that begins anywhere
    with open_source(clip) as source:
        assert len(list(source.frames())) == 8
        assert source.faults.headless == 3
        assert "the first 3 pictures refer to others that are not there" in source.faults.messages()[0]
        assert len(list(source.frames(start=5))) == 3  # by the index
        assert source.faults.headless == 0
    with open_source(clip, Reading(strict=True)) as source, pytest.raises(DamageError, match="the first 3 pictures"):
        list(source.frames())
