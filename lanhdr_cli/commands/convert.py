"""`lanhdr convert`: a clip in, HDR video or frames out."""

import json
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click
import cloup
from cloup import option, option_group

from lanhdr_cli.options import (
    COLORSPACES,
    DEVICE,
    DEVICES,
    FILE,
    FRAMES,
    OVERWRITE,
    POSITIVE,
    SIZE,
    THREADS,
    ExposureOptions,
    FrameRange,
    camera_options,
    exposure_options,
    reading_options,
    video_options,
)
from lanhdr_cli.run_options import STANDARD_OUTPUT, ReportOptions, SafetyOptions, report_options, safety_options
from model.errors import OFF, LanHdrError

if TYPE_CHECKING:
    from lanhdr_cli.camera import CameraOptions
    from lanhdr_cli.console import Remarks
    from lanhdr_cli.conversion import ConvertJob
    from lanhdr_cli.media.source import Reading
    from lanhdr_cli.media.video_writer import VideoOptions
    from lanhdr_cli.summary import Summary
    from model.pretrained import Size
    from train.acceleration import Precision

EPILOG = """INPUT is a video file or an image sequence: a folder, 'frames/*.png' (in quotes), shot.####.tif or
shot.%04d.tif; PNG, TIFF, JPEG, OpenEXR, BMP and camera raw are read; or - for video from standard input.

Names for -o: dir/ makes dir/CLIP.0001.exr and so on; out.exr makes out.0001.exr; out.####.exr and out.%05d.exr set
the digits; out.1001.exr begins at 1001 (three digits or more behind a dot; MVI_0042.exr makes MVI_0042.0001.exr).
Frame k of a video (from 0) gets number k+1, whatever the range; pictures of a sequence keep their numbers; a given
number belongs to the first frame written. -y replaces frames of the same clip, never those of another one: their
headers say what clip they are of."""


@cloup.command(epilog=EPILOG)
@click.argument("source", metavar="INPUT", type=FILE)
@reading_options
@exposure_options
@camera_options
@option_group(
    "Output",
    option(
        "-o", "--output", required=True, metavar="NAME", help="out.mp4, out.mov, out.mkv; or EXR frames: out.exr, dir/."
    ),
    OVERWRITE,
    option("--resume", is_flag=True, help="Keep what an interrupted run of the same settings has finished."),
    option("--frames", type=FRAMES, default=FrameRange(), help="Frames to convert, from 0, both included: 0-47, 48-."),
    option(
        "--analysis",
        type=FILE,
        metavar="FILE",
        help="What lanhdr inspect --json printed of INPUT: nothing is looked for, and --frames begins at once.",
    ),
    option(
        "--preview",
        type=FILE,
        metavar="FILE",
        help="FILE.png: a short frame, a long frame and the result; FILE.mp4: SDR video, input beside result.",
    ),
    option(
        "--colorspace",
        type=click.Choice(COLORSPACES, case_sensitive=False),
        default="rec709",
        show_default=True,
        help="Primaries of EXR files.",
    ),
    option("--scale", type=POSITIVE, help="File value of the shortest exposure's clip level.  [default: the ratio]"),
    option("--start-number", type=click.IntRange(min=0), help="Number of the first file."),
)
@video_options
@safety_options
@option_group(
    "Network and run",
    option("--weights", type=FILE, metavar="FILE", help="Weights: .safetensors or a published ckpt.pt."),
    SIZE,
    option("--device", type=DEVICE, default="auto", show_default=True, help="auto, cpu, cuda or cuda:N."),
    option(
        "--devices",
        type=DEVICES,
        default=(),
        help="Share the work among a process per device: cuda:0,cuda:1. More machines: torchrun -m lanhdr_cli convert.",
    ),
    option(
        "--precision",
        type=click.Choice(["auto", "float32", "bf16"]),
        default="auto",
        help="Number format of the convolutions.  [default: bf16 for lite and small where the processor has it]",
    ),
    THREADS,
)
@report_options
def convert(
    *,
    source: Path,
    reading: "Reading",
    exposures: ExposureOptions,
    camera: "CameraOptions",
    output: str,
    overwrite: bool,
    resume: bool,
    frames: FrameRange,
    analysis: Path | None,
    preview: Path | None,
    colorspace: str,
    scale: float | None,
    start_number: int | None,
    video: "VideoOptions",
    safety: SafetyOptions,
    weights: Path | None,
    size: "Size | None",
    device: str,
    devices: tuple[str, ...],
    precision: "Precision",
    threads: int | None,
    report: ReportOptions,
) -> None:
    """Turn INPUT, a clip with alternating exposures, into HDR10 video or scene-linear OpenEXR frames.

    1.0 is the clip level of the longest exposure; highlights rise above it, up to the ratio of the exposures. In
    video, 1.0 is shown at --white-nits, and highlights are rolled off to --peak-nits.
    """
    from lanhdr_cli.console import set_verbosity
    from lanhdr_cli.conversion import ConvertJob

    if devices and device != "auto":
        raise click.UsageError("--device and --devices both say what computes: pass one of them")
    remarks = set_verbosity(quiet=report.quiet, verbose=report.verbose)
    job = ConvertJob(
        source=source,
        output=output,
        reading=reading,
        analysis=analysis,
        exposures=exposures,
        camera=camera,
        video=video,
        safety=safety,
        overwrite=overwrite,
        resume=resume,
        frames=frames,
        preview=preview,
        colorspace=colorspace,
        scale=scale,
        start_number=start_number,
        weights=weights,
        size=size,
        device=devices[0] if len(devices) == 1 else device,
        devices=devices if len(devices) > 1 else (),
        precision=precision,
        threads=threads,
        show_progress=report.progress,
        profile=report.profile,
    )
    _convert(job, report, remarks=remarks)


def _convert(job: "ConvertJob", report: ReportOptions, *, remarks: "Remarks") -> None:
    """Run a conversion, and print its outcome and events."""
    from lanhdr_cli.console import WORDS, one_line, printed
    from lanhdr_cli.conversion import run
    from lanhdr_cli.events import open_events
    from lanhdr_cli.interruption import resume_command
    from lanhdr_cli.media.errors import MediaError
    from train.distributed import leads

    context = click.get_current_context()
    with open_events(report.events if leads() else None) as events:
        try:
            summary = run(replace(job, events=events, again=resume_command(context.meta[WORDS])))
        except LanHdrError as error:
            if report.as_json:
                with suppress(MediaError):  # the first error is the one to tell
                    printed(json.dumps({"error": one_line(str(error)), "warnings": remarks.messages}, indent=1))
            raise
        code = OFF if job.reading.strict and remarks.off else 0
        events.tell("finished", summary.record() | {"warnings": remarks.messages, "exit_code": code})
    if leads():
        _tell(summary, report, remarks=remarks)
    if code:
        context.exit(code)


def _tell(summary: "Summary", report: ReportOptions, *, remarks: "Remarks") -> None:
    from lanhdr_cli.console import one_line, printed, say

    if summary.profile:
        say(str(summary.profile))
    if report.as_json:
        printed(json.dumps(summary.record() | {"warnings": remarks.messages}, indent=1))
    elif not report.quiet and report.events != STANDARD_OUTPUT:
        printed(f"{one_line(str(summary))}\n{summary.account}")
