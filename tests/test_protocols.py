"""Both protocols, by values worked out by hand."""

import pytest
import torch

from train.evaluation.protocols import scored_radiance
from train.evaluation.results import Role

# Four gray pixels, encoded: black, a little above 0.2, middle, white; luma of gray is the value itself.
REFERENCE = torch.tensor([0.0, 0.21, 0.5, 0.9]).expand(3, 1, 4)
PREDICTED = torch.tensor([-0.5, 0.25, 0.75, 1.5]).expand(3, 1, 4)
# 0.21^2.2 = exp(2.2 ln 0.21) = exp(-3.43343) = 0.032276; 0.5^2.2 = 0.217638; 0.9^2.2 = 0.793111
LINEAR = (0.0, 0.032276, 0.217638, 0.793111)


@pytest.mark.parametrize(
    ("role", "exposure", "expected"),
    [
        ("low", 1.0, [0.0, LINEAR[1], LINEAR[2], LINEAR[3]]),  # the network where darker than 0.2: pixel 0, clipped
        ("high", 8.0, [0.0, LINEAR[1] / 8, LINEAR[2] / 8, 1.0]),  # the network where brighter than 0.8: pixel 3
        ("middle", 4.0, [0.0, LINEAR[1] / 4, LINEAR[2] / 4, 1.0]),  # the network in both: pixels 0 and 3
    ],
)
def test_the_well_exposed_reference_is_pasted(role: Role, exposure: float, expected: list[float]) -> None:
    scored = scored_radiance(PREDICTED, REFERENCE, exposure=exposure, role=role, protocol="hdrflow")
    assert scored.shape == (3, 1, 4)
    assert scored[0, 0].tolist() == pytest.approx(expected, abs=2e-6)


def test_as_predicted_is_clipped_alone() -> None:
    scored = scored_radiance(PREDICTED, REFERENCE, exposure=8.0, role="high", protocol="lanhdr")
    assert scored[1, 0].tolist() == [0.0, 0.25, 0.75, 1.0]


def test_brightness_is_weighed_as_luma() -> None:
    green, blue = torch.zeros(3, 1, 1), torch.zeros(3, 1, 1)
    green[1], blue[2] = 0.5, 1.0  # Y = 0.587 * 0.5 = 0.29 is well exposed, Y = 0.114 is dark
    for reference, expected in ((green, 0.217638), (blue, 0.5)):
        output = torch.full((3, 1, 1), 0.5)
        scored = scored_radiance(output, reference, exposure=1.0, role="low", protocol="hdrflow")
        assert scored.max().item() == pytest.approx(expected, abs=2e-6)
