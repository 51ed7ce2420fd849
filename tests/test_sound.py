"""Sound of any rate and number of channels in the video made of a clip."""

import errno
import logging
import subprocess
import sys
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.video.stream import VideoStream
from numpy.typing import NDArray
from support.clips import HEVC_SIZE, QUIET_X264, REC709, gray_frame
from support.converting import TWO, identity, job

from lanhdr_cli.conversion import ConvertJob, ReadyNetwork, run
from lanhdr_cli.media import sound
from lanhdr_cli.media.encoder import EncoderOptions, writing
from lanhdr_cli.media.errors import MediaError
from lanhdr_cli.media.video_writer import VideoOptions
from model.exposure import ExposureCycle, FrameExposures
from model.frames import HdrFrame, LdrFrame

QUICK = VideoOptions(encoding=EncoderOptions(preset="ultrafast", threads=1))
COUNT, RATE = 6, 24


def tones(channels: int, rate: int) -> NDArray[np.float64]:
    """A tone of its own in each channel, (C, samples)."""
    times = np.arange(rate * COUNT // RATE) / rate
    return 0.25 * np.sin(2 * np.pi * times * (300 + 100 * np.arange(channels)[:, None]))


def heard_clip(path: Path, codec: str, *, rate: int = 48000, layout: str = "mono") -> Path:
    """A quarter of a second of gray frames and tones."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=RATE, options=QUIET_X264)
        assert isinstance(video, VideoStream)
        video.width, video.height, video.pix_fmt = (*HEVC_SIZE, "yuv420p")
        video.codec_context.colorspace, video.codec_context.color_range = REC709.colorspace or 0, 1
        audio = container.add_stream(codec, rate=rate)
        assert isinstance(audio, AudioStream)
        audio.codec_context.layout = layout
        for index in range(COUNT):
            frame = gray_frame(60 + 10 * index, size=HEVC_SIZE)
            frame.pts, frame.time_base = index, Fraction(1, RATE)
            container.mux(video.encode(frame))
        wave = tones(audio.codec_context.layout.nb_channels, rate).T.reshape(1, -1)
        # 24 bits in 32, so that PCM of 24 bits holds them
        codes = (wave * 2**23).round().astype(np.int32) << 8
        heard = AudioFrame.from_ndarray(codes, format="s32", layout=layout)
        heard.sample_rate, heard.pts, heard.time_base = rate, 0, Fraction(1, rate)
        for part in AudioResampler(format=audio.codec_context.format, layout=layout, rate=rate).resample(heard):
            container.mux(audio.encode(part))
        container.mux(audio.encode(None))
        container.mux(video.encode(None))
    return path


def samples(path: Path) -> tuple[str, int, NDArray[np.float64]]:
    """Codec, rate, and the samples from 0 on, full scale 1, (C, samples)."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        parts = []
        for frame in container.decode(stream):
            (interleaved,) = AudioResampler(format="s32").resample(frame)
            part = interleaved.to_ndarray().reshape(-1, frame.layout.nb_channels).T / 2**31
            parts.append(part[:, max(0, -round((frame.time or 0.0) * frame.sample_rate)) :])
        return stream.codec_context.name, stream.codec_context.sample_rate, np.concatenate(parts, 1)


def convert(source: Path, target: Path) -> None:
    run(job(source, str(target), TWO, slips=False, deflicker=False, video=QUICK), load=identity)


@pytest.mark.parametrize(
    ("name", "codec", "rate", "layout"),
    [
        ("a.mov", "pcm_s24le", 48000, "mono"),
        ("a.mov", "pcm_s24le", 192000, "stereo"),
        ("a.mov", "pcm_s24le", 48000, "4.0"),
        ("a.avi", "pcm_s16le", 48000, "3.0"),
        ("a.avi", "pcm_u8", 8000, "mono"),
        ("a.mov", "pcm_s16be", 44100, "5.1"),
    ],
    ids=lambda value: str(value),
)
@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_pcm_stays_as_it_was_and_is_alac_in_mp4(
    tmp_path: Path, name: str, codec: str, rate: int, layout: str, suffix: str, caplog: pytest.LogCaptureFixture
) -> None:
    source = heard_clip(tmp_path / name, codec, rate=rate, layout=layout)
    with caplog.at_level(logging.WARNING):
        convert(source, tmp_path / f"o{suffix}")
    assert "sound" not in caplog.text
    _, _, before = samples(source)
    found, found_rate, after = samples(tmp_path / f"o{suffix}")
    assert found_rate == rate
    assert found == ("alac" if suffix == ".mp4" else found)
    assert found.startswith(("pcm_", "alac"))
    np.testing.assert_array_equal(after, before)


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
@pytest.mark.parametrize("rate", [11024, 11025])
def test_sound_of_old_cameras_becomes_aac_of_a_rate_it_knows(
    tmp_path: Path, rate: int, suffix: str, caplog: pytest.LogCaptureFixture
) -> None:
    source = heard_clip(tmp_path / "a.avi", "adpcm_ima_wav", rate=rate)
    with caplog.at_level(logging.WARNING):
        convert(source, tmp_path / f"o{suffix}")
    assert "adpcm_ima_wav sound does not fit the container: it is encoded as AAC" in caplog.text
    assert ("at 11025 Hz instead of 11024" in caplog.text) == (rate == 11024)
    found, found_rate, after = samples(tmp_path / f"o{suffix}")
    assert (found, found_rate) == ("aac", 11025)
    expected = tones(1, 11025)[:, 1024:2048]
    assert np.abs(after[:, 1024:2048] - expected).max() < 0.05


def test_pcm_that_alac_does_not_hold_becomes_aac_in_mp4(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = heard_clip(tmp_path / "a.mov", "pcm_f32le", rate=96000, layout="stereo")
    with caplog.at_level(logging.WARNING):
        convert(source, tmp_path / "o.mp4")
    assert "pcm_f32le sound does not fit the container: it is encoded as AAC, at 48000 Hz instead of" in caplog.text
    found, rate, after = samples(tmp_path / "o.mp4")
    assert (found, rate, len(after)) == ("aac", 48000, 2)


@pytest.mark.parametrize("suffix", [".mov", ".mkv"])
def test_sixteen_channels_are_copied_where_pcm_fits(tmp_path: Path, suffix: str) -> None:
    source = heard_clip(tmp_path / "a.mov", "pcm_s16le", layout="hexadecagonal")
    convert(source, tmp_path / f"o{suffix}")
    np.testing.assert_array_equal(samples(tmp_path / f"o{suffix}")[2], samples(source)[2])


def test_sixteen_channels_are_mixed_for_mp4_and_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = heard_clip(tmp_path / "a.mov", "pcm_s16le", layout="hexadecagonal")
    with caplog.at_level(logging.WARNING):
        convert(source, tmp_path / "o.mp4")
    assert "encoded as AAC, its 16 channels mixed to stereo" in caplog.text
    found, _, after = samples(tmp_path / "o.mp4")
    assert (found, len(after)) == ("aac", 2)
    whole = tones(16, 48000)
    for side in (0, 1):  # odd channels left, even ones right
        assert np.abs(after[side, 4000:8000] - whole[side::2].mean(0)[4000:8000]).max() < 0.03


def test_channels_in_an_order_of_their_own_do_not_end_the_program(tmp_path: Path) -> None:
    source = heard_clip(tmp_path / "a.mov", "pcm_s24le", layout="7.1")  # mov lists its channels one by one
    arguments = [
        "convert",
        source,
        "--exposures",
        "1,8",
        "--no-slips",
        "--no-deflicker",
        "--no-progress",
        "--threads",
        1,
    ]
    command = [sys.executable, "-m", "lanhdr_cli", *map(str, arguments), "-o", str(tmp_path / "o.mp4")]
    done = subprocess.run([*command, "--preset", "ultrafast"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    program = f"import av; print(av.open({str(tmp_path / 'o.mp4')!r}).streams.audio[0].codec_context.name)"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout == b"alac\n"


class NeverAsked:
    """A network that must not be asked for a frame."""

    def reconstruct(
        self, frames: Iterable[LdrFrame], *, period: int, cycle: ExposureCycle | None = None
    ) -> Iterator[HdrFrame]:
        """Fail."""
        raise AssertionError("a picture was computed")


def test_sound_that_can_not_be_encoded_is_refused_before_the_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sound, "AAC_RATES", (11024,))  # which the encoder refuses
    source = heard_clip(tmp_path / "a.avi", "adpcm_ima_wav", rate=11024)

    def load(job: ConvertJob, exposures: FrameExposures) -> ReadyNetwork:
        return ReadyNetwork(reconstructor=NeverAsked(), name="none", margin=4)

    wanted = r"sound stream 1 \(adpcm_ima_wav, 11024 Hz, 1 channels\) can't be encoded \(Invalid .*\): pass --no-audio"
    with pytest.raises(MediaError, match=wanted):
        run(job(source, str(tmp_path / "o.mp4"), TWO, slips=False, deflicker=False, video=QUICK), load=load)
    assert not (tmp_path / "o.mp4").exists()


@pytest.mark.parametrize(("code", "frees"), [(errno.ENOSPC, True), (errno.EINVAL, False)])
def test_only_a_full_disk_asks_for_space(tmp_path: Path, code: int, frees: bool) -> None:
    with pytest.raises(MediaError, match=r"can't write to .*choose another place") as told, writing(tmp_path):
        raise OSError(code, "it failed")
    assert ("free some space" in str(told.value)) == frees
