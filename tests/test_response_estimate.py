"""The response of a camera, estimated from exposures and compared with the truth."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from model.errors import ResponseError
from model.response import ResponseCurve, bt709_curve, gamma_curve, srgb_curve, table_curve
from model.response_estimate import BINS, ResponseEstimate, code_histogram, estimate_response


def film() -> ResponseCurve:
    """An S: half of the way from gamma 2.2 to a smooth step of it."""
    codes = torch.linspace(0, 1, 4001, dtype=torch.float64)
    light = torch.linspace(0, 1, 200001, dtype=torch.float64)
    encoded = light.pow(1 / 2.2)
    found = torch.searchsorted(0.5 * encoded + 0.5 * encoded.square() * (3 - 2 * encoded), codes)
    return table_curve("film", light[found.clamp(max=len(light) - 1)])


def gamma_with_toe() -> ResponseCurve:
    codes = torch.linspace(0, 1, 4001, dtype=torch.float64)
    return table_curve("toe", (codes.pow(3) / (codes + 0.08)).pow(0.9))


CURVES: list[Callable[[], ResponseCurve]] = [gamma_curve, srgb_curve, bt709_curve, film, gamma_with_toe]


def film_scene(curve: ResponseCurve, exposure: float, *, seed: int, top: float = 0.5) -> Tensor:
    """Histogram of a noisy 8-bit picture of eight stops; other seeds are other samples of the same scene."""
    generator = torch.Generator().manual_seed(seed)
    stops = -8 * torch.rand(3, 200, 200, generator=generator).pow(0.8)
    light = top * 2.0**stops * exposure * torch.tensor([1.0, 0.8, 0.6]).view(3, 1, 1)
    noise = 0.01 * torch.randn(light.shape, generator=generator) * (light + 1e-3).sqrt()
    codes = curve.encode((light + noise).clamp(0, 1))
    return code_histogram(codes.mul(255).round().div(255))


def estimated(curve: ResponseCurve, *exposures: float, told: tuple[float, ...] = ()) -> ResponseEstimate:
    return estimate_response(
        {
            name: film_scene(curve, exposure, seed=seed)
            for seed, (exposure, name) in enumerate(zip(exposures, told or exposures, strict=True))
        }
    )


def differences(found: ResponseCurve, truth: ResponseCurve) -> tuple[float, float]:
    """Greatest difference in light, 0..1, and of what the network sees (encoded with 1/2.2), above code 0.05."""
    codes = torch.linspace(0.05, 1, 1000).expand(3, 1, 1000)
    light = (found.linearize(codes) - truth.linearize(codes)).abs().max()
    return float(light), float((found.to_ldr(codes) - truth.to_ldr(codes)).abs().max())


# Greatest errors of light, measured with a tenth to spare; more at 16, where few codes are seen twice.
@pytest.mark.parametrize(("ratio", "plain", "shoulder"), [(4.0, 0.005, 0.04), (8.0, 0.005, 0.04), (16.0, 0.03, 0.05)])
@pytest.mark.parametrize("make", CURVES)
def test_the_truth_is_found(make: Callable[[], ResponseCurve], ratio: float, plain: float, shoulder: float) -> None:
    truth = make()
    found = estimated(truth, 1.0, ratio)
    light, seen = differences(found.curve, truth)
    # The shoulder of the S lies between the last codes that are not clipped and 1: it is guessed from its beginning.
    assert light < (shoulder if make is film else plain)
    assert seen < 0.025
    assert found.sure


def test_three_exposures_count_together() -> None:
    light, seen = differences(estimated(srgb_curve(), 1.0, 4.0, 16.0).curve, srgb_curve())
    assert (light, seen) < (0.01, 0.01)


def test_the_estimate_beats_taking_gamma_for_granted() -> None:
    for make in (bt709_curve, film):
        assert differences(estimated(make(), 1.0, 8.0).curve, make())[1] < 0.4 * differences(gamma_curve(), make())[1]


def test_a_wrong_ratio_gives_a_power_of_the_truth() -> None:
    """Response and ratio can't both be found: with 4 told for 2, light comes out squared."""
    found = estimated(gamma_curve(), 1.0, 4.0, told=(1.0, 16.0)).curve
    codes = torch.linspace(0.1, 1, 100).expand(3, 1, 100)
    # a fifth of a stop over six
    torch.testing.assert_close(found.linearize(codes).sqrt(), gamma_curve().linearize(codes), rtol=0.1, atol=0.02)


def test_a_camera_that_clips_early() -> None:
    truth = srgb_curve(clip_code=0.8)
    histograms = {ratio: film_scene(truth, ratio, seed=int(ratio)) for ratio in (1.0, 8.0)}
    found = estimate_response(histograms, clip_code=0.8)
    assert found.covered[1] < 0.8
    assert max(differences(found.curve, truth)) < 0.015


def test_a_poor_fit_is_told() -> None:
    """Where the scene itself brightens beside the exposure, no curve explains both pairs of three."""
    histograms = {
        1.0: film_scene(srgb_curve(), 1.0, seed=0),
        4.0: film_scene(srgb_curve(), 4.0, seed=1),
        16.0: film_scene(srgb_curve(), 6.0, seed=2),
    }
    assert not estimate_response(histograms).sure


@pytest.mark.parametrize(
    ("histograms", "message"),
    [
        ({1.0: torch.ones(3, BINS)}, "needs 2 exposures to be found, found 1"),
        ({1.0: torch.eye(3, BINS), 8.0: torch.eye(3, BINS)}, "too little is well exposed"),
        ({1.0: torch.zeros(3, BINS), 8.0: torch.zeros(3, BINS)}, "too little is well exposed"),
    ],
)
def test_what_shows_no_response_is_refused(histograms: dict[float, Tensor], message: str) -> None:
    with pytest.raises(ResponseError, match=message):
        estimate_response(histograms)


def test_codes_are_counted_per_channel() -> None:
    image = torch.tensor([[0.0, 0.001], [1.0, 1.0], [0.5, 2.0]]).view(3, 1, 2)
    counted = code_histogram(image)
    assert counted.shape == (3, BINS)
    assert counted[0, 0] == 2
    assert counted[1, 255] == 2
    assert counted[2, [128, 255]].tolist() == [1, 1]


if __name__ == "__main__":
    for make in CURVES:
        for ratio in (4.0, 8.0, 16.0):
            light, seen = differences(estimated(make(), 1.0, ratio).curve, make())
            naive, naive_seen = differences(gamma_curve(), make())
            print(make.__name__, ratio, f"{light:.4f} {seen:.4f}   gamma2.2: {naive:.4f} {naive_seen:.4f}")
