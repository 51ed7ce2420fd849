"""Combs of two fields: what tells interlaced pictures from progressive ones in an interlaced stream."""

import av
import numpy as np
import torch
import torch.nn.functional as F

BLOCK = 16  # rows and columns
WIDEST = 960  # columns that are looked at
RATIO = 3.0  # of curvature across the fields to that within them; 1 for noise, less for pictures, 16 for combs alone
FLOOR = 6 * (2 / 255) ** 2  # curvature of 2 codes of 8 bits
COMBED = 0.003  # share of blocks


def is_combed(frame: av.VideoFrame) -> bool:
    """Tell whether the two fields of a frame show different moments, or different exposures.

    Where something moved between the fields, rows differ from both neighbors, which are of the other field, and agree
    with the rows beyond. Only one frame is looked at, so alternating exposures play no part; noise alters both
    differences alike. A scene that stands still has no combs, however it was filmed.
    """
    codes = frame.reformat(format="gray16le").to_ndarray()[:, :: max(1, frame.width // WIDEST)]
    if min(codes.shape) < BLOCK + 4:
        return False
    luma = torch.from_numpy(codes.astype(np.float32) / 65535)  # (H, W)
    middle = 2 * luma[2:-2]
    across = (luma[1:-3] - middle + luma[3:-1]).square()
    within = (luma[:-4] - middle + luma[4:]).square()
    across, within = (F.avg_pool2d(curvature[None], BLOCK)[0] for curvature in (across, within))
    return float((across > RATIO * within + FLOOR).float().mean()) > COMBED
