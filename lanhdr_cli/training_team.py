"""Processes that train together, as the command line starts and joins them."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from lanhdr_cli.console import set_verbosity

if TYPE_CHECKING:
    from train.distributed import Team


@contextmanager
def training_team(device: str, *, processes: int, more: Sequence[str] = ()) -> Iterator["Team"]:
    """Join the processes that `torchrun` started, or start some and leave when they end, or be alone.

    Args:
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        processes: How many to start on this machine; one that was started with others starts none.
        more: Words for them that the command line does not hold.

    Yields:
        The team, whose leader alone talks.

    Raises:
        LanHdrError: If the device is not there, or another process ends before its time.
    """
    from lanhdr_cli.device import resolve_device
    from train.distributed import joined, launched, own_device
    from train.launch import launch

    if processes > 1 and not launched():
        sys.exit(launch(["-m", "lanhdr_cli", *sys.argv[1:], *more], processes))
    with joined(own_device(resolve_device(device))) as team:
        set_verbosity(quiet=not team.leads, verbose=False)
        yield team


def tell(team: "Team", line: str) -> None:
    """Say something to the user, once."""
    if team.leads:
        click.echo(line, err=True)
