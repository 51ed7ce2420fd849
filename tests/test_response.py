"""Responses of cameras, as formulas and tables."""

from collections.abc import Callable

import colour
import numpy as np
import pytest
import torch
from torch import Tensor

from model.errors import ResponseError
from model.exposure import CodePrecision, to_radiance
from model.response import ResponseCurve, bt709_curve, gamma_curve, linear_curve, power_curve, srgb_curve, table_curve


def ramp(low: float = 0.0, high: float = 1.0, *, count: int = 257) -> Tensor:
    """All three channels from `low` to `high`, (3, 1, count)."""
    return torch.linspace(low, high, count).expand(3, 1, count).contiguous()


def per_channel() -> ResponseCurve:
    codes = torch.linspace(0, 1, 1024)
    return table_curve("measured", torch.stack([codes**1.8, codes**2.2, codes**2.6], dim=1))


CURVES: list[Callable[[], ResponseCurve]] = [gamma_curve, srgb_curve, bt709_curve, per_channel]


@pytest.mark.parametrize("curve", CURVES)
def test_encode_undoes_linearize(curve: Callable[[], ResponseCurve]) -> None:
    codes = ramp(0.02)
    torch.testing.assert_close(curve().encode(curve().linearize(codes)), codes, rtol=0, atol=2e-6)


@pytest.mark.parametrize("curve", CURVES)
def test_light_runs_from_black_to_the_clip_level_and_rises(curve: Callable[[], ResponseCurve]) -> None:
    light = curve().linearize(ramp())
    assert light[:, 0, 0].tolist() == [0, 0, 0]
    assert light[:, 0, -1].tolist() == [1, 1, 1]
    assert (light.diff(dim=-1) > 0).all()


@pytest.mark.parametrize(
    ("curve", "decode"),
    [
        (srgb_curve, colour.models.eotf_sRGB),
        (bt709_curve, colour.models.oetf_inverse_BT709),
        (gamma_curve, lambda codes: codes**2.2),
    ],
)
def test_formulas_equal_colour_science(
    curve: Callable[[], ResponseCurve], decode: Callable[[np.ndarray], np.ndarray]
) -> None:
    codes = ramp(count=1021)
    expected = torch.from_numpy(decode(codes.double().numpy())).float()
    torch.testing.assert_close(curve().linearize(codes), expected, rtol=2e-5, atol=1e-7)


def test_gamma_pictures_come_back_untouched() -> None:
    picture = ramp()
    assert gamma_curve().to_ldr(picture) is picture


@pytest.mark.parametrize("curve", [srgb_curve, bt709_curve, per_channel])
def test_networks_see_the_same_light(curve: Callable[[], ResponseCurve]) -> None:
    codes = ramp()
    ldr = curve().to_ldr(codes)
    torch.testing.assert_close(to_radiance(ldr, 1.0), curve().linearize(codes), rtol=1e-5, atol=1e-7)


def test_what_clips_early_counts_as_clipped() -> None:
    curve = srgb_curve(clip_code=0.8)
    light = curve.linearize(torch.tensor([0.4, 0.8, 0.9]).expand(3, 1, 3))
    assert light[0, 0, 1:].tolist() == [1, 1]
    expected = srgb_curve().linearize(torch.tensor([0.4, 0.8]).expand(3, 1, 2))[0, 0]
    assert light[0, 0, 0].item() == pytest.approx((expected[0] / expected[1]).item(), rel=1e-6)
    assert curve.encode(torch.ones(3, 1, 1)).max().item() == pytest.approx(0.8)
    assert gamma_curve(clip_code=0.8).to_ldr(ramp(0.8)).min() == 1


def test_tables_are_interpolated_per_channel() -> None:
    table = torch.tensor([[0.0, 0.0, 0.0], [1.0, 2.0, 3.0], [4.0, 4.0, 4.0]])
    picture = torch.tensor([0.25, 0.5, 0.75]).expand(3, 1, 3)
    expected = torch.tensor([[0.125, 0.25, 0.625], [0.25, 0.5, 0.75], [0.375, 0.75, 0.875]])
    torch.testing.assert_close(table_curve("t", table).linearize(picture)[:, 0], expected)
    assert table_curve("t", table).linearize(picture.expand(2, 3, 1, 3)).shape == (2, 3, 1, 3)


def test_color_balance_of_a_table_stays() -> None:
    curve = table_curve("t", torch.tensor([[0.0, 0.0, 0.0], [5.0, 10.0, 8.0]]))
    assert curve.linearize(torch.ones(3, 1, 1)).flatten().tolist() == pytest.approx([0.5, 1.0, 0.8])


def test_below_the_black_of_a_table_is_no_light() -> None:
    assert table_curve("t", torch.tensor([-0.1, 0.0, 1.0])).linearize(ramp(0, 0.5)).max() == 0


def test_flat_parts_of_a_table_have_a_code() -> None:
    curve = table_curve("t", torch.tensor([0.0, 0.0, 0.5, 0.5, 1.0]))
    codes = curve.encode(torch.tensor([0.25, 0.5, 1.0]).expand(3, 1, 3))[0, 0]
    assert codes[0] == 0.375
    assert 0.5 <= codes[1] <= 0.75
    assert codes[2] == 1


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (torch.tensor([1.0]), "table of 1 values"),
        (torch.ones(5, 2), "table of 5x2 values"),
        (torch.tensor([0.0, float("nan"), 1.0]), "NaN"),
        (torch.tensor([0.0, 0.5, 0.4, 1.0]), "does not rise from row 2"),
        (torch.tensor([1.0, 1.0, 1.0]), "does not rise"),
        (torch.tensor([-2.0, -1.0, 0.0]), "no light at code 1"),
    ],
)
def test_tables_that_are_no_curve_are_refused(table: Tensor, message: str) -> None:
    with pytest.raises(ResponseError, match=message):
        table_curve("t", table)


def test_noise_of_a_measured_table_is_smoothed() -> None:
    table = torch.linspace(0, 1, 101)
    table[50] -= 0.0105  # under the row before it by 0.0005
    assert (table_curve("t", table).linearize(ramp()).diff(dim=-1) >= 0).all()


def test_a_pure_power_states_light_as_the_default_precision_says() -> None:
    found, default = gamma_curve().precision(), CodePrecision()
    assert found.slope == pytest.approx(default.slope, rel=0.1)  # the default takes x^(12/11) for x
    assert found.floor == default.floor
    assert found.clip_begins == pytest.approx(default.clip_begins, abs=0.005)


def test_a_contrasty_curve_states_darks_poorly() -> None:
    light = torch.linspace(0, 1, 1021, dtype=torch.float64)
    encoded = light.pow(1 / 2.2)
    table = torch.from_numpy(np.interp(light.numpy(), (encoded * encoded * (3 - 2 * encoded)).numpy(), light.numpy()))
    found = table_curve("contrasty", table).precision()
    plain = gamma_curve().precision(lossy=True)
    # Code 4 holds six times what code 8 of a pure power does, a step there is as wide as two of a pure power or more.
    assert found.black > 0.003 > 6 * plain.black
    assert found.floor > 3 * plain.floor
    assert found.clip_ends < 0.95


def test_losses_of_compression_make_codes_less_precise() -> None:
    exact, lossy = gamma_curve().precision(), gamma_curve().precision(lossy=True)
    assert lossy.slope == pytest.approx(exact.slope * 12 * 0.9**2)
    assert lossy.black > 20 * exact.black and lossy.most >= 0.01
    assert gamma_curve().precision(bits=10).slope == pytest.approx(exact.slope / 16, rel=0.05)


@pytest.mark.parametrize("bits", [8, 12, 16])
def test_linear_codes_state_light_to_the_same_step_everywhere(bits: int) -> None:
    found, step = linear_curve().precision(bits=bits), 1 / (2**bits - 1)
    for light in (0.01, 0.1, 0.5, 0.9):
        assert step**2 / 12 * 0.5 < found.floor + found.slope * light < step**2 / 12 * 2.5
    assert found.black == pytest.approx(2 * step)
    assert found.clip_begins > 0.94


def test_any_power_states_light_as_exactly_as_it_is_coded() -> None:
    near, plain = power_curve(2.21).precision(), gamma_curve().precision()
    assert near.slope == pytest.approx(plain.slope, rel=0.05)
    assert near.black == pytest.approx(plain.black, rel=0.1)
