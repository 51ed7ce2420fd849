"""A camera's response, found from pictures of the same scene at known exposures."""

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from model.errors import ResponseError
from model.exposure import GAMMA
from model.response import ResponseCurve, table_curve

BINS = 256
QUANTILES = 300
DARKEST, BRIGHTEST = 14 / 255, 0.985  # codes between noise and clip level
FEWEST_QUANTILES = 40
LEAST_COVERED = 0.5  # of the codes
CODES = 4096
KNOTS = 32
LEAST_SLOPE = 0.2
SMOOTHNESS, TOWARDS_GAMMA = 1e-2, 1e-6
ROUNDS = 12
FIT_ERROR, CODE_ERROR = 0.02, 0.4 / 255  # natural logarithm of light; encoded
POOR_FIT = 0.1  # stops


@dataclass(frozen=True)
class ResponseEstimate:
    """What was found.

    Args:
        curve: The response.
        error: Median difference between what exposures give and what the curve gives, in stops.
        covered: Darkest and brightest code that was seen at two exposures.
    """

    curve: ResponseCurve
    error: float
    covered: tuple[float, float]

    @property
    def sure(self) -> bool:
        """Whether the curve explains what was seen."""
        return self.error < POOR_FIT


def code_histogram(image: Tensor) -> Tensor:
    """Count the codes of each channel.

    Args:
        image: 0..1 as the camera encodes, (3, H, W).

    Returns:
        Number of samples next to each of 256 codes, (3, BINS), float64.
    """
    codes = image.clamp(0, 1).mul(BINS - 1).round().long().flatten(1)
    return torch.stack([torch.bincount(channel, minlength=BINS) for channel in codes]).double()


def estimate_response(histograms: Mapping[float, Tensor], *, clip_code: float = 1.0) -> ResponseEstimate:
    """Find the response from the histograms of several exposures.

    Matching their quantiles tells which code at one exposure becomes which at the other, without registration
    (Grossberg and Nayar, "What can be known about the radiometric response from images?", ECCV 2002). Where code u
    becomes v at k times the exposure, the light g must satisfy log g(v) - log g(u) = log k. The slope of log g over
    log u is a piecewise linear function, found by least squares, as smooth as the data allow; that choice is needed,
    since a ripple of log g that repeats with log k would fit as well. So would any power of g if k were not known.

    Args:
        histograms: By linear exposure, of frames that show the same light on the whole, (3, BINS) each.
        clip_code: Encoded value at which the camera clips, 0..1.

    Raises:
        ResponseError: If there are fewer than two exposures, or too little is well exposed in two of them.
    """
    if len(histograms) < 2:
        raise ResponseError(f"a response needs 2 exposures to be found, found {len(histograms)}: pass --response NAME")
    pairs = [_matches(histograms, pair, clip_code=clip_code) for pair in itertools.combinations(sorted(histograms), 2)]
    short, long, steps = (torch.cat(column) for column in zip(*pairs, strict=True))
    covered = (float(short.min()), float(long.max())) if len(short) else (0.0, 0.0)
    if len(short) < FEWEST_QUANTILES or covered[1] - covered[0] < LEAST_COVERED * clip_code:
        raise ResponseError(
            f"too little is well exposed at two exposures to find the response (codes {covered[0]:.2f} to "
            f"{covered[1]:.2f}): pass --response NAME or FILE"
        )
    logs = _log_light_basis()
    slopes, residual = _fit(logs, short, long=long, steps=steps)
    light = torch.cat([torch.zeros(1, dtype=torch.float64), (logs @ slopes).exp()])
    curve = table_curve("auto", light, clip_code=clip_code)
    return ResponseEstimate(curve, float(residual.abs().median()) / math.log(2), covered)


def _matches(
    histograms: Mapping[float, Tensor], exposures: tuple[float, float], *, clip_code: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Codes at the shorter exposure, what becomes of them at the longer, and the log of the ratio, (N,) each."""
    short, long = exposures
    low, high = DARKEST, BRIGHTEST * clip_code
    found = []
    for first, second in zip(histograms[short], histograms[long], strict=True):
        unclipped = float(second[: int(high * (BINS - 1))].sum() / second.sum().clamp(min=1))
        shares = (torch.arange(QUANTILES, dtype=torch.float64) + 0.5) / QUANTILES * unclipped
        before, after = _quantiles(first, shares), _quantiles(second, shares)
        good = (before > low) & (after < high) & (after > before)
        found.append(torch.stack([before[good], after[good]]))
    before, after = torch.cat(found, dim=1)
    return before, after, torch.full_like(before, math.log(long / short))


def _quantiles(histogram: Tensor, shares: Tensor) -> Tensor:
    """Codes below which these shares of the samples lie; samples are spread evenly over the width of a code."""
    below = torch.cat([histogram.new_zeros(1), histogram.cumsum(0)]) / histogram.sum().clamp(min=1)
    upper = torch.searchsorted(below, shares).clamp(1, BINS)
    width = (below[upper] - below[upper - 1]).clamp(min=1e-12)
    return (upper - 1.5 + ((shares - below[upper - 1]) / width).clamp(0, 1)) / (BINS - 1)


def _log_light_basis() -> Tensor:
    """Log of light, relative to that of code 1, at codes 1/CODES to 1 for each slope of 1, (CODES, KNOTS)."""
    codes = torch.arange(1, CODES + 1, dtype=torch.float64) / CODES
    spread = (codes + 0.04).log() / 3.26 + codes  # knots are dense at both ends, where toe and shoulder are
    place = (spread - spread[0]) / (spread[-1] - spread[0]) * (KNOTS - 1)
    hats = (1 - (place[:, None] - torch.arange(KNOTS, dtype=torch.float64)).abs()).clamp(min=0)  # (CODES, KNOTS)
    steps = (hats[1:] + hats[:-1]) / 2 * codes.log().diff()[:, None]
    logs = torch.cat([torch.zeros(1, KNOTS, dtype=torch.float64), steps.cumsum(0)])
    return logs - logs[-1]


def _at(logs: Tensor, codes: Tensor) -> Tensor:
    """Rows of the basis at codes of any value, (N, KNOTS)."""
    position = (codes * CODES - 1).clamp(0, CODES - 1)
    below = position.floor().clamp(max=CODES - 2).long()
    return torch.lerp(logs[below], logs[below + 1], (position - below)[:, None])


def _fit(logs: Tensor, short: Tensor, *, long: Tensor, steps: Tensor) -> tuple[Tensor, Tensor]:
    """Slopes at the knots and what is left of each step; outliers count less in each round."""
    start = torch.full((KNOTS,), GAMMA, dtype=torch.float64)
    equations = _at(logs, long) - _at(logs, short)
    certainty = (FIT_ERROR**2 + (GAMMA * CODE_ERROR / short).square()).rsqrt()
    curvature = SMOOTHNESS * (KNOTS - 1) ** 2 / math.sqrt(KNOTS) * torch.eye(KNOTS, dtype=torch.float64).diff(2, dim=0)
    wishes = torch.cat([curvature, math.sqrt(TOWARDS_GAMMA) * torch.eye(KNOTS, dtype=torch.float64)])
    slopes, weights = start, certainty
    for _ in range(ROUNDS):
        scaled = (weights / math.sqrt(len(steps)))[:, None]
        left = torch.cat([scaled * equations, wishes])
        right = torch.cat([scaled[:, 0] * (steps - equations @ start), wishes.new_zeros(len(wishes))])
        change: Tensor = torch.linalg.lstsq(left, right[:, None]).solution[:, 0]
        slopes = (start + change).clamp(min=LEAST_SLOPE)
        residual = equations @ slopes - steps
        weights = certainty / (1 + (residual * certainty / 1.5).square()).sqrt()
    return slopes, residual
