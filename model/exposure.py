"""Conversions between encoded pictures and radiance, and the exposures of a clip."""

import math
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from fractions import Fraction
from itertools import pairwise

import torch
from torch import Tensor

from model.errors import ExposureError

GAMMA = 2.2


def to_radiance(ldr: Tensor, exposure: Tensor | float) -> Tensor:
    """Linearise a picture and divide by its exposure.

    Args:
        ldr: Encoded with 1/2.2, clamped to 0..1, any shape.
        exposure: Linear exposure relative to the shortest, broadcastable to `ldr`.

    Returns:
        Linear radiance in 0..1/exposure, 1.0 = clip level of the shortest exposure, shape of `ldr`.
    """
    return ldr.clamp(0, 1).pow(GAMMA) / exposure


def to_ldr(radiance: Tensor, exposure: Tensor | float) -> Tensor:
    """Expose radiance, clip it and encode it with 1/2.2; the inverse of `to_radiance` below the clip level.

    Args:
        radiance: Linear radiance, 1.0 = clip level of the shortest exposure, any shape.
        exposure: Linear exposure relative to the shortest, broadcastable to `radiance`.

    Returns:
        Encoded picture in 0..1, shape of `radiance`.
    """
    return (radiance * exposure).clamp(0, 1).pow(1 / GAMMA)


def match_exposure(ldr: Tensor, exposure: Tensor | float, *, target: Tensor | float) -> Tensor:
    """Re-expose an encoded picture from `exposure` to `target`.

    Args:
        ldr: Encoded with 1/2.2, 0..1, any shape.

    Returns:
        Encoded picture, clipped to 0..1, shape of `ldr`.
    """
    ratio = torch.as_tensor(target / exposure, dtype=ldr.dtype, device=ldr.device)
    return (ldr.clamp(0, 1) * ratio.pow(1 / GAMMA)).clamp(0, 1)


def nearest_stop(ratio: float, *, within: float = 0.03) -> Fraction | None:
    """Find the whole, half or third stop that cameras are set in next to a ratio of exposures.

    Args:
        ratio: Linear, above 0.
        within: Largest relative deviation.

    Returns:
        Stops, None if there is none so near.
    """
    stops = math.log2(ratio)
    nearest = min((Fraction(round(stops * parts), parts) for parts in (1, 2, 3)), key=lambda stop: abs(stop - stops))
    return nearest if abs(2.0 ** (stops - nearest) - 1) <= within else None


@dataclass(frozen=True, kw_only=True)
class CodePrecision:
    """The precision of codes, in units of the clip level; by default, of 8 bits encoded with 1/2.2.

    A code at black or at the clip level is a censored observation: "at most this", "at least this".

    Args:
        black: Light at and below which a code is only an upper bound.
        most: That bound: the most light that such a code can stand for.
        clip_begins: Light at which a code begins to count as clipped.
        clip_ends: Light from which on it is only a lower bound.
        floor: Variance of code steps in black.
        slope: Growth of the variance with light: it is floor + slope * light.
    """

    black: float = (1.5 / 255) ** GAMMA
    most: float = (2 / 255) ** GAMMA
    clip_begins: float = 0.887
    clip_ends: float = 0.967
    floor: float = 0.0
    # A step is 2.2 x^(6/5) / 255 wide in linear light, its variance that squared over 12. The power 12/5 of the code
    # is taken as the light itself, which is at most twice too much above a tenth.
    slope: float = (GAMMA / 255) ** 2 / 12

    def tensor(self) -> Tensor:
        """Return the six numbers in the order above, (6,)."""
        return torch.tensor(astuple(self), dtype=torch.float32)

    @classmethod
    def from_tensor(cls, numbers: Tensor) -> "CodePrecision":
        """Take the six numbers of `tensor`, (6,)."""
        names = (field.name for field in fields(cls))
        return cls(**dict(zip(names, numbers.tolist(), strict=True)))


GAMMA_8_BIT = CodePrecision()


@dataclass(frozen=True)
class ExposureCycle:
    """Exposures that repeat over a clip.

    Args:
        ratios: One linear exposure per step of the cycle, in the order of the frames; the shortest is 1.
    """

    ratios: tuple[float, ...]

    @classmethod
    def from_ratios(cls, ratios: Sequence[float]) -> "ExposureCycle":
        """Normalise linear exposures so that the shortest is 1.

        Raises:
            ExposureError: If there are fewer than two, one is not positive and finite, or all are equal.
        """
        if len(ratios) < 2:
            raise ExposureError(f"an exposure cycle needs two values or more, found {len(ratios)}: pass e.g. 1,8")
        if not all(0 < ratio < float("inf") for ratio in ratios):
            wrong = next(ratio for ratio in ratios if not 0 < ratio < float("inf"))
            raise ExposureError(f"exposures must be positive numbers, found {wrong:g}: pass e.g. 1,8")
        if min(ratios) == max(ratios):
            raise ExposureError(f"all exposures are {ratios[0]:g}: the clip must alternate, pass e.g. 1,8")
        return cls(tuple(ratio / min(ratios) for ratio in ratios))

    @classmethod
    def from_stops(cls, stops: Sequence[float]) -> "ExposureCycle":
        """Make a cycle of exposures in stops (powers of two), as the benchmarks' Exposures.txt has them."""
        return cls.from_ratios([2.0**stop for stop in stops])

    @property
    def period(self) -> int:
        """Number of frames after which the exposures repeat."""
        return len(self.ratios)

    def __getitem__(self, index: int) -> float:
        """Exposure of frame `index`, counted from the first frame of the clip."""
        return self.ratios[index % self.period]


@dataclass(frozen=True)
class FrameExposures:
    """The exposure of every frame of a clip, each with its place in the cycle.

    Args:
        cycle: The exposures that repeat; its first is that of place 0.
        phases: Place of each frame in the cycle; frames behind the last one go on regularly.
        doubled: Frames that show the frame before them again, and have its exposure.
        blank: Frames that show nothing, as behind a lens cap.
    """

    cycle: ExposureCycle
    phases: tuple[int, ...] = (0,)
    doubled: frozenset[int] = frozenset()
    blank: frozenset[int] = frozenset()

    @classmethod
    def from_phases(cls, cycle: ExposureCycle, phases: Sequence[int]) -> "FrameExposures":
        """Turn a cycle and the places in it so that place 0 is the first frame's."""
        first, period = phases[0], cycle.period
        turned = ExposureCycle(tuple(cycle[first + step] for step in range(period)))
        return cls(turned, tuple((phase - first) % period for phase in phases))

    @property
    def period(self) -> int:
        """Number of frames after which the exposures repeat."""
        return self.cycle.period

    @property
    def ratios(self) -> tuple[float, ...]:
        """Exposures of one cycle, from the first frame's on."""
        return tuple(self.cycle[self.phases[0] + step] for step in range(self.period))

    def of_frames(self, first: int, count: int) -> "FrameExposures":
        """Take the exposures of `count` frames from `first` on, which may lie before the clip; the cycle goes on."""
        last = len(self.phases) - 1
        places = range(first, first + count)
        phases = [self.phases[min(max(place, 0), last)] + min(place, 0) + max(place - last, 0) for place in places]
        return FrameExposures(self.cycle, tuple(phase % self.period for phase in phases))

    @property
    def breaks(self) -> tuple[int, ...]:
        """Frames that do not follow in the cycle on the frame before them, doubled frames left out."""
        places = [(index, phase) for index, phase in enumerate(self.phases) if index not in self.doubled]
        return tuple(
            index for (_, before), (index, after) in pairwise(places) if (after - before - 1) % self.period != 0
        )

    @property
    def regular(self) -> bool:
        """Whether the cycle runs through the clip without a break, but for doubled frames."""
        return not self.breaks

    def __getitem__(self, index: int) -> float:
        """Exposure of frame `index`, counted from the first frame of the clip."""
        beyond = max(0, index - len(self.phases) + 1)
        return self.cycle[self.phases[index - beyond] + beyond]
