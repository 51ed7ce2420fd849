"""Pictures side by side, for people to compare, and as PNG."""

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

# In a picture of errors 0.1 on mu-law values is white.
ERROR_GAIN = 10.0
CAPTION_HEIGHT = 16


def picture_row(pictures: Sequence[Tensor]) -> NDArray[np.uint8]:
    """Put pictures side by side; rows of one width stack by `np.concatenate`.

    Args:
        pictures: Fit to be shown (encoded or mu-law values), 0..1, beyond it clipped, each (3, H, W).

    Returns:
        8-bit codes, (H, sum of W, 3).
    """
    codes = (torch.cat(list(pictures), dim=2).clamp(0, 1) * 255).round().to(torch.uint8)
    return codes.permute(1, 2, 0).cpu().numpy()


def encode_png(pixels: NDArray[np.uint8]) -> bytes:
    """Return 8-bit R, G, B codes (H, W, 3) as the content of a PNG file."""
    encoded, data = cv2.imencode(".png", pixels[..., ::-1])
    assert encoded
    return data.tobytes()


def caption(titles: Sequence[str], *, width: int) -> NDArray[np.uint8]:
    """Make a bar of words to put on top of pictures, each over its column.

    Args:
        titles: Words of the columns, which are of one width.
        width: Width of all columns.

    Returns:
        8-bit codes, (16, width, 3).
    """
    bar = np.zeros((CAPTION_HEIGHT, width, 3), np.uint8)
    for index, title in enumerate(titles):
        place = (index * width // len(titles) + 4, CAPTION_HEIGHT - 5)
        cv2.putText(bar, title, place, cv2.FONT_HERSHEY_SIMPLEX, 0.4, (255, 255, 255), 1, cv2.LINE_AA)
    return bar
