"""The family of camera curves: laws of each member, and what its components can express."""

import pytest
import torch
from torch import Tensor

from model.analysis.camera_curves import CODES, COMPONENTS, GENERIC, CameraCurve, draw_curve, family
from model.response import bt709_curve, gamma_curve, srgb_curve

# Light at these codes as Debevec's method finds it in aligned brackets of two consumer cameras.
MEASURED_CODES = (16, 32, 64, 128, 192, 224)
MEASURED = {
    "canal": (0.0131, 0.0253, 0.0573, 0.1369, 0.3578, 0.5391),
    "room": (0.0108, 0.0239, 0.0527, 0.1427, 0.3336, 0.5352),
}


def at(table: Tensor, codes: tuple[int, ...] = MEASURED_CODES) -> Tensor:
    """Light at codes of 8 bits."""
    return table[torch.tensor(codes) * 4]


@pytest.mark.parametrize(
    ("curve", "known"),
    [(CameraCurve(), gamma_curve()), (CameraCurve("srgb"), srgb_curve()), (CameraCurve("bt709"), bt709_curve())],
)
def test_standards_are_members(curve: CameraCurve, known: object) -> None:
    codes = torch.linspace(0.02, 1, 50, dtype=torch.float64)
    light = known.linearize(codes.expand(3, 1, 50))[0, 0]  # type: ignore[attr-defined]
    torch.testing.assert_close(curve.code(light), codes, rtol=0, atol=1e-9)
    places = torch.arange(CODES, dtype=torch.float64) / (CODES - 1)
    light = known.linearize(places.expand(3, 1, CODES))[0, 0]  # type: ignore[attr-defined]
    torch.testing.assert_close(curve.table()[40:], light[40:], rtol=2e-3, atol=0)


def test_every_draw_rises_from_black_to_the_clip_level() -> None:
    generator = torch.Generator().manual_seed(1)
    drawn = torch.stack([draw_curve(generator).table() for _ in range(200)])
    assert drawn.shape == (200, CODES)
    assert bool((drawn[:, 0] == 0).all())
    assert bool((drawn[:, -1] == 1).all())
    assert bool((drawn.diff(dim=1) >= 0).all())
    # S shapes, powers and crushed blacks among them: at code 16 from less than gamma 2.2 has to ten times that.
    dark = at(drawn.T, (16,))[0]
    assert dark.quantile(0.05) < 0.002
    assert dark.quantile(0.95) > 0.015


def test_draws_follow_the_generator() -> None:
    first, second = (draw_curve(torch.Generator().manual_seed(7)).table() for _ in range(2))
    assert torch.equal(first, second)


def test_few_weights_express_members() -> None:
    """Members drawn anew are met to 0.05 stops (root mean square) by the weights, from code 10 to 245."""
    curves, generator = family(), torch.Generator().manual_seed(11)
    logs = torch.stack([draw_curve(generator).table() for _ in range(100)])[:, 40:980].log()
    basis = (curves.components * curves.deviations[:, None])[:, 40:980].T
    found = torch.linalg.lstsq(basis, (logs - curves.mean[40:980]).T).solution
    expressed = torch.stack([curves.light(weights) for weights in found.T])[:, 40:980].log()
    assert (expressed - logs).square().mean().sqrt() / torch.tensor(2.0).log() < 0.05
    assert (found.abs() < 6).all()


@pytest.mark.parametrize("name", MEASURED)
def test_real_cameras_lie_near(name: str) -> None:
    measured = torch.tensor(MEASURED[name], dtype=torch.float64)
    generic = (at(GENERIC.table()) / measured).log2().abs()
    assert generic.max() < 0.3  # stops
    gamma = ((torch.tensor(MEASURED_CODES) / 255) ** 2.2 / measured).log2().abs()
    assert gamma.max() > 2


def test_any_weights_make_a_curve_that_does_not_fall() -> None:
    generator = torch.Generator().manual_seed(3)
    for _ in range(50):
        light = family().light(3 * torch.randn(COMPONENTS, generator=generator))
        assert bool((light.diff() >= 0).all())
        assert (float(light[0]), float(light[-1])) == (0.0, 1.0)
