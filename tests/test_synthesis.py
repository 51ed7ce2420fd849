import pickle
from dataclasses import asdict, dataclass
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

import train.synthesis
from model.exposure import to_ldr
from train.augment import Capture, expose
from train.datasets.pictures import hdr_picture, ldr_picture
from train.datasets.sources import Sources
from train.datasets.videos import Video
from train.sample_recipe import GUIDED_MIXTURE, guided_samples
from train.scenes import Scene, draw_scene
from train.synthesis import Sample, TrainingSet, draw_times

PATCH = 48


def _set(nexps: int = 2, *, seed: int = 5) -> TrainingSet:
    return TrainingSet(Sources(), guided_samples(nexps), patch=PATCH, frames=2 * nexps + 2, seed=seed)


def _same(one: Sample, other: Sample) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_sample_depends_on_seed_step_and_index_alone() -> None:
    first = _set().sample(3, 4)
    torch.manual_seed(1)
    np.random.seed(2)
    again = pickle.loads(pickle.dumps(_set())).sample(3, 4)
    assert _same(first, again)
    others = (_set().sample(3, 5), _set().sample(4, 4), _set(seed=6).sample(3, 4))
    assert not any(_same(first, other) for other in others)


@pytest.mark.parametrize("nexps", [2, 3])
def test_sample_has_the_promised_shapes_and_ranges(nexps: int) -> None:
    frames = 2 * nexps + 2
    for index in range(4):
        sample = _set(nexps).sample(0, index)
        assert sample.ldr.shape == sample.radiance.shape == (frames, 3, PATCH, PATCH)
        assert sample.exposures.shape == (frames,) and sample.precision.shape == (5,)
        for values in sample:
            assert values.dtype == torch.float32 and values.is_contiguous()
        assert sample.ldr.min() >= 0 and sample.ldr.max() <= 1
        assert sample.radiance.min() >= 0 and 0.01 < sample.radiance.max() <= 1
        assert sample.exposures.min() == 1 and len(set(sample.exposures.tolist())) == nexps
        assert torch.equal(sample.exposures[nexps:], sample.exposures[:-nexps])


def _mixed_sources() -> Sources:
    rng = np.random.default_rng(0)
    panorama = hdr_picture("around", rng.lognormal(0, 1, (256, 512, 3)), panorama=True)
    codes = rng.integers(0, 256, (12, 90, 120, 3), np.uint8)
    photo, snapshot = hdr_picture("photo", rng.random((90, 120, 3))), ldr_picture("snapshot", codes[0])
    return Sources((panorama,), (photo,), (snapshot,), (Video("video", codes),))


def test_mix_is_kept_to_and_renormalised_over_what_exists(monkeypatch: pytest.MonkeyPatch) -> None:
    kinds: list[str] = []

    def noted(rng: np.random.Generator, kind: str, **rest: Any) -> Scene:
        kinds.append(kind)
        return draw_scene(rng, kind, **rest)

    monkeypatch.setattr(train.synthesis, "draw_scene", noted)
    everything = _mixed_sources()
    listed = {kind: weight for kind, weight in asdict(GUIDED_MIXTURE).items() if kind in everything.offered}
    for sources, wanted in ((everything, listed), (Sources(videos=everything.videos), {"ldr_video": 0.25 / 0.35})):
        kinds.clear()
        training = TrainingSet(sources, guided_samples(2), patch=16, frames=6, seed=0)
        for index in range(120):
            training.sample(0, index)
        for kind, share in wanted.items():
            # three standard deviations of a share of 120
            assert kinds.count(kind) / 120 == pytest.approx(share, abs=3 * (share * (1 - share) / 120) ** 0.5)


@dataclass(frozen=True)
class _Step(Dataset[Sample]):
    training: TrainingSet
    step: int

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> Sample:
        return self.training.sample(self.step, index)


def test_workers_make_the_same_samples() -> None:
    training = TrainingSet(_mixed_sources(), guided_samples(2), patch=PATCH, frames=6, seed=9)
    here = [training.sample(2, index) for index in range(4)]
    cv2.blur(np.zeros((999, 999), np.float32), (3, 3))  # whatever threads OpenCV has before the fork must not matter
    there = DataLoader(_Step(training, 2), batch_size=None, num_workers=2, multiprocessing_context="fork", timeout=60)
    assert all(_same(one, other) for one, other in zip(here, there, strict=True))


def test_one_frame_is_lost_in_a_few_samples() -> None:
    rng = np.random.default_rng(0)
    drawn = [np.array(draw_times(rng, 6, dropped_share=0.04)) for _ in range(4000)]
    gaps = [np.diff(times) for times in drawn]
    assert all(times[0] == -3 and len(times) == 6 for times in drawn)
    assert all(set(gap.tolist()) <= {1.0, 2.0} and (gap == 2).sum() <= 1 for gap in gaps)
    # three standard deviations of a share of 4000
    assert np.mean([gap.max() == 2 for gap in gaps]) == pytest.approx(0.04, abs=3 * (0.04 * 0.96 / 4000) ** 0.5)
    assert {int(gap.argmax()) for gap in gaps if gap.max() == 2} == set(range(5))


def test_clip_too_short_for_a_lost_frame_turns_around() -> None:
    codes = np.arange(8, dtype=np.uint8)[:, None, None, None] * np.full((1, 40, 40, 3), 30, np.uint8)
    times = [-4.0, -3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 4.0]
    video = Sources(videos=(Video("rising", codes),))
    for seed in range(8):
        rng = np.random.default_rng(seed)
        scene = draw_scene(rng, "ldr_video", sources=video, size=(16, 16), times=times, longest=4)
        changes = np.diff([scene.view.render(time).mean() for time in times])
        # 8 frames cannot fill 9 places: the turn is seen at one end, or falls between two frames, which are then alike
        assert (changes[1:-1] != 0).all() and len(set(np.sign(changes[1:-1]))) == 1


def test_noise_free_picture_is_the_exposed_radiance_within_one_code() -> None:
    rng = np.random.default_rng(0)
    radiance = rng.random((2, 16, 16, 3), np.float32) ** 3
    taken = torch.from_numpy(expose(radiance, [1, 8], capture=Capture(bits=8), rng=rng))
    wanted = to_ldr(torch.from_numpy(radiance), torch.tensor([1.0, 8.0]).view(2, 1, 1, 1))
    assert (taken - wanted).abs().max() <= 0.5 / 255 + 1e-5
    assert torch.allclose(taken * 255, (taken * 255).round(), atol=1e-4)
