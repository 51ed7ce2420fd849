"""Clips of a few pixels with known truth, and methods that make a known error on them."""

from dataclasses import dataclass

import torch
from torch import Tensor

from model.color import mu_law, mu_law_inverse
from model.exposure import to_ldr
from train.baselines import reference_alone
from train.contenders import Contender, contender


@dataclass(frozen=True)
class TinyClip:
    """A still scene, captured without noise."""

    name: str
    ldr: Tensor
    exposures: Tensor
    radiance: Tensor


def tiny_clip(name: str, cycle: list[float], *, frames: int, darkest: float = 0.0) -> TinyClip:
    """Random pixels of 32x40; mu-law values from `darkest` to 1."""
    generator = torch.Generator().manual_seed(0)
    compressed = torch.rand(1, 3, 32, 40, generator=generator).clamp(min=darkest)
    truth = mu_law_inverse(compressed).expand(frames, -1, -1, -1)
    exposures = torch.tensor((cycle * frames)[:frames])
    return TinyClip(name, to_ldr(truth, exposures.view(-1, 1, 1, 1)), exposures, truth)


@dataclass
class Offset:
    """A method that knows the truth of a clip and adds a fixed error to its mu-law values; counts its calls."""

    amount: float
    calls: int = 0

    def __call__(self, ldr: Tensor, exposures: Tensor) -> Tensor:
        """Return a radiance with that error."""
        self.calls += 1
        shortest = reference_alone(ldr[exposures == 1][:1], exposures[exposures == 1][:1])
        return mu_law_inverse(mu_law(shortest) + self.amount)


def two_contenders(amount: float = -0.01) -> list[Contender]:
    """One that errs by `amount`, and before it one that errs twice as much."""
    return [contender("worse", Offset(2 * amount)), contender("better", Offset(amount))]
