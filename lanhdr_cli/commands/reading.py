"""Options of every command that reads a clip."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from lanhdr_cli.params import RATE

if TYPE_CHECKING:
    from lanhdr_cli.media.source import Reading

NAMES = ("fps", "on_missing", "hwaccel", "strict")


def reading_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options; `reading_of` makes their values one."""
    for option in reversed(
        (
            click.option("--fps", type=RATE, help="Frames per second of an image sequence.  [default: 24]"),
            click.option(
                "--on-missing",
                type=click.Choice(["error", "skip", "repeat"]),
                default="error",
                show_default=True,
                help="Where a number of a sequence is missing.",
            ),
            click.option("--hwaccel", metavar="KIND", help="Decode video by hardware if it is there: auto, cuda ..."),
            click.option("--strict", is_flag=True, help="Stop at damage in the input."),
        )
    ):
        command = option(command)
    return command


def reading_of(wishes: dict[str, Any]) -> "Reading":
    """Take the options' values out of all values."""
    from lanhdr_cli.media.source import Reading

    return Reading(**{name: wishes.pop(name) for name in NAMES})
