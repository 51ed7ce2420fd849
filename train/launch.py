"""Starts several processes of a run on this machine, as `torchrun --standalone` does, without its reports."""

import logging
import sys
import uuid
from collections.abc import Sequence

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
