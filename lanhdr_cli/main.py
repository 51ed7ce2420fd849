"""The command line: a group that imports its commands when they are called."""

import importlib
from typing import Any

import click

from lanhdr_cli.console import INTERRUPTED, TERMINATED, WORDS, Terminated, one_line, say
from model.errors import LanHdrError
from train.environment import lanhdr_version

# Name: where the command is, and what it does; said here so that --help imports none of them.
COMMANDS = {
    "convert": ("lanhdr_cli.commands.convert:convert", "Turn an alternating-exposure clip into HDR frames."),
    "inspect": ("lanhdr_cli.commands.inspect:inspect", "Tell a clip's format, exposures and what will be seen in it."),
    "train": ("lanhdr_cli.commands.train:train", "Train or fine-tune the network."),
    "eval": ("lanhdr_cli.commands.eval:evaluate", "Score weights on benchmarks, beside other methods."),
    "weights": ("lanhdr_cli.commands.weights:weights", "List, import, export and verify weights."),
}


class LazyGroup(click.Group):
    """Imports a command when it is called; errors of the user end in one line, Ctrl-C in exit code 130."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of the commands."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command; None if there is none of this name."""
        if cmd_name not in COMMANDS:
            return None
        module, attribute = COMMANDS[cmd_name][0].split(":")
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command."""
        try:
            return super().invoke(ctx)
        except LanHdrError as error:
            say(one_line(f"Error: {'; '.join([str(error), *_notes(error)])}"))
            ctx.exit(error.exit_code)
        except KeyboardInterrupt as interrupt:
            terminated = isinstance(interrupt, Terminated)
            notes = "; ".join(_notes(interrupt))
            click.echo(one_line(("Terminated" if terminated else "Interrupted") + (notes and f": {notes}")), err=True)
            ctx.exit(TERMINATED if terminated else INTERRUPTED)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep the words as they were typed, for advice how to go on."""
        ctx.meta[WORDS] = list(args)
        return super().parse_args(ctx, args)


def _notes(error: BaseException) -> list[str]:
    return list(getattr(error, "__notes__", []))


def _show_version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        click.echo(f"lanhdr {lanhdr_version()}")
        ctx.exit()


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_show_version, help="Print it.")
def cli() -> None:
    """Turn alternating-exposure LDR video into HDR video."""
