"""What goes wrong while a network learns, said so that a user can do something about it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from train.config import TrainConfig
from train.data.loader import Batch
from train.errors import TrainError

# How torch's allocator for CPUs and its loader of samples speak of memory; both raise plain RuntimeErrors.
CPU_MEMORY = ("can't allocate memory", "not enough memory", "Cannot allocate memory")
WORKER_GONE = ("DataLoader worker",)
# What torch puts before an error that a worker met and passed on.
RAISED_IN_WORKER = "in DataLoader worker process"


class NotFiniteError(Exception):
    """A figure of a step is infinite or not a number; `place` says where that began."""

    def __init__(self, name: str, value: float, place: str) -> None:
        super().__init__(f"the {name} is {value} in {place}")
        self.name, self.value, self.place = name, value, place


def first_not_finite(network: nn.Module, batch: Batch, *, answer: Callable[[nn.Module, Batch], Tensor]) -> str | None:
    """Find where the first number that is not finite comes from: samples, weights, a layer, or the loss.

    Args:
        network: With the weights that led to it.
        batch: One that may have led to it.
        answer: Lets the network answer as in training.

    Returns:
        A few words, or None if the batch has nothing to do with it.
    """
    for name, tensor in zip(("pictures", "exposures", "truth", "precision"), batch.tensors, strict=True):
        if not tensor.isfinite().all():
            return f"the samples' {name}"
    for name, weight in network.named_parameters():
        if not weight.isfinite().all():
            return f"the weights of {name}"
    layer, output = _first_layer(network, batch, answer)
    if layer is not None:
        return f"the output of {layer}"
    return None if output.isfinite().all() else "the network's output"


def gradient_not_finite(network: nn.Module) -> str | None:
    """Name the weights whose gradient is not finite, None if there are none."""
    names = [
        name for name, weight in network.named_parameters() if weight.grad is not None and not _finite(weight.grad)
    ]
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return f"the weights of {names[0]}{more}" if names else None


@contextmanager
def memory_advised(config: TrainConfig, *, processes: int) -> Iterator[None]:
    """Turn the end of memory into an error that says what takes less of it.

    Args:
        config: Of the run.
        processes: Number of processes that share its batch.

    Raises:
        TrainError: If memory ends within this context.
    """
    try:
        yield
    except (RuntimeError, MemoryError, ConnectionError, EOFError) as error:
        if _worker_is_gone(error):
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            raise TrainError(
                f"a process that prepares samples has ended ({reason}): the system may be out of "
                f"memory, pass fewer --workers than {config.workers} or a smaller --patch than {config.patch}"
            ) from error
        if not _is_memory(error):
            raise
        raise TrainError(_advice(config, processes, cuda=isinstance(error, torch.OutOfMemoryError))) from error


def _worker_is_gone(error: BaseException) -> bool:
    """Tell whether a worker ended: torch says so, or the worker was just handing a batch over."""
    text = str(error)
    if RAISED_IN_WORKER in text:
        return False
    return isinstance(error, ConnectionError | EOFError) or any(sign in text for sign in WORKER_GONE)


def _is_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return any(sign in str(error) for sign in CPU_MEMORY)


def _advice(config: TrainConfig, processes: int, *, cuda: bool) -> str:
    part = config.batch // (config.accumulate * processes)
    ways = [f"a smaller --patch than {config.patch}"]
    if config.size == "base" and not config.checkpointing:
        ways.insert(0, "--checkpointing")
    if part > 1:
        ways.insert(0, f"--accumulate {_next_divisor(part) * config.accumulate}, which leaves the results as they are")
    what = "the GPU's memory" if cuda else "memory"
    size = f"{config.patch}x{config.patch}"
    return f"{what} does not suffice for {part} samples of {size} at once: pass {', or '.join(ways)}"


def _next_divisor(number: int) -> int:
    return next(divisor for divisor in range(2, number + 1) if number % divisor == 0)


def _first_layer(
    network: nn.Module, batch: Batch, answer: Callable[[nn.Module, Batch], Tensor]
) -> tuple[str | None, Tensor]:
    """Answer again and name the first layer whose output is not finite."""
    found: list[str] = []
    leaves = [(name, module) for name, module in network.named_modules() if not any(module.children())]
    hooks = [module.register_forward_hook(partial(_look, found, name)) for name, module in leaves]
    try:
        with torch.no_grad():
            output = answer(network, batch)
    finally:
        for hook in hooks:
            hook.remove()
    return (found[0] if found else None), output


def _look(found: list[str], name: str, _module: nn.Module, _inputs: Sequence[Any], output: Any) -> None:
    if isinstance(output, Tensor) and not _finite(output):
        found.append(name)


def _finite(values: Tensor) -> bool:
    return bool(values.isfinite().all())
