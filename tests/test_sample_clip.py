"""The bundled clip is what its record and its README say."""

import json
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray


@pytest.fixture(scope="module")
def record(sample_clip: Path) -> dict[str, Any]:
    """What the script wrote about the clip when it made it."""
    content: dict[str, Any] = json.loads(sample_clip.with_suffix(".json").read_text())
    return content


@pytest.fixture(scope="module")
def luma(sample_clip: Path) -> NDArray[np.uint8]:
    """Luma planes as decoded, (frames, H, W)."""
    with av.open(sample_clip) as container:
        return np.stack([frame.to_ndarray()[: frame.height] for frame in container.decode(video=0)]).astype(np.uint8)


def test_every_frame_has_the_recorded_mean_luma(luma: NDArray[np.uint8], record: dict[str, Any]) -> None:
    assert luma.shape == (48, 360, 640)
    # H.264 decoding is exact; the record is rounded to three decimals
    np.testing.assert_allclose(luma.mean(axis=(1, 2)), record["mean_luma"], atol=6e-4)


def test_exposures_alternate_short_first(luma: NDArray[np.uint8], record: dict[str, Any]) -> None:
    assert record["exposures"] == [1, 8]
    means = luma.mean(axis=(1, 2))
    assert (means[0::2] < 0.6 * means[1::2]).all()


def test_the_exposure_ratio_is_eight_where_neither_frame_clips(luma: NDArray[np.uint8]) -> None:
    linear = ((luma[:2].astype(np.float64) - 16) / 219).clip(0, 1) ** 2.2
    both_good = (linear[0] > 0.02) & (linear[1] < 0.8)
    assert both_good.mean() > 0.05
    # the camera and the figure move a little between the two frames; luma is not linear light
    assert np.median(linear[1][both_good] / linear[0][both_good]) == pytest.approx(8, rel=0.05)


def test_only_long_frames_clip(luma: NDArray[np.uint8]) -> None:
    clipped = (luma >= 234).mean(axis=(1, 2))
    assert clipped[0::2].max() < 1e-3
    assert clipped[1::2].min() > 0.02


def test_tags_rate_and_sound(sample_clip: Path, record: dict[str, Any]) -> None:
    with av.open(sample_clip) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        tags = video.codec_context
        assert (tags.color_primaries, tags.color_trc, tags.colorspace, tags.color_range) == (1, 1, 1, 1)
        assert video.average_rate == record["rate"] == 24
        assert audio.codec_context.name == "aac"
        sound = np.concatenate([frame.to_ndarray() for frame in container.decode(audio=0)], axis=1)
    assert sound.shape[1] / 48000 == pytest.approx(2, abs=0.05)
    assert np.abs(sound).max() > 0.01


def test_the_clip_stays_small(sample_clip: Path) -> None:
    assert sample_clip.stat().st_size < 1.5e6
