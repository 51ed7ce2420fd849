"""`lanhdr weights`: bundled weights, imports, exports and checks."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click
import cloup
from cloup import option, option_group

from lanhdr_cli.options import FILE, OVERWRITE

if TYPE_CHECKING:
    from model.pretrained import Pretrained
    from train.export import Which


_OUTPUT = option("-o", "--output", type=FILE, required=True, metavar="FILE.safetensors", help="File to write.")


@cloup.group()
def weights() -> None:
    """List, import, export and verify weights."""


@weights.command("list")
def list_bundled() -> None:
    """Show the weights that come with lanhdr."""
    from model.pretrained import bundled_files, load_network

    paths = bundled_files()
    for path in paths:
        loaded = load_network(path)
        config = loaded.network.config
        click.echo(f"{path.name}: {loaded.name}, {config.design}, {config.nexps} exposures, {_size(loaded)}")
    if not paths:
        click.echo("no weights are bundled; make some with `lanhdr train`", err=True)


@weights.command("import")
@click.argument("checkpoint", type=FILE)
@option_group(
    "Output",
    _OUTPUT,
    option("--half", is_flag=True, help="Store half precision."),
    OVERWRITE,
)
def import_checkpoint(checkpoint: Path, output: Path, *, overwrite: bool, half: bool) -> None:
    """Turn a published CHECKPOINT (ckpt.pt) into a self-describing file."""
    from lanhdr_cli.media.paths import prepare_folder, refuse_existing
    from model.pretrained import load_network, save_network

    if output.exists() and not overwrite:
        refuse_existing([output])
    loaded = load_network(checkpoint)
    prepare_folder(output.parent)
    save_network(loaded.network, output, record={"name": output.stem, **loaded.record}, half=half)
    click.echo(f"{output}: {loaded.network.config.nexps} exposures, {_size(loaded)}")


@weights.command("export")
@click.argument("run", type=FILE)
@option_group(
    "Output",
    _OUTPUT,
    option(
        "--which",
        type=click.Choice(["best", "last"]),
        help="Weights of the best held-out score, or the newest.  [default: best]",
    ),
    option("--float32", is_flag=True, help="Store full precision, at twice the size."),
    OVERWRITE,
)
@option_group(
    "Model card",
    option("--name", help="Name of the weights.  [default: the file's, without its suffix]"),
    option("--license", "licence", help="License of the weights."),
    option("--note", "notes", multiple=True, help="A known limit; repeatable."),
)
def export(
    run: Path,
    output: Path,
    *,
    which: "Which | None",
    name: str | None,
    licence: str | None,
    notes: tuple[str, ...],
    float32: bool,
    overwrite: bool,
) -> None:
    """Turn the averaged weights of a RUN's folder into a file to give away, with a model card beside it."""
    from lanhdr_cli.media.paths import check_weights, prepare_folder, refuse_existing, refuse_sources
    from model.pretrained import save_network
    from train.checkpoint import write_atomically
    from train.export import CardOptions, export_record, model_card, read_run

    check_weights(output)
    card = output.with_suffix(".md")
    if not overwrite:
        refuse_existing([path for path in (output, card) if path.exists()])
    exported = read_run(run, which)
    refuse_sources([output], [exported.source])
    prepare_folder(output.parent)
    options = CardOptions(
        name=name or output.stem, file_name=output.name, licence=licence, notes=notes, half=not float32
    )
    record = export_record(exported, name=options.name, licence=licence, notes=notes)
    save_network(exported.network, output, record=record, half=not float32)
    write_atomically(card, model_card(exported, options).encode())
    click.echo(f"{output}: {exported.source.stem} of {run}, step {exported.step}; {card}")


@weights.command("verify")
@click.argument("file", type=FILE)
def verify(file: Path) -> None:
    """Load FILE strictly; print its configuration and training record."""
    from model.pretrained import load_network

    loaded = load_network(file)
    click.echo(f"{file}: {loaded.name}, {_size(loaded)}")
    for title, values in (("config", asdict(loaded.network.config)), ("record", loaded.record)):
        for key, value in values.items():
            click.echo(f"{title}.{key} = {value}")


def _size(loaded: "Pretrained") -> str:
    return f"{sum(parameter.numel() for parameter in loaded.network.parameters()) / 1e6:.2f} M parameters"
