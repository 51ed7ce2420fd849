import sys

import numpy as np
import pytest

from train.data.videos import pyav_available
from train.synthesis.capture import h264_passed, jpeg_passed


def _moving_texture(height: int, width: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    y, x = np.mgrid[:height, :width]
    frames = [127 + 100 * np.sin((x + 3 * time) / 4) * np.cos(y / 5) for time in range(4)]
    color = np.array([1.0, 0.8, 0.4])
    return np.stack([frame[..., None] * color for frame in frames]).clip(0, 255).astype(np.uint8)


def test_jpeg_loses_more_at_lower_quality_and_each_frame_has_its_own() -> None:
    frames = _moving_texture(48, 64)
    passed = jpeg_passed(frames, [95, 30, 95, 30])
    losses = np.abs(passed.astype(int) - frames).mean((1, 2, 3))
    assert passed.shape == frames.shape
    assert (losses[[1, 3]] > 1.5 * losses[[0, 2]].max()).all() and (losses > 0).all()


@pytest.mark.parametrize("size", [(48, 64), (33, 47)], ids=["even", "odd"])
def test_h264_keeps_frames_in_order_and_loses_more_at_higher_crf(size: tuple[int, int]) -> None:
    frames = _moving_texture(*size)
    fine, poor = (h264_passed(frames, crf) for crf in (14, 34))
    assert fine.shape == poor.shape == frames.shape
    for passed in (fine, poor):
        distances = np.abs(passed[:, None].astype(int) - frames).mean((2, 3, 4))
        assert (distances.argmin(1) == np.arange(4)).all()
    losses = [float(np.abs(passed.astype(int) - frames).mean()) for passed in (fine, poor)]
    assert 0 < losses[0] < losses[1] < 20


def test_h264_is_not_there_without_pyav(monkeypatch: pytest.MonkeyPatch) -> None:
    assert pyav_available()
    monkeypatch.setitem(sys.modules, "av", None)
    assert not pyav_available()
