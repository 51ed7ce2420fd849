"""The black level of a clip: the code of no light in each channel."""

import torch
from torch import Tensor

from model.analysis.code_matches import BINS

HIGHEST = 64  # codes
PILE_SHARE = 0.1  # of the short frame lies at the black level
LONG_SHARE = 0.003  # and so much of the long one
EMPTY = 0.5  # of what is dark in the long frame may lie below the pile of the short one
LEAST_REACH, REACH = 2.0, 3.0  # codes; standard deviations of the noise around the level
NARROW, NARROW_PART = 2.0, 0.15  # codes, and of the level: so much the noise deviates at most
SAME_CODE, NOISE_REACH = 1.0, 1.5  # codes, and standard deviations
HIGHEST_UNCLIPPED = 245
ALTERNATES = 0.9  # of a code at the longer exposure is the greatest that the shorter one has of the same light
LEAST_CODE = 4  # what lies lower can't be told from dark codes of ordinary frames by itself
NOISE_SHARE = 0.32  # of the darker half of a normal distribution lies beyond a standard deviation


def estimate_black(short: Tensor, long: Tensor) -> Tensor:
    """Find the level below the light at both exposures, from histograms of the shortest and the longest, (3, BINS).

    Light that is dark at the long exposure is darker still at the short one. Where it is not, where the darkest codes
    of both are the same and many of the short one's are there, they hold no light at all.

    Returns:
        Level of each channel, 0..1 as the camera encodes, (3,), float64; 0 where there is none.
    """
    channels = [(_mode(first), first, second) for first, second in zip(short.double(), long.double(), strict=True)]
    sure = [level >= LEAST_CODE and _is_floor(level, first, second) for level, first, second in channels]
    levels = torch.zeros(3, dtype=torch.float64)
    for index, (level, first, second) in enumerate(channels):
        # Beside a channel that has such a level, the others' are believed where both exposures begin at the same code.
        if any(sure) and (sure[index] or _begins_alike(level, first, second)):
            # Even the darkest of the short frame may hold some light.
            levels[index] = min(level, _quantile(second, 0.5 * _below(second, level + SAME_CODE)) + SAME_CODE)
    return levels / (BINS - 1)


def _below(histogram: Tensor, code: float) -> float:
    """Return the share of the samples up to a code."""
    counted = histogram[: max(0, int(code) + 1)].sum() if code >= 0 else histogram.new_zeros(())
    return float(counted / histogram.sum().clamp(min=1))


def _mode(histogram: Tensor) -> float:
    """Return the dark code around which most samples lie."""
    near = torch.nn.functional.pad(histogram[: HIGHEST + 2], (1, 0))
    return float((near[:-2] + 2 * near[1:-1] + near[2:]).argmax())


def _deviation(level: float, short: Tensor) -> float:
    """Estimate the standard deviation of the noise around the level from the codes below it."""
    lower = short[: int(level) + 1].cumsum(0)
    return level - float((lower < NOISE_SHARE * lower[-1]).sum())


def _is_floor(level: float, short: Tensor, long: Tensor) -> bool:
    deviation = _deviation(level, short)
    reach = max(LEAST_REACH, REACH * deviation)
    if deviation > NARROW + NARROW_PART * level or level - reach < 0:
        return False
    piled = _below(short, level + reach) - _below(short, level - reach - 1)
    dark = _below(long, level + 1)
    if piled < PILE_SHARE or dark < LONG_SHARE or not _begins_alike(level, short, long):
        return False
    return max(_below(short, level - reach - 1), _below(long, level - reach - 1)) < EMPTY * dark


def _begins_alike(level: float, short: Tensor, long: Tensor) -> bool:
    """Whether the darkest part of the long frame is no darker in the short one, but for noise."""
    half = 0.5 * _below(long, level + SAME_CODE)
    first, second = _quantile(short, half), _quantile(long, half)
    darker = second - first
    # The least ratio of codes of the same light that are not clipped at the longer exposure.
    pairs = [(_quantile(short, share), _quantile(long, share)) for share in (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98)]
    ratio = min((code / longer for code, longer in pairs if 0 < longer < HIGHEST_UNCLIPPED), default=1.0)
    if ratio > ALTERNATES or half < LONG_SHARE / 2 or darker > SAME_CODE + NOISE_REACH * _deviation(level, short):
        return False
    return darker <= 0.5 * (1 - ratio) * second


def _quantile(histogram: Tensor, share: float) -> float:
    return float((histogram.cumsum(0) < share * histogram.sum()).sum())
