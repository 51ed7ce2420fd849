from dataclasses import replace

import numpy as np
import pytest
import torch

from model.analysis.camera_curves import GENERIC, CameraCurve
from model.response import table_curve
from train.data.images import Pixels
from train.synthesis.capture import CameraCodes, draw_codes, leaning

TABLE = GENERIC.table()
EXACT = CameraCodes(table=TABLE.numpy(), known=table_curve("generic", TABLE))


def _gray(*values: float) -> Pixels:
    return np.repeat(np.array(values, np.float32), 3).reshape(1, 1, -1, 3)


@pytest.mark.parametrize(
    "curve", [GENERIC, CameraCurve(), CameraCurve(gamma=2.6, contrast=6.0, toe=0.02, crush=0.08)], ids=str
)
def test_light_of_a_code_becomes_that_code(curve: CameraCurve) -> None:
    table = curve.table()
    camera = CameraCodes(table=table.numpy(), known=table_curve("known", table))
    codes = camera.encode(_gray(*(camera.light(code) for code in range(256))))
    assert (codes[0, 0] == np.arange(256)[:, None]).all()
    light = camera.known.linearize(torch.arange(256).div(255).expand(3, 1, -1))
    np.testing.assert_allclose(camera.to_ldr(codes)[0, 0, :, 0] ** 2.2, light[0, 0], atol=1e-6)


def test_crushed_black_is_the_lowest_code_and_a_bound_as_far_as_it_is_known() -> None:
    crushed = replace(EXACT, black=10)
    codes = crushed.encode(_gray(0, *(EXACT.light(code) for code in (3, 10, 11, 90))))
    assert codes[0, 0, :, 1].tolist() == [10, 10, 10, 11, 90]
    assert crushed.precision == EXACT.precision
    known = replace(crushed, known_black=10).precision
    assert known.black == pytest.approx(EXACT.light(11.5), rel=1e-4) and known.black > EXACT.precision.black
    assert known.most >= 2 * known.black
    assert replace(known, black=0.0, most=0.0) == replace(EXACT.precision, black=0.0, most=0.0)


def test_a_pedestal_goes_where_it_is_subtracted_and_tints_blacks_where_it_is_not() -> None:
    light = _gray(*(EXACT.light(code) for code in (0, 40, 90, 200)))
    raised = replace(EXACT, pedestal=(5.0, 2.0, 17.0))
    np.testing.assert_array_equal(raised.encode(light)[0, 0, 0], [5, 2, 17])
    known = replace(raised, subtracted=(5.0, 2.0, 17.0))
    plain = EXACT.to_ldr(EXACT.encode(light))
    np.testing.assert_allclose(known.to_ldr(known.encode(light)), plain, atol=1.2 / 255)
    tinted = raised.to_ldr(raised.encode(light))[0, 0, 0]
    assert tinted[2] > tinted[0] > tinted[1] > 0 and plain[0, 0, 0].max() == 0


@pytest.mark.parametrize("error", [0.0, 0.03, 0.1])
def test_a_leaning_curve_is_off_as_stated_in_the_middle_and_by_more_in_the_darks(error: float) -> None:
    known = leaning(TABLE, CameraCurve().table(), by=error)
    stops = (known / TABLE).log2()
    middle = stops[round(0.2 * 1020) : round(0.85 * 1020)]
    assert float(middle.square().mean().sqrt()) == pytest.approx(error, rel=0.02, abs=1e-9)
    assert float(known[-1]) == 1 and bool((known.diff() >= 0).all())
    assert 2 * error <= float(stops[4 * 8].abs()) <= 1


def test_users_know_a_fourth_of_the_cameras_exactly_and_the_others_nearly() -> None:
    drawn = [draw_codes(np.random.default_rng(seed)) for seed in range(300)]
    codes = torch.arange(256).div(255).expand(3, 1, -1)
    errors = []
    for camera in drawn:
        known, true = camera.known.linearize(codes)[0, 0], torch.tensor([camera.light(code) for code in range(256)])
        errors.append(float((known / true).log2()[51:217].abs().max()))
        assert torch.isfinite(camera.precision.tensor()).all() and 0 < camera.precision.black < 0.1
    # three standard deviations of shares of 300 are 0.08 at the most
    assert np.mean(np.array(errors) < 1e-4) == pytest.approx(0.25, abs=0.08)
    assert max(errors) < 0.5 and np.median(errors) > 0.01
    assert np.mean([camera.black > 0 for camera in drawn]) == pytest.approx(0.35, abs=0.08)
    assert {camera.black for camera in drawn} == set(range(11))
    assert all(camera.known_black in (0, camera.black) for camera in drawn)
    floors = [camera for camera in drawn if any(camera.pedestal)]
    assert 0.01 < len(floors) / 300 < 0.12
    residues = np.array([np.subtract(camera.pedestal, camera.subtracted) for camera in floors])
    assert np.abs(residues).mean() > 0.3 and np.abs(residues).max() <= 1.5


def test_a_camera_depends_on_the_generator_alone() -> None:
    first, again, other = (draw_codes(np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert (first.table == again.table).all() and first.precision == again.precision
    assert not (first.table == other.table).all()
