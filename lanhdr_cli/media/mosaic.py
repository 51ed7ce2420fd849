"""Mosaics of color filters: gray pictures in which every second sample is green, the others red and blue."""

from types import ModuleType
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from lanhdr_cli.media.errors import MediaError

Pattern = Literal["RGGB", "BGGR", "GRBG", "GBRG"]
Bayer = Pattern | Literal["none"]
TOP = 65535
SMOOTH, EDGE = (1.0, 4.0, 6.0, 4.0, 1.0), (1.0, -4.0, 6.0, -4.0, 1.0)  # over 16; blind to slopes and bends
CELL = 8  # samples across, over which colors are taken as even
LEAST_CONTRAST = 0.01  # of the brightness
LEAST_CORRELATION = 0.6
SMALLEST = 32  # samples across


def is_gray(image: Tensor) -> bool:
    """Tell whether R, G and B are the same, (3, H, W)."""
    return torch.equal(image[0], image[1]) and torch.equal(image[0], image[2])


def shows_mosaic(gray: Tensor) -> bool:
    """Tell whether a gray picture, (H, W), is a mosaic of color filters.

    Written as a sum of waves, a mosaic holds (R - B) / 4 both at the highest frequency across and at the highest one
    down, as one and the same picture (D. Alleysson et al., "Linear demosaicing inspired by the human visual system",
    2005). Textures, stripes and noise have nothing to do with each other in these two places.
    """
    height, width = (side // CELL * CELL for side in gray.shape)
    if min(height, width) < SMALLEST:
        return False
    encoded = gray[:height, :width].float().clamp(min=0).sqrt()  # noise is about even there
    signs = torch.tensor([1.0, -1.0])
    across = _filtered(encoded, down=SMOOTH, across=EDGE) * signs.repeat(width // 2)
    down = _filtered(encoded, down=EDGE, across=SMOOTH) * signs.repeat(height // 2)[:, None]
    first, second = (F.avg_pool2d(wave[None, None], CELL).flatten() for wave in (across, down))
    strength = (first.square().mean() * second.square().mean()).sqrt()
    if float(strength.sqrt()) < LEAST_CONTRAST * float(encoded.mean()):
        return False
    return abs(float((first * second).mean() / strength)) > LEAST_CORRELATION


def _filtered(gray: Tensor, *, down: tuple[float, ...], across: tuple[float, ...]) -> Tensor:
    padded = F.pad(gray[None, None], (2, 2, 2, 2), mode="reflect")
    kernel = torch.tensor(down)[:, None] * torch.tensor(across) / 256
    filtered: Tensor = F.conv2d(padded, kernel[None, None])[0, 0]
    return filtered


def demosaiced(image: Tensor, pattern: Pattern) -> Tensor:
    """Interpolate the colors of a mosaic along its edges, by OpenCV.

    Args:
        image: 0..1, the same in each channel, (3, H, W).
        pattern: Colors of the first two samples of the first row, and of the second.

    Returns:
        R, G, B, 0..1, float32, (3, H, W).

    Raises:
        MediaError: If it is in color already, or OpenCV is not installed.
    """
    cv2 = require_opencv()
    if not is_gray(image):
        raise MediaError(f"--bayer {pattern} is for gray pictures, these are in color: leave it out")
    codes = image[0].mul(TOP).round().to(torch.int32).numpy().astype(np.uint16)
    conversion = getattr(cv2, f"COLOR_Bayer{pattern}2RGB_EA")
    colors = np.ascontiguousarray(cv2.cvtColor(codes, conversion).transpose(2, 0, 1), dtype=np.float32)
    return torch.from_numpy(colors).div_(TOP)


def require_opencv() -> ModuleType:
    """Import OpenCV.

    Raises:
        MediaError: If it is not installed.
    """
    try:
        import cv2
    except ImportError as error:
        raise MediaError("--bayer needs OpenCV, which is not installed: pip install opencv-python-headless") from error
    return cv2
