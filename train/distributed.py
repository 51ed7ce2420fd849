"""Distributed data-parallel training: rank, process group and launcher.

`torchrun` describes the process group in the environment; without it a run has one process and nothing is exchanged.
"""

import logging
import os
import sys
import uuid
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

import torch
from torch import distributed, nn
from torch.distributed.rendezvous import rendezvous
from torch.nn.parallel import DistributedDataParallel

from train.errors import TrainError

CPU = torch.device("cpu")
# What gloo and NCCL say when the process at the other end is gone; neither has a type of its own for it.
LOST_PEER = ("gloo", "NCCL", "Connection closed", "Connection reset", "Broken pipe", "connection to be closed")
SHUTDOWN_S = 300  # time that processes have to finish their step and save after an interruption


@dataclass(frozen=True)
class DistributedContext:
    """The process group of a run, as seen from one process."""

    rank: int = 0
    size: int = 1  # number of processes, on all machines together
    device: torch.device = CPU

    @property
    def is_main(self) -> bool:
        """Whether this process writes files and prints."""
        return self.rank == 0

    def shard(self, count: int) -> range:
        """Return this process's share of `count` indices; each falls to one process."""
        return range(self.rank, count, self.size)

    def all_reduce_sum(self, values: Sequence[float]) -> list[float]:
        """Add values over the processes, index by index; all get the same sums."""
        if self.size == 1:
            return list(values)
        totals = torch.tensor(values, dtype=torch.float64, device=self.device)
        distributed.all_reduce(totals)
        return [float(total) for total in totals]

    def wrap(self, network: nn.Module) -> nn.Module:
        """Return the module to call in place of `network`, whose gradients are means over the processes."""
        if self.size == 1:
            return network
        device_ids = [self.device] if self.device.type == "cuda" else None
        return DistributedDataParallel(network, device_ids=device_ids, gradient_as_bucket_view=True)


SINGLE = DistributedContext()


def local_gradients(wrapped: nn.Module, *, enabled: bool) -> AbstractContextManager[None]:
    """Make a context in which backward passes accumulate gradients without exchanging them."""
    # Without types: a context manager that DistributedDataParallel defines.
    return wrapped.no_sync() if enabled and isinstance(wrapped, DistributedDataParallel) else nullcontext()


def is_distributed() -> bool:
    """Return whether `torchrun`, or a launcher like it, started this process as one of several."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1 and "RANK" in os.environ


def leads() -> bool:
    """Return whether this process is the first of those that `torchrun` started, or alone."""
    return not is_distributed() or os.environ["RANK"] == "0"


def restart_count() -> int:
    """Return how often `torchrun` has replaced the processes of this run after a failure."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) if is_distributed() else 0


def local_device(device: torch.device) -> torch.device:
    """Return this process's device: of several GPUs each process of a machine takes its own.

    Raises:
        TrainError: If there are fewer GPUs than processes.
    """
    if not is_distributed() or device.type != "cuda" or device.index is not None:
        return device
    rank, count = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
    if rank >= count:
        raise TrainError(f"process {rank} has no GPU, {count} were found: start at most {count} processes here")
    return torch.device("cuda", rank)


@contextmanager
def init_distributed(device: torch.device) -> Iterator[DistributedContext]:
    """Join the process group that `torchrun` describes, over NCCL for GPUs, over gloo for CPUs; else be alone.

    Raises:
        TrainError: If another process ends before its time.
    """
    if not is_distributed():
        yield DistributedContext(device=device)
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    try:
        store, rank, size = next(rendezvous("env://"))
        # The store outlives processes that failed, and so do the addresses that they left there.
        store = distributed.PrefixStore(f"start{restart_count()}", store)  # type: ignore[attr-defined]
        backend = "nccl" if device.type == "cuda" else "gloo"
        distributed.init_process_group(backend, store=store, rank=rank, world_size=size)
        yield DistributedContext(rank, size, device)
        distributed.destroy_process_group()
    except RuntimeError as error:
        if not any(sign in str(error) for sign in LOST_PEER):
            raise
        raise TrainError(
            "another process of this run has ended: see what it said, then go on with --resume RUN"
        ) from error


def launch(command: Sequence[str], processes: int) -> int:
    """Run a command in several processes that find each other, and wait for them.

    An interruption (Ctrl-C, SIGTERM) is passed on once.

    Returns:
        Exit code of the first process that failed, 0 if none did, 128 + N after signal N.
    """
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    # A process reports its own end.
    logging.getLogger("torch.distributed.elastic.multiprocessing.api").setLevel(logging.CRITICAL)
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=0,
        shutdown_timeout=SHUTDOWN_S,
    )
    try:
        elastic_launch(config, sys.executable)(*command)
    except ChildFailedError as error:
        code = error.get_first_failure()[1].exitcode
        return 128 - code if code < 0 else code  # a child's code is negative for a signal, a shell's 128 + N
    except SignalException as interruption:
        return 128 + int(interruption.sigval)
    return 0
