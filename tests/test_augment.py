import sys
from dataclasses import replace

import numpy as np
import pytest

from model.analysis.camera_curves import GENERIC
from model.exposure import GAMMA_8_BIT
from model.response import gamma_curve, table_curve
from train.data.images import Pixels
from train.sampling_config import GuidedSampling
from train.synthesis.capture import CameraCodes, Capture, draw_capture, expose, exposure_gain


@pytest.mark.parametrize("exposure", [1.0, 8.0])
@pytest.mark.parametrize("signal", [0.05, 0.5])
def test_noise_has_the_stated_variance(signal: float, exposure: float) -> None:
    capture = Capture(shot=3e-4, read=2e-3, bits=0)
    radiance = np.full((1, 400, 400, 3), signal / exposure, np.float32)
    taken = expose(radiance, [exposure], capture=capture, rng=np.random.default_rng(1)).astype(np.float64) ** 2.2
    # 480,000 draws: the standard error of a variance is 0.2 %, of the mean 0.002 of a deviation
    assert taken.var() == pytest.approx(3e-4 * signal + 2e-3**2, rel=0.01)
    assert taken.mean() == pytest.approx(signal, abs=0.01 * taken.std())


def test_radiance_is_left_as_it_was() -> None:
    radiance = np.full((2, 4, 4, 3), 0.1, np.float32)
    expose(radiance, [1, 4], capture=Capture(shot=1e-4, read=1e-3), rng=np.random.default_rng(0))
    assert (radiance == np.float32(0.1)).all()


@pytest.mark.parametrize("bits", [8, 10])
def test_pictures_have_whole_code_values(bits: int) -> None:
    radiance = np.random.default_rng(0).random((1, 8, 8, 3), np.float32)
    codes = expose(radiance, [1], capture=Capture(bits=bits), rng=np.random.default_rng(0)) * (2**bits - 1)
    assert np.abs(codes - np.rint(codes)).max() < 1e-3
    assert len(np.unique(np.rint(codes))) > 50


def test_errors_of_response_and_ratio_reach_the_picture() -> None:
    radiance = np.full((2, 2, 2, 3), 0.1, np.float32)
    capture = Capture(gamma=2.3, ratio_errors=((4.0, 1.05),), bits=0)
    taken = expose(radiance, [1, 4], capture=capture, rng=np.random.default_rng(0))
    np.testing.assert_allclose(taken[0], 0.1 ** (1 / 2.3), rtol=1e-5)
    np.testing.assert_allclose(taken[1], 0.42 ** (1 / 2.3), rtol=1e-5)


def test_compression_loses_little_and_keeps_the_order_of_colors() -> None:
    radiance = np.zeros((1, 32, 32, 3), np.float32) + np.array([0.8, 0.2, 0.05], np.float32)
    plain, packed = (
        expose(radiance, [1], capture=Capture(jpeg_quality=quality), rng=np.random.default_rng(0))
        for quality in (None, 90)
    )
    assert 0 < np.abs(plain - packed).max() < 0.03


def test_video_compression_reaches_the_picture_and_jpeg_stands_in_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    radiance = np.random.default_rng(1).random((4, 32, 32, 3), np.float32)
    exposures = [1.0, 4.0, 1.0, 4.0]

    def taken(capture: Capture) -> Pixels:
        return expose(radiance, exposures, capture=capture, rng=np.random.default_rng(0))

    video, still = taken(Capture(h264_crf=24)), taken(Capture(jpeg_quality=70))
    assert 0.001 < np.abs(video - taken(Capture())).mean() < 0.2
    monkeypatch.setitem(sys.modules, "av", None)
    assert (taken(Capture(h264_crf=24)) == still).all()


def test_compression_may_depend_on_the_exposure() -> None:
    radiance = np.random.default_rng(1).random((2, 32, 32, 3), np.float32) ** 4
    even, sloped = (
        expose(radiance, [1, 16], capture=Capture(jpeg_quality=70, jpeg_slope=slope), rng=np.random.default_rng(0))
        for slope in (0.0, 5.0)
    )
    plain = expose(radiance, [1, 16], capture=Capture(), rng=np.random.default_rng(0))
    before, after = (np.abs(passed - plain).mean((1, 2, 3)) for passed in (even, sloped))
    assert after[0] > before[0] and after[1] < before[1]


def test_gain_lets_the_stated_shares_clip() -> None:
    radiance = np.random.default_rng(0).lognormal(0, 2, (300, 300, 3)).astype(np.float32)
    brightest = radiance.max(2)
    by_long = exposure_gain(radiance, 4, long_clips=0.3, short_clips=0.2)
    assert (brightest * by_long * 4 > 1).mean() == pytest.approx(0.3, abs=0.02)
    by_short = exposure_gain(radiance, 16, long_clips=0.9, short_clips=0.02)
    assert (brightest * by_short > 1).mean() == pytest.approx(0.02, abs=0.005)
    bright_enough = exposure_gain(radiance, 4, long_clips=0.01, short_clips=0.01, darkest=0.5)
    assert np.median(brightest * bright_enough * 4) == pytest.approx(0.5, rel=0.05)


def _compresses(capture: Capture) -> bool:
    return capture.jpeg_quality is not None or capture.h264_crf is not None


def test_drawn_cameras_stay_in_their_ranges_and_differ() -> None:
    rng = np.random.default_rng(0)
    drawn = [draw_capture(rng, [1.0, 8.0], sampling=GuidedSampling()) for _ in range(600)]
    assert any(capture.shot == 0 == capture.read for capture in drawn)
    assert all(1e-5 <= capture.shot <= 4e-4 and 2e-4 <= capture.read <= 3e-3 for capture in drawn if capture.shot)
    assert {capture.bits for capture in drawn} == {8, 10}
    assert all(set(dict(capture.ratio_errors)) <= {8.0} for capture in drawn)
    # shares of 600: three standard deviations are 0.06 at the most
    for share, wanted in (
        (np.mean([capture.jpeg_quality is not None for capture in drawn]), 0.3),
        (np.mean([capture.h264_crf is not None for capture in drawn]), 0.2),
        (np.mean([bool(capture.ratio_errors) for capture in drawn]), 0.12),
        (np.mean([capture.gamma != 2.2 for capture in drawn]), 0.15),
        (np.mean([capture.codes is not None for capture in drawn]), 0.33),
        (np.mean([_compresses(capture) for capture in drawn if capture.codes]), 0.9),
        (np.mean([not (capture.codes or _compresses(capture)) for capture in drawn]), 0.47),
    ):
        assert share == pytest.approx(wanted, abs=0.06)
    errors = [error for capture in drawn for _, error in capture.ratio_errors]
    assert 0.9 <= min(errors) < 0.95 and 1.05 < max(errors) <= 1.1
    gammas = [capture.gamma / 2.2 for capture in drawn]
    assert 0.9 <= min(gammas) < 0.95 and 1.05 < max(gammas) <= 1.1


def test_a_curve_of_its_own_is_known_to_the_picture_and_to_its_precision() -> None:
    table = GENERIC.table()
    codes = CameraCodes(table=table.numpy(), known=table_curve("generic", table))
    radiance = np.geomspace(0.02, 1, 3 * 64 * 64).astype(np.float32).reshape(1, 64, 64, 3)
    capture = Capture(codes=codes)
    taken = expose(radiance, [1], capture=capture, rng=np.random.default_rng(0))
    # within half a code: 1.4 % of the light at most, where the curve is steepest
    np.testing.assert_allclose(taken**2.2, radiance, rtol=0.03)
    packed = expose(radiance, [1], capture=replace(capture, jpeg_quality=90), rng=np.random.default_rng(0))
    assert 0 < np.abs(packed - taken).mean() < 0.01
    assert capture.precision == table_curve("generic", table).precision() != Capture().precision
    assert Capture().precision == GAMMA_8_BIT


def test_light_of_a_code_is_what_the_camera_takes_for_it() -> None:
    table = GENERIC.table()
    for capture in (Capture(gamma=2.4), Capture(codes=CameraCodes(table=table.numpy(), known=gamma_curve()))):
        radiance = np.full((1, 2, 2, 3), capture.light(100), np.float32)
        taken = expose(radiance, [1], capture=capture, rng=np.random.default_rng(0))
        np.testing.assert_allclose(taken, 100 / 255, atol=1e-6)
