"""Scores of pictures: PSNR and SSIM, on mu-law values (`_T` in the papers) or linear ones (`_L`)."""

import math

from torch import Tensor
from torch.nn import functional as F

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
