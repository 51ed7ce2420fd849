"""Estimation of the camera response, with or without known exposures, under a prior over camera curves."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise

import torch
from torch import Tensor

from model.analysis.camera_curves import CODES, COMPONENTS, LOWEST, family, light_of
from model.analysis.code_matches import BINS, CodeMatches, HistogramPairs, match_codes, paired_histograms
from model.errors import ResponseError
from model.exposure import GAMMA
from model.response import ResponseCurve, bt709_curve, gamma_curve, linear_curve, power_curve, srgb_curve, table_curve

KNOTS = 32  # of what a curve has beside the family's components
KNOT_DEVIATION, BEND_DEVIATION = 0.25, 0.1  # of slopes of log light over log code
FEWEST_MATCHES, LEAST_COVERED = 12, 0.1  # and how far codes must reach that are seen at two exposures
EVIDENCE = 30.0  # how many independent observations all matches together are worth
FIT_ERROR = 0.01  # of the difference of exposures
LEAST_SLOPE = 0.3  # of log light over codes 0..1
OUTLIER = 1.5  # standard errors from which a match counts less
USUAL_DEVIATION, LEAST_ERROR = 1.48, 0.5  # of a median; of what errors of codes are taken for
ROUNDS, QUICK_ROUNDS = 8, 5
SLACK, RELATIVE_SLACK = 0.1, 0.02  # stops, and of the range: so far exposures that are given may be off
DARK_RANGE, DARK_SLACK = 5.0, 0.06  # stops, and per stop beyond: noise near black makes steps look smaller
POWER_DEVIATION, POWER_COST, STANDARD_COST = 0.25, 1.5, 1.0  # how unusual a power other than 2.2 and a standard is
LINEAR_COST = 3.0  # and codes of a sensor
STANDARDS = ((gamma_curve, 0.0), (srgb_curve, STANDARD_COST), (bt709_curve, STANDARD_COST))  # and how unusual
POOR_FIT = 0.1  # stops
STOPS_TRIED = (0.75, 7.0, 1 / 8)  # from, to, by
REFINED_BY = 1 / 24
# Cameras are mostly set in whole stops: so much of the prior lies around them, so narrowly.
WHOLE_STOPS, WHOLE_STOP_DEVIATION = 0.5, 0.07
USUAL_STEP, STEP_DEVIATION = 3.0, 1.75  # stops between exposures that cameras are set to
SAME_WITHIN = 0.35  # stops
STANDARD_CONFIDENCE = 0.8


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute without threads: many small products wait for each other longer than they take, if cores are busy."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@dataclass(frozen=True, kw_only=True)
class ResponseEstimate:
    """An estimated response.

    Args:
        error: Median difference between the exposures and the steps of the curve, in stops.
        covered: Darkest and brightest code that was seen at two exposures.
        exposures: Linear, the shortest 1, in the order of the keys; as given or as estimated.
        confidence: 0 (a guess) to 1.
    """

    curve: ResponseCurve
    error: float
    covered: tuple[float, float]
    exposures: tuple[float, ...]
    confidence: float

    @property
    def sure(self) -> bool:
        """Whether the curve explains the frames."""
        return self.error < POOR_FIT


@dataclass(frozen=True, kw_only=True)
class _Evidence:
    """Matches, and equations of their exposures: steps = known - free @ unknown levels."""

    matches: CodeMatches
    black: Tensor  # code of the match's channel, (N,)
    known: Tensor  # natural logarithm of the ratio, as far as it is known, (N,)
    free: Tensor  # (N, number of unknown levels)

    @property
    def range(self) -> float:
        """The largest known step, as a natural logarithm."""
        return float(self.known.abs().max())

    def of_range(self, stops: float) -> "_Evidence":
        """Scale steps in units of the range to a range of so many stops."""
        return replace(self, known=self.known * stops * math.log(2))


@dataclass(frozen=True, kw_only=True)
class _Fit:
    logs: Tensor  # of light at the codes of a table
    levels: Tensor  # the unknown ones
    misfit: float  # in units of `EVIDENCE`
    prior: float
    error: float  # stops

    @property
    def cost(self) -> float:
        """Twice the negative logarithm of its probability, up to a constant."""
        return self.misfit + self.prior


@dataclass(frozen=True, kw_only=True)
class _Candidate:
    curve: ResponseCurve
    fit: _Fit
    range: float  # natural logarithm
    confidence: float


def response_from_frames(
    frames: Sequence[Tensor], exposures: Sequence[float], *, clip_code: float = 1.0, black: Tensor | None = None
) -> ResponseEstimate:
    """Find the response from frames whose exposures are known.

    Args:
        frames: Neighboring frames as the camera encodes, 0..1, (3, H, W) each.
        exposures: Linear exposure of each.
        clip_code: Encoded value at which the camera clips, 0..1.
        black: Black level of each channel, 0..1, (3,); None for 0.

    Raises:
        ResponseError: If there are fewer than two exposures, or nothing is well exposed in two of them.
    """
    return response_of_pairs(paired_histograms(frames, exposures), clip_code=clip_code, black=black)


@one_thread()
def response_of_pairs(
    pairs: HistogramPairs[float], *, clip_code: float = 1.0, black: Tensor | None = None, gamma: bool = False
) -> ResponseEstimate:
    """Find the response from histograms of pairs of frames, by their linear exposures.

    Where code u becomes v at k times the exposure, the light g must satisfy log g(v) - log g(u) = log k. Log g is a
    member of the family of camera curves, whose weights are held near 0, and a smooth rest: the family decides where
    little was seen at two exposures, and between the powers of g that would fit as well if k were not known.

    Args:
        clip_code: Encoded value at which the camera clips, 0..1.
        black: Black level of each channel, 0..1, (3,); None for 0.
        gamma: Whether the curve is known to be gamma 2.2, so that only its errors are to be found.

    Raises:
        ResponseError: If there are fewer than two exposures, or nothing is well exposed in two of them.
    """
    exposures = sorted({exposure for pair in pairs for exposure in pair})
    if len(exposures) < 2:
        count = max(1, len(exposures))
        raise ResponseError(f"a response needs 2 exposures to be found, found {count}: pass --response NAME")
    parts, known = [], []
    for (first, second), histograms in pairs.items():
        short, long = histograms if first < second else histograms[::-1]
        parts.append(match_codes(short, long, clip_code=clip_code, black=black))
        known.append(torch.full_like(parts[-1].short, abs(math.log(second / first))))
    steps = torch.cat(known)
    evidence = _evidence(parts, steps, steps.new_zeros(len(steps), 0), black=black)
    if gamma:
        candidate = _gamma(evidence, clip_code=clip_code)
    else:
        fit = _solve(evidence, rounds=ROUNDS)
        curve, standard = _closest_standard(evidence, clip_code=clip_code)
        if standard.cost >= fit.cost:
            curve, standard = table_curve("auto", light_of(fit.logs), clip_code=clip_code), fit
        candidate = _Candidate(curve=curve, fit=standard, range=evidence.range, confidence=1.0)
    return _estimate(evidence, candidate, tuple(exposure / exposures[0] for exposure in exposures))


@one_thread()
def response_and_exposures(
    pairs: HistogramPairs[float], *, clip_code: float = 1.0, black: Tensor | None = None, gamma: bool = False
) -> ResponseEstimate:
    """Find the response together with unknown exposures.

    Any power of the light fits as well, with the same power of the ratios. The probability of such a curve among
    cameras decides, and that cameras are mostly set in whole stops.

    Args:
        pairs: Histograms of pairs of frames by their places in the cycle (0, 1 ...), as `paired_histograms` gives them.
        clip_code: Encoded value at which the camera clips, 0..1.
        black: Black level of each channel, 0..1, (3,); None for 0.
        gamma: Whether the curve is known to be gamma 2.2, so that only exposures and errors are to be found.

    Returns:
        The response, and the exposure of each place.

    Raises:
        ResponseError: If nothing is well exposed in two places.
    """
    sums: dict[float, Tensor] = {}
    for places, histograms in pairs.items():
        for place, histogram in zip(places, histograms, strict=True):
            sums[place] = sums.get(place, torch.zeros(BINS, dtype=torch.float64)) + histogram.sum(0)
    codes = torch.arange(BINS, dtype=torch.float64)
    brightness = {place: float((codes * counts).sum() / counts.sum().clamp(min=1)) for place, counts in sums.items()}
    order = sorted(brightness, key=brightness.__getitem__)  # places from the shortest exposure on
    parts, known, free = [], [], []
    for (first, second), histograms in pairs.items():
        low, high = sorted((order.index(first), order.index(second)))
        short, long = histograms if order.index(first) == low else histograms[::-1]
        part = match_codes(short, long, clip_code=clip_code, black=black)
        level = torch.eye(len(order), dtype=torch.float64)
        step = level[high] - level[low]  # of exposures, the last of which is the range, the first 0
        parts.append(part)
        known.append(step[-1].expand(len(part)))
        free.append(-step[1:-1].expand(len(part), -1))
    unit = _evidence(parts, torch.cat(known), torch.cat(free), black=black)
    best = _gamma(unit, clip_code=clip_code) if gamma else _search(unit, clip_code=clip_code)
    levels = [0.0, *best.fit.levels.tolist(), best.range]
    exposures = tuple(math.exp(levels[order.index(place)] - min(levels)) for place in sorted(order))
    return _estimate(unit, best, exposures)


def _evidence(parts: list[CodeMatches], known: Tensor, free: Tensor, *, black: Tensor | None) -> _Evidence:
    matches = CodeMatches.joined(parts)
    if len(matches) < FEWEST_MATCHES or float(matches.long.max() - matches.short.min()) < LEAST_COVERED:
        raise ResponseError("too little is well exposed at two exposures to find the response: pass --response NAME")
    floors = torch.zeros(3, dtype=torch.float64) if black is None else black.double()
    return _Evidence(matches=matches, black=floors[matches.channel], known=known, free=free)


def _search(unit: _Evidence, *, clip_code: float) -> _Candidate:
    """Try ranges of exposure; take the likeliest, and compare it with the standards' curves."""
    first, last, step = STOPS_TRIED
    tried = [first + step * number for number in range(round((last - first) / step) + 1)]

    def cost(stops: float) -> float:
        fit = _solve(unit.of_range(stops), rounds=QUICK_ROUNDS)
        levels = [0.0, *(level / math.log(2) for level in fit.levels.tolist()), stops]
        return fit.cost + sum(_step_cost(after - before) for before, after in pairwise(levels))

    costs = torch.tensor([cost(stops) for stops in tried], dtype=torch.float64)
    lowest = tried[int(costs.argmin())]
    stops = min((lowest + REFINED_BY * number for number in (-2, -1, 0, 1, 2)), key=cost)
    fit = _solve(unit.of_range(stops), rounds=ROUNDS)
    likelihood = (-0.5 * (costs - costs.min())).exp()
    near = (torch.tensor(tried, dtype=torch.float64) - stops).abs() <= SAME_WITHIN
    best = _Candidate(
        curve=table_curve("auto", light_of(fit.logs), clip_code=clip_code),
        fit=fit,
        range=stops * math.log(2),
        confidence=float(likelihood[near].sum() / likelihood.sum()),
    )
    for make, extra in STANDARDS:
        curve = make(clip_code=clip_code)
        standard, range_ = _fit_levels(unit, _logs(curve))
        if standard.cost + extra < best.fit.cost:
            # The curve is known then, and with it the range; another curve may still look the same.
            confidence = max(best.confidence, STANDARD_CONFIDENCE)
            best = _Candidate(curve=curve, fit=replace(standard, prior=extra), range=range_, confidence=confidence)
    return best


def _gamma(evidence: _Evidence, *, clip_code: float) -> _Candidate:
    curve = gamma_curve(clip_code=clip_code)
    fit, range_ = _fit_levels(evidence, _logs(curve))
    return _Candidate(curve=curve, fit=fit, range=range_, confidence=1.0)


def _step_cost(stops: float) -> float:
    """Twice the negative logarithm of the probability of a step between exposures."""
    off = (stops - round(stops)) / WHOLE_STOP_DEVIATION
    whole = math.exp(-0.5 * off * off) / (WHOLE_STOP_DEVIATION * math.sqrt(2 * math.pi))
    far = (stops - USUAL_STEP) / STEP_DEVIATION
    return far * far - 2 * math.log(WHOLE_STOPS * whole + 1 - WHOLE_STOPS)


def _closest_standard(evidence: _Evidence, *, clip_code: float) -> tuple[ResponseCurve, _Fit]:
    """Fit curves of standards and a pure power to known exposures that may be slightly off; return the likeliest."""
    candidates = []
    stops = evidence.range / math.log(2)
    # Where exposures are not known, linear codes can't be told from any other power.
    for make, extra in (*STANDARDS, (linear_curve, LINEAR_COST)):
        curve = make(clip_code=clip_code)
        fit, factor = _fit_levels(evidence, _logs(curve))
        slack = SLACK + RELATIVE_SLACK * stops + DARK_SLACK * max(0.0, stops - DARK_RANGE)
        off = (factor - 1) * stops / slack
        candidates.append((curve, replace(fit, prior=extra + off * off)))
        if make is gamma_curve and factor > 0:
            power = GAMMA / factor
            unusual = POWER_COST + ((power - GAMMA) / POWER_DEVIATION) ** 2
            power_fit = replace(fit, logs=fit.logs / factor, prior=unusual)
            candidates.append((power_curve(power, clip_code=clip_code), power_fit))
    return min(candidates, key=lambda candidate: candidate[1].cost)


def _logs(curve: ResponseCurve) -> Tensor:
    """Log of light at the codes of a table, (CODES,)."""
    codes = torch.arange(CODES, dtype=torch.float64).clamp(min=LOWEST) / (CODES - 1)
    return curve.to_light(codes.expand(3, 1, -1))[0, 0].log()


def _fit_levels(evidence: _Evidence, logs: Tensor) -> tuple[_Fit, float]:
    """Fit the exposures to a fixed curve, and a factor on the known steps."""
    seen = _Seen.of(evidence, logs)
    design = torch.cat([evidence.known[:, None], -evidence.free], dim=1)
    trust = 1 / seen.variance
    for _ in range(ROUNDS):
        weighted = design * trust[:, None]
        levels = torch.linalg.solve(design.T @ weighted, weighted.T @ seen.step)
        residual = seen.step - design @ levels
        expected = seen.variance + (FIT_ERROR * float(levels[0]) * evidence.range) ** 2
        trust = 1 / expected / (1 + residual.square() / expected / OUTLIER**2).sqrt()
    misfit = _misfit(residual, expected)
    error = _usual(residual, expected) / math.log(2)
    return _Fit(logs=logs, levels=levels[1:], misfit=misfit, prior=0.0, error=error), float(levels[0])


@dataclass(frozen=True)
class _Seen:
    """The matches by a curve: log of the ratio of light above black, and its derivative by log light."""

    step: Tensor  # (N,)
    variance: Tensor  # by the errors of the codes, (N,)
    short_share: Tensor  # of the light that is not black, (N,)
    long_share: Tensor

    @classmethod
    def of(cls, evidence: _Evidence, logs: Tensor) -> "_Seen":
        """Look matches up in a table of the logarithm of light, (CODES,)."""
        matches = evidence.matches
        slopes = torch.gradient(logs, spacing=1 / (CODES - 1))[0].clamp(min=LEAST_SLOPE)
        table = torch.stack([logs, slopes], dim=1)
        floor = torch.where(evidence.black > 0, _at(table, evidence.black)[:, 0], -torch.inf)
        values, variances, shares = [], [], []
        for codes, error in ((matches.short, matches.short_error), (matches.long, matches.long_error)):
            light, slope = _at(table, codes).unbind(1)
            share = 1 - (floor - light).clamp(max=-0.05).exp()
            values.append(light + share.log())
            variances.append((slope * error / share).square())
            shares.append(share)
        return cls(values[1] - values[0], variances[0] + variances[1], *shares)


def _solve(evidence: _Evidence, *, rounds: int) -> _Fit:
    """Fit by Gauss-Newton; errors of codes count by the slope of the curve, outliers less in each round."""
    basis, mean, matches = _basis(), family().mean, evidence.matches
    curve = len(_prior())
    prior = 1e-6 * torch.eye(curve + evidence.free.shape[1], dtype=torch.float64)  # levels are free
    prior[:curve, :curve] = _prior()
    short, long = _at(basis, matches.short), _at(basis, matches.long)
    unknowns = torch.zeros(len(prior), dtype=torch.float64)
    for _ in range(rounds):
        weights = unknowns[:curve]
        seen = _Seen.of(evidence, mean + basis @ weights)
        rows = long / seen.long_share[:, None] - short / seen.short_share[:, None]
        jacobian = torch.cat([rows, evidence.free], dim=1)
        constant = seen.step - rows @ weights - evidence.known
        expected = seen.variance + (FIT_ERROR * evidence.range) ** 2
        scaled = (jacobian @ unknowns + constant) / expected.sqrt()
        # Clean matches agree better than their errors say: then they may say more against the prior.
        variance = expected * (USUAL_DEVIATION * scaled.abs().median()).square().clamp(LEAST_ERROR**2, 1.0)
        trust = EVIDENCE / len(scaled) / variance / (1 + (scaled / OUTLIER).square()).sqrt()
        unknowns = torch.linalg.solve(
            jacobian.T @ (jacobian * trust[:, None]) + prior, -jacobian.T @ (trust * constant)
        )
    residual = jacobian @ unknowns + constant
    weights = unknowns[:curve]
    return _Fit(
        logs=mean + basis @ weights,
        levels=unknowns[curve:],
        misfit=_misfit(residual, expected),
        prior=float(weights @ _prior() @ weights),
        error=_usual(residual, expected) / math.log(2),
    )


def _usual(residual: Tensor, variance: Tensor) -> float:
    """Median size of residuals, weighted by inverse variance."""
    sizes, order = residual.abs().sort()
    counted = (1 / variance)[order].cumsum(0)
    return float(sizes[int((counted < counted[-1] / 2).sum())])


def _misfit(residual: Tensor, variance: Tensor) -> float:
    excess = 2 * OUTLIER**2 * ((1 + residual.square() / variance / OUTLIER**2).sqrt() - 1)
    return EVIDENCE * math.log1p(float(excess.mean()))


def _estimate(evidence: _Evidence, candidate: _Candidate, exposures: tuple[float, ...]) -> ResponseEstimate:
    error = candidate.fit.error
    return ResponseEstimate(
        curve=candidate.curve,
        error=error,
        covered=(float(evidence.matches.short.min()), float(evidence.matches.long.max())),
        exposures=exposures,
        confidence=candidate.confidence / (1 + (error / POOR_FIT) ** 2),
    )


@lru_cache(maxsize=1)
def _basis() -> Tensor:
    """Log of light at the codes of a table: of each component, in standard deviations, and of each slope of 1.

    Slopes are those of log light over log code, linear between knots, (CODES, COMPONENTS + KNOTS).
    """
    codes = torch.arange(CODES, dtype=torch.float64).clamp(min=LOWEST) / (CODES - 1)
    spread = (codes + 0.04).log() / 3.26 + codes  # knots are dense at both ends, where toe and shoulder are
    place = (spread - spread[0]) / (spread[-1] - spread[0]) * (KNOTS - 1)
    hats = (1 - (place[:, None] - torch.arange(KNOTS, dtype=torch.float64)).abs()).clamp(min=0)  # (CODES, KNOTS)
    steps = (hats[1:] + hats[:-1]) / 2 * codes.log().diff()[:, None]
    logs = torch.cat([torch.zeros(1, KNOTS, dtype=torch.float64), steps.cumsum(0)])
    return torch.cat([(family().components * family().deviations[:, None]).T, logs - logs[-1]], dim=1)


@lru_cache(maxsize=1)
def _prior() -> Tensor:
    """Inverse covariance of weights and slopes: weights near 0, slopes near 0 and smooth."""
    knots = torch.eye(KNOTS, dtype=torch.float64)
    bends = knots.diff(2, dim=0) / BEND_DEVIATION
    inverse = torch.eye(COMPONENTS + KNOTS, dtype=torch.float64)
    inverse[COMPONENTS:, COMPONENTS:] = knots / KNOT_DEVIATION**2 + bends.T @ bends
    return inverse


def _at(table: Tensor, codes: Tensor) -> Tensor:
    """Rows of a table at codes of any value, linear between them, (N, columns)."""
    position = (codes * (CODES - 1)).clamp(LOWEST, CODES - 1)
    below = position.floor().clamp(max=CODES - 2).long()
    return torch.lerp(table[below], table[below + 1], (position - below)[:, None])
