"""Conversions of values, by literature values, inverses and colour-science."""

import colour
import pytest
import torch

from model.color import (
    ACES2065_1,
    ACESCG,
    LUMA_BT601,
    P3_D65,
    REC709,
    REC2020,
    conversion_matrix,
    convert_primaries,
    luma,
    mu_law,
    mu_law_inverse,
)


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


SPACES = {
    "ITU-R BT.709": REC709,
    "ITU-R BT.2020": REC2020,
    "P3-D65": P3_D65,
    "ACEScg": ACESCG,
    "ACES2065-1": ACES2065_1,
}


@pytest.mark.parametrize("target", SPACES)
@pytest.mark.parametrize("source", SPACES)
def test_conversion_of_primaries_equals_colour_science(source: str, target: str) -> None:
    first, second = (colour.RGB_COLOURSPACES[name].copy() for name in (source, target))
    for space in (first, second):  # derived from primaries, not rounded as the standards print them
        space.use_derived_transformation_matrices(True)
    expected = colour.matrix_RGB_to_RGB(first, second, "Bradford")
    found = conversion_matrix(SPACES[source], SPACES[target])
    torch.testing.assert_close(found, torch.from_numpy(expected), rtol=0, atol=1e-9)


def test_conversion_from_rec709_to_acescg_is_the_published_one() -> None:
    row = conversion_matrix(REC709, ACESCG)[0].tolist()
    assert row == pytest.approx([0.613097, 0.339523, 0.047379], abs=1e-6)


def test_white_stays_white_and_the_way_back_leads_back() -> None:
    white = torch.ones(3, 1, 1)
    torch.testing.assert_close(convert_primaries(white, REC709, target=ACES2065_1), white, rtol=0, atol=1e-6)
    picture = torch.rand(2, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    back = convert_primaries(convert_primaries(picture, REC709, target=REC2020), REC2020, target=REC709)
    torch.testing.assert_close(back, picture, rtol=0, atol=1e-6)


def test_equal_primaries_leave_the_picture_untouched() -> None:
    picture = torch.rand(3, 2, 2)
    assert convert_primaries(picture, REC709, target=REC709) is picture
