"""The device that computes."""

import torch

from model.errors import DeviceError


def resolve_device(name: str) -> torch.device:
    """Turn `auto`, `cpu`, `cuda` or `cuda:N` into a device that exists.

    Raises:
        DeviceError: If it does not, or there is no such name.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise DeviceError(f"--device {name}: no such device is known: pass --device cpu or auto") from error
    found = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device.type == "cuda" and (device.index or 0) >= found:
        raise DeviceError(f"--device {name}: {found} CUDA devices were found: pass --device cpu or auto")
    return device
