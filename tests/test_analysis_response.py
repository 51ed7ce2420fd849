"""The response of a camera, estimated from exposures and compared with the truth."""

from collections.abc import Callable, Mapping
from itertools import combinations

import pytest
import torch
from torch import Tensor

from model.analysis.code_matches import BINS, code_histogram, paired_histograms
from model.analysis.response import (
    ResponseEstimate,
    response_and_exposures,
    response_from_frames,
    response_of_pairs,
)
from model.errors import ResponseError
from model.response import ResponseCurve, bt709_curve, gamma_curve, linear_curve, power_curve, srgb_curve, table_curve


def estimate_response(
    histograms: Mapping[float, Tensor], *, clip_code: float = 1.0, black: Tensor | None = None
) -> ResponseEstimate:
    """The response by histograms of frames that show the same light on the whole."""
    pairs = {pair: (histograms[pair[0]], histograms[pair[1]]) for pair in combinations(sorted(histograms), 2)}
    return response_of_pairs(pairs, clip_code=clip_code, black=black)


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


@pytest.mark.parametrize("ratio", [4.0, 8.0, 16.0])
@pytest.mark.parametrize("make", [gamma_curve, srgb_curve, bt709_curve])
def test_standards_are_recognized(make: Callable[[], ResponseCurve], ratio: float) -> None:
    found = estimated(make(), 1.0, ratio)
    assert found.curve.name == make().name
    assert differences(found.curve, make()) == (0, 0)
    assert found.sure
    assert found.confidence > 0.8


# Nearly all of it is a factor: the last codes before the clip level are the family's guess.
@pytest.mark.parametrize("ratio", [4.0, 8.0, 16.0])
@pytest.mark.parametrize(("make", "largest"), [(film, 0.065), (gamma_with_toe, 0.04)])
def test_the_truth_is_found(make: Callable[[], ResponseCurve], largest: float, ratio: float) -> None:
    found = estimated(make(), 1.0, ratio)
    light, seen = differences(found.curve, make())
    assert light < largest
    assert seen < 0.035
    assert stops_off(found.curve, make()) < 0.08
    assert found.sure


@pytest.mark.parametrize("power", [2.0, 2.4])
def test_another_power_is_recognized_where_exposures_are_known(power: float) -> None:
    truth = power_curve(power)
    assert stops_off(estimated(truth, 1.0, 8.0).curve, truth) < 0.03
    assert stops_off(gamma_curve(), truth) > 0.15


@pytest.mark.parametrize("ratio", [4.0, 8.0, 16.0])
def test_linear_codes_are_recognized_where_exposures_are_known(ratio: float) -> None:
    found = estimated(linear_curve(), 1.0, ratio)
    assert found.curve.name == "linear"
    assert found.sure


def test_exposures_slightly_off_are_no_other_power() -> None:
    assert estimated(gamma_curve(), 1.0, 7.7, told=(1.0, 8.0)).curve.name == "gamma2.2"


def stops_off(found: ResponseCurve, truth: ResponseCurve) -> float:
    """Root mean square of the difference over codes 10 to 245, apart from a factor."""
    codes = (torch.arange(10, 246) / 255).expand(3, 1, -1)
    ratio = (found.linearize(codes)[0, 0] / truth.linearize(codes)[0, 0]).log2()
    return float((ratio - ratio.median()).square().mean().sqrt())


def contrasty() -> ResponseCurve:
    """A raw converter's base curve before sRGB: steep middle, crushed blacks, long shoulder; none of the family's."""
    light = torch.linspace(0, 1, 100001, dtype=torch.float64)
    toned = torch.lerp(light * light / (light + 0.02) * 1.02, 1 - (1 - light).pow(2.2), 0.75)
    codes = (srgb_curve().encode(toned.expand(3, 1, -1))[0, 0] - 0.05).clamp(min=0) / 0.95
    wanted = torch.linspace(0, 1, 2001, dtype=torch.float64)
    return table_curve("contrasty", light[torch.searchsorted(codes, wanted).clamp(max=len(light) - 1)])


def test_a_contrasty_curve_is_found_with_its_exposures() -> None:
    ratio = 8.0
    pairs = {(0.0, 1.0): (film_scene(contrasty(), ratio, seed=1), film_scene(contrasty(), 1.0, seed=0))}
    found = response_and_exposures(pairs)
    assert found.exposures == pytest.approx((ratio, 1.0), rel=0.1)
    assert stops_off(found.curve, contrasty()) < 0.2
    assert stops_off(gamma_curve(), contrasty()) > 0.4
    assert 0.2 < found.confidence < 0.9  # a power of it would fit as well


def test_gamma_stays_where_codes_agree_with_it_and_nobody_says_the_exposures() -> None:
    pairs = {(0.0, 1.0): (film_scene(gamma_curve(), 1.0, seed=0), film_scene(gamma_curve(), 6.1, seed=1))}
    found = response_and_exposures(pairs)
    assert found.curve.name == "gamma2.2"
    assert found.exposures == pytest.approx((1.0, 6.1), rel=0.02)


def test_three_unknown_exposures() -> None:
    scenes = [film_scene(film(), exposure, seed=seed) for seed, exposure in enumerate((4.0, 1.0, 16.0))]
    pairs = {
        (float(first), float(second)): (scenes[first], scenes[second]) for first, second in ((0, 1), (1, 2), (2, 0))
    }
    found = response_and_exposures(pairs)
    # The prior settles one power for all: here a tenth of a stop too few for each two.
    assert found.exposures == pytest.approx((4.0, 1.0, 16.0), rel=0.15)


def test_little_in_common_is_enough() -> None:
    """All but a fifth of the codes are seen at one exposure only; the old rule asked for a half."""
    truth = film()
    histograms = {ratio: film_scene(truth, ratio, seed=int(ratio), top=0.03) for ratio in (1.0, 48.0)}
    found = estimate_response(histograms)
    assert stops_off(found.curve, truth) < 0.2
    assert stops_off(gamma_curve(), truth) > 0.2


def test_a_black_level_is_no_toe() -> None:
    """Light of the black level is in every code; told of it, the curve is found as without."""
    floor = torch.tensor([5.0, 2.0, 17.0]) / 255
    light = gamma_curve().linearize(floor.view(3, 1, 1))

    def scene(exposure: float, seed: int) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        clean = exposure * 0.5 * 2.0 ** (-8 * torch.rand(3, 300, 300, generator=generator).pow(0.8))
        return code_histogram(gamma_curve().encode((clean * (1 - light) + light).clamp(max=1)))

    histograms = {1.0: scene(1.0, 0), 8.0: scene(8.0, 1)}
    told = estimate_response(histograms, black=floor)
    assert told.curve.name == "gamma2.2"
    assert told.error < 0.4 * estimate_response(histograms).error


def test_frames_are_compared_over_what_both_show() -> None:
    """A panning camera: half of each frame is new, and darker than all before."""
    generator = torch.Generator().manual_seed(0)
    light = 2.0 ** (-7 * torch.rand(3, 24, 60, generator=generator)).repeat_interleave(8, 1).repeat_interleave(8, 2)
    light = light * torch.linspace(1, 0.2, 480)
    views = [light[:, :, start : start + 256] for start in (0, 32, 64, 96, 128, 160)]
    exposures = [1.0, 8.0] * 3
    frames = [
        film().encode(view * exposure * 0.3).mul(255).round().div(255)
        for view, exposure in zip(views, exposures, strict=True)
    ]
    assert stops_off(response_from_frames(frames, exposures).curve, film()) < 0.1
    (pair,) = paired_histograms(frames, exposures).values()
    assert pair[0].sum() == pair[1].sum()


def test_three_exposures_count_together() -> None:
    light, seen = differences(estimated(srgb_curve(), 1.0, 4.0, 16.0).curve, srgb_curve())
    assert (light, seen) < (0.01, 0.01)


def test_the_estimate_beats_taking_gamma_for_granted() -> None:
    for make in (bt709_curve, film, gamma_with_toe):
        assert stops_off(estimated(make(), 1.0, 8.0).curve, make()) < 0.3 * stops_off(gamma_curve(), make())


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
