import faulthandler
import pickle
from collections import Counter
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from support.alone import run_alone
from support.fake_sets import fake_patches, fake_vimeo90k
from support.recipes import guided_samples
from torch.utils.data import DataLoader, Dataset

import train.synthesis.dataset
from model.exposure import GAMMA_8_BIT, to_ldr
from train.config import resolved_config
from train.data.folder import Sources, find_sources
from train.data.images import Pixels, hdr_picture, ldr_picture
from train.data.loader import Batch, Sample
from train.data.videos import Video
from train.sampling_config import (
    ExposureDraws,
    GuidedSampling,
    PaperSampling,
    SampleRecipe,
)
from train.synthesis.capture import LOSSY_GAMMA, Capture, expose, quantise
from train.synthesis.dataset import (
    TrainingSet,
    draw_frames,
    draw_rescaling,
    draw_times,
    expose_with_noise,
    flip_and_turn,
)
from train.synthesis.procedural import InverseCurve, draw_curve
from train.synthesis.scene import CompositeScene, draw_scene

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
        assert sample.exposures.shape == (frames,) and sample.precision.shape == (6,)
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

    def noted(rng: np.random.Generator, kind: str, **rest: Any) -> CompositeScene:
        kinds.append(kind)
        return draw_scene(rng, kind, **rest)

    monkeypatch.setattr(train.synthesis.dataset, "draw_scene", noted)
    everything = _mixed_sources()
    listed = {kind: weight for kind, weight in asdict(guided_samples(2).mixture).items() if kind in everything.offered}
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


def make_in_workers() -> None:
    """Make samples here and in forked workers, and raise where they differ; a worker that hangs says where."""
    training = TrainingSet(_mixed_sources(), guided_samples(2), patch=PATCH, frames=6, seed=9)
    cv2.blur(np.zeros((999, 999), np.float32), (3, 3))  # whatever threads OpenCV has before the fork must not matter
    there = DataLoader(
        _Step(training, 2), batch_size=None, num_workers=2, multiprocessing_context="fork", timeout=90,
        worker_init_fn=lambda _index: faulthandler.dump_traceback_later(60, exit=True),
    )  # fmt: skip
    for index, sample in enumerate(there):
        if not _same(training.sample(2, index), sample):
            raise RuntimeError(f"sample {index} of a worker is another one")


def test_workers_make_the_same_samples(repository: Path) -> None:
    # In a process of its own, as training runs: threads of earlier tests may hold locks when this one forks.
    done = run_alone("import test_dataset; test_dataset.make_in_workers()", repository)
    assert (done.returncode, done.stderr) == (0, "")


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


QUIET = GuidedSampling(
    dropped_share=0,
    noisy_share=0,
    wrong_exposure_share=0,
    wrong_response_share=0,
    camera_curve_share=0,
    flicker_share=0,
    dark_share=0,
    jpeg_share=0,
    h264_share=0,
)


def _guided_set(cycle: tuple[float, ...], sampling: GuidedSampling) -> TrainingSet:
    exposures = ExposureDraws(cycles=(cycle,), shares=(1,))
    samples = replace(guided_samples(2), sampling=sampling, exposures=exposures)
    return TrainingSet(Sources(), samples, patch=PATCH, frames=6, seed=3)


def test_a_third_of_the_samples_has_the_precision_of_a_cameras_curve() -> None:
    training = _guided_set((1, 8), GuidedSampling())
    drawn = [training.sample(0, index).precision for index in range(90)]
    plain = [any(torch.equal(each, known.tensor()) for known in (GAMMA_8_BIT, LOSSY_GAMMA)) for each in drawn]
    # three standard deviations of a share of 90
    assert 1 - np.mean(plain) == pytest.approx(0.33, abs=0.15)


def test_curves_as_they_are_known_bring_frames_near_to_the_truth() -> None:
    training = _guided_set((1, 8), replace(QUIET, camera_curve_share=1))
    for index in range(12):
        sample = training.sample(0, index)
        wanted = to_ldr(sample.radiance, sample.exposures.view(-1, 1, 1, 1))
        bright = (wanted > 0.5) & (wanted < 1)
        # a curve that is a tenth of a stop off is 3 % off in what is encoded; a pedestal adds two codes
        assert (sample.ldr - wanted)[bright].abs().mean() < 0.05


def test_flicker_is_in_the_truth_as_in_the_frames() -> None:
    for index in range(4):
        steady, restless = (
            _guided_set((1, 4), replace(QUIET, flicker_share=share)).sample(0, index) for share in (0, 1)
        )
        factors = []
        for before, after in zip(steady.radiance, restless.radiance, strict=True):
            inside = (before > 0.01) & (before < 0.8)
            factors.append(float((after / before)[inside].median()))
            torch.testing.assert_close(after[inside], before[inside] * factors[-1], rtol=1e-5, atol=1e-6)
        assert 1e-4 < np.std(factors) < 0.2
        wanted = to_ldr(restless.radiance, restless.exposures.view(-1, 1, 1, 1))
        assert (restless.ldr - wanted).abs().max() <= 0.5 / 255 + 1e-5


def test_dark_scenes_hide_half_of_the_shortest_exposure_in_black() -> None:
    hidden: dict[int, list[float]] = {0: [], 1: []}
    for share, shares in hidden.items():
        training = _guided_set((1, 52), replace(QUIET, dark_share=share))
        for index in range(12):
            brightest = training.sample(0, index).radiance[2:4].amax(1)
            shares.append(float((brightest <= 1.1 * 0.04 / 52).float().mean()))
    assert np.median(hidden[1]) > 0.45 > 0.3 > np.median(hidden[0])


PAPER = PaperSampling()
DRAWS = 3000


def _three_deviations(share: float, draws: int = DRAWS) -> float:
    return 3 * float((share * (1 - share) / draws) ** 0.5)


def _recipe(nexps: int) -> SampleRecipe:
    return resolved_config({"recipe": f"lanhdr_{nexps}e"}).sample_recipe()


def test_two_exposures_are_1_4_or_1_8_either_first() -> None:
    rng, draws = np.random.default_rng(0), _recipe(2).exposures
    starts = Counter(tuple(draws.draw(rng, 6)[:2]) for _ in range(DRAWS))
    assert set(starts) == {(1, 4), (4, 1), (1, 8), (8, 1)}
    for count in starts.values():
        assert count / DRAWS == pytest.approx(1 / 4, abs=_three_deviations(1 / 4))


def test_three_exposures_are_1_4_16_in_rotation() -> None:
    rng, draws = np.random.default_rng(0), _recipe(3).exposures
    starts = Counter(tuple(draws.draw(rng, 8)[:3]) for _ in range(DRAWS))
    assert set(starts) == {(1, 4, 16), (4, 16, 1), (16, 1, 4)}
    for count in starts.values():
        assert count / DRAWS == pytest.approx(1 / 3, abs=_three_deviations(1 / 3))


def test_inverse_curves_have_the_published_parameters() -> None:
    rng = np.random.default_rng(0)
    drawn = [draw_curve(rng, n=PAPER.curve_n, s=PAPER.curve_s, largest_boost=1.0) for _ in range(DRAWS)]
    for values, mean, low, high in (
        ([curve.n for curve in drawn], 0.65, 0.4, 0.9),
        ([curve.s for curve in drawn], 0.6, 0.4, 0.8),
    ):
        assert low <= min(values) and max(values) <= high
        # the deviation of a mean of 3000 is 0.1 / sqrt(3000) = 0.0018; both ranges are symmetric about their means
        assert np.mean(values) == pytest.approx(mean, abs=0.006)
        # clipping at 2.5 and at 2 deviations takes 3 % and 8 % off a deviation of 0.1
        assert np.std(values) == pytest.approx(0.095, abs=0.006)
        assert {low, high} <= {round(value, 6) for value in values}  # clipped, not drawn anew
    assert all(curve.boost == 1 for curve in drawn)


def _counting_clip(count: int = 7, *, size: tuple[int, int] = (64, 112)) -> Video:
    frames = np.zeros((count, *size, 3), np.uint8)
    frames += (np.arange(count, dtype=np.uint8) * 30 + 20)[:, None, None, None]
    return Video("counting", frames)


@pytest.mark.parametrize("frames", [6, 8])
def test_half_of_the_clips_run_backward_and_short_ones_turn_around(frames: int) -> None:
    rng = np.random.default_rng(0)
    drawn = [
        draw_frames(rng, _counting_clip(), frames=frames, patch=16, sampling=PAPER).mean((1, 2, 3)) for _ in range(600)
    ]
    rising = [bool(levels[2] < levels[3]) for levels in drawn]
    assert np.mean(rising) == pytest.approx(0.5, abs=_three_deviations(0.5, 600))
    for levels in drawn:
        steps = np.sign(np.diff(levels))
        assert (steps != 0).all()  # no frame stands still
        assert (steps[0] != steps[-1]) == (frames == 8) and (steps[1:-1] == steps[1]).all()


def test_one_curve_holds_for_a_whole_clip_and_values_have_16_bits() -> None:
    codes = np.broadcast_to(np.arange(64, dtype=np.uint8)[None, :, None, None] * 4, (7, 64, 64, 3)).copy()
    sampling = PaperSampling(scale=(1.0, 1.0))
    for seed in range(5):
        # scale 1 and a patch of the clip's height: nothing is interpolated
        frames = draw_frames(np.random.default_rng(seed), Video("ramp", codes), frames=6, patch=64, sampling=sampling)
        assert (frames == frames[0]).all()
        steps = frames.astype(np.float64) * 65535
        np.testing.assert_allclose(steps, np.rint(steps), atol=0.01)
        assert len(np.unique(frames)) > 50


def test_quantised_curve_is_the_curve() -> None:
    table = InverseCurve(0.65, 0.6).table()
    assert np.abs(quantise(table, 16) - table).max() <= 0.5 / 65535 + 1e-7
    assert (quantise(table, 0) == table).all()


def test_crops_have_the_patch_size_and_come_from_everywhere_at_every_scale() -> None:
    y, x = np.mgrid[:64, :112]
    places = np.stack([2 * x, 3 * y, 0 * x], -1).astype(np.uint8)
    clip = Video("places", np.broadcast_to(places, (7, *places.shape)).copy())
    inverse = InverseCurve(0.65, 0.6)
    sampling = PaperSampling(curve_n=(0.65, 0.0, 0.4, 0.9), curve_s=(0.6, 0.0, 0.4, 0.8))
    rng = np.random.default_rng(0)
    scales, lefts = [], []
    for _ in range(400):
        first = draw_frames(rng, clip, frames=6, patch=32, sampling=sampling)[0]
        assert first.shape == (32, 32, 3)
        columns = np.interp(first[16, :, 0], inverse.table(), np.arange(256)) / 2
        scales.append(16 / float(columns[24] - columns[8]))
        lefts.append(float(columns[0]))
    # uniform from 0.6 to 1.2; the side is rounded to pixels, of which there are 27 at least: 2 %; codes add 1 %
    assert min(scales) > 0.58 and max(scales) < 1.24
    assert np.mean(scales) == pytest.approx(0.9, abs=3 * 0.6 / 12**0.5 / 400**0.5 + 0.02)
    assert min(lefts) < 4 and max(lefts) > 70


def test_flips_turns_and_permutations_are_all_alike_often() -> None:
    rng = np.random.default_rng(0)
    marked = np.zeros((1, 2, 2, 3), np.float32)
    marked[0] = np.arange(12).reshape(2, 2, 3)
    corners: Counter[tuple[float, ...]] = Counter()
    colors: Counter[tuple[float, ...]] = Counter()
    for _ in range(DRAWS):
        turned = flip_and_turn(rng, marked)[0]
        corners[tuple((turned[..., 0] // 3).ravel().tolist())] += 1
        colors[tuple((turned[0, 0] % 3).tolist())] += 1
    assert len(corners) == 8 and len(colors) == 6
    for counts in (corners, colors):
        share = 1 / len(counts)
        for count in counts.values():
            assert count / DRAWS == pytest.approx(share, abs=1.2 * _three_deviations(share))  # of 14 shares at once


def _reference() -> Pixels:
    return (np.random.default_rng(1).random((40, 40, 3), np.float32) ** 3) * np.float32(0.7)


def test_short_reference_peaks_at_a_tenth_to_all_of_itself() -> None:
    rng = np.random.default_rng(0)
    factors = [draw_rescaling(rng, _reference(), 1.0, is_hdr=False, sampling=PAPER) for _ in range(DRAWS)]
    assert 0.1 <= min(factors) < 0.11 and 0.99 < max(factors) <= 1
    # a uniform draw from 0.1 to 1 has the mean 0.55 and the deviation 0.26
    assert np.mean(factors) == pytest.approx(0.55, abs=3 * 0.26 / DRAWS**0.5)


@pytest.mark.parametrize(("is_hdr", "low", "high"), [(False, 98.0, 100.0), (True, 97.0, 99.9)])
def test_long_reference_is_brightened_until_a_high_percentile_is_at_most_1(
    is_hdr: bool, low: float, high: float
) -> None:
    rng, reference = np.random.default_rng(0), _reference()
    factors = [draw_rescaling(rng, reference, 4.0, is_hdr=is_hdr, sampling=PAPER) for _ in range(DRAWS)]
    darkest, brightest = np.percentile(reference, [low, high])
    assert 1 <= min(factors) < 1.01
    assert 0.9 / darkest < max(factors) <= 1 / darkest
    # uniform between 1 and 1/level, and levels lie between the two percentiles
    assert 0.5 * (1 + 1 / brightest) - 0.02 < np.mean(factors) < 0.5 * (1 + 1 / darkest) + 0.02


def test_short_hdr_reference_is_raised_by_up_to_a_fifth() -> None:
    rng = np.random.default_rng(0)
    factors = [draw_rescaling(rng, _reference(), 1.0, is_hdr=True, sampling=PAPER) for _ in range(DRAWS)]
    assert 1 <= min(factors) < 1.01 and 1.19 < max(factors) <= 1.2


@pytest.mark.parametrize("exposures", [[1.0, 8.0], [1.0, 4.0, 16.0]])
def test_noise_is_on_shorter_exposures_alone_with_a_thousandth_of_the_clip_level(exposures: list[float]) -> None:
    radiance = np.stack([np.full((80, 80, 3), 0.3 / exposure, np.float32) for exposure in exposures])
    rng = np.random.default_rng(0)
    noisy = 0
    for _ in range(300):
        linear = expose_with_noise(rng, radiance, exposures, sampling=PAPER).astype(np.float64) ** 2.2
        np.testing.assert_allclose(linear[-1], 0.3, rtol=1e-4)
        deviations = linear[:-1].std((1, 2, 3))
        if deviations.min() > 1e-5:
            noisy += 1
            # 19,200 draws: the standard error of a deviation is 0.5 %
            np.testing.assert_allclose(deviations, 1e-3, rtol=0.025)
            np.testing.assert_allclose(linear[:-1].mean((1, 2, 3)), 0.3, atol=4e-3 / 19_200**0.5)
    assert noisy / 300 == pytest.approx(0.9, abs=_three_deviations(0.9, 300))


@pytest.mark.parametrize("nexps", [2, 3])
def test_samples_are_two_windows_whose_truth_is_what_was_exposed(nexps: int, tmp_path: Path) -> None:
    fake_vimeo90k(tmp_path / "vimeo")
    recipe = _recipe(nexps)
    training = TrainingSet(find_sources(tmp_path), recipe, patch=32, frames=2 * nexps + 2, seed=1)
    samples = [training.sample(0, index) for index in range(6)]
    batch = Batch.of(samples)
    assert batch.ldr.shape == (12, 2 * nexps + 1, 3, 32, 32)
    for sample in samples:
        wanted = (sample.radiance * sample.exposures.view(-1, 1, 1, 1)).clamp(0, 1)
        # five deviations of the noise in linear light: 1 of 2 million values is beyond, of some 100,000 here
        assert (sample.ldr.pow(2.2) - wanted).abs().max() < 5.5e-3
        assert sample.radiance.std() > 0.001
        assert torch.equal(sample.precision, GAMMA_8_BIT.tensor())
    again = training.sample(0, 3)
    assert (again.ldr == samples[3].ldr).all() and not (samples[2].ldr == samples[3].ldr).all()


def test_clips_that_are_hdr_are_used_where_septuplets_are_missing(tmp_path: Path) -> None:
    fake_patches(tmp_path)
    training = TrainingSet(find_sources(tmp_path), _recipe(2), patch=32, frames=6, seed=1)
    for index in range(6):
        sample = training.sample(0, index)
        assert sample.radiance.max() <= 1 and sample.radiance.std() > 0.001
