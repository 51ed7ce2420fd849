"""Scores of light as it is seen: PSNR and SSIM of PU21 values (Mantiuk and Azimi, Picture Coding Symposium 2021)."""

from torch import Tensor

from model.color import REC709, rgb_to_xyz
from model.transfer import pu21_encode
from train.metrics import psnr, ssim

# Radiance 1.0 is shown with this; the longest exposure of 1:8 then clips at 125 cd/m2, near the white of SDR displays.
PEAK_NITS = 1000.0
# What the authors' own programs take as the full signal: about the value of 100 cd/m2.
PU21_SPAN = 256.0


def pu21_psnr(output: Tensor, truth: Tensor, *, peak_nits: float = PEAK_NITS) -> Tensor:
    """PSNR of R, G and B encoded by PU21, against a peak of 256 as the authors have it.

    Args:
        output: Linear radiance, 0..1, (B, 3, H, W).
        truth: Likewise.
        peak_nits: Light in cd/m2 that radiance 1.0 is shown with; scores depend on it.

    Returns:
        Decibels, (B).
    """
    encoded, wanted = pu21_encode(output * peak_nits), pu21_encode(truth * peak_nits)
    return psnr(encoded, wanted, peak=PU21_SPAN)


def pu21_ssim(output: Tensor, truth: Tensor, *, peak_nits: float = PEAK_NITS) -> Tensor:
    """SSIM of luminance (Rec.709) encoded by PU21, with a data range of 256 and the 7x7 window of `ssim`.

    The authors' program weighs an 11x11 window by a Gaussian instead, so their figures differ slightly.

    Args:
        output: Linear radiance, 0..1, (B, 3, H, W).
        truth: Likewise.
        peak_nits: Light in cd/m2 that radiance 1.0 is shown with; scores depend on it.

    Returns:
        Similarity, at most 1, (B).
    """
    encoded, wanted = (pu21_encode(_luminance(picture) * peak_nits) for picture in (output, truth))
    return ssim(encoded, wanted, span=PU21_SPAN)


def _luminance(radiance: Tensor) -> Tensor:
    weights = rgb_to_xyz(REC709)[1].to(radiance).view(3, 1, 1)
    return (radiance * weights).sum(-3, keepdim=True)
