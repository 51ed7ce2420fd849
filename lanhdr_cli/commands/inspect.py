"""`lanhdr inspect`: format, exposures and light of a clip."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click
import cloup
from cloup import option, option_group

from lanhdr_cli.options import (
    FILE,
    OVERWRITE,
    THREADS,
    ExposureOptions,
    camera_options,
    checked_exposure_options,
    reading_options,
)
from model.errors import OFF

if TYPE_CHECKING:
    from lanhdr_cli.camera import CameraOptions
    from lanhdr_cli.media.source import Reading


@cloup.command()
@click.argument("source", metavar="INPUT", type=FILE)
@reading_options
@checked_exposure_options
@camera_options
@option_group(
    "Output",
    option("--json", "as_json", is_flag=True, help="Print everything, every frame included, as JSON."),
    option("--plot", type=FILE, metavar="FILE.png", help="Plot brightness over time and histograms."),
    OVERWRITE,
)
@option_group("Run", THREADS, option("-q", "--quiet", is_flag=True, help="Print the result only, no notices."))
def inspect(
    *,
    source: Path,
    reading: "Reading",
    exposures: ExposureOptions,
    camera: "CameraOptions",
    as_json: bool,
    plot: Path | None,
    overwrite: bool,
    threads: int | None,
    quiet: bool,
) -> None:
    """Examine INPUT: format, colors, sound, exposures, clipping, and whether the weights suit it.

    Every frame is read; nothing is written but the picture that --plot names.
    """
    from lanhdr_cli.console import one_line, set_verbosity
    from lanhdr_cli.inspection import inspect_clip
    from lanhdr_cli.inspection_report import as_record, lines

    remarks = set_verbosity(quiet=quiet, verbose=False)
    inspection = inspect_clip(
        source, exposures=exposures, reading=reading, camera=camera, threads=threads, plot=plot, overwrite=overwrite
    )
    if plot:
        from lanhdr_cli.media.paths import complete_file
        from lanhdr_cli.plot import draw_png

        with complete_file(plot) as unfinished:
            unfinished.write_bytes(draw_png(inspection))
    report = (one_line(line) for line in lines(inspection))
    click.echo(json.dumps(as_record(inspection), indent=1) if as_json else "\n".join(report))
    if reading.strict and remarks.messages:
        click.get_current_context().exit(OFF)
