"""PSNR and SSIM: the reference's numbers, scikit-image's on other pictures, and literature values."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch import Tensor

from model.color import mu_law
from train.evaluation.metrics import psnr, ssim

RELATIVE = 1e-5


@pytest.fixture(scope="module")
def pictures(shared: Path) -> dict[str, Tensor]:
    return load_file(shared / "reference" / "metrics_and_losses.safetensors")


@pytest.fixture(scope="module")
def expected(shared: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads((shared / "reference" / "metrics_and_losses.json").read_text())
    return values


def test_scores_on_mu_law_equal_the_reference(pictures: dict[str, Tensor], expected: dict[str, Any]) -> None:
    output, truth = mu_law(pictures["output"]), mu_law(pictures["gt"])
    assert psnr(output, truth).item() == pytest.approx(expected["tonemapped"]["psnr"], rel=RELATIVE)
    assert ssim(output, truth).item() == pytest.approx(expected["tonemapped"]["ssim"], rel=RELATIVE)


def test_scores_on_linear_values_equal_the_reference(pictures: dict[str, Tensor], expected: dict[str, Any]) -> None:
    output, truth = pictures["output"], pictures["gt"]
    assert psnr(output, truth).item() == pytest.approx(expected["linear"]["psnr"], rel=RELATIVE)
    assert ssim(output, truth).item() == pytest.approx(expected["linear"]["ssim"], rel=RELATIVE)


@pytest.mark.parametrize("size", [(7, 7), (20, 33)])
def test_scores_equal_scikit_image_sample_by_sample(size: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(5)
    truth = 0.2 + 0.5 * torch.rand(2, 3, *size, generator=generator)
    output = truth + 0.1 * torch.randn(2, 3, *size, generator=generator)
    for index in range(2):
        a, b = truth[index].double().numpy(), output[index].double().numpy()
        theirs = structural_similarity(a, b, channel_axis=0, data_range=a.max() - a.min())  # type: ignore[no-untyped-call]
        assert ssim(output, truth)[index].item() == pytest.approx(theirs, rel=RELATIVE)
        theirs = peak_signal_noise_ratio(a, b, data_range=1)  # type: ignore[no-untyped-call]
        assert psnr(output, truth)[index].item() == pytest.approx(theirs, rel=RELATIVE)


def test_a_constant_error_of_a_tenth_is_twenty_decibels() -> None:
    truth = torch.rand(1, 3, 9, 9)
    assert psnr(truth + 0.1, truth).item() == pytest.approx(20, rel=1e-5)


def test_equal_pictures_score_best() -> None:
    truth = torch.rand(1, 3, 9, 9)
    assert psnr(truth, truth).item() == math.inf
    assert ssim(truth, truth).item() == pytest.approx(1, abs=1e-6)


def test_a_given_peak_and_span_are_those_of_scikit_image() -> None:
    truth = 100 + 20 * torch.rand(1, 1, 16, 24)
    output = truth + torch.randn(truth.shape)
    a, b = truth[0, 0].double().numpy(), output[0, 0].double().numpy()
    theirs = structural_similarity(a, b, data_range=256)  # type: ignore[no-untyped-call]
    assert ssim(output, truth, span=256).item() == pytest.approx(theirs, rel=RELATIVE)
    theirs = peak_signal_noise_ratio(a, b, data_range=256)  # type: ignore[no-untyped-call]
    assert psnr(output, truth, peak=256).item() == pytest.approx(theirs, rel=RELATIVE)
