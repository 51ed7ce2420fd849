"""Explanations of failed steps: where NaN began, and what needs less memory."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from train.config import TrainConfig
from train.data.loader import Batch
from train.errors import TrainError

# How torch's allocator for CPUs and its loader of samples speak of memory; both raise plain RuntimeErrors.
CPU_MEMORY = ("can't allocate memory", "not enough memory", "Cannot allocate memory")
WORKER_GONE = "DataLoader worker"
RAISED_IN_WORKER = "in DataLoader worker process"  # torch puts this before an error that a worker passed on


def find_non_finite(network: nn.Module, batch: Batch, *, predict: Callable[[nn.Module, Batch], Tensor]) -> str | None:
    """Name the origin of the first NaN or infinity: samples, weights, a layer or the output; None if there is none."""
    for name, tensor in zip(("pictures", "exposures", "truth", "precision"), batch, strict=True):
        if not tensor.isfinite().all():
            return f"the samples' {name}"
    for name, weight in network.named_parameters():
        if not weight.isfinite().all():
            return f"the weights of {name}"
    names = {module: name for name, module in network.named_modules() if not any(module.children())}
    layers: list[str] = []

    def record(module: nn.Module, _inputs: Any, output: Any) -> None:
        if isinstance(output, Tensor) and not output.isfinite().all():
            layers.append(names[module])

    hooks = [module.register_forward_hook(record) for module in names]
    try:
        with torch.no_grad():
            output = predict(network, batch)
    finally:
        for hook in hooks:
            hook.remove()
    if layers:
        return f"the output of {layers[0]}"
    return None if output.isfinite().all() else "the network's output"


def find_non_finite_gradient(network: nn.Module) -> str | None:
    """Name the weights whose gradient is not finite; None if there are none."""
    gradients = ((name, weight.grad) for name, weight in network.named_parameters())
    names = [name for name, gradient in gradients if gradient is not None and not gradient.isfinite().all()]
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return f"the weights of {names[0]}{more}" if names else None


@contextmanager
def memory_advice(config: TrainConfig, *, processes: int) -> Iterator[None]:
    """Turn running out of memory within this context into a TrainError that says what needs less of it."""
    try:
        yield
    except (RuntimeError, MemoryError, ConnectionError, EOFError) as error:
        text = str(error)
        # A worker that ended while it handed a batch over shows as a broken connection.
        is_worker = isinstance(error, ConnectionError | EOFError) or WORKER_GONE in text
        if is_worker and RAISED_IN_WORKER not in text:
            reason = next(iter(text.splitlines()), type(error).__name__)
            raise TrainError(
                f"a process that prepares samples has ended ({reason}): the system may be out of "
                f"memory, pass fewer --workers than {config.workers} or a smaller --patch than {config.patch}"
            ) from error
        if not isinstance(error, MemoryError | torch.OutOfMemoryError) and not any(sign in text for sign in CPU_MEMORY):
            raise
        part = config.batch // (config.accumulate * processes)
        options = []
        if part > 1:
            divisor = next(number for number in range(2, part + 1) if part % number == 0)
            options.append(f"--accumulate {divisor * config.accumulate}, which leaves the results as they are")
        if config.size == "base" and not config.checkpointing:
            options.append("--checkpointing")
        options.append(f"a smaller --patch than {config.patch}")
        memory = "the GPU's memory" if isinstance(error, torch.OutOfMemoryError) else "memory"
        raise TrainError(
            f"{memory} does not suffice for {part} samples of {config.patch}x{config.patch} at once: "
            f"pass {', or '.join(options)}"
        ) from error
