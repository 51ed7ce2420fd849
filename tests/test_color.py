"""Conversions of values, by literature values, inverses and colour-science."""

import colour
import pytest
import torch

from model.color import LUMA_BT601, luma, mu_law, mu_law_inverse


def test_mu_law_keeps_the_ends() -> None:
    assert mu_law(torch.tensor([0.0, 1.0])).tolist() == [0.0, 1.0]


@pytest.mark.parametrize(("linear", "log"), [(0.0002, 0.69314718), (0.01, 3.93182563), (0.1, 6.21660610)])
def test_mu_law_values(linear: float, log: float) -> None:
    # ln 2, ln 51 and ln 501 over ln 5001 = 8.51739317; 1e-7 is float32 rounding
    assert mu_law(torch.tensor(linear)).item() == pytest.approx(log / 8.51739317, abs=1e-7)


def test_mu_law_inverse_undoes_mu_law() -> None:
    linear = torch.cat([torch.zeros(1), torch.logspace(-6, 0, 200)])
    # expm1 magnifies float32 rounding by up to log(5001), about 8.5
    torch.testing.assert_close(mu_law_inverse(mu_law(linear)), linear, rtol=5e-6, atol=1e-10)


def test_mu_law_rises() -> None:
    assert (mu_law(torch.linspace(0, 2, 1000)).diff() > 0).all()


def test_luma_weights_are_those_of_bt601() -> None:
    red, blue = colour.WEIGHTS_YCBCR["ITU-R BT.601"]
    assert pytest.approx((red, 1 - red - blue, blue)) == LUMA_BT601


def test_luma_weighs_channels_and_keeps_the_picture() -> None:
    primaries = torch.eye(3).view(3, 3, 1, 1).expand(3, 3, 4, 6)
    found = luma(primaries)
    assert found.shape == (3, 1, 4, 6)
    torch.testing.assert_close(found[:, 0, 0, 0], torch.tensor(LUMA_BT601))
    torch.testing.assert_close(luma(torch.full((3, 2, 2), 0.7)), torch.full((1, 2, 2), 0.7))
