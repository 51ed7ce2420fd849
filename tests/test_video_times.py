"""Times, sound and tags of a clip in the video made of it."""

import shutil
import subprocess
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from support.clips import QUIET_X264, REC709, Tags, clip_with_sound, grays, write_clip
from support.converting import TWO, identity, job

from lanhdr_cli.conversion import run
from lanhdr_cli.media.encoder import EncoderOptions
from lanhdr_cli.media.video_writer import VideoOptions
from lanhdr_cli.options import FrameRange

QUICK = VideoOptions(encoding=EncoderOptions(preset="ultrafast", threads=1))
NTSC_FILM = Fraction(24000, 1001)


def convert(source: Path, target: Path, *, frames: FrameRange = FrameRange(), video: VideoOptions = QUICK) -> None:  # noqa: B008
    run(job(source, str(target), TWO, frames=frames, video=video), load=identity)


def video_times(path: Path) -> list[Fraction]:
    with av.open(str(path)) as container:
        return [
            frame.pts * frame.time_base
            for frame in container.decode(video=0)
            if frame.pts is not None and frame.time_base
        ]


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
@pytest.mark.parametrize(
    ("rate", "base", "pts"),
    [
        (Fraction(30), Fraction(1, 15360), [0, 512, 1024, 2048, 2560, 4096, 4608]),  # frames at varying times
        (NTSC_FILM, Fraction(1, 24000), [1001 * index for index in range(7)]),
    ],
    ids=["varying", "23.976"],
)
def test_times_are_those_of_the_clip(
    tmp_path: Path, suffix: str, rate: Fraction, base: Fraction, pts: list[int]
) -> None:
    source = write_clip(
        tmp_path / "a.mp4",
        grays(7),
        codec="libx264",
        rate=rate,
        tags=REC709,
        pts=pts,
        time_base=base,
        options=QUIET_X264,
    )
    times = video_times(source)
    assert times == [number * base for number in pts]
    convert(source, tmp_path / f"o{suffix}")
    found = video_times(tmp_path / f"o{suffix}")
    # Matroska counts milliseconds
    wanted = [Fraction(round(time * 1000), 1000) for time in times] if suffix == ".mkv" else times
    assert found == wanted


def test_a_range_begins_at_zero_and_counts_its_time_code(tmp_path: Path) -> None:
    tags = Tags(1, 1, timecode="10:20:30:20")
    source = write_clip(tmp_path / "a.mov", grays(10), codec="libx264", tags=tags, options=QUIET_X264)
    convert(source, tmp_path / "o.mov", frames=FrameRange(6, 8))
    assert video_times(tmp_path / "o.mov") == [Fraction(index, 24) for index in range(3)]
    with av.open(str(tmp_path / "o.mov")) as container:
        assert container.streams.video[0].metadata["timecode"] == "10:20:31:02"


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_time_code_and_tags_are_kept(tmp_path: Path, suffix: str) -> None:
    tags = Tags(1, 1, timecode="01:02:03:04", aspect=Fraction(4, 3))
    source = write_clip(tmp_path / "a.mov", grays(4), codec="libx264", tags=tags, options=QUIET_X264)
    convert(source, tmp_path / f"o{suffix}")
    with av.open(str(tmp_path / f"o{suffix}")) as container:
        stream = container.streams.video[0]
        said = {key.lower(): value for key, value in (container.metadata | stream.metadata).items()}
        assert said["timecode"] == "01:02:03:04"
        assert stream.sample_aspect_ratio == Fraction(4, 3)
        assert stream.average_rate == 24


@pytest.mark.parametrize(("rotation", "size"), [(90, (64, 96)), (180, (96, 64)), (270, (64, 96))])
def test_turned_clips_become_upright(tmp_path: Path, rotation: int, size: tuple[int, int]) -> None:
    source = write_clip(
        tmp_path / "a.mp4", grays(4), codec="libx264", tags=Tags(1, 1, rotation=rotation), options=QUIET_X264
    )
    convert(source, tmp_path / "o.mp4")
    with av.open(str(tmp_path / "o.mp4")) as container:
        frame = next(container.decode(video=0))
    assert ((frame.width, frame.height), frame.rotation) == (size, 0)


def sound_packets(path: Path) -> list[tuple[Fraction, bytes]]:
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(audio=0) if packet.size]
        return [(packet.pts * packet.time_base, bytes(packet)) for packet in packets if packet.pts is not None]


@pytest.mark.parametrize(
    ("name", "codec", "suffix"),
    [
        ("a.mp4", "aac", ".mp4"),
        ("a.mp4", "aac", ".mov"),
        ("a.mp4", "aac", ".mkv"),
        ("a.mkv", "libopus", ".mp4"),
        ("a.mkv", "libopus", ".mkv"),
        ("a.mov", "pcm_s16le", ".mov"),
        ("a.mov", "pcm_s16le", ".mkv"),
    ],
)
def test_sound_is_copied_bit_by_bit_at_its_times(tmp_path: Path, name: str, codec: str, suffix: str) -> None:
    source = clip_with_sound(tmp_path / name, codec)
    target = tmp_path / f"o{suffix}"
    convert(source, target)
    before, after = sound_packets(source), sound_packets(target)
    # mov may pack samples of PCM anew
    assert b"".join(data for _, data in after) == b"".join(data for _, data in before)
    coarse = Fraction(1, 1000) if ".mkv" in (suffix, source.suffix) else Fraction(1, 48000)
    assert abs(after[0][0] - before[0][0]) <= coarse
    assert abs(after[-1][0] - before[-1][0]) <= coarse or codec.startswith("pcm")
    assert video_times(target)[0] == video_times(source)[0]
    with av.open(str(target)) as container:
        said = {key.lower(): value for key, value in container.metadata.items()}
        assert container.streams.audio[0].metadata["language"] == "fra"
    assert said["title"] == "A tone"
    assert said["creation_time"].startswith("2020-01-02T03:04:05")


def test_sound_that_does_not_fit_becomes_aac_and_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = clip_with_sound(tmp_path / "a.mkv", "libopus")
    convert(source, tmp_path / "o.mov")
    assert "opus sound does not fit the container: it is encoded as AAC" in caplog.text
    with av.open(str(tmp_path / "o.mov")) as container:
        assert container.streams.audio[0].codec_context.name == "aac"
        sound = np.concatenate([frame.to_ndarray() for frame in container.decode(audio=0)], axis=1)
    assert sound.shape[1] / 48000 == pytest.approx(1, abs=0.05)
    middle = sound[:, 12000:36000]
    assert np.sqrt((middle**2).mean()) == pytest.approx(0.5 / np.sqrt(2), rel=0.05)


def test_sound_of_a_range_is_cut(tmp_path: Path) -> None:
    source = clip_with_sound(tmp_path / "a.mov", "pcm_s16le")
    convert(source, tmp_path / "o.mov", frames=FrameRange(12, 17))
    whole = b"".join(data for _, data in sound_packets(source))
    packets = sound_packets(tmp_path / "o.mov")
    part = b"".join(data for _, data in packets)
    begin = whole.find(part)
    assert begin >= 0
    # frame 12 is at half a second, sample 24000 of 2 bytes; packets are of 1024 samples
    assert 24000 - 1024 < begin / 2 <= 24000
    assert 12000 <= len(part) / 2 < 12000 + 2 * 1024
    assert packets[0][0] == pytest.approx(Fraction(begin, 2 * 48000) - Fraction(1, 2), abs=1e-4)


def test_sound_can_be_left_out(tmp_path: Path) -> None:
    source = clip_with_sound(tmp_path / "a.mp4", "aac", count=6)
    convert(source, tmp_path / "o.mp4", video=VideoOptions(encoding=QUICK.encoding, sound=False))
    with av.open(str(tmp_path / "o.mp4")) as container:
        assert not container.streams.audio
        assert container.metadata["title"] == "A tone"


def test_the_preview_shows_input_and_result_with_sound(tmp_path: Path) -> None:
    source = clip_with_sound(tmp_path / "a.mp4", "aac", count=6)
    run(job(source, str(tmp_path / "o.exr"), TWO, preview=tmp_path / "p.mp4", threads=1), load=identity)
    assert video_times(tmp_path / "p.mp4") == video_times(source)
    with av.open(str(tmp_path / "p.mp4")) as container:
        context = container.streams.video[0].codec_context
        assert (context.name, context.pix_fmt) == ("h264", "yuv420p")
        assert (context.color_primaries, context.color_trc, context.colorspace, context.color_range) == (1, 1, 1, 1)
        assert len(container.streams.audio) == 1
        frames = [frame.to_ndarray(format="yuv420p")[:64] for frame in container.decode(video=0)]
    assert frames[0].shape == (64, 2 * 96 + 12)
    for index, picture in enumerate(frames):
        assert picture[8:56, 8:88].mean() == pytest.approx(40 + 10 * index, abs=3)  # the input's own luma
        assert picture[8:56, 98:106].mean() > 220  # the gap


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="no ffmpeg")
def test_ffmpeg_decodes_every_file_without_an_error(tmp_path: Path) -> None:
    source = clip_with_sound(tmp_path / "a.mp4", "aac", count=6)
    for suffix in (".mp4", ".mov", ".mkv"):
        convert(source, tmp_path / f"o{suffix}")
        # times in milliseconds would be too coarse for the frames that ffmpeg counts at the end
        words = ["-fps_mode", "passthrough", "-enc_time_base", "1:90000", "-f", "null", "-"]
        command = ["ffmpeg", "-v", "error", "-xerror", "-i", str(tmp_path / f"o{suffix}"), *words]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert done.stderr == ""
