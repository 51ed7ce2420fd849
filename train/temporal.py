"""Scores of what changes from frame to frame: errors that a still picture does not show.

All look at how the error e = output - truth of mu-law values changes, c = e(t) - e(t - 1): motion of the scene
cancels, a perfect result scores 0, and so does an error that stays. The mean of |c| is the temporal loss of LAN-HDR
(Chung and Cho 2023) as a measure; the other two definitions are our own.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

# Pixels whose true mu-law value changes by less are still: little more than one code of 8 bits.
STILL = 0.005
LEAST_STILL_SHARE = 0.01
BLOCK = 16


def temporal_error(outputs: Tensor, truths: Tensor) -> Tensor:
    """Mean of |c| over all pixels and channels: errors that jump, swim or boil, moving regions included.

    Args:
        outputs: Mu-law values of two consecutive frames, 0..1, (2, C, H, W).
        truths: Their truth, same shape.

    Returns:
        Scalar, in units of the mu-law range.
    """
    return _change(outputs, truths).abs().mean()


def flicker(outputs: Tensor, truths: Tensor) -> Tensor | None:
    """Root mean square of c over the pixels that are still: whose truth changes by less than 0.005 in every channel.

    Such pixels also exist in moving pictures, where those are smooth: there the eye sees flicker.

    Args:
        outputs: Mu-law values of two consecutive frames, 0..1, (2, C, H, W).
        truths: Their truth, same shape.

    Returns:
        Scalar, in units of the mu-law range; None if fewer than 1 % of the pixels are still.
    """
    still = (truths[1] - truths[0]).abs().amax(0) < STILL  # (H, W)
    if still.float().mean() < LEAST_STILL_SHARE:
        return None
    return _change(outputs, truths)[:, still].square().mean().sqrt()


def area_flicker(outputs: Tensor, truths: Tensor) -> Tensor:
    """Root mean square of the means of c over blocks of 16x16 pixels: brightness or color of areas that pulses.

    Noise and shifted edges cancel within a block, an exposure that is not undone does not. Blocks at the right and
    lower edge may be smaller.

    Args:
        outputs: Mu-law values of two consecutive frames, 0..1, (2, C, H, W).
        truths: Their truth, same shape.

    Returns:
        Scalar, in units of the mu-law range.
    """
    change = _change(outputs, truths)[None]
    blocks = F.avg_pool2d(change, BLOCK, ceil_mode=True, count_include_pad=False)
    return blocks.square().mean().sqrt()


def _change(outputs: Tensor, truths: Tensor) -> Tensor:
    errors = outputs - truths
    return torch.sub(errors[1], errors[0])  # (C, H, W)
