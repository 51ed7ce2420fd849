"""Mixed precision and activation checkpointing."""

import logging
from functools import partial
from typing import Literal

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from model.alignment import AlignedDecoder
from model.blocks import PyramidEncoder, SpectralBlock
from model.hallucination import Hallucination

Precision = Literal["auto", "float32", "bf16"]

FIRST_WITH_BF16 = (8, 0)  # compute capability of the first NVIDIA processors with bfloat16 matrix units (Ampere)
# Modules whose inner activations are many against input and output. Lite has none such: to compute its blocks
# again saves a quarter of what it keeps and raises the peak.
UNITS = (PyramidEncoder, AlignedDecoder, Hallucination, SpectralBlock)

logger = logging.getLogger(__name__)


def compute_dtype(precision: Precision, device: torch.device) -> torch.dtype:
    """Return the type of the convolutions; `auto` is bfloat16 where the device multiplies in it, else float32.

    Other devices emulate bfloat16, which is slower than float32.
    """
    if precision != "auto":
        return torch.bfloat16 if precision == "bf16" else torch.float32
    is_fast = False
    if device.type == "cuda":
        is_fast = torch.cuda.get_device_capability(device) >= FIRST_WITH_BF16
    elif device.type == "cpu":
        # Private, and younger than the oldest torch that we run with; there is no public question.
        probes = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
        is_fast = any(probe() for probe in probes if probe is not None)
    return torch.bfloat16 if is_fast else torch.float32


def autocast(device: torch.device, dtype: torch.dtype) -> torch.autocast:
    """Make a context in which convolutions compute in `dtype`; weights, and all that networks exempt, stay float32."""
    half = dtype != torch.float32
    return torch.autocast(device.type, dtype=dtype if half else None, enabled=half)


def checkpoint_activations(network: nn.Module) -> int:
    """Recompute inner activations in the backward pass instead of keeping them; return the number of modules changed.

    Outputs and gradients stay the same; memory is a third less for base, time a third more.
    """
    count = 0
    pending = [network]
    while pending:
        module = pending.pop()
        if isinstance(module, UNITS):  # the outermost: one inside another would be computed three times
            module.forward = partial(checkpoint, module.forward, use_reentrant=False)  # type: ignore[method-assign]
            count += 1
        else:
            pending += module.children()
    if not count:
        logger.warning("--checkpointing saves nothing in this network: pass --accumulate to need less memory")
    return count
