"""Clips of a few pixels with known truth, and methods that make a known error on them."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from model.color import mu_law, mu_law_inverse
from model.exposure import GAMMA_8_BIT, to_ldr
from train.evaluation.baselines import reference_alone
from train.evaluation.methods import WindowMethod, baseline
from train.evaluation.results import Crop, FrameScore, MethodRecord, Protocol, Results, Role


@dataclass(frozen=True)
class TinyClip:
    """A still scene, captured without noise."""

    name: str
    ldr: Tensor
    exposures: Tensor
    radiance: Tensor
    precision: Tensor = field(default_factory=GAMMA_8_BIT.tensor)


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


def two_methods(amount: float = -0.01) -> list[WindowMethod]:
    """One that errs by `amount`, and before it one that errs twice as much."""
    return [baseline("worse", Offset(2 * amount)), baseline("better", Offset(amount))]


def score(
    scene: str, method: str, values: dict[str, float], *, role: Role = "low", protocol: Protocol = "lanhdr"
) -> FrameScore:
    """What a method scored on frame 2 of a scene."""
    return FrameScore(
        scene=scene,
        frame=2,
        label="0002",
        role=role,
        method=method,
        protocol=protocol,
        values=values,
        crop=Crop(0, 0, 1, 0),
    )


def make_results(*scores: FrameScore, methods: tuple[MethodRecord, ...] = (), **others: Any) -> Results:
    """Results of a set that is none; methods follow from the scores if they are not given."""
    names = dict.fromkeys(entry.method for entry in scores)
    found = methods or tuple(record(name) for name in names)
    return Results(
        benchmark="selftest", title="A set", nexps=2, notes=("A note.",), methods=found, scores=scores, **others
    )


def record(name: str, **others: Any) -> MethodRecord:
    """A method that learns nothing and was not measured, unless others say so."""
    values: dict[str, Any] = {
        "kind": "baseline", "weights": None, "parameters": None, "seconds_per_frame": None, "peak_memory_mib": None,
        "device": "cpu",
    }  # fmt: skip
    return MethodRecord(name=name, **values | others)
