"""The paper's perceptual term: features of VGG-19, present only where torchvision is."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from train.config import TrainError

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
