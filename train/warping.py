"""How well consecutive results agree once motion is undone; no truth is needed."""

import torch
from torch import Tensor

from train.baselines import fetch, optical_flow

# Sundaram, Brox and Keutzer (ECCV 2010), equation 5: where the flow forth and back contradict each other.
RELATIVE, ABSOLUTE = 0.01, 0.5


def warping_error(outputs: Tensor) -> Tensor | None:
    """Root mean square of what changes between two frames beyond motion, where both see the same thing.

    The warping error of Lai et al. (ECCV 2018) as a root, with OpenCV's DIS flow between the results themselves. It
    rises with flicker, boiling and noise; blur lowers it, so it is no measure of quality on its own.

    Args:
        outputs: Mu-law values of two consecutive frames, 0..1, (2, 3, H, W).

    Returns:
        Scalar, in units of the mu-law range; None if no pixel is seen in both.
    """
    before, now = outputs.float()
    one = torch.ones(())
    forth, back = optical_flow(now, before, exposures=(one, one)), optical_flow(before, now, exposures=(one, one))
    flows = [torch.from_numpy(flow).permute(2, 0, 1) for flow in (forth, back)]  # (2, H, W) each
    warped, inside = fetch(before, forth)
    returned, _ = fetch(torch.cat([flows[1], torch.zeros_like(flows[1][:1])]), forth)
    sizes = flows[0].square().sum(0) + returned[:2].square().sum(0)
    agrees = (flows[0] + returned[:2]).square().sum(0) < RELATIVE * sizes + ABSOLUTE
    seen = agrees & (inside[0] > 0)  # (H, W)
    return (now - warped)[:, seen].square().mean().sqrt() if seen.any() else None
