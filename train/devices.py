"""Which device computes, where the command line of `lanhdr` is not there to say."""

import torch

from train.errors import DeviceError


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
