"""Listed exposures: their cycle, and each frame's place in it."""

import pytest

from model.analysis.exposure_cycle import follow_list
from model.errors import ExposureError


@pytest.mark.parametrize(
    ("exposures", "ratios"),
    [
        ([2.0, 16.0] * 5, (1, 8)),
        ([16.0, 2.0] * 5, (8, 1)),
        ([4.0, 1.0, 16.0] * 4 + [4.0], (4, 1, 16)),
        ([4.0, 16.0, 4.0, 1.0] * 3, (4, 16, 4, 1)),
        ([1.0, 8.0], (1, 8)),
        ([1.0, 8.0, 1.02, 8.1, 0.99, 7.9, 1.0, 8.0], (1, pytest.approx(8, rel=0.03))),
    ],
)
def test_the_cycle(exposures: list[float], ratios: tuple[float, ...]) -> None:
    found = follow_list(exposures)
    assert found.ratios == ratios
    assert found.regular
    assert len(found.phases) == len(exposures)


def test_a_missing_frame() -> None:
    exposures = [1.0, 4.0, 16.0] * 3 + [4.0, 16.0] + [1.0, 4.0, 16.0] * 2
    found = follow_list(exposures)
    assert [found[index] for index in range(len(exposures))] == exposures
    assert not found.regular


@pytest.mark.parametrize(
    ("exposures", "complaint"),
    [
        ([1.0, 1.0, 1.0], "all exposures are 1"),
        ([1.0, -8.0], "positive"),
        ([1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0], r"\(1, 2, 4, 8, .*\) repeat in no cycle of 2 to 6"),
        ([1.0, 8.0] * 9 + [3.0] + [1.0, 8.0] * 9, "frame 18 has exposure 3 in the list, the cycle has 1, 8"),
    ],
)
def test_lists_that_do_not_repeat(exposures: list[float], complaint: str) -> None:
    with pytest.raises(ExposureError, match=complaint):
        follow_list(exposures)
