"""Flicker between exposures: refinement of exposures, and a measure of the flicker that is left."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import torch
from torch import Tensor

from model.analysis.brightness import FrameLight

FEWEST_STEPS = 2  # from and to each exposure
USUAL_ERROR = 0.02  # stops, of one step
SPREAD_COUNTS = 0.3
ROUNDS = 8
LARGEST_CORRECTION = 0.4  # stops: beyond, it is not the exposures that are slightly wrong
LARGEST_UNCERTAINTY = 0.04  # stops
LARGEST_UNEVENNESS = 0.15  # stops
# What is smaller comes from noise near black as well as from the exposures, and stays.
LEAST_CORRECTION, UNEVENNESS_COUNTS = 0.012, 0.1  # stops, and of the unevenness


@dataclass(frozen=True)
class ExposureCorrection:
    """The correction of each given exposure, relative to the shortest.

    Args:
        stops: By exposure; the shortest has 0.
        uncertainty: Standard error of the least certain one, in stops.
        unevenness: Difference of the steps in dark, middle and bright parts, in stops.
    """

    stops: dict[float, float]
    uncertainty: float
    unevenness: float = 0.0

    @property
    def plausible(self) -> bool:
        """Whether exposures are wrong, slightly and not altogether, by a known amount.

        Steps that differ over the range of brightness are those of noise in black or of another response, and their
        median is not that of the exposures.
        """
        largest = max(abs(stops) for stops in self.stops.values())
        known = self.uncertainty <= LARGEST_UNCERTAINTY and self.unevenness <= LARGEST_UNEVENNESS
        clear = largest > LEAST_CORRECTION + UNEVENNESS_COUNTS * self.unevenness
        return largest <= LARGEST_CORRECTION and known and clear

    def corrected(self, exposure: float) -> float:
        """The exposure that the frames show."""
        return exposure * math.exp2(self.stops.get(exposure, 0.0))


def measure_correction(frames: Sequence[FrameLight], exposures: Sequence[float]) -> ExposureCorrection:
    """Compare the given exposures with the light of neighboring frames.

    The step of brightness between neighbors, on what is well exposed in both, is the difference of their exposures
    and a drift of the scene. Exposures and drift follow by least squares, in which odd steps (cuts, motion) count less.

    Args:
        frames: The light of neighboring frames, as `LightMeter` measures it.
        exposures: Exposure of each, the shortest 1.

    Returns:
        One correction for each exposure, for all these frames: constant gains can't bring flicker of their own.
    """
    levels = sorted(set(exposures))
    rows, errors, parts = [], [], []
    for place in range(1, len(frames)):
        step = frames[place].steps[0] if frames[place].steps else None
        if step is None or not step.measured or exposures[place] == exposures[place - 1]:
            continue
        row = [float(exposures[place] == level) - float(exposures[place - 1] == level) for level in levels[1:]]
        given = math.log2(exposures[place] / exposures[place - 1])
        rows.append([*row, 1.0, step.stops - given])
        errors.append(USUAL_ERROR + SPREAD_COUNTS * step.spread)
        parts.append([math.copysign(1.0, given) * part for part in step.parts[:3]])
    if len(rows) < FEWEST_STEPS * len(levels):
        return ExposureCorrection(dict.fromkeys(levels, 0.0), float("inf"))
    stops, uncertainty = _fit(torch.tensor(rows, dtype=torch.float64), torch.tensor(errors, dtype=torch.float64))
    usual = [median(column) for column in zip(*parts, strict=True)]
    return ExposureCorrection(dict(zip(levels, [0.0, *stops], strict=True)), uncertainty, max(usual) - min(usual))


def _fit(rows: Tensor, errors: Tensor) -> tuple[list[float], float]:
    """Weighted least squares of the last column on the others; all but the drift, and their largest error."""
    left, right = rows[:, :-1], rows[:, -1]
    weights = errors.reciprocal()
    for _ in range(ROUNDS):
        normal = (left * weights[:, None]).T @ (left * weights[:, None])
        inverse = torch.linalg.pinv(normal)
        solution = inverse @ (left * weights[:, None].square()).T @ right
        residual = (right - left @ solution) / errors
        weights = 1 / (errors * (1 + residual.square()).sqrt())
    scatter = residual.abs().median().clamp(min=0.1) * 1.48
    uncertainty = float((inverse.diagonal()[:-1].max()).sqrt() * scatter)
    return solution[:-1].tolist(), uncertainty
