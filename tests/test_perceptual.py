"""PU21 scores: derived values, and those of scikit-image on encoded luminance."""

import math

import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from model.color import pu21_encode
from train.evaluation.metrics import pu21_psnr, pu21_ssim


def test_white_against_black_is_known() -> None:
    black, white = torch.zeros(1, 3, 8, 8), torch.ones(1, 3, 8, 8)
    # 100 cd/m2 are 256.38, 0 are 0
    expected = 20 * math.log10(256 / 256.3838973)
    assert pu21_psnr(white, black, peak_nits=100).item() == pytest.approx(expected, abs=1e-3)


def test_one_percent_more_light_is_seen_alike_in_bright_places() -> None:
    gray = torch.tensor([0.2, 0.8]).view(2, 1, 1, 1).expand(2, 3, 8, 8)
    low, high = pu21_psnr(1.01 * gray, gray).tolist()
    assert low == pytest.approx(high, abs=1)
    dark = torch.full((1, 3, 8, 8), 2e-5)
    assert pu21_psnr(1.01 * dark, dark).item() > high + 15


def test_scores_are_those_of_scikit_image_on_encoded_pictures() -> None:
    truth = torch.rand(1, 3, 16, 24)
    output = (truth * (1 + 0.05 * torch.randn(truth.shape))).clamp(0, 1)
    encoded = [pu21_encode(4000 * picture)[0].double().numpy() for picture in (truth, output)]
    theirs = peak_signal_noise_ratio(*encoded, data_range=256)  # type: ignore[no-untyped-call]
    assert pu21_psnr(output, truth, peak_nits=4000).item() == pytest.approx(theirs, rel=1e-5)
    weights = torch.tensor([0.2126, 0.7152, 0.0722]).view(3, 1, 1)  # ITU-R BT.709
    encoded = [pu21_encode(1000 * (picture[0] * weights).sum(0)).double().numpy() for picture in (truth, output)]
    theirs = structural_similarity(*encoded, data_range=256)  # type: ignore[no-untyped-call]
    assert pu21_ssim(output, truth).item() == pytest.approx(theirs, abs=1e-4)
