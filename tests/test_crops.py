"""Which place of a frame is shown."""

import pytest
import torch

from train.evaluation.results import worst_crop


def test_the_worst_crop_lies_on_the_error() -> None:
    wanted = torch.full((1, 3, 352, 640), 0.5)
    output = wanted.clone()
    output[..., 150:170, 480:500] = 1.0
    crop = worst_crop(output, wanted)
    assert crop.side == 160
    assert crop.top <= 150 and crop.top + 160 >= 170
    assert crop.left <= 480 and crop.left + 160 >= 500
    assert crop.error == pytest.approx(0.5 * 20 * 20 / 160**2, rel=1e-3)
    assert crop.cut(output[0]).shape == (3, 160, 160)
    assert (crop.cut(output[0]) == 1).sum() == 3 * 20 * 20


def test_a_small_frame_is_its_own_crop() -> None:
    crop = worst_crop(torch.zeros(1, 3, 32, 40), torch.zeros(1, 3, 32, 40))
    assert (crop.top, crop.left, crop.side) == (0, 0, 32)
