"""Loss terms: the reference's numbers, and the laws that each obeys."""

import json
import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from model.color import mu_law
from train.losses import (
    LOSSES,
    LossWeights,
    frequency,
    l1,
    log_mse,
    temporal_charbonnier,
)

# The reference sums in float32 too, in another order.
RELATIVE = 1e-5


@pytest.fixture(scope="module")
def pictures(shared: Path) -> dict[str, Tensor]:
    return {name: mu_law(t) for name, t in load_file(shared / "reference" / "metrics_and_losses.safetensors").items()}


@pytest.fixture(scope="module")
def expected(shared: Path) -> dict[str, float]:
    values: dict[str, float] = json.loads((shared / "reference" / "metrics_and_losses.json").read_text())
    return values


def test_l1_equals_the_reference(pictures: dict[str, Tensor], expected: dict[str, float]) -> None:
    assert l1(pictures["output"], pictures["gt"]).item() == pytest.approx(expected["l1"], rel=RELATIVE)


def test_frequency_equals_the_reference(pictures: dict[str, Tensor], expected: dict[str, float]) -> None:
    assert frequency(pictures["output"], pictures["gt"]).item() == pytest.approx(expected["frequency"], rel=RELATIVE)


def test_temporal_equals_the_reference(pictures: dict[str, Tensor], expected: dict[str, float]) -> None:
    value = temporal_charbonnier(
        pictures["output"], pictures["next_output"], truth=pictures["gt"], next_truth=pictures["next_gt"]
    )
    assert value.item() == pytest.approx(expected["temporal_charbonnier"], rel=RELATIVE)


def test_frequency_of_a_constant_difference_is_all_at_zero() -> None:
    truth = torch.rand(2, 3, 8, 12)
    # Its spectrum is H W times the difference in one of H W places.
    assert frequency(truth + 0.25, truth).item() == pytest.approx(0.25, rel=1e-4)


def test_temporal_ignores_an_error_that_stays() -> None:
    truth, next_truth = torch.rand(2, 2, 3, 8, 8, dtype=torch.float64)
    still = temporal_charbonnier(truth + 0.1, next_truth + 0.1, truth=truth, next_truth=next_truth)
    flicker = temporal_charbonnier(truth + 0.1, next_truth - 0.1, truth=truth, next_truth=next_truth)
    assert still.item() == pytest.approx(1e-6, rel=1e-6)
    assert flicker.item() == pytest.approx(0.2, rel=1e-6)


def test_log_mse_counts_ratios_of_every_sample_alike() -> None:
    truth = torch.rand(2, 3, 8, 8, dtype=torch.float64)
    error = torch.tensor([0.3, 0.1]).view(2, 1, 1, 1)
    halved = [error * torch.tensor(factors).view(2, 1, 1, 1) for factors in ([0.5, 1.0], [1.0, 0.5])]
    gains = [(log_mse(truth + error, truth) - log_mse(truth + better, truth)).item() for better in halved]
    assert gains == pytest.approx([math.log(4) / 2] * 2, rel=1e-3)  # the floor of 1e-6 is 1e-4 of 0.1 squared


def test_log_mse_of_a_perfect_sample_is_the_floor_and_has_a_gradient_of_zero() -> None:
    output = torch.rand(1, 3, 8, 8, requires_grad=True)
    value = log_mse(output, output.detach().clone())
    value.backward()  # type: ignore[no-untyped-call]
    assert value.item() == pytest.approx(math.log(1e-6), rel=1e-6)
    assert output.grad is not None
    assert torch.equal(output.grad, torch.zeros_like(output))


def test_total_is_the_weighted_sum() -> None:
    generator = torch.Generator().manual_seed(3)
    a, b, c, d = torch.rand(4, 2, 3, 8, 8, generator=generator)
    total = LossWeights(l1=1, frequency=0.1, temporal=0.2, log_mse=0.3).total(a, b, truth=c, next_truth=d)
    outputs, truths = torch.cat([a, b]), torch.cat([c, d])
    temporal = temporal_charbonnier(a, b, truth=c, next_truth=d)
    parts = l1(outputs, truths) + 0.1 * frequency(outputs, truths) + 0.2 * temporal + 0.3 * log_mse(outputs, truths)
    assert total.item() == pytest.approx(parts.item(), rel=1e-6)


def test_recipes_have_the_weights_of_their_source() -> None:
    assert LOSSES["paper"] == LossWeights(l1=1.0, frequency=0.1, temporal=0.1)
    log_mse_weights = LOSSES["log_mse"]
    assert (log_mse_weights.log_mse, log_mse_weights.l1, log_mse_weights.frequency) == (1.0, 0.0, 0.0)
