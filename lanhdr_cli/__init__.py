"""Files in, files out: the command line, and `convert` for Python programs.

Importing it loads nothing heavy.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from lanhdr_cli.summary import Summary

__all__ = ["convert"]


def convert(
    source: Path | str,
    output: Path | str,
    *,
    exposures: tuple[float, ...] | Path | None = None,
    response: str | None = None,
    gamut: str | None = None,
    frames: tuple[int, int | None] = (0, None),
    analysis: Path | None = None,
    overwrite: bool = False,
    resume: bool = False,
    preview: Path | None = None,
    colorspace: Literal["rec709", "rec2020", "acescg", "aces2065-1"] = "rec709",
    scale: float | None = None,
    weights: Path | None = None,
    device: str = "auto",
    threads: int | None = None,
) -> "Summary":
    """Convert a clip with alternating exposures to HDR frames or video, as `lanhdr convert` does.

    >>> from lanhdr_cli import convert
    >>> summary = convert("in.mp4", "out.exr", exposures=(1, 8))
    >>> summary.frames, summary.exposures

    Nothing is printed; the loggers `lanhdr_cli`, `model` and `train` report what is found.

    Args:
        source: A video file, a folder of pictures or a pattern of their names.
        output: A file, a pattern or a folder, as `-o` of the command line takes it.
        exposures: Linear exposures from the first frame on, or a file that lists them; None to find them.
        response: Camera response: `auto` to find it, a name or a file; None for what pictures' headers say, or `auto`.
        gamut: Camera primaries; None for those that the clip states, or Rec.709.
        frames: First and last frame, from 0, both included; a last of None is the end of the clip.
        analysis: What `lanhdr inspect --json` printed of the clip; None to look at the clip.
        overwrite: Whether existing files may be replaced.
        resume: Whether what an interrupted run of the same settings has finished is kept.
        preview: A .png or .mp4 file to preview the result in.
        colorspace: Primaries of EXR files.
        scale: File value of the shortest exposure's clip level; None is the ratio of the exposures.
        weights: A file of weights; None for the bundled ones.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        threads: Number of threads for computing and decoding.

    Returns:
        Number of frames, time, files, exposures, response and weights.

    Raises:
        LanHdrError: If an argument, the clip or a file does not fit; the message says what to do.
    """
    from lanhdr_cli.camera import CameraOptions
    from lanhdr_cli.conversion import ConvertJob, run
    from lanhdr_cli.options import ExposureOptions, FrameRange

    job = ConvertJob(
        source=Path(source),
        output=str(output),
        analysis=analysis,
        exposures=ExposureOptions.given(exposures),
        camera=CameraOptions(response=response, gamut=gamut),
        frames=FrameRange(*frames),
        overwrite=overwrite,
        resume=resume,
        preview=preview,
        colorspace=colorspace,
        scale=scale,
        weights=weights,
        device=device,
        threads=threads,
    )
    return run(job)
