"""What of a prediction is scored: papers differ in this, and with it their figures."""

import torch
from torch import Tensor

from model.color import luma
from model.exposure import to_radiance
from train.evaluation.results import Protocol, Role

PROTOCOLS: tuple[Protocol, ...] = ("lanhdr", "hdrflow")
IN_WORDS: dict[Protocol, str] = {"lanhdr": "as predicted", "hdrflow": "with the well-exposed reference pasted"}

# As the published tests of HDRFlow (CVPR 2024), NECHDR and F2HDR have them, in luma of the encoded reference.
DARK, BRIGHT = 0.2, 0.8


def scored_radiance(output: Tensor, reference: Tensor, *, exposure: float, role: Role, protocol: Protocol) -> Tensor:
    """Turn what a method returned into what is scored.

    `lanhdr` clips it to 0..1. `hdrflow` then replaces it by the linearised reference frame wherever that is well
    exposed: the method counts only where a low reference is dark, a high one bright, a middle one either.

    Args:
        output: Linear radiance, 1.0 = clip level of the shortest exposure, (3, H, W).
        reference: The frame as captured, encoded with 1/2.2, 0..1, (3, H, W).
        exposure: Its linear exposure, relative to the shortest.
        role: Which exposure that is.
        protocol: How to score.

    Returns:
        Linear radiance, 0..1, (3, H, W).
    """
    predicted = output.clamp(0, 1)
    if protocol == "lanhdr":
        return predicted
    brightness = luma(reference)
    dark, bright = brightness < DARK, brightness > BRIGHT
    badly_exposed = {"low": dark, "middle": dark | bright, "high": bright}[role]  # (1, H, W)
    return torch.where(badly_exposed, predicted, to_radiance(reference, exposure))
