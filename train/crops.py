"""Which part of a frame shows best how well it was reconstructed."""

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F

SIDE = 160
STEP = 16


@dataclass(frozen=True)
class Crop:
    """Where a frame is worst.

    Args:
        top: First row.
        left: First column.
        side: Rows and columns, at most 160.
        error: Mean absolute error of mu-law values in it.
    """

    top: int
    left: int
    side: int
    error: float

    def cut(self, picture: Tensor) -> Tensor:
        """Cut this place out of a picture, (..., H, W) -> (..., side, side)."""
        return picture[..., self.top : self.top + self.side, self.left : self.left + self.side]


def worst_crop(output: Tensor, wanted: Tensor) -> Crop:
    """Find the square of 160 pixels, of those at every 16th, with the largest mean error of mu-law values.

    Args:
        output: Mu-law values, (1, 3, H, W).
        wanted: What they should be, or are to be compared with, same shape.
    """
    errors = (output - wanted).abs().mean(1, keepdim=True)  # (1, 1, H, W)
    height, width = errors.shape[-2:]
    side = min(SIDE, height, width)
    means = F.avg_pool2d(errors, side, stride=STEP)[0, 0]
    place = int(means.argmax())
    row, column = divmod(place, means.shape[1])
    return Crop(row * STEP, column * STEP, side, float(means.flatten()[place]))
