"""Change beyond motion: none where a picture moves, all of it where brightness jumps."""

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from train.evaluation.metrics import BY_KEY, Pair, measure, warping_error


def texture(shift: int) -> Tensor:
    """A smooth picture moved to the left, (3, 96, 128)."""
    coarse = np.random.default_rng(0).random((12, 24, 3)).astype(np.float32)
    wide = cv2.resize(coarse, (192, 96), interpolation=cv2.INTER_CUBIC).clip(0, 1)
    return torch.from_numpy(wide[:, shift : shift + 128].transpose(2, 0, 1).copy()) * 0.5 + 0.25


def test_motion_is_no_error() -> None:
    moved = warping_error(torch.stack([texture(0), texture(3)]))
    assert moved is not None and moved < 0.01
    plain = (texture(3) - texture(0)).square().mean().sqrt()
    assert plain > 3 * moved


def test_a_jump_of_brightness_is_its_size() -> None:
    jumped = warping_error(torch.stack([texture(0), texture(0) + 0.02]))
    assert jumped is not None and jumped.item() == pytest.approx(0.02, rel=0.1)


def test_it_is_measured_without_a_truth_in_per_cent() -> None:
    before, now = (Pair(torch.full((3, 32, 40), value), None) for value in (0.5, 0.5))
    assert measure(now, before) == {"warping_error": 0.0}
    assert not BY_KEY["warping_error"].needs_truth
