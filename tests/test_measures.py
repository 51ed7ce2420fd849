"""The list of measures: each says truly which way is better, and which frames it is defined for."""

import pytest
import torch

from train.evaluation.metrics import BY_KEY, MEASURES, Pair, measure

# The others are tested where evidence is made: test_no_truth.
OF_TRUTH = [entry.key for entry in MEASURES if not entry.needs_evidence]


def pair(error: float, *, seed: int) -> Pair:
    truth = torch.rand(3, 24, 24, generator=torch.Generator().manual_seed(1)) ** 3
    noise = torch.randn(truth.shape, generator=torch.Generator().manual_seed(seed))
    return Pair((truth + error * noise).clamp(0, 1), truth)


@pytest.mark.parametrize("key", OF_TRUTH)
def test_a_better_picture_scores_better(key: str) -> None:
    good, bad = (measure(pair(error, seed=2), pair(error, seed=3))[key] for error in (0.005, 0.05))
    assert (good > bad) == BY_KEY[key].higher_is_better


@pytest.mark.parametrize("key", OF_TRUTH)
def test_a_perfect_picture_scores_best(key: str) -> None:
    best = {"dB": float("inf"), "": 1.0, "%": 0.0}[BY_KEY[key].unit]
    assert measure(pair(0, seed=2), pair(0, seed=3))[key] == pytest.approx(best, abs=1e-6)


def test_the_first_frame_of_a_clip_has_no_scores_over_time() -> None:
    missing = set(OF_TRUTH) - measure(pair(0.1, seed=2), None).keys()
    assert missing == {"flicker", "area_flicker", "temporal_error", "warping_error"}


def test_scores_over_time_are_in_per_cent_of_the_mu_law_range() -> None:
    truth = torch.full((3, 24, 24), 0.0)
    bright = torch.full((3, 24, 24), 1.0)
    scores = measure(Pair(bright, truth), Pair(truth, truth))
    assert [scores[key] for key in ("flicker", "area_flicker", "temporal_error")] == pytest.approx([100] * 3)


def test_values_are_shown_with_unit_and_digits() -> None:
    assert len(BY_KEY) == len(MEASURES)
    assert BY_KEY["psnr_t"].title == "PSNR_T, dB"
    assert BY_KEY["ssim_t"].title == "SSIM_T"
    assert BY_KEY["ssim_t"].shown(0.98765) == "0.9877"
    assert BY_KEY["flicker"].shown(None) == "–"  # noqa: RUF001
