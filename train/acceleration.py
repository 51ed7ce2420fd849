"""Which arithmetic the network's convolutions run in while it is trained."""

import importlib.util
import logging
import os
import shutil
from functools import partial
from typing import Literal

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from model.alignment import AlignedDecoder
from model.blocks import PyramidEncoder, SpectralBlock
from model.hallucination import Hallucination
from train.errors import DeviceError

Precision = Literal["auto", "float32", "bf16"]

# Compute capability of the first NVIDIA processors with bfloat16 in their matrix units (Ampere).
FIRST_WITH_BF16 = (8, 0)


def computing_type(precision: Precision, device: torch.device) -> torch.dtype:
    """Return what convolutions compute in: for `auto` bfloat16 where the device is fast at it, else float32."""
    if precision == "float32" or (precision == "auto" and not fast_at_bf16(device)):
        return torch.float32
    return torch.bfloat16


def fast_at_bf16(device: torch.device) -> bool:
    """Say whether a device multiplies in bfloat16; others emulate it, which is slower than float32."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= FIRST_WITH_BF16
    if device.type == "cpu":
        # Private, and younger than the oldest torch that we run with; there is no public question.
        asked = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
        return any(ask() for ask in asked if ask is not None)
    return False


def autocast(device: torch.device, dtype: torch.dtype) -> torch.autocast:
    """Make a context in which convolutions compute in `dtype`; weights, and all that networks exempt, stay float32."""
    half = dtype != torch.float32
    return torch.autocast(device.type, dtype=dtype if half else None, enabled=half)


logger = logging.getLogger(__name__)

# Boxes whose inner results are many against what goes in and comes out. Lite has none such: to compute its blocks
# again saves a quarter of what it keeps and raises the peak.
UNITS = (PyramidEncoder, AlignedDecoder, Hallucination, SpectralBlock)


def recompute_activations(network: nn.Module) -> int:
    """Let a network forget what its boxes compute inside, and compute it again for the backward pass.

    Outputs and gradients stay the same; memory is a third less for base, time a third more. A warning says if the
    network has no such boxes.

    Args:
        network: Changed in place; its weights keep their names.

    Returns:
        Number of boxes.
    """
    boxes = _boxes(network)
    for box in boxes:
        box.forward = partial(checkpoint, box.forward, use_reentrant=False)
    if not boxes:
        logger.warning("--checkpointing saves nothing in this network: pass --accumulate to need less memory")
    return len(boxes)


def _boxes(network: nn.Module) -> list[nn.Module]:
    """Outermost units: one inside another would be computed three times."""
    if isinstance(network, UNITS):
        return [network]
    return [box for part in network.children() for box in _boxes(part)]


def compile_network(network: nn.Module, device: torch.device) -> bool:
    """Let torch compile a network when it is first called; without a compiler a warning says so and nothing changes.

    Args:
        network: Changed in place; its weights keep their names.
        device: Where it computes.

    Returns:
        Whether it will be compiled.
    """
    missing = missing_compiler(device)
    if missing is not None:
        logger.warning("--compile needs %s, which was not found: the network runs uncompiled", missing)
        return False
    network.compile()
    return True


def missing_compiler(device: torch.device) -> str | None:
    """Name what torch.compile misses: a C++ compiler for a CPU, Triton for a GPU; None if all is there."""
    if device.type == "cuda":
        return None if importlib.util.find_spec("triton") else "the package triton"
    compiler = os.environ.get("CXX", "g++")
    return None if shutil.which(compiler) else f"the compiler {compiler}"


def usable_device(name: str, instead: str) -> torch.device:
    """Turn a name as torch has them into a device that works here.

    Args:
        name: `cpu`, `cuda` or `cuda:N`.
        instead: What else can be passed, for the message.

    Raises:
        DeviceError: If there is no such device.
    """
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise DeviceError(f"device {name} cannot be used ({reason}): pass --device {instead}") from error
    return device
