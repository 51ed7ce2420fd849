"""Processes that train one network together: which of them this one is, and what they agree on.

`torchrun` starts them and says so in the environment; without it a run has one process and nothing is exchanged.
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
LOST = ("gloo", "NCCL", "Connection closed", "Connection reset", "Broken pipe", "connection to be closed")


@dataclass(frozen=True)
class Team:
    """The processes of a run, as seen from one of them.

    Args:
        rank: Number of this process; process 0 leads: it alone writes files and talks.
        size: Number of processes, on all machines together.
        device: Where this process computes.
    """

    rank: int = 0
    size: int = 1
    device: torch.device = CPU

    @property
    def leads(self) -> bool:
        """Whether this process writes files and talks."""
        return self.rank == 0

    def own(self, count: int) -> range:
        """Say which of `count` things fall to this process; each falls to one."""
        return range(self.rank, count, self.size)

    def sums(self, values: Sequence[float]) -> list[float]:
        """Add up values over the processes, place by place; all get the same sums."""
        if self.size == 1:
            return list(values)
        totals = torch.tensor(values, dtype=torch.float64, device=self.device)
        distributed.all_reduce(totals)
        return [float(total) for total in totals]

    def wait(self) -> None:
        """Go on when all processes have come here."""
        self.sums([0.0])

    def wrap(self, network: nn.Module) -> nn.Module:
        """Return what must be called in place of `network`, so that its gradients are means over the processes."""
        if self.size == 1:
            return network
        places = [self.device] if self.device.type == "cuda" else None
        return DistributedDataParallel(network, device_ids=places, gradient_as_bucket_view=True)


ALONE = Team()


def keeping_gradients(called: nn.Module) -> AbstractContextManager[None]:
    """Make a context in which backward passes keep their gradients to their process, to be sent with later ones."""
    # Without types: a context manager that DistributedDataParallel defines.
    return called.no_sync() if isinstance(called, DistributedDataParallel) else nullcontext()


def launched() -> bool:
    """Say whether `torchrun`, or a launcher like it, started this process as one of several."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1 and "RANK" in os.environ


def restarted() -> bool:
    """Say whether `torchrun` started this process in place of one that failed."""
    return launched() and _restarts() > 0


def own_device(device: torch.device) -> torch.device:
    """Return which device is this process's: of several GPUs each process of a machine takes its own.

    Raises:
        TrainError: If there are fewer GPUs than processes.
    """
    if not launched() or device.type != "cuda" or device.index is not None:
        return device
    place, found = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
    if place >= found:
        raise TrainError(f"process {place} has no GPU, {found} were found: start at most {found} processes here")
    return torch.device("cuda", place)


@contextmanager
def joined(device: torch.device) -> Iterator[Team]:
    """Join the processes that `torchrun` started, over NCCL for GPUs, over gloo for CPUs; alone where it did not.

    Args:
        device: This process's own, see `own_device`.

    Yields:
        The team.

    Raises:
        TrainError: If another process ends before its time.
    """
    if not launched():
        yield Team(device=device)
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    with _peers_needed():
        store, rank, size = next(rendezvous("env://"))
        # The store outlives processes that failed, and so do the addresses that they left there.
        store = distributed.PrefixStore(f"start{_restarts()}", store)  # type: ignore[attr-defined]
        backend = "nccl" if device.type == "cuda" else "gloo"
        distributed.init_process_group(backend, store=store, rank=rank, world_size=size)
        yield Team(rank, size, device)
        distributed.destroy_process_group()


def _restarts() -> int:
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))


@contextmanager
def _peers_needed() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        if not any(sign in str(error) for sign in LOST):
            raise
        raise TrainError(
            "another process of this run has ended: see what it said, then go on with --resume RUN"
        ) from error


# Time in seconds that processes have to finish their step and save after an interruption.
TIME_TO_SAVE = 300


def launch(command: Sequence[str], processes: int) -> int:
    """Run a command in several processes that find each other, and wait for them.

    An interruption (Ctrl-C, SIGTERM) is passed on once; what the processes then say is not replaced.

    Args:
        command: Arguments of Python, such as `-m lanhdr_cli train ...`.
        processes: How many.

    Returns:
        Exit code of the first process that failed, 0 if none did, 128 + N after signal N.
    """
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    # What a process has to say of its end it says itself.
    logging.getLogger("torch.distributed.elastic.multiprocessing.api").setLevel(logging.CRITICAL)
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=0,
        shutdown_timeout=TIME_TO_SAVE,
    )
    try:
        elastic_launch(config, sys.executable)(*command)
    except ChildFailedError as error:
        return _exit_code(error.get_first_failure()[1].exitcode)
    except SignalException as interruption:
        return 128 + int(interruption.sigval)
    return 0


def _exit_code(code: int) -> int:
    """Turn the exit code of a child, negative for a signal, into that of a shell."""
    return 128 - code if code < 0 else code
