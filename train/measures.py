"""What is measured of every frame, in one list: tables and files go through it and name none themselves."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from model.color import mu_law
from train.metrics import psnr, ssim
from train.no_truth import Evidence
from train.perceptual import pu21_psnr, pu21_ssim
from train.temporal import area_flicker, flicker, temporal_error
from train.warping import warping_error

NOTHING = "–"  # noqa: RUF001 (a dash where there is no value)


@dataclass(frozen=True)
class Pair:
    """A reconstructed frame and its truth.

    Args:
        output: Linear radiance, 1.0 = clip level of the shortest exposure, clipped to 0..1, (3, H, W).
        truth: What it should be, same shape; None where that is not known.
        evidence: What stands in for the truth where that is not known.
    """

    output: Tensor
    truth: Tensor | None
    evidence: Evidence | None = None

    @property
    def known_truth(self) -> Tensor:
        """The truth where there is one."""
        assert self.truth is not None
        return self.truth

    @cached_property
    def linear(self) -> tuple[Tensor, Tensor]:
        """Both as batches of one, (1, 3, H, W) each."""
        return self.output[None], self.known_truth[None]

    @cached_property
    def compressed(self) -> tuple[Tensor, Tensor]:
        """Mu-law values of both, (1, 3, H, W) each."""
        return self.shown, mu_law(self.known_truth)[None]

    @cached_property
    def shown(self) -> Tensor:
        """Mu-law values of the reconstruction, (1, 3, H, W)."""
        return mu_law(self.output)[None]


Score = Callable[[Pair, Pair | None], Tensor | None]


@dataclass(frozen=True)
class Measure:
    """One figure of merit.

    Args:
        key: Its name in files.
        name: Its name in tables.
        unit: Of the figure, empty if it has none.
        higher_is_better: Whether more is better.
        digits: Digits shown after the point.
        score: Maps a frame and the one before it in its clip (None for the first) to a scalar; None: not defined.
        needs_truth: Whether it compares with the truth.
        needs_evidence: Whether it compares with what stands in for the truth.
    """

    key: str
    name: str
    unit: str
    higher_is_better: bool
    digits: int
    score: Score
    needs_truth: bool = True
    needs_evidence: bool = False

    @property
    def title(self) -> str:
        """Name with unit."""
        return f"{self.name}, {self.unit}" if self.unit else self.name

    def shown(self, value: float | None) -> str:
        """Round as tables do; a dash where there is no value."""
        return NOTHING if value is None else f"{value:.{self.digits}f}"


def _of_frame(score: Callable[[Tensor, Tensor], Tensor], *, compressed: bool) -> Score:
    return lambda now, _before: score(*(now.compressed if compressed else now.linear))[0]


def _of_change(score: Callable[[Tensor, Tensor], Tensor | None]) -> Score:
    """Score two consecutive frames, in per cent of the mu-law range."""

    def scored(now: Pair, before: Pair | None) -> Tensor | None:
        if before is None:
            return None
        outputs, truths = (torch.cat(two) for two in zip(before.compressed, now.compressed, strict=True))
        found = score(outputs, truths)
        return None if found is None else 100 * found

    return scored


def _of_results(now: Pair, before: Pair | None) -> Tensor | None:
    """Warping error, in per cent of the mu-law range."""
    found = None if before is None else warping_error(torch.cat([before.shown, now.shown]))
    return None if found is None else 100 * found


def _of_own(now: Pair, _before: Pair | None) -> Tensor | None:
    return None if now.evidence is None else now.evidence.own.psnr_t(now.output)


def _of_fill(now: Pair, _before: Pair | None) -> Tensor | None:
    return None if now.evidence is None else now.evidence.fill.psnr_t(now.output)


MEASURES = (
    Measure("psnr_t", "PSNR_T", "dB", True, 2, _of_frame(psnr, compressed=True)),
    Measure("ssim_t", "SSIM_T", "", True, 4, _of_frame(ssim, compressed=True)),
    Measure("psnr_l", "PSNR_L", "dB", True, 2, _of_frame(psnr, compressed=False)),
    Measure("ssim_l", "SSIM_L", "", True, 4, _of_frame(ssim, compressed=False)),
    Measure("pu21_psnr", "PU21-PSNR", "dB", True, 2, _of_frame(pu21_psnr, compressed=False)),
    Measure("pu21_ssim", "PU21-SSIM", "", True, 4, _of_frame(pu21_ssim, compressed=False)),
    Measure("flicker", "flicker", "%", False, 3, _of_change(flicker)),
    Measure("area_flicker", "area flicker", "%", False, 3, _of_change(area_flicker)),
    Measure("temporal_error", "temporal error", "%", False, 3, _of_change(temporal_error)),
    Measure("own", "own", "dB", True, 2, _of_own, False, needs_evidence=True),
    Measure("fill", "fill", "dB", True, 2, _of_fill, False, needs_evidence=True),
    Measure("warping_error", "warping error", "%", False, 3, _of_results, needs_truth=False),
)
BY_KEY = {measure.key: measure for measure in MEASURES}


@torch.no_grad()
def measure(now: Pair, before: Pair | None, *, measures: Sequence[Measure] = MEASURES) -> dict[str, float]:
    """Take measures of a frame; those that are not defined for it are left out.

    Args:
        now: The frame.
        before: The frame before it in its clip, None for the first.
        measures: Which ones.

    Returns:
        Figures by key.
    """
    possible = [entry for entry in measures if now.truth is not None or not entry.needs_truth]
    found = {entry.key: entry.score(now, before) for entry in possible}
    return {key: float(value) for key, value in found.items() if value is not None}
