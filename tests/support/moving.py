"""Pictures that move by known amounts."""

import torch
import torch.nn.functional as F
from torch import Tensor


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
    height, width = picture.shape[-2:]
    xs, ys = (torch.arange(width) - dx) * 2 / (width - 1) - 1, (torch.arange(height) - dy) * 2 / (height - 1) - 1
    grid = torch.stack(torch.meshgrid(xs, ys, indexing="xy"), dim=-1)[None]  # (1, H, W, 2)
    return F.grid_sample(picture, grid, mode="bicubic", padding_mode="border", align_corners=True)
