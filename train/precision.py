"""Which arithmetic the network's convolutions run in while it is trained."""

from typing import Literal

import torch

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
