import numpy as np
import pytest
from support.recipes import guided_samples

from model.errors import ExposureError
from train.sampling_config import ExposureDraws

GUIDED_DRAWS = {nexps: guided_samples(nexps).exposures for nexps in (2, 3)}


def _three_deviations(share: float, draws: int) -> float:
    return 3 * float((share * (1 - share) / draws) ** 0.5)


@pytest.mark.parametrize("nexps", [2, 3])
def test_every_cycle_occurs_in_every_phase(nexps: int) -> None:
    rng = np.random.default_rng(0)
    seen = {tuple(GUIDED_DRAWS[nexps].draw(rng, nexps)) for _ in range(600)}
    for cycle in GUIDED_DRAWS[nexps].cycles:
        assert {cycle[phase:] + cycle[:phase] for phase in range(nexps)} <= seen


@pytest.mark.parametrize(("nexps", "share"), [(2, 0.6), (3, 0.5)])
def test_most_of_the_cycles_are_free_from_2_to_64(nexps: int, share: float) -> None:
    rng, listed = np.random.default_rng(1), {tuple(sorted(cycle)) for cycle in GUIDED_DRAWS[nexps].cycles}
    drawn = [tuple(sorted(GUIDED_DRAWS[nexps].draw(rng, nexps))) for _ in range(4000)]
    free = np.array([cycle for cycle in drawn if cycle not in listed])
    assert len(free) / 4000 == pytest.approx(share, abs=_three_deviations(share, 4000))
    steps = free[:, 1:] / free[:, :-1]
    low, high = GUIDED_DRAWS[nexps].free_step
    assert free.max() <= 64 and low <= steps.min() and steps.max() <= high
    # log-uniform: a fourth of the steps in each fourth of the doublings
    shares, _ = np.histogram(np.log(steps), bins=4, range=(np.log(low), np.log(high)))
    np.testing.assert_allclose(shares / steps.size, 0.25, atol=_three_deviations(0.25, len(free)))


def test_order_of_exposures_goes_on_over_all_frames() -> None:
    exposures = GUIDED_DRAWS[3].draw(np.random.default_rng(0), 8)
    assert exposures[3:] == exposures[:-3] and min(exposures) == 1


@pytest.mark.parametrize(
    ("cycles", "shares", "step", "message"),
    [
        (((1.0, 4.0), (1.0, 4.0, 16.0)), (1.0, 1.0), (2.0, 8.0), r"cycles of \[2, 3\]"),
        (((1.0, 2.0, 4.0, 8.0),), (1.0,), (2.0, 8.0), r"cycles of \[4\]"),
        (((1.0, 4.0),), (1.0, 1.0), (2.0, 8.0), "1 cycles have the shares"),
        (((2.0, 4.0),), (1.0,), (2.0, 8.0), "not relative to its shortest"),
        (((1.0, 4.0),), (1.0,), (8.0, 2.0), "free_step is"),
    ],
)
def test_draws_that_make_no_sense_are_refused(
    cycles: tuple[tuple[float, ...], ...], shares: tuple[float, ...], step: tuple[float, float], message: str
) -> None:
    with pytest.raises(ExposureError, match=message):
        ExposureDraws(cycles, shares, free_step=step)
