"""Codes that stand for the same light at two exposures, matched without registration."""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import TypeVar

import torch
from torch import Tensor

from model.analysis.brightness import crop_to_common, find_shift, glance

BINS = 256
DARKEST, BRIGHTEST = 2 / 255, 0.97  # encoded; above, ringing and mixing at edges fill the codes below the clip level
LAST = 252 / 255  # the greatest code at which quantiles are asked for
SHARE_ERROR = 0.004  # of a cumulated histogram: what one frame shows and the other does not
SPILL, SPILL_WIDTHS = 0.05, (4 / 255, 8 / 255)  # share of what is black or clipped that shows as codes nearby
CODE_ERROR = 0.6 / 255
DARK_ERROR, DARK_WIDTH = 2.5 / 255, 5 / 255  # noise and chroma coding bend the lowest codes
LARGEST_ERROR = 0.1
LEAST_LIKENESS = 0.6  # of what is usual in the clip

Key = TypeVar("Key", bound=Hashable)
HistogramPairs = Mapping[tuple[Key, Key], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class CodeMatches:
    """Codes of the same light in two frames.

    Args:
        short: At the shorter exposure, 0..1, (N,).
        long: At the longer one, (N,).
        short_error: Standard error of `short`, (N,).
        long_error: Standard error of `long`, (N,).
        channel: 0, 1 or 2, (N,).
    """

    short: Tensor
    long: Tensor
    short_error: Tensor
    long_error: Tensor
    channel: Tensor

    def __len__(self) -> int:
        return len(self.short)

    @classmethod
    def joined(cls, parts: Iterable["CodeMatches"]) -> "CodeMatches":
        """Put several lists of matches into one."""
        rows = list(parts)
        return cls(*(torch.cat([getattr(part, field.name) for part in rows]) for field in fields(cls)))


def code_histogram(image: Tensor) -> Tensor:
    """Count the codes of each channel.

    Args:
        image: 0..1 as the camera encodes, (3, H, W).

    Returns:
        Number of samples next to each of 256 codes, (3, BINS), float64.
    """
    codes = image.clamp(0, 1).mul(BINS - 1).round().long().flatten(1)
    return torch.stack([torch.bincount(channel, minlength=BINS) for channel in codes]).double()


def paired_histograms(frames: Sequence[Tensor], keys: Sequence[Key]) -> HistogramPairs[Key]:
    """Count the codes of neighboring frames over what both show, and add those of the same pair of exposures.

    Args:
        frames: 0..1 as the camera encodes, (3, H, W) each, in order; small ones suffice.
        keys: What tells the exposure of each, e.g. the exposure itself or its place in the cycle.

    Returns:
        By the two keys, in the order in which they were first met: histograms of both, (3, BINS) each.
    """
    small = [glance(frame.float()) for frame in frames]
    shifts = [find_shift(before, after) for before, after in pairwise(small)]
    alike = []  # correlation of the ranks of brightness
    for (before, after), (down, across) in zip(pairwise(small), shifts, strict=True):
        common = crop_to_common(before.linear, down, across), crop_to_common(after.linear, -down, -across)
        ranks = torch.stack([light.mean(0).flatten().argsort().argsort().float() for light in common])
        alike.append(float(torch.corrcoef(ranks)[0, 1]))
    usual = sorted(alike)[len(alike) // 2] if alike else 0.0
    histograms: dict[tuple[Key, Key], tuple[Tensor, Tensor]] = {}
    for place, (first, second) in enumerate(pairwise(keys)):
        if first == second or alike[place] < LEAST_LIKENESS * usual:  # a cut
            continue
        height, width = frames[place].shape[1:]
        rows, columns = small[place].linear.shape[1:]
        down, across = round(shifts[place][0] * height / rows), round(shifts[place][1] * width / columns)
        counts = (
            code_histogram(crop_to_common(frames[place].float(), down, across)),
            code_histogram(crop_to_common(frames[place + 1].float(), -down, -across)),
        )
        pair = (first, second) if (second, first) not in histograms else (second, first)
        ordered = counts if pair == (first, second) else counts[::-1]
        sums = histograms.get(pair)
        histograms[pair] = (sums[0] + ordered[0], sums[1] + ordered[1]) if sums else (ordered[0], ordered[1])
    return histograms


def match_codes(short: Tensor, long: Tensor, *, clip_code: float = 1.0, black: Tensor | None = None) -> CodeMatches:
    """Match the quantiles of two histograms, channel by channel.

    Whatever the response, what is brighter at one exposure is brighter at the other (Grossberg and Nayar, "What can
    be known about the radiometric response from images?", ECCV 2002).

    Args:
        short: Histogram of the shorter exposure, (3, BINS).
        long: Of the longer one.
        clip_code: Encoded value at which the camera clips, 0..1.
        black: Black level of each channel, 0..1, (3,); None for 0.
    """
    floors = [0.0, 0.0, 0.0] if black is None else black.tolist()
    return CodeMatches.joined(
        _match_channel(short[index], long[index], index, clip_code=clip_code, black=floors[index]) for index in range(3)
    )


def _match_channel(short: Tensor, long: Tensor, index: int, *, clip_code: float, black: float) -> CodeMatches:
    short, long = short.double(), long.double()
    before, after = _cumulated(short), _cumulated(long)
    codes = torch.arange(2, round(LAST * clip_code * (BINS - 1)), dtype=torch.float64) / (BINS - 1)
    first = torch.cat([codes, _quantiles(before, _shares(after, codes))])
    second = torch.cat([_quantiles(after, _shares(before, codes)), codes])
    dark_share, bright_share = float(_shares(before, first.new_tensor(black + DARKEST))), 1 - float(after[-4])
    dark_width, bright_width = SPILL_WIDTHS
    dark = SPILL * dark_share * torch.exp((black - first) / dark_width)
    bright = SPILL * bright_share * torch.exp((second - LAST * clip_code) / bright_width)
    first_error = torch.hypot(
        CODE_ERROR + DARK_ERROR * torch.exp((black - first) / DARK_WIDTH),
        (SHARE_ERROR + dark) / _density(before, first),
    )
    second_error = torch.hypot(torch.full_like(second, CODE_ERROR), (SHARE_ERROR + bright) / _density(after, second))
    good = (first >= black + DARKEST) & (second < BRIGHTEST * clip_code) & (second > first)
    good &= (first_error < LARGEST_ERROR) & (second_error < LARGEST_ERROR)
    channel = torch.full_like(first, index, dtype=torch.long)
    return CodeMatches(first[good], second[good], first_error[good], second_error[good], channel[good])


def _cumulated(histogram: Tensor) -> Tensor:
    """Share of the samples below each edge between codes, (BINS + 1,)."""
    return torch.cat([histogram.new_zeros(1), histogram.cumsum(0)]) / histogram.sum().clamp(min=1)


def _shares(below: Tensor, codes: Tensor) -> Tensor:
    """Share of the samples below codes; samples are spread evenly over the width of a code."""
    place = (codes * (BINS - 1) + 0.5).clamp(0, BINS)
    index = place.floor().clamp(max=BINS - 1).long()
    return torch.lerp(below[index], below[index + 1], place - index)


def _quantiles(below: Tensor, shares: Tensor) -> Tensor:
    """Codes below which these shares of the samples lie; the inverse of `_shares`."""
    upper = torch.searchsorted(below, shares).clamp(1, BINS)
    width = (below[upper] - below[upper - 1]).clamp(min=1e-12)
    return (upper - 1.5 + ((shares - below[upper - 1]) / width).clamp(0, 1)) / (BINS - 1)


def _density(below: Tensor, codes: Tensor, reach: float = 2 / 255) -> Tensor:
    """Share of the samples per unit of code around codes."""
    return ((_shares(below, codes + reach) - _shares(below, codes - reach)) / (2 * reach)).clamp(min=1e-6)
