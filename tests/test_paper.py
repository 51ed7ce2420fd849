"""Statistics of the published sampling, against the numbers of the paper and its code.

Tolerances of shares are three standard deviations of a share of as many draws.
"""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from fake_sets import fake_patches, fake_vimeo90k

from model.exposure import GAMMA_8_BIT
from train.config import resolved_config
from train.data.folder import find_sources
from train.data.images import Pixels
from train.data.loader import Batch
from train.data.videos import Video
from train.sampling_config import PaperSampling, SampleRecipe
from train.synthesis.capture import quantise
from train.synthesis.dataset import (
    TrainingSet,
    draw_frames,
    draw_paper_curve,
    draw_rescaling,
    expose_with_noise,
    flipped_and_turned,
)
from train.synthesis.procedural import InverseCurve

PAPER = PaperSampling()
DRAWS = 3000


def _three_deviations(share: float, draws: int = DRAWS) -> float:
    return 3 * float((share * (1 - share) / draws) ** 0.5)


def _recipe(nexps: int) -> SampleRecipe:
    return resolved_config({}, recipe=f"lanhdr_{nexps}e").sample_recipe()


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
    drawn = [draw_paper_curve(rng, PAPER) for _ in range(DRAWS)]
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
        turned = flipped_and_turned(rng, marked)[0]
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
