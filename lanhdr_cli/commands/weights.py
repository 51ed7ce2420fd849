"""`lanhdr weights`: what is bundled, what a file holds, and published checkpoints as files of our own."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from model.pretrained import Pretrained

FILE = click.Path(path_type=Path)


@click.group()
def weights() -> None:
    """List, import and verify weights."""


@weights.command("list")
def list_bundled() -> None:
    """Show the weights that come with lanhdr."""
    import model.pretrained

    folder = Path(model.pretrained.__file__).parent / "weights"
    paths = sorted(folder.glob("*.safetensors"))
    for path in paths:
        loaded = model.pretrained.load_network(path)
        config = loaded.network.config
        click.echo(f"{path.name}: {loaded.name}, {config.design}, {config.nexps} exposures, {_size(loaded)}")
    if not paths:
        click.echo("no weights are bundled; make some with `lanhdr train`", err=True)


@weights.command("import")
@click.argument("checkpoint", type=FILE)
@click.option("-o", "--output", type=FILE, required=True, metavar="FILE.safetensors", help="File to write.")
@click.option("-y", "--overwrite", is_flag=True, help="Replace an existing file.")
@click.option("--half", is_flag=True, help="Store half precision.")
def import_checkpoint(checkpoint: Path, output: Path, *, overwrite: bool, half: bool) -> None:
    """Turn a published CHECKPOINT (ckpt.pt) into a self-describing file."""
    from lanhdr_cli.media.output import prepare_folder, refuse_existing
    from model.pretrained import load_network, save_network

    if output.exists() and not overwrite:
        refuse_existing([output])
    loaded = load_network(checkpoint)
    prepare_folder(output.parent)
    save_network(loaded.network, output, record={"name": output.stem, **loaded.record}, half=half)
    click.echo(f"{output}: {loaded.network.config.nexps} exposures, {_size(loaded)}")


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
