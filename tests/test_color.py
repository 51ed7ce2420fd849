"""Conversions of values, by literature values, inverses and colour-science."""

import colour
import numpy as np
import pytest
import torch
from support.hlg import hlg_decode

from model.color import (
    ACES2065_1,
    ACESCG,
    LUMA_BT601,
    P3_D65,
    REC709,
    REC2020,
    conversion_matrix,
    convert_primaries,
    hlg_encode,
    hlg_oetf,
    hlg_oetf_inverse,
    luma,
    mu_law,
    mu_law_inverse,
    pq_decode,
    pq_encode,
    pu21_encode,
    roll_off,
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


NITS = torch.logspace(-4, 4, 400, dtype=torch.float64)


def gray(nits: float) -> torch.Tensor:
    return torch.full((3, 1, 1), nits, dtype=torch.float64)


@pytest.mark.parametrize(
    ("nits", "signal", "code"),
    [
        (0, 0.0, 64),
        (100, 0.508078, 509),
        (203, 0.580689, 573),
        (1000, 0.751827, 723),
        (4000, 0.902572, 855),
        (10000, 1.0, 940),
    ],
)
def test_pq_at_known_levels(nits: float, signal: float, code: int) -> None:
    found = pq_encode(torch.tensor(nits, dtype=torch.float64)).item()
    assert found == pytest.approx(signal, abs=1.5e-6)  # 6 digits; 0 cd/m2 gives 7.3e-7
    assert round(64 + 876 * found) == code


def test_pq_equals_colour_science() -> None:
    np.testing.assert_allclose(pq_encode(NITS), colour.models.eotf_inverse_ST2084(NITS.numpy()), rtol=1e-12)
    signal = torch.linspace(0, 1, 200, dtype=torch.float64)
    np.testing.assert_allclose(pq_decode(signal), colour.models.eotf_ST2084(signal.numpy()), rtol=1e-9, atol=1e-12)


def test_pq_in_single_precision_is_good_for_twelve_bits() -> None:
    error = (pq_encode(NITS.float()).double() - pq_encode(NITS)).abs().max().item()
    assert error * 3504 < 0.05  # in codes of 12 bits


def test_pq_decode_undoes_pq_encode_even_above_its_peak() -> None:
    nits = torch.cat([NITS, torch.tensor([20000.0, 1e6])])
    torch.testing.assert_close(pq_decode(pq_encode(nits)), nits, rtol=1e-9, atol=1e-9)


def test_hlg_equals_colour_science() -> None:
    scene = torch.linspace(0, 1, 300, dtype=torch.float64)
    with np.errstate(invalid="ignore"):  # colour takes logarithms of what it does not use
        expected = colour.models.oetf_BT2100_HLG(scene.numpy())
    np.testing.assert_allclose(hlg_oetf(scene), expected, atol=1e-7)
    assert hlg_oetf(torch.tensor(1 / 12)).item() == pytest.approx(0.5, abs=1e-6)
    picture = torch.rand(3, 5, 7, generator=torch.Generator().manual_seed(0)).double()
    expected = colour.models.eotf_BT2100_HLG(picture.permute(1, 2, 0).numpy(), L_B=0, L_W=1000)
    np.testing.assert_allclose(hlg_decode(picture).permute(1, 2, 0), expected, rtol=1e-5, atol=1e-5)


def test_hlg_puts_diffuse_white_at_three_quarters() -> None:
    assert hlg_encode(gray(203.15)).max().item() == pytest.approx(0.75, abs=1e-5)
    assert hlg_encode(gray(1000)).max().item() == pytest.approx(1.0, abs=1e-6)


def test_hlg_decoding_undoes_encoding() -> None:
    # Bright pure colors would need more than full scale before the display's gamma; HLG can't show them.
    picture = 250 * torch.rand(3, 9, 9, generator=torch.Generator().manual_seed(0)).double() ** 3
    torch.testing.assert_close(hlg_decode(hlg_encode(picture)), picture, rtol=1e-5, atol=1e-6)
    bright = torch.tensor([900.0, 300.0, 0.0], dtype=torch.float64).view(3, 1, 1)
    dimmed = hlg_decode(hlg_encode(bright))
    assert 600 < dimmed[0].item() < 900
    torch.testing.assert_close(dimmed / dimmed[0], bright / bright[0], rtol=1e-5, atol=1e-6)
    scene = torch.linspace(0, 1, 100, dtype=torch.float64)
    torch.testing.assert_close(hlg_oetf_inverse(hlg_oetf(scene)), scene, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(("source", "peak"), [(1624.0, 1000.0), (13000.0, 1000.0), (406.0, 203.0), (3.4e9, 100.0)])
def test_roll_off_keeps_shadows_rises_and_ends_at_the_peak(source: float, peak: float) -> None:
    nits = torch.logspace(-3, np.log10(source), 2000, dtype=torch.float64).expand(3, 1, 2000)
    rolled = roll_off(nits, source_peak_nits=source, peak_nits=peak)
    steps = rolled[0, 0].diff()
    assert (steps > -1e-9 * peak).all()
    assert rolled.max().item() == pytest.approx(peak, rel=1e-6)
    assert (rolled <= nits * (1 + 1e-9)).all()
    top, target = pq_encode(torch.tensor([source, peak], dtype=torch.float64)).tolist()
    below = nits < pq_decode(torch.tensor(max(0.0, 1.5 * target - 0.5 * top), dtype=torch.float64))
    torch.testing.assert_close(rolled[below], nits[below])
    assert roll_off(gray(10 * source), source_peak_nits=source, peak_nits=peak).max().item() <= peak * (1 + 1e-9)


def test_roll_off_between_knee_and_peak_by_hand() -> None:
    # BT.2390: maxLum = PQ(1000)/PQ(10000) = 0.751827, KS = 0.627741; E1 = 0.9 lies at T = 0.731370:
    # P = 0.177716 KS + 0.052777 (1 - KS) + 0.822284 maxLum = 0.749422.
    source = pq_decode(torch.tensor(0.9, dtype=torch.float64)).item()
    rolled = roll_off(gray(source), source_peak_nits=10000, peak_nits=1000)
    assert pq_encode(rolled).max().item() == pytest.approx(0.749422, abs=1e-6)


def test_roll_off_keeps_chromaticity() -> None:
    picture = 8000 * torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(0)).double()
    rolled = roll_off(picture, source_peak_nits=8000, peak_nits=600)
    torch.testing.assert_close(rolled / rolled.amax(0), picture / picture.amax(0))
    assert rolled.max().item() <= 600 + 1e-6


def test_without_need_roll_off_does_nothing_but_clip() -> None:
    picture = torch.tensor([[[100.0]], [[50.0]], [[0.0]]])
    torch.testing.assert_close(roll_off(picture, source_peak_nits=406, peak_nits=1000), picture)
    clipped = roll_off(picture * 20, source_peak_nits=406, peak_nits=1000)
    torch.testing.assert_close(clipped, picture * 10)


@pytest.mark.parametrize(("nits", "value"), [(0.005, 5.4705e-10), (10000, 595.3939), (100, 256.0)])
def test_pu21_at_published_levels(nits: float, value: float) -> None:
    # The ends are the authors'; of 100 cd/m2, white of an SDR display, they say "about 256".
    tolerance = 0.5 if nits == 100 else 1e-4
    assert pu21_encode(torch.tensor(nits, dtype=torch.float64)).item() == pytest.approx(value, abs=tolerance)


def test_pu21_rises_within_its_range_and_stays_outside() -> None:
    steps = pu21_encode(torch.logspace(-2.3, 4, 500, dtype=torch.float64)).diff()
    assert (steps > 0).all()
    assert pu21_encode(torch.tensor([-1.0, 0.0])).tolist() == pytest.approx([0, 0], abs=1e-3)
    assert torch.equal(pu21_encode(torch.tensor([1e4])), pu21_encode(torch.tensor([1e6])))


def test_pu21_is_near_a_logarithm_in_bright_light() -> None:
    # Weber's law: equal ratios are similar steps from 100 to 1000 cd/m2; in the dark they are seen less.
    dark, low, high = pu21_encode(torch.tensor([[0.01, 0.02], [100, 200], [500, 1000]])).diff(dim=1)[:, 0].tolist()
    assert low == pytest.approx(high, rel=0.15)
    assert dark < 0.1 * low
