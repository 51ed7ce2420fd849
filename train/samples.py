"""Contact sheets: what a network makes of a few held-out windows while it is trained."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.color import mu_law
from train.batches import Batch
from train.montage import ERROR_GAIN, caption, picture_row

SHEET_ROWS = 4


@torch.no_grad()
def contact_sheet(network: Callable[[Tensor, Tensor, Tensor], Any], batches: Sequence[Batch]) -> NDArray[np.uint8]:
    """Show windows, one a row: short input, long input, start (of a guided network), output, truth, error times 10.

    Args:
        network: In evaluation mode; its answer has `radiance` (B, 3, H, W), and a guided one's `start`.
        batches: Two windows of one sample each, on the network's device; the first few are shown, in turn by their
            first and their second window, so that all exposures of the cycle become references.

    Returns:
        8-bit codes, all but the inputs of mu-law values, (16 + rows * H, columns * W, 3).
    """
    rows = [_row(network, batch, window=index % 2) for index, batch in enumerate(batches[:SHEET_ROWS])]
    titles = list(rows[0])
    sheet = np.concatenate([picture_row(list(row.values())) for row in rows])
    return np.concatenate([caption(titles, width=sheet.shape[1]), sheet])


def _row(network: Callable[[Tensor, Tensor, Tensor], Any], batch: Batch, *, window: int) -> dict[str, Tensor]:
    ldr, exposures, truth = batch.ldr[window], batch.exposures[window], mu_law(batch.truth[window])
    prediction = network(ldr[None], exposures[None], batch.precision[window, None])
    start = getattr(prediction, "start", None)
    output = mu_law(prediction.radiance[0].clamp(0, 1))
    shown = {"short": ldr[_nearest(exposures, exposures.min())], "long": ldr[_nearest(exposures, exposures.max())]}
    shown |= {} if start is None else {"start": mu_law(start[0].clamp(0, 1))}
    return shown | {"output": output, "truth": truth, f"error x{ERROR_GAIN:g}": ERROR_GAIN * (output - truth).abs()}


def _nearest(exposures: Tensor, exposure: Tensor) -> int:
    """Find the frame with an exposure that is nearest to the middle of the window."""
    found = (exposures == exposure).nonzero().flatten()
    return int(found[(found - len(exposures) // 2).abs().argmin()])
