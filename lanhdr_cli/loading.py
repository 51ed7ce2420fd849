"""The network that a conversion runs: which weights, on which device."""

import logging
from dataclasses import dataclass

from lanhdr_cli.device import resolve_device
from lanhdr_cli.pipeline import FrameReconstructor
from lanhdr_cli.request import Request
from model.bundled import bundled_path, check_size
from model.errors import WeightsError
from model.pretrained import load_network
from model.reconstruct import Reconstructor

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Loaded:
    """A network that is ready.

    Args:
        reconstructor: The network, streaming.
        name: Name of the weights.
        margin: Frames outside a range that its results depend on, at either side.
    """

    reconstructor: FrameReconstructor
    name: str
    margin: int


def check_weights(request: Request) -> None:
    """Refuse weights that are not there before the clip is looked at; which are needed, its exposures tell."""
    if request.weights and not request.weights.is_file():
        raise WeightsError(f"{request.weights} is not there: pass --weights with a .safetensors file or a ckpt.pt")
    if request.size and not request.weights:
        check_size(request.size)


def load_reconstructor(request: Request) -> Loaded:
    """Load the weights that a request names, or the bundled ones for its exposures.

    Raises:
        WeightsError: If there are none, or they don't fit.
        DeviceError: If the device is not there.
    """
    device = resolve_device(request.device)
    nexps = len(set(request.known_cycle.ratios))
    path = request.weights or bundled_path(nexps=nexps, size=request.size, on_gpu=device.type != "cpu")
    pretrained = load_network(path, nexps=nexps)
    logger.debug("weights %s on %s", pretrained.name, device)
    # One period more than the window reaches: a frame's state may depend on the frame before.
    margin = pretrained.network.config.window_length // 2 + request.known_cycle.period
    return Loaded(Reconstructor(pretrained.network, device=device), pretrained.name, margin)
