"""Inspection of a clip as text, as a JSON record and as a plot."""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from lanhdr_cli.camera import CameraOptions, find_camera
from lanhdr_cli.exposures import given_exposures
from lanhdr_cli.first_look import FirstLook
from lanhdr_cli.inspection import BINS_PER_STOP, DARKEST_STOP, ExposureGroup, Inspection, inspect_clip, self_check
from lanhdr_cli.media.paths import check_plot, complete_file, prepare_folder, refuse_existing, refuse_sources
from lanhdr_cli.media.source import Reading, open_source
from lanhdr_cli.options import ExposureOptions
from lanhdr_cli.plot import draw_png

SHOWN_ROWS = 4  # at either end
ORIGINS = {
    "options": "as given",
    "list": "from a list beside the clip",
    "pictures": "as the pictures' files say",
    "brightness": "found from brightness",
}


def lines(found: Inspection) -> Iterator[str]:
    """Yield the summary line by line."""
    yield from _format(found)
    yield ""
    yield from _camera(found)
    yield from _exposures(found)
    yield ""
    yield from _rows(found)
    yield ""
    warnings = self_check(found)
    yield from (f"Warning: {warning}" for warning in warnings)
    if not warnings:
        yield "Nothing speaks against converting this clip."


def _format(found: Inspection) -> Iterator[str]:
    details, info = found.details, found.source.info
    depth = f", {details.bits} bits" if details.bits else ""
    yield f"Clip         {found.source.path}"
    size = f"{info.width}x{info.height}"
    yield f"Pictures     {details.codec}, {size}, {details.pixel_format}{depth} ({details.container})"
    pace = "at varying times" if found.varies else "at a constant rate"
    rate = f"{float(info.rate):.6g} per second ({info.rate})" if info.rate else "of unknown rate"
    yield f"Frames       {len(found.frames)}, {rate}, {pace}, {_duration(found):.3f} s"
    yield "Color        " + ", ".join(f"{name} {tag}" for name, tag in details.colors.items())
    turned = f", turned by {details.rotation} degrees" if details.rotation else ""
    yield f"Time code    {info.timecode or 'none'}{turned}"
    yield "Sound        " + ("; ".join(str(sound) for sound in details.sounds) or "none")
    for message in found.source.faults.messages():
        yield f"Damage       {message}"


def _camera(found: Inspection) -> Iterator[str]:
    camera, info = found.camera, found.source.info
    precision = camera.curve.precision(bits=info.bits, lossy=info.lossy)
    how = camera.finding.partition(", from ")[2]
    yield f"Response     {camera.curve.name}" + (
        f", found from {how}" if how else ", assumed" if camera.estimate else ""
    )
    yield f"Black level  {camera.black_level or 'none'}; darkest code {precision.black:.2g} of the clip level"


def _duration(found: Inspection) -> float:
    if not found.frames:
        return 0.0
    last = 1 / found.source.info.rate if found.source.info.rate else 0
    return float(found.frames[-1].time - found.frames[0].time + last)


def _exposures(found: Inspection) -> Iterator[str]:
    if found.known.exposures is None:
        yield f"Exposures    unknown: {found.known.trouble}"
        yield from (f"             {_in_words(group)}" for group in found.groups)
        return
    estimate, exposures = found.known.estimate, found.known.exposures
    cycle = ", ".join(f"{exposure:.4g}" for exposure in exposures.ratios)
    sure = f", confidence {estimate.confidence:.2f}" if estimate else ""
    yield f"Exposures    {cycle} from the first frame on, {ORIGINS[found.known.origin]}{sure}"
    for group in found.groups:
        yield f"  x {group.exposure:<8.4g} {_in_words(group)}"
    gained, used = found.stops_gained, found.stops_used
    yield f"Range        {gained:.2f} stops gained above the longest exposure, {used:.2f} filled"
    yield f"Order        {'breaks ' + str(len(found.slips)) + ' times' if found.slips else 'holds throughout'}"
    for index, what in found.slips:
        yield f"  frame {index} at {float(found.frames[index].time):.3f} s: {what}"


def _in_words(group: ExposureGroup) -> str:
    noise = "unknown" if group.noise is None else f"{group.noise:.2f} x nominal"
    return f"{group.frames} frames, {group.clipped:.1%} clipped, {group.black:.1%} black, noise {noise}"


def _rows(found: Inspection) -> Iterator[str]:
    yield "   frame     time s  exposure     mean  clipped    black"
    count = len(found.frames)
    slips = dict(found.slips)
    for place, frame in enumerate(found.frames):
        if SHOWN_ROWS <= place < count - SHOWN_ROWS:
            if place == SHOWN_ROWS:
                yield f"     ... {count - 2 * SHOWN_ROWS} more (--json has all)"
            continue
        exposure = f"{found.exposures[place]:.4g}" if found.exposures else "?"
        row = f"{frame.index:8d} {float(frame.time):10.3f} {exposure:>9} {frame.light.mean:8.4f}"
        yield f"{row} {frame.clipped:8.2%} {frame.black:8.2%} {slips.get(frame.index, '')}".rstrip()


def as_record(found: Inspection) -> dict[str, Any]:
    """Everything as values that JSON knows."""
    info, estimate, known = found.source.info, found.known.estimate, found.known.exposures
    return {
        "path": str(found.source.path),
        "format": asdict(found.details)
        | {
            "width": info.width,
            "height": info.height,
            "rate": str(info.rate) if info.rate else None,
            "variable_rate": found.varies,
            "timecode": info.timecode,
            "frames": len(found.frames),
            "faults": found.source.faults.messages(),
        },
        "camera": _camera_record(found),
        "exposures": {
            "from": found.known.origin,
            "ratios": [group.exposure for group in found.groups] if found.exposures else None,
            "period": known.period if known else None,
            "cycle": list(known.ratios) if known else None,
            "confidence": estimate.confidence if estimate else None,
            "sure": estimate.sure if estimate else None,
            "slips": [
                {"frame": index, "time_s": float(found.frames[index].time), "what": what} for index, what in found.slips
            ],
            "trouble": found.known.trouble or None,
        },
        "groups": [asdict(group) | {"histogram": group.histogram.tolist()} for group in found.groups],
        "histogram": {"darkest_stop": DARKEST_STOP, "bins_per_stop": BINS_PER_STOP},
        "stops_gained": found.stops_gained if found.exposures else None,
        "stops_used": found.stops_used if found.exposures else None,
        "warnings": self_check(found),
        "frames": [_row(found, place) for place in range(len(found.frames))],
    }


def _camera_record(found: Inspection) -> dict[str, Any]:
    camera, info = found.camera, found.source.info
    response = camera.estimate.response if camera.estimate else None
    return {
        "response": camera.curve.name,
        "found": response is not None,
        "confidence": response.confidence if response else None,
        "error_stops": response.error if response else None,
        "covered": list(response.covered) if response else None,
        "black_code": list(camera.curve.black_code),
        "clip_code": camera.curve.clip_code,
        "precision": asdict(camera.curve.precision(bits=info.bits, lossy=info.lossy)),
    }


def _row(found: Inspection, place: int) -> dict[str, Any]:
    frame = found.frames[place]
    numbers = found.source.numbers
    slips = dict(found.slips)
    return {
        "frame": frame.index,
        "number": numbers[frame.index] if numbers else None,
        "time_s": float(frame.time),
        "exposure": found.exposures[place] if found.exposures else None,
        "mean": frame.light.mean,
        "clipped": frame.clipped,
        "black": frame.black,
        "noise": frame.noise,
        "slip": slips.get(frame.index),
    }


def inspect_path(
    path: Path,
    *,
    exposures: ExposureOptions,
    reading: Reading,
    camera: CameraOptions,
    threads: int | None = None,
    plot: Path | None = None,
    overwrite: bool = False,
) -> Inspection:
    """Inspect a clip, and plot the result.

    Args:
        path: The clip.
        exposures: Exposures to check, if any.
        reading: How to read it.
        camera: What is known of the camera.
        threads: Number of threads for computing and decoding, None for the default.
        plot: File for the plot, None for none.
        overwrite: Whether an existing plot may be replaced.

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
        given = given_exposures(source, exposures)
        found_camera = find_camera(source, camera, exposures=given, look=FirstLook(source))
        found = inspect_clip(source, exposures, given=given, camera=found_camera)
    if plot:
        with complete_file(plot) as unfinished:
            unfinished.write_bytes(draw_png(found))
    return found


def _prepare(plot: Path, sources: tuple[Path, ...], *, overwrite: bool) -> None:
    there = [plot] if plot.exists() else []
    refuse_sources(there, sources)
    if not overwrite:
        refuse_existing(there)
    prepare_folder(plot.parent)
