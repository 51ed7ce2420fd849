"""What the reference implementation computed: its fixtures, and the weights that belong to them."""

import zlib
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from torch import Tensor

from model.network import LanHdr, NetworkConfig
from model.pretrained import load_network, published_to_own

DATA = Path(__file__).resolve().parents[1] / "data" / "reference"
# An independent implementation had 6e-7; ten times that leaves room for another FFT or convolution library.
TOLERANCE = 1e-5


def load_fixture(path: Path) -> dict[str, Tensor]:
    """Read a fixture; frames stored as bytes become 0..1."""
    fixture = safetensors.torch.load_file(path)
    if "ldr_u8" in fixture:
        fixture["ldr"] = fixture["ldr_u8"].float() / 255
    return fixture


def tiny_network(nexps: int) -> LanHdr:
    """The network of the tiny fixtures, 8 and 4 channels wide, read as a published checkpoint."""
    network = load_network(DATA / f"tiny_{nexps}exp.ckpt.pt").network
    assert isinstance(network, LanHdr)
    return network


def full_network(nexps: int, keys: Path) -> LanHdr:
    """The network of the full fixtures; `keys` lists the published names and shapes."""
    network = LanHdr(NetworkConfig(nexps)).eval()
    rows = [line.split() for line in keys.read_text().splitlines()]
    shapes = {key: tuple(int(size) for size in shape.split("x")) for key, shape in rows}
    network.load_state_dict({published_to_own(key): drawn_weight(key, shape) for key, shape in shapes.items()})
    return network


def drawn_weight(key: str, shape: tuple[int, ...]) -> Tensor:
    """Draw a weight from its published name, as the notes beside the fixtures prescribe."""
    drawn = np.random.RandomState(zlib.crc32(key.encode())).standard_normal(shape).astype(np.float32)
    if len(shape) == 1:
        return torch.from_numpy(drawn * np.float32(0.01))
    scale = np.sqrt(1 / np.prod(shape[1:])) * (0.5 if "main_fft" in key else 1)
    return torch.from_numpy(drawn * np.float32(scale))


def largest_difference(ours: Tensor, theirs: Tensor) -> float:
    """Max |difference| of two tensors that must have one shape."""
    assert ours.shape == theirs.shape
    return float((ours - theirs).abs().max())
