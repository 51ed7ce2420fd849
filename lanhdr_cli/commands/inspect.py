"""`lanhdr inspect`: what a clip is, and what will be seen in it."""

import json
from pathlib import Path
from typing import Any

import click

from lanhdr_cli.options import EXPOSURES, STOPS, camera_of, camera_options, exposure_cycle, reading_of, reading_options


@click.command()
@click.argument("source", metavar="INPUT", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print everything, every frame included, as JSON.")
@click.option("--plot", type=click.Path(path_type=Path), metavar="FILE.png", help="Draw brightness and histograms.")
@click.option("-y", "--overwrite", is_flag=True, help="Replace an existing picture.")
@click.option("--exposures", type=EXPOSURES, help="Check these linear exposures, e.g. 1,8, instead of finding them.")
@click.option("--stops", type=STOPS, help="The same in stops, e.g. 0,3.")
@camera_options
@reading_options
@click.option("--threads", type=click.IntRange(min=1), help="Threads that compute and decode.")
@click.option("-q", "--quiet", is_flag=True, help="No notices, only the finding.")
def inspect(
    source: Path,
    plot: Path | None,
    *,
    as_json: bool,
    overwrite: bool,
    quiet: bool,
    exposures: tuple[float, ...] | Path | None,
    stops: tuple[float, ...] | None,
    threads: int | None,
    **wishes: Any,
) -> None:
    """Look at INPUT: format, colors, sound, exposures, what is clipped, and what the weights will see.

    Every frame is read; nothing is written but the picture that --plot names.
    """
    cycle, file = exposure_cycle(exposures, stops)
    from lanhdr_cli.console import set_verbosity
    from lanhdr_cli.inspection_report import as_record, inspect_path, lines

    set_verbosity(quiet=quiet, verbose=False)
    found = inspect_path(
        source,
        cycle,
        file=file,
        reading=reading_of(wishes),
        camera=camera_of(wishes),
        threads=threads,
        plot=plot,
        overwrite=overwrite,
    )
    click.echo(json.dumps(as_record(found), indent=1) if as_json else "\n".join(lines(found)))
