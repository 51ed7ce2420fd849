"""Contact sheets: pictures side by side, with captions, as PNG."""

from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.color import mu_law
from train.data.loader import Batch

ERROR_GAIN = 10.0  # in a picture of errors 0.1 on mu-law values is white
CAPTION_HEIGHT = 16
SHEET_ROWS = 4


def picture_row(pictures: Sequence[Tensor]) -> NDArray[np.uint8]:
    """Put pictures of encoded or mu-law values, (3, H, W), clipped to 0..1, side by side: 8-bit, (H, sum of W, 3)."""
    codes = (torch.cat(list(pictures), dim=2).clamp(0, 1) * 255).round().to(torch.uint8)
    return codes.permute(1, 2, 0).cpu().numpy()


def encode_png(pixels: NDArray[np.uint8]) -> bytes:
    """Return 8-bit R, G, B codes (H, W, 3) as the content of a PNG file."""
    encoded, data = cv2.imencode(".png", pixels[..., ::-1])
    assert encoded
    return data.tobytes()


def caption(titles: Sequence[str], *, width: int) -> NDArray[np.uint8]:
    """Make a bar of titles to put on top of columns of one width, 8-bit codes, (16, width, 3)."""
    bar = np.zeros((CAPTION_HEIGHT, width, 3), np.uint8)
    for index, title in enumerate(titles):
        corner = (index * width // len(titles) + 4, CAPTION_HEIGHT - 5)
        cv2.putText(bar, title, corner, cv2.FONT_HERSHEY_SIMPLEX, 0.4, (255, 255, 255), 1, cv2.LINE_AA)
    return bar


@torch.no_grad()
def contact_sheet(network: Callable[[Tensor, Tensor, Tensor], Any], batches: Sequence[Batch]) -> NDArray[np.uint8]:
    """Draw windows, one a row: short input, long input, start (of a guided network), output, truth, error times 10.

    Args:
        network: In evaluation mode, on the device of the batches.
        batches: Two windows of one sample each; of the first few the first and the second window are shown in turn, so
            that all exposures of the cycle become references.

    Returns:
        8-bit codes, all but the inputs of mu-law values, (16 + rows * H, columns * W, 3).
    """
    rows: list[dict[str, Tensor]] = []
    for number, batch in enumerate(batches[:SHEET_ROWS]):
        window = number % 2
        ldr, exposures, truth = batch.ldr[window], batch.exposures[window], mu_law(batch.truth[window])
        prediction = network(ldr[None], exposures[None], batch.precision[window, None])
        start = getattr(prediction, "start", None)
        output = mu_law(prediction.radiance[0].clamp(0, 1))
        row = {}
        for name, exposure in (("short", exposures.min()), ("long", exposures.max())):
            indices = (exposures == exposure).nonzero().flatten()
            row[name] = ldr[indices[(indices - len(exposures) // 2).abs().argmin()]]  # the nearest to the middle
        if start is not None:
            row["start"] = mu_law(start[0].clamp(0, 1))
        row |= {"output": output, "truth": truth, f"error x{ERROR_GAIN:g}": ERROR_GAIN * (output - truth).abs()}
        rows.append(row)
    sheet = np.concatenate([picture_row(list(row.values())) for row in rows])
    return np.concatenate([caption(list(rows[0]), width=sheet.shape[1]), sheet])
