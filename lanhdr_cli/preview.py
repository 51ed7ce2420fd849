"""One picture that shows what was made of a clip: a short frame, a long frame, the tone-mapped result."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from lanhdr_cli.pipeline import Reconstructed

LUMINANCE_BT709 = (0.2126, 0.7152, 0.0722)
KEY = 0.18  # middle gray
WHITE_QUANTILE = 0.999
WIDEST = 960
GAP = 12
FLOOR = 1e-6


class Preview:
    """Picks the frames to show while a clip passes; memory does not grow with it.

    Args:
        target: Index of the frame to show; a clip that ends sooner shows its last.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self._shown: Reconstructed | None = None

    def consider(self, frame: Reconstructed) -> None:
        """Keep a frame if it is not beyond the target."""
        if self._shown is None or frame.index <= self._target:
            self._shown = frame

    def picture(self) -> Tensor | None:
        """Draw the preview, sRGB-encoded, 0..1, (3, H, W); None if no frame has passed."""
        shown = self._shown
        if shown is None:
            return None
        frames = sorted(shown.nearby, key=lambda frame: abs(frame.time - shown.ldr.time))
        short = min(frames, key=lambda frame: frame.exposure)
        long = max(frames, key=lambda frame: frame.exposure)
        # Light is averaged, not code values, where pictures are made smaller.
        result = tone_map(fit(shown.hdr.radiance))
        return side_by_side([fit(short.image), fit(long.image), result])


@dataclass(frozen=True)
class Adaptation:
    """What an eye would have got used to.

    Args:
        log_average: Mean of the logarithm of luminance.
        log_white: Logarithm of the luminance that becomes white.
    """

    log_average: float
    log_white: float

    def toward(self, other: "Adaptation", *, keep: float) -> "Adaptation":
        """Go part of the way; `keep` 1 stays, 0 jumps."""
        return Adaptation(
            keep * self.log_average + (1 - keep) * other.log_average,
            keep * self.log_white + (1 - keep) * other.log_white,
        )


def adaptation(radiance: Tensor) -> Adaptation:
    """Measure a picture: linear Rec.709, any scale, (3, H, W)."""
    luminance = _luminance(radiance.clamp(min=0)).clamp(min=FLOOR)
    return Adaptation(luminance.log().mean().item(), _quantile(luminance, WHITE_QUANTILE).log().item())


def tone_map(radiance: Tensor, *, adapted: Adaptation | None = None) -> Tensor:
    """Extended Reinhard operator on luminance (Reinhard et al. 2002, equations 1 and 4), encoded as sRGB.

    The key is 0.18 over the log-average luminance; the 99.9 % quantile of luminance becomes white.

    Args:
        radiance: Linear Rec.709, any scale, (3, H, W).
        adapted: What to adapt to, None for the picture itself.

    Returns:
        sRGB-encoded, 0..1, (3, H, W).
    """
    radiance = radiance.clamp(min=0)
    adapted = adapted or adaptation(radiance)
    luminance = _luminance(radiance)
    scaled = luminance * (KEY / math.exp(adapted.log_average))
    white = max(1.0, KEY * math.exp(adapted.log_white - adapted.log_average))
    mapped = scaled * (1 + scaled / white**2) / (1 + scaled)
    return encode_srgb(radiance * (mapped / luminance.clamp(min=FLOOR)))


def encode_srgb(linear: Tensor) -> Tensor:
    """IEC 61966-2-1: linear to sRGB, clamped to 0..1, any shape."""
    linear = linear.clamp(0, 1)
    return torch.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear.pow(1 / 2.4) - 0.055)


def side_by_side(pictures: list[Tensor]) -> Tensor:
    """Join pictures of one height, with white gaps, (3, H, sum of W)."""
    gap = pictures[0].new_ones(3, pictures[0].shape[1], GAP)
    parts = [part for picture in pictures for part in (gap, picture)]
    return torch.cat(parts[1:], dim=2)


def fitted_size(height: int, width: int) -> tuple[int, int]:
    """Height and width of a picture after `fit`."""
    return (height, width) if width <= WIDEST else (max(1, round(height * WIDEST / width)), WIDEST)


def fit(picture: Tensor) -> Tensor:
    """Make a picture smaller if it is wide, (3, H, W)."""
    size = fitted_size(picture.shape[1], picture.shape[2])
    return picture if size == picture.shape[1:] else F.interpolate(picture[None], size=size, mode="area")[0]


def _luminance(linear: Tensor) -> Tensor:
    return (linear * linear.new_tensor(LUMINANCE_BT709).view(3, 1, 1)).sum(0)  # (H, W)


def _quantile(values: Tensor, share: float) -> Tensor:
    flat = values.flatten()
    return flat.kthvalue(max(1, round(share * flat.numel()))).values
