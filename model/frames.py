"""What travels through the house: immutable frames, each with its time."""

from dataclasses import dataclass
from fractions import Fraction

from torch import Tensor

from model.exposure import GAMMA_8_BIT, CodePrecision


@dataclass(frozen=True)
class LdrFrame:
    """One captured picture.

    Args:
        image: Encoded with a pure power of 1/2.2, 0..1, float32, (3, H, W).
        exposure: Linear exposure relative to the shortest of the clip, at least 1.
        time: Presentation time in seconds.
        precision: How precisely the camera's codes state light.
    """

    image: Tensor
    exposure: float
    time: Fraction
    precision: CodePrecision = GAMMA_8_BIT


@dataclass(frozen=True, kw_only=True)
class FrameBatch:
    """The same moment of one or more clips, as networks take it.

    Args:
        image: Encoded with 1/2.2, 0..1, (B, 3, H, W).
        exposure: Linear exposure relative to the shortest, (B,).
        precision: What `CodePrecision.tensor` holds, (B, 6).
        time: In any unit.
    """

    image: Tensor
    exposure: Tensor
    precision: Tensor
    time: float


@dataclass(frozen=True)
class HdrFrame:
    """One reconstructed picture.

    Args:
        radiance: Linear Rec.709 radiance, 1.0 = clip level of the shortest exposure, float32, (3, H, W).
        time: Presentation time in seconds.
    """

    radiance: Tensor
    time: Fraction
