from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from model.exposure import to_ldr
from train.errors import DatasetError
from train.evaluation.benchmarks.synthetic import make_test_clips

TEST_DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "test"
needs_data = pytest.mark.skipif(not TEST_DATA.is_dir(), reason="the test pictures are not beside the checkout")


def _picture_folder(folder: Path) -> Path:
    rng = np.random.default_rng(0)
    for name in ("one", "two"):
        small = rng.lognormal(0, 1.5, (20, 40, 3)).astype(np.float32)
        cv2.imwrite(str(folder / f"{name}.hdr"), cv2.resize(small, (512, 256), interpolation=cv2.INTER_CUBIC).clip(0))
    return folder


@pytest.mark.parametrize("nexps", [2, 3])
def test_clips_repeat_and_fit_their_truth(tmp_path: Path, nexps: int) -> None:
    folder = _picture_folder(tmp_path)
    clips = list(make_test_clips(folder, nexps, size=(48, 64)))
    assert [clip.name for clip in clips] == ["one", "two"]
    for clip, again in zip(clips, make_test_clips(folder, nexps, size=(48, 64)), strict=True):
        assert torch.equal(clip.ldr, again.ldr) and torch.equal(clip.radiance, again.radiance)
        assert clip.ldr.shape == clip.radiance.shape == (2 * nexps + 4, 3, 48, 64)
        assert clip.radiance.min() >= 0 and 0.1 < clip.radiance.max() <= 1
        # what noise of at most 0.002 + sqrt(0.0002 x) and a code value may do on average
        wanted = to_ldr(clip.radiance, clip.exposures.view(-1, 1, 1, 1))
        assert (clip.ldr - wanted).abs().mean() < 0.03


def test_neighbors_move(tmp_path: Path) -> None:
    clip = next(make_test_clips(_picture_folder(tmp_path), 2, size=(48, 64)))
    assert (clip.radiance[0] - clip.radiance[2]).abs().mean() > 1e-3


def test_a_limit_leaves_clips_as_they_are(tmp_path: Path) -> None:
    folder = _picture_folder(tmp_path)
    both = list(make_test_clips(folder, 2, size=(48, 64)))
    (only,) = make_test_clips(folder, 2, size=(48, 64), limit=1)
    assert only.name == "one"
    assert torch.equal(only.ldr, both[0].ldr)
    assert len(list(make_test_clips(folder, 2, size=(48, 64), limit=9))) == 2


def test_folder_without_pictures_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=tmp_path.name):
        next(make_test_clips(tmp_path, 2))


@needs_data
def test_held_out_clips_cover_all_kinds_and_exposures() -> None:
    clips = {clip.name: clip for clip in make_test_clips(TEST_DATA, 2, size=(88, 160), frames=4)}
    assert len(clips) == 17
    assert {int(clip.exposures.max()) for clip in clips.values()} == {4, 8, 16}
    assert {int(clip.exposures[0]) == 1 for clip in clips.values()} == {True, False}
    assert clips["hdr10-av1"].ldr.shape == (4, 3, 160, 90)
    assert clips["sam2_04_coffee"].ldr.shape == (4, 3, 90, 160)
    for clip in clips.values():
        longest = clip.exposures.max()
        assert (clip.radiance >= 1).float().mean() < 0.12
        assert 0.005 < (clip.radiance * longest >= 1).float().mean() < 0.5
