"""The device that computes, and the way back from it."""

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor

from model.errors import DeviceError

CPU_OUT_OF_MEMORY = ("can't allocate memory", "not enough memory: you tried to allocate")
# Hands over on the CPU what `on_host` was given to compute.
OnHost = Callable[[], tuple[Tensor, ...]]


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


def is_out_of_memory(error: RuntimeError) -> bool:
    """Tell an allocation that failed, on a GPU or on the CPU, from other errors."""
    return isinstance(error, torch.cuda.OutOfMemoryError) or any(text in str(error) for text in CPU_OUT_OF_MEMORY)


def on_device(tensor: Tensor, device: torch.device) -> Tensor:
    """Bring a tensor of the CPU to a device, for CUDA through pinned memory, so that nobody waits for the copy."""
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


def on_host(compute: Callable[[], tuple[Tensor, ...]], device: torch.device) -> OnHost:
    """Bring what a function computes on a device to the CPU, at no cost to whoever does not need it yet.

    Returns:
        Hands over the tensors. For the CPU this computes them, in the thread that calls it. Else the work and the copy
        are queued at once, and only the call waits for the copy.
    """
    return transfers(device).to_host(compute()) if device.type == "cuda" else compute


@cache
def transfers(device: torch.device) -> "Transfers":
    """The transfers of a CUDA device."""
    return Transfers(device)


class Transfers:
    """Copies from a CUDA device to pinned memory, beside what it computes.

    They have a stream of their own: a copy waits for what it copies, on the device. The CPU waits in one place, for the
    event behind a frame's copies.

    Args:
        cuda: What makes streams and events: `torch.cuda`, or a stand-in for tests.
    """

    def __init__(self, device: torch.device, *, cuda: Any = torch.cuda) -> None:
        self._device = device
        self._cuda = cuda
        self._stream = cuda.Stream(device)

    def to_host(self, tensors: tuple[Tensor, ...]) -> OnHost:
        """Queue the copies of tensors that are being computed; the returned function waits for them, and only it."""
        self._stream.wait_stream(self._cuda.current_stream(self._device))
        with self._cuda.stream(self._stream):
            copies = tuple(self._pinned_like(tensor).copy_(tensor, non_blocking=True) for tensor in tensors)
            for tensor in tensors:
                if tensor.is_cuda:  # its memory must not be used anew before the stream is through with it
                    tensor.record_stream(self._stream)
            done = self._cuda.Event()
            done.record(self._stream)

        def wait() -> tuple[Tensor, ...]:
            done.synchronize()
            return copies

        return wait

    def _pinned_like(self, tensor: Tensor) -> Tensor:
        return torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=self._device.type == "cuda")
