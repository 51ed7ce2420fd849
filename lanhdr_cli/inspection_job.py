"""The job of `lanhdr inspect`: open a clip, look at it, draw the picture."""

from functools import partial
from pathlib import Path

import torch

from lanhdr_cli.camera import CameraWishes, find_camera
from lanhdr_cli.exposures import known_exposures
from lanhdr_cli.first_look import FirstLook
from lanhdr_cli.inspection import Inspection, inspect_clip
from lanhdr_cli.media.formats import check_plot
from lanhdr_cli.media.output import prepare_folder, refuse_existing, refuse_sources
from lanhdr_cli.media.png import write_png
from lanhdr_cli.media.source import Reading, open_source
from lanhdr_cli.plot import draw
from model.exposure import ExposureCycle


def inspect_path(
    path: Path,
    cycle: ExposureCycle | None,
    *,
    file: Path | None = None,
    reading: Reading,
    camera: CameraWishes,
    threads: int | None = None,
    plot: Path | None = None,
    overwrite: bool = False,
) -> Inspection:
    """Inspect a clip, and draw what is found.

    Args:
        path: The clip.
        cycle: Exposures that the user gave, None to find them.
        file: A list of exposures that the user named.
        reading: How to read it.
        camera: What is known of the camera.
        threads: Threads that compute and decode, None for the default.
        plot: Where to put the picture, if anywhere.
        overwrite: Whether an existing picture may be replaced.

    Raises:
        LanHdrError: If anything of the user's does not fit.
    """
    if plot:
        check_plot(plot)
    if threads:
        torch.set_num_threads(threads)
    with open_source(path, reading, threads=threads or 0) as source:
        if plot:
            _prepare(plot, source.paths, overwrite=overwrite)
        said = known_exposures(source, cycle=cycle, file=file)
        with FirstLook(partial(open_source, path, reading)) as look:
            found_camera = find_camera(source, camera, exposures=said, look=look)
        found = inspect_clip(source, cycle, file=file, said=said, camera=found_camera)
    if plot:
        write_png(plot, draw(found))
    return found


def _prepare(plot: Path, sources: tuple[Path, ...], *, overwrite: bool) -> None:
    there = [plot] if plot.exists() else []
    refuse_sources(there, sources)
    if not overwrite:
        refuse_existing(there)
    prepare_folder(plot.parent)
