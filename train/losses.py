"""Losses on mu-law values (B, C, H, W): the terms of LAN-HDR (ICCV 2023), and the logarithm of the squared error."""

from dataclasses import dataclass

import torch
from torch import Tensor

from train.config import LossName
from train.evaluation.metrics import sample_mse

CHARBONNIER_EPS = 1e-6
LOG_MSE_FLOOR = 1e-6


def l1(output: Tensor, truth: Tensor) -> Tensor:
    """Average the absolute difference to a scalar."""
    return (output - truth).abs().mean()


def frequency(output: Tensor, truth: Tensor) -> Tensor:
    """Average the modulus of the complex difference of the two-dimensional spectra (norm "backward"), to a scalar.

    It grows with the size of the picture, as the unscaled spectrum does.
    """
    # The transform is linear: one spectrum of the difference, not two spectra.
    spectrum: Tensor = torch.fft.fft2(output - truth)
    return spectrum.abs().mean()


def temporal_charbonnier(output: Tensor, next_output: Tensor, *, truth: Tensor, next_truth: Tensor) -> Tensor:
    """Average sqrt(d^2 + eps^2) of the error d of the change from frame to frame, eps = 1e-6, to a scalar."""
    difference = (output - next_output) - (truth - next_truth)
    return (difference.square() + CHARBONNIER_EPS**2).sqrt().mean()


def log_mse(output: Tensor, truth: Tensor) -> Tensor:
    """Average ln(mean squared error + 1e-6) over samples: every sample counts by its ratio of improvement.

    A mean of plain errors is ruled by the few samples with large ones. This is the mean PSNR but for a
    factor; the floor of 60 dB keeps a solved sample from ruling instead.
    """
    return (sample_mse(output, truth) + LOG_MSE_FLOOR).log().mean()


@dataclass(frozen=True, kw_only=True)
class LossWeights:
    """Weights of the terms in the sum; a term of weight 0 is not computed."""

    l1: float = 0.0
    frequency: float = 0.0
    temporal: float = 0.0
    log_mse: float = 0.0

    def total(self, output: Tensor, next_output: Tensor, *, truth: Tensor, next_truth: Tensor) -> Tensor:
        """Sum the weighted terms over two consecutive frames of every sample, mu-law values (B, C, H, W) each."""
        outputs, truths = torch.cat([output, next_output]), torch.cat([truth, next_truth])  # (2B, C, H, W)
        total = output.new_zeros(())
        if self.l1:
            total = total + self.l1 * l1(outputs, truths)
        if self.frequency:
            total = total + self.frequency * frequency(outputs, truths)
        if self.log_mse:
            total = total + self.log_mse * log_mse(outputs, truths)
        if self.temporal:
            temporal = temporal_charbonnier(output, next_output, truth=truth, next_truth=next_truth)
            total = total + self.temporal * temporal
        return total


LOSSES: dict[LossName, LossWeights] = {
    "paper": LossWeights(l1=1.0, frequency=0.1, temporal=0.1),
    # The gradient of log_mse is about 2 / error per unit, so a temporal weight of 4 is still a few percent of it.
    "log_mse": LossWeights(log_mse=1.0, temporal=4.0),
}
