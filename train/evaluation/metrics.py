"""Scores of pictures: PSNR and SSIM, on mu-law values (`_T` in the papers) or linear ones (`_L`)."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional as F

from model.color import REC709, mu_law, pu21_encode, rgb_to_xyz
from model.exposure import GAMMA, to_radiance
from train.evaluation.baselines import fetch, interpolate, optical_flow
from train.evaluation.benchmarks.scene import Scene

WINDOW = 7
K1, K2 = 0.01, 0.03


def sample_mse(output: Tensor, truth: Tensor) -> Tensor:
    """Mean squared error of every sample of a batch, (B, ...) -> (B)."""
    return (output - truth).square().flatten(1).mean(1)


def psnr(output: Tensor, truth: Tensor, *, peak: float = 1.0) -> Tensor:
    """Peak signal-to-noise ratio over all pixels and channels of a sample.

    Args:
        output: Values in 0..peak, (B, C, H, W).
        truth: Values in 0..peak, shape of `output`.
        peak: What counts as the full signal.

    Returns:
        Decibels, (B); infinite where both are equal.
    """
    return 20 * math.log10(peak) - 10 * sample_mse(output, truth).log10()


def ssim(output: Tensor, truth: Tensor, *, span: float | None = None) -> Tensor:
    """Structural similarity (Wang et al. 2004) with the choices that the published tables were made with.

    These are scikit-image's defaults: a uniform 7x7 window, only windows that lie inside the picture, sample
    covariance, a mean over channels; by default the data range is max - min of the truth.

    Args:
        output: Values, (B, C, H, W), at least 7x7 pixels.
        truth: Values, shape of `output`.
        span: Data range, if it is not the truth's own.

    Returns:
        Similarity, at most 1, (B).
    """
    x, y = output.double(), truth.double()  # variances are differences of nearly equal numbers
    spans = y.flatten(1).amax(1) - y.flatten(1).amin(1) if span is None else y.new_full((len(y),), span)
    c1, c2 = ((k * spans).square().view(-1, 1, 1, 1) for k in (K1, K2))
    mean_x, mean_y = _window_mean(x), _window_mean(y)
    unbiased = WINDOW**2 / (WINDOW**2 - 1)
    variance_x = unbiased * (_window_mean(x * x) - mean_x.square())
    variance_y = unbiased * (_window_mean(y * y) - mean_y.square())
    covariance = unbiased * (_window_mean(x * y) - mean_x * mean_y)
    likeness = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    scale = (mean_x.square() + mean_y.square() + c1) * (variance_x + variance_y + c2)
    return (likeness / scale).flatten(1).mean(1).to(output.dtype)


def _window_mean(values: Tensor) -> Tensor:
    return F.avg_pool2d(values, WINDOW, stride=1)


# Between codes of the camera's 8 bits, of the brightest channel; for what is clipped, of the darkest.
BLACK, CLIPPED = 11.5 / 255, 250.5 / 255
SHOWN = (40.5 / 255, 234.5 / 255)
WITNESSED = (12.5 / 255, 234.5 / 255)
# Where an interpolation is sure: pixels, and a difference of encoded values; none within two pixels that is not.
LARGEST_CONTRADICTION, LARGEST_DIFFERENCE, BORDER = 0.5, 12 / 255, 2
LEAST_SHARE = 0.005  # of the pixels, or a part is not scored
HIGHEST = 120.0  # dB, of what is left as it was


@dataclass(frozen=True)
class Part:
    """A part of a frame, and its radiance.

    Args:
        target: Linear radiance, 1.0 = clip level of the shortest exposure, (3, H, W).
        where: Mask of its pixels, (1, H, W).
    """

    target: Tensor
    where: Tensor

    def psnr_t(self, output: Tensor) -> Tensor | None:
        """Score a result, linear radiance, 0..1, (3, H, W), in dB up to 120; None if the part is too small."""
        if self.where.float().mean() < LEAST_SHARE:
            return None
        inside = self.where.expand_as(output)
        return psnr(mu_law(output[inside])[None], mu_law(self.target[inside])[None])[0].clamp(max=HIGHEST)


@dataclass(frozen=True)
class Evidence:
    """A stand-in for the truth of a frame: the part that the reference shows well, and the part it cannot show."""

    own: Part
    fill: Part


def evidence_of(scene: Scene, frame: int) -> Evidence:
    """Gather the evidence for a frame from its scene."""
    reference, exposure = scene.read_ldr(frame), scene.exposures[frame]
    codes = _codes(scene, reference)
    shown = _between(codes.amax(0, keepdim=True), SHOWN)
    own = Part(to_radiance(reference, exposure), shown)
    wanted, where = torch.zeros_like(reference), torch.zeros_like(shown)
    for other in sorted(set(scene.exposures) - {exposure}, reverse=True):  # the longest tells most, unless it clips
        lacking = codes.amax(0, keepdim=True) < BLACK if other > exposure else codes.amin(0, keepdim=True) > CLIPPED
        around = _nearest(scene, frame, other)
        if around is None:
            continue
        first, last = around
        found = interpolate(scene.read_ldr(first), scene.read_ldr(last), moment=(frame - first) / (last - first))
        well = _between(_codes(scene, found.picture).amax(0, keepdim=True), WITNESSED)
        sure = (found.contradiction < LARGEST_CONTRADICTION) & (found.difference < LARGEST_DIFFERENCE)
        unsure = 1 - (sure & (found.inside > 0)).float()[None]
        apart = F.max_pool2d(unsure, 2 * BORDER + 1, stride=1, padding=BORDER)[0] == 0
        more = lacking & ~where & well & apart
        wanted, where = torch.where(more, to_radiance(found.picture, other), wanted), where | more
    return Evidence(own, Part(wanted, where))


def _codes(scene: Scene, ldr: Tensor) -> Tensor:
    """Convert a picture to the codes of the camera, 0..1."""
    return scene.response.encode(ldr.clamp(0, 1).pow(GAMMA))


def _between(values: Tensor, ends: tuple[float, float]) -> Tensor:
    return (values > ends[0]) & (values < ends[1])


def _nearest(scene: Scene, frame: int, exposure: float) -> tuple[int, int] | None:
    """Find the nearest frames of an exposure before and after one; None if there is none on a side."""
    numbers = [number for number, other in enumerate(scene.exposures) if other == exposure]
    before, after = ([n for n in numbers if n < frame], [n for n in numbers if n > frame])
    return (before[-1], after[0]) if before and after else None


# Radiance 1.0 is shown with this; the longest exposure of 1:8 then clips at 125 cd/m2, near the white of SDR displays.
PEAK_NITS = 1000.0
# What the authors' own programs take as the full signal: about the value of 100 cd/m2.
PU21_SPAN = 256.0


def pu21_psnr(output: Tensor, truth: Tensor, *, peak_nits: float = PEAK_NITS) -> Tensor:
    """PSNR of R, G and B encoded by PU21, against a peak of 256 as the authors have it.

    Args:
        output: Linear radiance, 0..1, (B, 3, H, W).
        truth: Likewise.
        peak_nits: Light in cd/m2 that radiance 1.0 is shown with; scores depend on it.

    Returns:
        Decibels, (B).
    """
    encoded, wanted = pu21_encode(output * peak_nits), pu21_encode(truth * peak_nits)
    return psnr(encoded, wanted, peak=PU21_SPAN)


def pu21_ssim(output: Tensor, truth: Tensor, *, peak_nits: float = PEAK_NITS) -> Tensor:
    """SSIM of luminance (Rec.709) encoded by PU21, with a data range of 256 and the 7x7 window of `ssim`.

    The authors' program weighs an 11x11 window by a Gaussian instead, so their figures differ slightly.

    Args:
        output: Linear radiance, 0..1, (B, 3, H, W).
        truth: Likewise.
        peak_nits: Light in cd/m2 that radiance 1.0 is shown with; scores depend on it.

    Returns:
        Similarity, at most 1, (B).
    """
    weights = rgb_to_xyz(REC709)[1].to(output).view(3, 1, 1)
    luminances = ((picture * weights).sum(-3, keepdim=True) for picture in (output, truth))
    encoded, target = (pu21_encode(luminance * peak_nits) for luminance in luminances)
    return ssim(encoded, target, span=PU21_SPAN)


# Pixels whose true mu-law value changes by less are still: little more than one code of 8 bits.
STILL = 0.005
LEAST_STILL_SHARE = 0.01
BLOCK = 16


def temporal_error(outputs: Tensor, truths: Tensor) -> Tensor:
    """Mean of |c| over all pixels and channels: errors that jump, swim or boil, moving regions included.

    Args:
        outputs: Mu-law values of two consecutive frames, 0..1, (2, C, H, W).
        truths: Their truth, same shape.

    Returns:
        Scalar, in units of the mu-law range.
    """
    return _change(outputs, truths).abs().mean()


def flicker(outputs: Tensor, truths: Tensor) -> Tensor | None:
    """Root mean square of c over the pixels that are still: whose truth changes by less than 0.005 in every channel.

    Such pixels also exist in moving pictures, where those are smooth: there the eye sees flicker.

    Args:
        outputs: Mu-law values of two consecutive frames, 0..1, (2, C, H, W).
        truths: Their truth, same shape.

    Returns:
        Scalar, in units of the mu-law range; None if fewer than 1 % of the pixels are still.
    """
    still = (truths[1] - truths[0]).abs().amax(0) < STILL  # (H, W)
    if still.float().mean() < LEAST_STILL_SHARE:
        return None
    return _change(outputs, truths)[:, still].square().mean().sqrt()


def area_flicker(outputs: Tensor, truths: Tensor) -> Tensor:
    """Root mean square of the means of c over blocks of 16x16 pixels: brightness or color of areas that pulses.

    Noise and shifted edges cancel within a block, an exposure that is not undone does not. Blocks at the right and
    lower edge may be smaller.

    Args:
        outputs: Mu-law values of two consecutive frames, 0..1, (2, C, H, W).
        truths: Their truth, same shape.

    Returns:
        Scalar, in units of the mu-law range.
    """
    change = _change(outputs, truths)[None]
    blocks = F.avg_pool2d(change, BLOCK, ceil_mode=True, count_include_pad=False)
    return blocks.square().mean().sqrt()


def _change(outputs: Tensor, truths: Tensor) -> Tensor:
    errors = outputs - truths
    return torch.sub(errors[1], errors[0])  # (C, H, W)


# Sundaram, Brox and Keutzer (ECCV 2010), equation 5: where the flow forth and back contradict each other.
RELATIVE, ABSOLUTE = 0.01, 0.5


def warping_error(outputs: Tensor) -> Tensor | None:
    """Root mean square of what changes between two frames beyond motion, where both see the same thing.

    The warping error of Lai et al. (ECCV 2018) as a root, with OpenCV's DIS flow between the results themselves. It
    rises with flicker, boiling and noise; blur lowers it, so it is no measure of quality on its own.

    Args:
        outputs: Mu-law values of two consecutive frames, 0..1, (2, 3, H, W).

    Returns:
        Scalar, in units of the mu-law range; None if no pixel is seen in both.
    """
    before, now = outputs.float()
    one = torch.ones(())
    forth, back = optical_flow(now, before, exposures=(one, one)), optical_flow(before, now, exposures=(one, one))
    flows = [torch.from_numpy(flow).permute(2, 0, 1) for flow in (forth, back)]  # (2, H, W) each
    warped, inside = fetch(before, forth)
    returned, _ = fetch(torch.cat([flows[1], torch.zeros_like(flows[1][:1])]), forth)
    sizes = flows[0].square().sum(0) + returned[:2].square().sum(0)
    agrees = (flows[0] + returned[:2]).square().sum(0) < RELATIVE * sizes + ABSOLUTE
    seen = agrees & (inside[0] > 0)  # (H, W)
    return (now - warped)[:, seen].square().mean().sqrt() if seen.any() else None


NOTHING = "–"  # noqa: RUF001 (a dash where there is no value)


@dataclass(frozen=True)
class Pair:
    """A reconstructed frame and its truth, or the evidence that stands in for a truth.

    Args:
        output: Linear radiance, 1.0 = clip level of the shortest exposure, clipped to 0..1, (3, H, W).
        truth: Likewise; None where it is not known.
    """

    output: Tensor
    truth: Tensor | None
    evidence: Evidence | None = None

    @property
    def linear(self) -> tuple[Tensor, Tensor]:
        """Both as batches of one, (1, 3, H, W) each."""
        assert self.truth is not None
        return self.output[None], self.truth[None]

    @cached_property
    def compressed(self) -> tuple[Tensor, Tensor]:
        """Mu-law values of both, (1, 3, H, W) each."""
        assert self.truth is not None
        return self.shown, mu_law(self.truth)[None]

    @cached_property
    def shown(self) -> Tensor:
        """Mu-law values of the reconstruction, (1, 3, H, W)."""
        return mu_law(self.output)[None]


Score = Callable[[Pair, Pair | None], Tensor | None]


@dataclass(frozen=True)
class Measure:
    """A figure of merit.

    Args:
        key: Name in files.
        name: Name in tables.
        digits: Digits shown after the point.
        score: Maps a frame and the one before it in its clip (None for the first) to a scalar; None: not defined.
        needs_truth: Whether it compares with the truth.
        needs_evidence: Whether it compares with the evidence that stands in for the truth.
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


def _of_part(part: Callable[[Evidence], Part]) -> Score:
    return lambda now, _before: None if now.evidence is None else part(now.evidence).psnr_t(now.output)


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
    Measure("own", "own", "dB", True, 2, _of_part(lambda evidence: evidence.own), False, needs_evidence=True),
    Measure("fill", "fill", "dB", True, 2, _of_part(lambda evidence: evidence.fill), False, needs_evidence=True),
    Measure("warping_error", "warping error", "%", False, 3, _of_results, needs_truth=False),
)
BY_KEY = {measure.key: measure for measure in MEASURES}


@torch.no_grad()
def measure(now: Pair, before: Pair | None, *, measures: Sequence[Measure] = MEASURES) -> dict[str, float]:
    """Take measures of a frame, given the frame before it in its clip, by key; undefined ones are left out."""
    possible = [entry for entry in measures if now.truth is not None or not entry.needs_truth]
    found = {entry.key: entry.score(now, before) for entry in possible}
    return {key: float(value) for key, value in found.items() if value is not None}
