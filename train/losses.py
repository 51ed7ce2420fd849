"""Losses on mu-law values: the terms of LAN-HDR (ICCV 2023) and the per-sample logarithm of the squared error."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from train.config import LossName
from train.errors import TrainError
from train.evaluation.metrics import sample_mse

CHARBONNIER_EPS = 1e-6
LOG_MSE_FLOOR = 1e-6
# Distance of two pictures, (B, 3, H, W) each, as a scalar.
Distance = Callable[[Tensor, Tensor], Tensor]


def l1(output: Tensor, truth: Tensor) -> Tensor:
    """Mean absolute difference of mu-law values, as a scalar; both (B, C, H, W)."""
    return (output - truth).abs().mean()


def frequency(output: Tensor, truth: Tensor) -> Tensor:
    """Mean modulus of the complex difference of the two-dimensional spectra (norm "backward").

    Args:
        output: Mu-law values, (B, C, H, W).
        truth: Mu-law values, shape of `output`.

    Returns:
        A scalar; it grows with the size of the picture, as the unscaled spectrum does.
    """
    # The transform is linear: one spectrum of the difference, not two spectra.
    spectrum: Tensor = torch.fft.fft2(output - truth)
    return spectrum.abs().mean()


def temporal_charbonnier(output: Tensor, next_output: Tensor, *, truth: Tensor, next_truth: Tensor) -> Tensor:
    """Mean sqrt(d^2 + eps^2) of what changes from frame to frame, eps = 1e-6.

    Args:
        output: Mu-law values of one frame, (B, C, H, W).
        next_output: Mu-law values of the frame after it.
        truth: The true values of `output`.
        next_truth: The true values of `next_output`.

    Returns:
        A scalar.
    """
    difference = (output - next_output) - (truth - next_truth)
    return (difference.square() + CHARBONNIER_EPS**2).sqrt().mean()


def log_mse(output: Tensor, truth: Tensor) -> Tensor:
    """Mean over samples of ln(mean squared error + 1e-6): every sample counts by its ratio of improvement.

    A mean of plain errors is ruled by the few samples with large ones. This is the mean PSNR but for a
    factor; the floor of 60 dB keeps a solved sample from ruling instead.

    Args:
        output: Mu-law values, (B, C, H, W).
        truth: Mu-law values, shape of `output`.

    Returns:
        A scalar.
    """
    return (sample_mse(output, truth) + LOG_MSE_FLOOR).log().mean()


@dataclass(frozen=True)
class LossWeights:
    """How much every term counts in the sum; a term of weight 0 is not computed.

    Args:
        l1: Weight of `l1`.
        frequency: Weight of `frequency`.
        temporal: Weight of `temporal_charbonnier`.
        log_mse: Weight of `log_mse`.
        perceptual: Weight of the perceptual distance, which the caller brings.
    """

    l1: float = 0.0
    frequency: float = 0.0
    temporal: float = 0.0
    log_mse: float = 0.0
    perceptual: float = 0.0

    def total(
        self,
        output: Tensor,
        next_output: Tensor,
        *,
        truth: Tensor,
        next_truth: Tensor,
        perceptual: Distance | None = None,
    ) -> Tensor:
        """Sum the weighted terms over two consecutive frames of every sample.

        Args:
            output: Mu-law values of the first frames, (B, C, H, W).
            next_output: Mu-law values of the frames after them.
            truth: The true values of `output`.
            next_truth: The true values of `next_output`.
            perceptual: The perceptual distance; needed only where its weight is not 0.

        Returns:
            A scalar.
        """
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
        if self.perceptual:
            assert perceptual is not None
            total = total + self.perceptual * perceptual(outputs, truths)
        return total


# The paper's weights, without and with its perceptual term, which needs torchvision for VGG-19.
PAPER = LossWeights(l1=1.0, frequency=0.1, temporal=0.1)
PAPER_VGG = replace(PAPER, perceptual=0.1)
# The gradient of log_mse is about 2 / error per unit, so a temporal weight of 4 is still a few percent of it.
LOG_MSE = LossWeights(log_mse=1.0, temporal=4.0)


def loss_weights(name: LossName) -> LossWeights:
    """Return the weights of the recipe `paper`, `paper_vgg` or `log_mse`."""
    return {"paper": PAPER, "paper_vgg": PAPER_VGG, "log_mse": LOG_MSE}[name]


# Up to the activation relu5_1.
LAYERS = 30
# Of ImageNet, as its classifiers expect their input.
MEAN = (0.485, 0.456, 0.406)
DEVIATION = (0.229, 0.224, 0.225)


class VggDistance(nn.Module):
    """Mean squared difference of what VGG-19 makes of two pictures at relu5_1 (LAN-HDR, ICCV 2023).

    Args:
        features: The first 30 layers of VGG-19.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, features: nn.Module) -> None:
        super().__init__()
        self.features = features.eval().requires_grad_(False)
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor(DEVIATION).view(1, 3, 1, 1), persistent=False)

    def forward(self, output: Tensor, truth: Tensor) -> Tensor:
        """Compare mu-law values, both (B, 3, H, W) and not clamped first; returns a scalar."""
        with torch.no_grad():
            wanted = self.features((truth - self.mean) / self.deviation)
        return F.mse_loss(self.features((output - self.mean) / self.deviation), wanted)


def load_vgg() -> VggDistance:
    """Take VGG-19 with its ImageNet weights from torchvision, which downloads them once.

    Raises:
        TrainError: If torchvision is not installed or its weights cannot be had.
    """
    try:
        from torchvision.models import VGG19_Weights, vgg19
    except (ImportError, RuntimeError) as error:  # a torchvision of another torch raises a RuntimeError
        raise TrainError(f"--loss paper_vgg needs torchvision ({error}): install it, or pass --loss paper") from error
    try:
        whole = vgg19(weights=VGG19_Weights.IMAGENET1K_V1)
    except OSError as error:
        raise TrainError(f"the weights of VGG-19 cannot be had ({error}): pass --loss paper") from error
    return VggDistance(whole.features[:LAYERS])
