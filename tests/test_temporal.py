"""Scores over time: 0 for what does not flicker, the amplitude of what does, at the places they claim to look at."""

import pytest
import torch
from torch import Tensor

from train.evaluation.metrics import area_flicker, flicker, temporal_error


def frames(*levels: float, size: tuple[int, int] = (40, 48)) -> Tensor:
    """Random pictures that stand still, plus a level each."""
    picture = 0.3 + 0.3 * torch.rand(3, *size, generator=torch.Generator().manual_seed(0))
    return torch.stack([picture + level for level in levels])


def test_a_perfect_result_and_a_lasting_error_score_zero() -> None:
    truths = frames(0, 0.2)  # the scene itself gets brighter
    for outputs in (truths, truths + 0.1):
        assert temporal_error(outputs, truths).item() == pytest.approx(0, abs=1e-7)
        assert area_flicker(outputs, truths).item() == pytest.approx(0, abs=1e-7)
    still = frames(0, 0)
    assert flicker(still + 0.1, still) == pytest.approx(0, abs=1e-7)


def test_alternating_brightness_scores_its_amplitude_from_every_pair() -> None:
    truths = frames(0, 0, 0)
    outputs = frames(0.01, -0.01, 0.01)  # period two
    for pair in (slice(0, 2), slice(1, 3)):
        for score in (temporal_error, flicker, area_flicker):
            assert score(outputs[pair], truths[pair]) == pytest.approx(0.02, rel=1e-4)


def test_a_period_of_three_scores_at_its_jumps_only() -> None:
    truths, outputs = frames(0, 0, 0, 0), frames(0.03, 0, 0, 0.03)
    found = [area_flicker(outputs[at : at + 2], truths[at : at + 2]).item() for at in range(3)]
    assert found == pytest.approx([0.03, 0, 0.03], abs=1e-6)


def test_noise_hardly_counts_as_flicker_of_areas() -> None:
    truths = frames(0, 0, size=(64, 64))
    outputs = truths + 0.01 * torch.randn(truths.shape, generator=torch.Generator().manual_seed(1))
    assert flicker(outputs, truths) == pytest.approx(0.01 * 2**0.5, rel=0.02)
    assert area_flicker(outputs, truths).item() == pytest.approx(0.01 * 2**0.5 / 16, rel=0.2)


def test_flicker_looks_only_where_the_scene_is_still() -> None:
    truths = frames(0, 0)
    truths[1, 0, :, 24:] += 0.1  # one channel of the right half changes
    outputs = truths.clone()
    outputs[1, :, :, 24:] += 0.5
    assert flicker(outputs, truths) == pytest.approx(0, abs=1e-7)
    outputs[1, :, :, :24] += 0.02
    assert flicker(outputs, truths) == pytest.approx(0.02, rel=1e-4)
    assert temporal_error(outputs, truths).item() == pytest.approx((0.5 + 0.02) / 2, rel=1e-4)


def test_without_still_places_flicker_is_undefined() -> None:
    truths = frames(0, 0.1)
    assert flicker(truths, truths) is None


def test_areas_at_the_edge_count_whole() -> None:
    truths = frames(0, 0, size=(17, 20))  # blocks of 16x16, 16x4, 1x16, 1x4
    outputs = truths.clone()
    outputs[1, :, 16:, 16:] += 0.1
    assert area_flicker(outputs, truths).item() == pytest.approx(0.1 / 2, rel=1e-3)
