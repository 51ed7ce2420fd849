"""Pictures that move by known amounts."""

import torch
import torch.nn.functional as F
from torch import Tensor

from model.motion import warp


def texture(height: int, width: int, *, seed: int = 0) -> Tensor:
    """Smooth noise of several scales, 0..1, (1, 3, H, W)."""
    generator = torch.Generator().manual_seed(seed)
    picture = torch.zeros(1, 3, height, width)
    for cell in (4, 8, 24):
        coarse = torch.rand(1, 3, height // cell + 2, width // cell + 2, generator=generator)
        picture += F.interpolate(coarse, size=(height, width), mode="bicubic", align_corners=False)
    return (picture / 3).clamp(0, 1)


def shifted(picture: Tensor, dx: float, dy: float) -> Tensor:
    """Move a picture by (dx, dy): what was at x is at x + d."""
    flow = torch.tensor([-dx, -dy]).view(1, 2, 1, 1).expand(1, 2, *picture.shape[-2:])
    return warp(picture, flow, mode="bicubic")
