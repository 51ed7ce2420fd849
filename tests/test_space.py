"""Space for results: what can't fit is refused before the start, what may not fit is warned of."""

import errno
from collections import namedtuple
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from support.clips import Tags, counting_clip, frame_of, random_planes, write_clip
from support.converting import TWO, identity, invoke, job

from lanhdr_cli import space
from lanhdr_cli.conversion import run
from lanhdr_cli.media.encoder import ENCODERS, EncoderOptions
from lanhdr_cli.media.errors import MediaError
from lanhdr_cli.media.paths import writing_advice
from lanhdr_cli.media.video_reader import VideoInfo
from lanhdr_cli.media.video_writer import VideoOptions
from lanhdr_cli.run_options import SafetyOptions

Usage = namedtuple("Usage", "total used free")
INFO = VideoInfo(width=128, height=96, rate=Fraction(24), time_base=Fraction(1, 24), frames=8, description="a clip")
FORCED = SafetyOptions(force=True)


def with_free(monkeypatch: pytest.MonkeyPatch, free: int) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda folder: Usage(2 * free, free, free))


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Noise, which hardly compresses."""
    frames = [frame_of(random_planes("yuv444p", size=(128, 96), seed=n), "yuv444p", size=(128, 96)) for n in range(8)]
    return write_clip(tmp_path / "noise.mkv", frames, tags=Tags(1, 1))


def frame_bytes(folder: Path) -> int:
    sizes = [path.stat().st_size for path in folder.glob("*.exr")]
    assert len(sizes) == 8
    return sum(sizes)


def test_a_result_that_cannot_fit_is_refused_before_anything_is_written(
    tmp_path: Path, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_free(monkeypatch, 20_000)
    outcome = invoke("convert", clip, "-o", f"{tmp_path}/o/", "--exposures", "1,8", "--device", "cpu")
    assert outcome.exit_code == 1
    (error,) = [line for line in outcome.stderr.splitlines() if line.startswith("Error: ")]
    assert "/o has 19.5 KiB free, 8 EXR frames of 128x96 need " in error
    assert error.endswith(" KiB at the least: free some space, choose another place, or pass --force")
    assert list((tmp_path / "o").iterdir()) == []


def test_force_begins_all_the_same_and_says_so(
    tmp_path: Path, clip: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with_free(monkeypatch, 20_000)
    summary = run(job(clip, f"{tmp_path}/o/", TWO, safety=FORCED), load=identity)
    assert summary.frames == 8
    assert "has 19.5 KiB free, 8 EXR frames of 128x96 may need up to 608.0 KiB" in caplog.text


def test_what_fits_is_not_refused_and_what_surely_fits_is_not_even_warned_of(
    tmp_path: Path, clip: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    run(job(clip, f"{tmp_path}/a/", TWO), load=identity)
    taken = frame_bytes(tmp_path / "a")
    caplog.clear()
    with_free(monkeypatch, taken)  # exactly enough
    run(job(clip, f"{tmp_path}/b/", TWO), load=identity)
    warned = "may need up to" in caplog.text
    caplog.clear()
    with_free(monkeypatch, 8 * (128 * 96 * 6 + 5000))
    run(job(clip, f"{tmp_path}/c/", TWO), load=identity)
    assert warned
    assert "may need" not in caplog.text


def test_frames_that_are_replaced_make_room(tmp_path: Path, clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    request = job(clip, f"{tmp_path}/a/", TWO, overwrite=True)
    run(request, load=identity)
    with_free(monkeypatch, 1000)
    assert run(request, load=identity).frames == 8
    with pytest.raises(MediaError, match="1000 bytes free"):
        run(replace(request, output=f"{tmp_path}/b/"), load=identity)


def test_a_warning_of_what_may_come_is_nothing_that_is_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = counting_clip(tmp_path / "a.mkv", count=4, size=(64, 48))
    with_free(monkeypatch, 4 * 64 * 48 * 6 - 1000)
    words = ("--exposures", "1,8", "--no-slips", "--no-deflicker", "--response", "gamma2.2", "--device", "cpu")
    outcome = invoke("convert", source, "-o", f"{tmp_path}/o/", *words, "--strict")
    assert "Warning: " in outcome.stderr and "may need up to" in outcome.stderr
    assert outcome.exit_code == 0, outcome.stderr


@pytest.mark.parametrize("codec", ["hevc", "av1", "prores-422hq", "prores-4444", "ffv1"])
@pytest.mark.parametrize("kind", ["flat", "noise"])
def test_videos_take_what_is_estimated(tmp_path: Path, clip: Path, codec: str, kind: str) -> None:
    if kind == "flat":
        planes = [np.full((96, 128), code, np.uint8) for code in (100, 128, 128)]
        clip = write_clip(tmp_path / "flat.mkv", [frame_of(planes, "yuv444p", size=(128, 96))] * 48, tags=Tags(1, 1))
    frames = 48 if kind == "flat" else 8
    container = ENCODERS[codec].containers[-1]
    path = tmp_path / ("o.mkv" if container == "matroska" else f"o.{container}")
    encoding = EncoderOptions(codec=codec, preset={"hevc": "ultrafast", "av1": "11"}.get(codec), threads=1)
    video = VideoOptions(encoding=encoding)
    run(job(clip, str(path), TWO, video=video, slips=False, deflicker=False), load=identity)
    need = space.video_need(encoding, INFO, frames=frames)
    headers = 20_000  # of a file, whatever its pictures: they count in tests alone
    assert need.least <= space.VIDEO_COPIES * path.stat().st_size <= need.most + headers


def test_sound_and_quality_count() -> None:
    plain = space.video_need(EncoderOptions(), INFO, frames=100)
    finer = space.video_need(EncoderOptions(crf=6), INFO, frames=100)
    assert finer.least == pytest.approx(4 * plain.least, rel=0.01)
    assert finer.most <= 2.3 * 100 * 128 * 96 * 15 / 8  # never more than the codes as they are, twice
    assert space.video_need(EncoderOptions(), INFO, frames=100, sound_bytes=777).most == plain.most + 777


def test_an_unknown_number_of_frames_is_warned_of_where_few_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from lanhdr_cli.destination import ExrFrames
    from lanhdr_cli.media.paths import FrameNames

    names = FrameNames(folder=tmp_path, prefix="o.", digits=4, suffix=".exr", start=1)
    for free, told in ((10**6, True), (10**10, False)):
        caplog.clear()
        with_free(monkeypatch, free)
        space.check_space(ExrFrames(names=names), INFO, frames=None, sampled=lambda: 0)
        assert ("which may end after 12 EXR frames of unknown number" in caplog.text) == told


def test_advice_fits_the_reason() -> None:
    assert writing_advice(errno.ENOSPC) == writing_advice(errno.EDQUOT) == "free some space or choose another place"
    assert "network is still there" in writing_advice(errno.ESTALE)
    assert writing_advice(errno.EACCES) == writing_advice(None) == "choose another place"
