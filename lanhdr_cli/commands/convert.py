"""`lanhdr convert`: a clip in, HDR video or frames out."""

from pathlib import Path
from typing import Any

import click

from lanhdr_cli.options import (
    DEVICE,
    EXPOSURES,
    FRAMES,
    POSITIVE,
    STOPS,
    FrameRange,
    camera_of,
    camera_options,
    exposure_cycle,
    reading_of,
    reading_options,
    video_of,
    video_options,
)

EPILOG = """INPUT is a video file, or an image sequence: a folder, 'frames/*.png' (in quotes), shot.####.tif or
shot.%04d.tif; PNG, TIFF, JPEG and OpenEXR are read.

Names for -o: dir/ makes dir/CLIP.0001.exr and on; out.exr makes out.0001.exr and on; out.####.exr and
out.%05d.exr say where the number goes; out.1001.exr begins at 1001. Frame k of a video (from 0) gets number k+1,
whatever the range, pictures of a sequence keep theirs; a number given belongs to the first frame written."""


@click.command(epilog=EPILOG)
@click.argument("source", metavar="INPUT", type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", required=True, metavar="NAME", help="out.mp4, out.mov, out.mkv; or EXR frames: out.exr, dir/."
)
@click.option("-y", "--overwrite", is_flag=True, help="Replace existing files.")
@click.option(
    "--exposures",
    type=EXPOSURES,
    help="Linear exposures from the first frame on, e.g. 1,8, or a list.  [default: found]",
)
@click.option("--stops", type=STOPS, help="The same in stops, e.g. 0,3.")
@click.option(
    "--no-slips", is_flag=True, help="Exposures repeat strictly: don't look for frames that are missing or doubled."
)
@click.option("--no-deflicker", is_flag=True, help="Take the exposures as given, even if the frames show others.")
@camera_options
@click.option(
    "--colorspace",
    type=click.Choice(["rec709", "rec2020", "acescg", "aces2065-1"], case_sensitive=False),
    default="rec709",
    show_default=True,
    help="Primaries of EXR files.",
)
@video_options
@click.option("--weights", type=click.Path(path_type=Path), metavar="FILE", help="Weights: .safetensors or ckpt.pt.")
@click.option("--size", type=click.Choice(["lite", "base"]), help="Bundled weights.  [default: as the device suits]")
@click.option("--device", type=DEVICE, default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option("--frames", type=FRAMES, default=FrameRange(), help="Only these, from 0, both ends included: 0-47, 48-.")
@click.option(
    "--preview",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="FILE.png: short, long, result as a picture; FILE.mp4: SDR video, input beside result.",
)
@click.option("--scale", type=POSITIVE, help="File value of radiance 1.0, the clip level of the shortest exposure.")
@click.option("--start-number", type=click.IntRange(min=0), help="Number of the first file.")
@reading_options
@click.option("--threads", type=click.IntRange(min=1), help="Threads that compute and decode.")
@click.option("--no-progress", is_flag=True, help="Don't tell how far it is.")
@click.option("-q", "--quiet", is_flag=True, help="Only errors.")
@click.option("-v", "--verbose", is_flag=True, help="Tell what is used.")
def convert(
    exposures: tuple[float, ...] | Path | None,
    stops: tuple[float, ...] | None,
    *,
    no_slips: bool,
    no_deflicker: bool,
    no_progress: bool,
    quiet: bool,
    verbose: bool,
    **wishes: Any,
) -> None:
    """Turn INPUT, a clip whose exposures repeat, into HDR10 video or scene-linear OpenEXR frames.

    1.0 is the clip level of the longest exposure; highlights rise above it, up to the ratio of the exposures. In
    video 1.0 is shown with --white-nits, and highlights are rolled off to --peak-nits.
    """
    cycle, listed = exposure_cycle(exposures, stops)
    from lanhdr_cli.console import set_verbosity
    from lanhdr_cli.conversion import Request, run

    set_verbosity(quiet=quiet, verbose=verbose)
    reading, camera, video = reading_of(wishes), camera_of(wishes), video_of(wishes)
    show = not (no_progress or quiet)
    wishes.update(cycle=cycle, exposure_list=listed, slips=not no_slips, deflicker=not no_deflicker)
    summary = run(Request(reading=reading, camera=camera, video=video, show_progress=show, **wishes))
    if not quiet:
        click.echo(str(summary))
