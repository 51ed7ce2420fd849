"""Clips whose clock does not begin at 0, whose edit lists hide frames, or which hold other pictures as well."""

import logging
import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.audio.stream import AudioStream
from av.stream import Disposition
from av.video.stream import VideoStream
from support.clips import HEVC_SIZE, QUIET_X264, gray_frame, grays, write_clip
from support.converting import TWO, identity, job

from lanhdr_cli.conversion import run
from lanhdr_cli.media.encoder import EncoderOptions
from lanhdr_cli.media.video_reader import VideoReader
from lanhdr_cli.media.video_writer import VideoOptions

QUICK = VideoOptions(encoding=EncoderOptions(preset="ultrafast", threads=1))
RATE, SOUND_RATE, FLASH = 24, 48000, 12  # the picture lights up with frame 12, when the tone begins


def flash_clip(path: Path, *, codec: str = "aac", begin: Fraction = Fraction(0), sound: bool = True) -> Path:
    """A second that is dark and silent up to its middle; both clocks begin at `begin` seconds."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=RATE, options={"preset": "medium", "crf": "10", "g": "24"})
        assert isinstance(video, VideoStream)
        video.width, video.height, video.pix_fmt = (*HEVC_SIZE, "yuv420p")
        video.codec_context.colorspace, video.codec_context.color_range = 1, 1
        audio = container.add_stream(codec, rate=SOUND_RATE) if sound else None
        for index in range(RATE):
            frame = gray_frame(220 if index >= FLASH else 30, size=HEVC_SIZE)
            frame.pts, frame.time_base = index + round(begin * RATE), Fraction(1, RATE)
            container.mux(video.encode(frame))
        if isinstance(audio, AudioStream):
            audio.layout = "mono"
            times = np.arange(SOUND_RATE) / SOUND_RATE
            wave = np.where(times < FLASH / RATE, 0, np.sin(times * 3000) * 0.5)
            samples = (wave * 32767).astype(np.int16)[None] if codec == "pcm_s16le" else wave.astype(np.float32)[None]
            heard = av.AudioFrame.from_ndarray(samples, format=audio.codec_context.format.name, layout="mono")
            heard.sample_rate, heard.time_base = SOUND_RATE, Fraction(1, SOUND_RATE)
            heard.pts = round(begin * SOUND_RATE)
            container.mux(audio.encode(heard))
            container.mux(audio.encode(None))
        container.mux(video.encode(None))
    return path


def cut_losslessly(path: Path, *, begin: Fraction, end: Fraction) -> Path:
    """Show only a part of an mp4 or mov: change the edit lists, as a cut without encoding does, and keep all frames."""
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        bases = [stream.time_base for stream in container.streams]
    at = -1
    for base in bases:
        at = data.index(b"elst", at + 1)
        assert base is not None
        (media_time,) = struct.unpack_from(">i", data, at + 16)
        duration = round((end - begin) * 1000)  # in the unit of the movie that FFmpeg writes
        struct.pack_into(">Ii", data, at + 12, duration, media_time + round(begin / base))
    path.write_bytes(data)
    return path


def flashes(path: Path) -> tuple[list[Fraction], Fraction, Fraction]:
    """Times of the frames, and when the first bright one and the first loud sample come."""
    with av.open(str(path)) as container:
        frames = [(Fraction(frame.time or 0), frame.to_ndarray(format="gray")) for frame in container.decode(video=0)]
    with av.open(str(path)) as container:
        loud = Fraction(-1)
        for frame in container.decode(audio=0):
            where = np.flatnonzero(np.abs(frame.to_ndarray().astype(np.float64).ravel()) > loudness(frame))
            if where.size:
                loud = Fraction(frame.time or 0) + Fraction(int(where[0]), frame.sample_rate)
                break
    levels = [float(picture.mean()) for _, picture in frames]
    bright = next(
        time for (time, _), level in zip(frames, levels, strict=True) if level > (min(levels) + max(levels)) / 2
    )
    return [time for time, _ in frames], bright, loud


def loudness(frame: av.AudioFrame) -> float:
    return 0.2 * 32767 if frame.format.name.startswith("s16") else 0.2


def convert(source: Path, target: Path) -> None:
    run(job(source, str(target), TWO, slips=False, deflicker=False, video=QUICK), load=identity)


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
@pytest.mark.parametrize(
    ("name", "begin"),
    [("a.ts", Fraction(0)), ("a.ts", Fraction(3600)), ("a.mkv", Fraction(3600)), ("a.mp4", Fraction(3600))],
    ids=["ts", "ts-hour", "mkv-hour", "mp4-hour"],
)
def test_a_clip_plays_from_zero_with_its_sound_in_step(tmp_path: Path, name: str, begin: Fraction, suffix: str) -> None:
    source = flash_clip(tmp_path / name, begin=begin)
    with av.open(str(source)) as container:
        assert container.start_time != 0
    convert(source, tmp_path / f"o{suffix}")
    times, bright, loud = flashes(tmp_path / f"o{suffix}")
    assert times[0] == 0
    assert len(times) == RATE
    assert float(bright) == pytest.approx(FLASH / RATE, abs=0.0011)  # Matroska counts milliseconds
    assert float(loud) == pytest.approx(FLASH / RATE, abs=0.025)  # a frame of AAC


def test_pictures_that_begin_after_the_sound_keep_their_delay(tmp_path: Path) -> None:
    source = tmp_path / "a.mp4"
    with av.open(str(flash_clip(tmp_path / "b.mp4"))) as whole, av.open(str(source), "w") as container:
        outputs = {stream.index: container.add_stream_from_template(stream) for stream in whole.streams}
        for packet in whole.demux():
            if packet.dts is not None and packet.pts is not None:
                delay = 0 if packet.stream.type == "audio" else round(Fraction(1, 4) / packet.time_base)
                packet.pts, packet.dts = packet.pts + delay, packet.dts + delay
                packet.stream = outputs[packet.stream.index]
                container.mux(packet)
    convert(source, tmp_path / "o.mp4")
    times, bright, loud = flashes(tmp_path / "o.mp4")
    assert times[0] == Fraction(1, 4)
    assert float(bright - loud) == pytest.approx(0.25, abs=0.025)


@pytest.mark.parametrize(
    ("name", "codec"), [("a.mp4", "aac"), ("a.mov", "pcm_s16le"), ("a.mov", "aac")], ids=["aac", "pcm", "aac-mov"]
)
@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_a_lossless_cut_is_whole_and_its_sound_in_step(
    tmp_path: Path, name: str, codec: str, suffix: str, caplog: pytest.LogCaptureFixture
) -> None:
    begin, end = Fraction(6, RATE), Fraction(18, RATE)
    source = cut_losslessly(flash_clip(tmp_path / name, codec=codec), begin=begin, end=end)
    with VideoReader(source, strict=True) as reader:
        assert reader.info.frames == reader.faults.promised == 12
        assert len(list(reader.frames())) == 12
        assert reader.faults.messages() == []
    with caplog.at_level(logging.WARNING):
        convert(source, tmp_path / f"o{suffix}")
    assert "promises" not in caplog.text
    times, bright, loud = flashes(tmp_path / f"o{suffix}")
    assert times[0] == 0
    assert len(times) == 12
    assert float(bright) == pytest.approx(0.25, abs=0.0011)
    assert float(loud) == pytest.approx(0.25, abs=0.025)
    with av.open(str(tmp_path / f"o{suffix}")) as container:
        assert (container.start_time or 0) / av.time_base > -0.1  # what lies before the cut stays out


def with_cover(path: Path) -> Path:
    """A clip in French behind a cover of its own: the cover is the file's first stream of pictures."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=25, options=QUIET_X264)
        cover = container.add_stream("mjpeg", rate=1)
        assert isinstance(video, VideoStream)
        assert isinstance(cover, VideoStream)
        video.width, video.height, video.pix_fmt = (*HEVC_SIZE, "yuv420p")
        video.metadata["language"] = "fra"
        cover.width, cover.height, cover.pix_fmt = 32, 32, "yuvj420p"
        cover.disposition = Disposition.attached_pic
        container.mux(cover.encode(av.VideoFrame(32, 32, "yuvj420p")))
        container.mux(cover.encode(None))
        for frame in grays(6):
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
    reorder(path, lambda kind: {b"mvhd": 0, b"udta": 1}.get(kind, 2))
    return path


def reorder(path: Path, rank: Callable[[bytes], int]) -> None:
    """Sort the boxes of an mp4's header, which lies at its end."""
    data = bytes(path.read_bytes())
    start = data.rindex(b"moov") - 4
    boxes: list[bytes] = []
    at = start + 8
    while at < len(data):
        size = int.from_bytes(data[at : at + 4])
        boxes.append(data[at : at + size])
        at += size
    boxes.sort(key=lambda box: rank(box[4:8]))
    path.write_bytes(data[: start + 8] + b"".join(boxes))


def test_a_cover_before_the_pictures_tells_nothing_of_them(tmp_path: Path) -> None:
    source = with_cover(tmp_path / "a.mp4")
    with av.open(str(source)) as container:
        assert container.streams[0].disposition & Disposition.attached_pic
    with VideoReader(source) as reader:
        assert reader.info.rate == 25
        assert reader.info.frames == 6
        assert reader.info.time_base == Fraction(1, 12800)
    convert(source, tmp_path / "o.mp4")
    with av.open(str(tmp_path / "o.mp4")) as container:
        (stream,) = container.streams.video
        assert stream.metadata["language"] == "fra"
        assert stream.time_base == Fraction(1, 12800)
        assert stream.average_rate == 25
        assert stream.frames == 6


def test_a_thumbnail_among_the_streams_is_passed_by_and_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    picture = av.VideoFrame(32, 32, "yuvj420p")
    thumbnail = write_clip(tmp_path / "t.mp4", [picture], codec="mjpeg", rate=1)
    clip = write_clip(tmp_path / "c.mp4", grays(6), codec="libx264", options=QUIET_X264)
    with av.open(str(tmp_path / "a.mov"), "w") as container:
        parts = [av.open(str(part)) for part in (thumbnail, clip)]
        outputs = [container.add_stream_from_template(part.streams.video[0], opaque=True) for part in parts]
        for part, output in zip(parts, outputs, strict=True):
            for packet in part.demux():
                if packet.size:
                    packet.stream = output
                    container.mux(packet)
            part.close()
    with caplog.at_level(logging.WARNING), VideoReader(tmp_path / "a.mov") as reader:
        assert (reader.info.width, reader.info.height) == HEVC_SIZE
        assert len(list(reader.frames())) == 6
    assert "the file holds 2 streams of pictures: stream 1 (h264) is converted" in caplog.text
