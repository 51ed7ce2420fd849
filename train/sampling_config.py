"""Sampling of training data: exposures, mixture of sources, and the disturbances of a camera."""

import dataclasses
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.random import Generator

from model.errors import ExposureError
from train.errors import RecipeError


@dataclass(frozen=True)
class ExposureDraws:
    """Cycles of exposures, and their shares of the draws."""

    # linear exposures of one cycle relative to its shortest, in the order of the frames
    cycles: tuple[tuple[float, ...], ...]
    shares: tuple[float, ...]  # how often each cycle is drawn, re-normalised
    free_share: float = 0.0  # share of the draws that take none of these cycles, but one with free steps
    # smallest and largest ratio of neighboring exposures of a free cycle; log-uniform in between
    free_step: tuple[float, float] = (2.0, 8.0)
    backward_share: float = 0.0  # share of the cycles that run the other way

    def __post_init__(self) -> None:
        periods = {len(cycle) for cycle in self.cycles}
        if len(periods) != 1 or not periods <= {2, 3}:
            raise ExposureError(f"cycles of {sorted(periods)} exposures are listed: give cycles of 2, or of 3")
        if len(self.shares) != len(self.cycles) or min(self.shares) < 0 or sum(self.shares) <= 0:
            raise ExposureError(f"{len(self.cycles)} cycles have the shares {self.shares}: give each 0 or more")
        wrong = [cycle for cycle in self.cycles if min(cycle) != 1 or len(set(cycle)) != len(cycle)]
        if wrong:
            raise ExposureError(f"the cycle {wrong[0]} is not relative to its shortest: begin it at 1, e.g. 1, 4")
        if not 1 < self.free_step[0] <= self.free_step[1]:
            raise ExposureError(f"free_step is {self.free_step}: give the smaller ratio first, above 1")

    @property
    def nexps(self) -> int:
        """Number of distinct exposures."""
        return len(self.cycles[0])

    def draw(self, rng: Generator, frames: int) -> list[float]:
        """Draw a cycle and its phase; return the linear exposure of each frame relative to the shortest."""
        if rng.random() < self.free_share:
            smallest, largest = np.log(self.free_step)
            steps = np.exp(rng.uniform(smallest, largest, self.nexps - 1))
            cycle: tuple[float, ...] = (1.0, *np.cumprod(steps).tolist())
        else:
            shares = np.array(self.shares) / sum(self.shares)
            cycle = self.cycles[int(rng.choice(len(self.cycles), p=shares))]
        if rng.random() < self.backward_share:
            cycle = cycle[::-1]
        phase = int(rng.integers(self.nexps))
        return [float(cycle[(frame + phase) % self.nexps]) for frame in range(frames)]


Range = tuple[float, float]


@dataclass(frozen=True)
class Mixture:
    """Shares of the kinds of scenes, re-normalised over the kinds that the data offers."""

    panorama: float = 0.0  # a camera inside an equirectangular HDR picture
    hdr_photo: float = 0.0  # a camera over an HDR picture
    ldr_photo: float = 0.0  # a camera over an 8-bit picture
    ldr_video: float = 0.0  # 8-bit video files
    hdr_video: float = 0.0  # PQ and HLG video files
    hdr_clip: float = 0.0  # folders of numbered HDR frames
    hdr_patch: float = 0.0  # patches of HDR video, laid out as HdM-HDR-2014 and LiU HDRv are for training
    vimeo90k: float = 0.0  # Vimeo-90K's septuplets
    procedural: float = 0.0  # dead leaves; always there

    def __post_init__(self) -> None:
        weights = dataclasses.asdict(self)
        if min(weights.values()) < 0 or not any(weights.values()):
            raise RecipeError(f"the mixture has the weights {weights}: give each 0 or more, and some more than 0")

    def shares(self, offered: frozenset[str]) -> dict[str, float]:
        """Return the share of each kind; where nothing that has a weight is offered, all that is counts alike."""
        weights = {kind: weight for kind, weight in dataclasses.asdict(self).items() if kind in offered and weight > 0}
        weights = weights or dict.fromkeys(sorted(offered - {"procedural"}) or ["procedural"], 1.0)
        return {kind: weight / sum(weights.values()) for kind, weight in weights.items()}


@dataclass(frozen=True)
class GuidedSampling:
    """Our sampling: moving cameras and objects, noise, and other disturbances of real footage."""

    protocol: Literal["guided"] = "guided"
    dropped_share: float = 0.04  # share of the samples in which a frame is missing
    blurred_share: float = 0.35  # share with motion blur
    noisy_share: float = 0.92  # share with shot and read noise
    wrong_exposure_share: float = 0.12  # share whose stated exposures are off
    wrong_exposure: float = 0.1  # by how much at most, relative
    wrong_response_share: float = 0.15  # share whose response is no power of 1/2.2
    wrong_response: float = 0.1  # by how much its exponent is off at most, relative
    camera_curve_share: float = 0.33  # share whose camera has a curve of its own, of which the user knows more or less
    flicker_share: float = 0.15  # share whose brightness is off from frame to frame
    flicker: float = 0.04  # by how much at most, as relative standard deviation
    dark_share: float = 0.4  # share of those of 1:24 and more in which more than half of the shortest exposure is black
    # share that is compressed frame by frame; cameras with curves of their own compress more often
    jpeg_share: float = 0.3
    h264_share: float = 0.2  # share that is compressed as a clip

    def __post_init__(self) -> None:
        _demand_shares(self)
        if self.jpeg_share + self.h264_share > 1:
            raise RecipeError(f"jpeg_share + h264_share is {self.jpeg_share + self.h264_share}: keep it up to 1")
        relative = ("wrong_exposure", "wrong_response", "flicker")
        if not all(0 <= getattr(self, name) < 1 for name in relative):
            raise RecipeError(f"{', '.join(relative)} are relative: give 0 or more and less than 1")


@dataclass(frozen=True)
class PaperSampling:
    """The published sampling of LAN-HDR (ICCV 2023): real clips, re-exposed, with Gaussian noise."""

    protocol: Literal["paper"] = "paper"
    # smallest and largest relative size of a clip before the crop; the paper says "random", the numbers are ours
    scale: Range = (0.6, 1.2)
    # mean, deviation, smallest and largest exponent n of the inverse curve of LDR clips
    curve_n: tuple[float, float, float, float] = (0.65, 0.1, 0.4, 0.9)
    curve_s: tuple[float, float, float, float] = (0.6, 0.1, 0.4, 0.8)  # the same of its shoulder s
    quantise_bits: int = 16  # bits of the linear clip; 0 leaves it as it is
    reverse_share: float = 0.5  # share of the samples that run backward
    noise: float = 1e-3  # deviation of the noise in linear light, 1.0 = clip level of the frame
    noise_share: float = 0.9  # share of the samples whose frames of shorter exposures than the longest get it
    # a short reference's brightest value is moved to a factor of itself, uniform in this range
    short_peak: Range = (0.1, 1.0)
    # percentile of a longer reference that is moved to a value between itself and 1
    long_percentile: Range = (98.0, 100.0)
    hdr_short_factor: Range = (1.0, 1.2)  # as `short_peak`, of clips that are HDR already
    hdr_long_percentile: Range = (97.0, 99.9)  # as `long_percentile`, of such clips

    def __post_init__(self) -> None:
        _demand_shares(self)
        for name in ("scale", "short_peak", "hdr_short_factor", "long_percentile", "hdr_long_percentile"):
            low, high = getattr(self, name)
            if not 0 < low <= high:
                raise RecipeError(f"{name} is {[low, high]}: give the smaller value first, above 0")
        if self.noise < 0 or not 0 <= self.quantise_bits <= 16:
            raise RecipeError(f"noise {self.noise}, quantise_bits {self.quantise_bits}: give 0 or more, 0 to 16")


@dataclass(frozen=True, kw_only=True)
class SampleRecipe:
    """Everything that decides what a sample looks like, given the data."""

    exposures: ExposureDraws
    sampling: GuidedSampling | PaperSampling
    mixture: Mixture


def _demand_shares(values: GuidedSampling | PaperSampling) -> None:
    for name, value in dataclasses.asdict(values).items():
        if name.endswith("_share") and not 0 <= value <= 1:
            raise RecipeError(f"{name} is {value}: give a share from 0 to 1")
