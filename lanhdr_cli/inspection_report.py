"""The report of an inspection, as text and as a JSON record."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from lanhdr_cli.inspection import BINS_PER_STOP, DARKEST_STOP, ExposureGroup, Inspection, self_check

SHOWN_ROWS = 4  # at either end
ORIGINS = {
    "options": "as given",
    "list": "from a list beside the clip",
    "pictures": "as the pictures' files say",
    "brightness": "found from brightness",
}


def lines(inspection: Inspection) -> Iterator[str]:
    """Yield the report line by line."""
    yield from _format(inspection)
    yield ""
    yield from _camera(inspection)
    yield from _exposures(inspection)
    yield ""
    yield from _rows(inspection)
    yield ""
    warnings = self_check(inspection)
    yield from (f"Warning: {warning}" for warning in warnings)
    if not warnings:
        yield "Nothing speaks against converting this clip."


def _format(inspection: Inspection) -> Iterator[str]:
    details, info = inspection.details, inspection.source.info
    depth = f", {details.bits} bits" if details.bits else ""
    yield f"Clip         {inspection.source.path}"
    size = f"{info.width}x{info.height}"
    yield f"Pictures     {details.codec}, {size}, {details.pixel_format}{depth} ({details.container})"
    duration = 0.0
    if inspection.frames:
        last_s = 1 / info.rate if info.rate else 0
        duration = float(inspection.frames[-1].light.time - inspection.frames[0].light.time + last_s)
    pace = "at varying times" if inspection.has_varying_rate else "at a constant rate"
    rate = f"{float(info.rate):.6g} per second ({info.rate})" if info.rate else "of unknown rate"
    yield f"Frames       {len(inspection.frames)}, {rate}, {pace}, {duration:.3f} s"
    yield "Color        " + ", ".join(f"{name} {tag}" for name, tag in details.colors.items())
    turned = f", turned by {details.rotation} degrees" if details.rotation else ""
    yield f"Time code    {info.timecode or 'none'}{turned}"
    yield "Sound        " + ("; ".join(str(sound) for sound in details.sounds) or "none")
    for message in inspection.source.faults.messages():
        yield f"Damage       {message}"


def _camera(inspection: Inspection) -> Iterator[str]:
    camera, info = inspection.camera, inspection.source.info
    precision = camera.curve.precision(bits=info.bits, lossy=info.lossy)
    how = camera.finding.partition(", from ")[2]
    yield f"Response     {camera.curve.name}" + (
        f", found from {how}"
        if how
        else f", by {camera.stated}"
        if camera.stated
        else ", assumed"
        if camera.estimate
        else ""
    )
    yield f"Black level  {camera.black_level or 'none'}; darkest code {precision.black:.2g} of the clip level"


def _exposures(inspection: Inspection) -> Iterator[str]:
    if inspection.known.exposures is None:
        yield f"Exposures    unknown: {inspection.known.trouble}"
        yield from (f"             {_in_words(group)}" for group in inspection.groups)
        return
    estimate, exposures = inspection.known.estimate, inspection.known.exposures
    cycle = ", ".join(f"{exposure:.4g}" for exposure in exposures.ratios)
    sure = f", confidence {estimate.confidence:.2f}" if estimate else ""
    yield f"Exposures    {cycle} from the first frame on, {ORIGINS[inspection.known.origin]}{sure}"
    for group in inspection.groups:
        yield f"  x {group.exposure:<8.4g} {_in_words(group)}"
    gained, used = inspection.stops_gained, inspection.stops_used
    yield f"Range        {gained:.2f} stops gained above the longest exposure, {used:.2f} filled"
    slips = inspection.slips
    yield f"Order        {f'breaks {len(slips)} times' if slips else 'holds throughout'}"
    for index, what in slips:
        yield f"  frame {index} at {float(inspection.frames[index].light.time):.3f} s: {what}"


def _in_words(group: ExposureGroup) -> str:
    noise = "unknown" if group.noise is None else f"{group.noise:.2f} x nominal"
    return f"{group.frames} frames, {group.clipped:.1%} clipped, {group.black:.1%} black, noise {noise}"


def _rows(inspection: Inspection) -> Iterator[str]:
    yield "   frame     time s  exposure     mean  clipped    black"
    count = len(inspection.frames)
    slips = dict(inspection.slips)
    for position, frame in enumerate(inspection.frames):
        if SHOWN_ROWS <= position < count - SHOWN_ROWS:
            if position == SHOWN_ROWS:
                yield f"     ... {count - 2 * SHOWN_ROWS} more (--json has all)"
            continue
        exposure = f"{inspection.exposures[position]:.4g}" if inspection.exposures else "?"
        row = f"{frame.index:8d} {float(frame.light.time):10.3f} {exposure:>9} {frame.light.mean:8.4f}"
        yield f"{row} {frame.clipped:8.2%} {frame.black:8.2%} {slips.get(frame.index, '')}".rstrip()


def as_record(inspection: Inspection) -> dict[str, Any]:
    """Return the whole inspection as values that JSON knows."""
    clip, camera, known = inspection.source, inspection.camera, inspection.known
    exposures, estimate = known.exposures, known.estimate
    response = camera.estimate.response if camera.estimate else None
    slips = dict(inspection.slips)
    rows = [
        {
            "frame": frame.index,
            "number": clip.numbers[frame.index] if clip.numbers else None,
            "time_s": float(frame.light.time),
            "exposure": exposures[frame.index] if exposures else None,
            "mean": frame.light.mean,
            "clipped": frame.clipped,
            "black": frame.black,
            "noise": frame.noise,
            "slip": slips.get(frame.index),
        }
        for frame in inspection.frames
    ]
    return {
        "path": str(clip.path),
        "format": _format_record(inspection),
        "camera": {
            "response": camera.curve.name,
            "found": response is not None,
            "confidence": response.confidence if response else None,
            "error_stops": response.error if response else None,
            "covered": list(response.covered) if response else None,
            "black_code": list(camera.curve.black_code),
            "clip_code": camera.curve.clip_code,
            "precision": asdict(camera.curve.precision(bits=clip.info.bits, lossy=clip.info.lossy)),
        },
        "exposures": {
            "from": known.origin,
            "ratios": [group.exposure for group in inspection.groups] if inspection.exposures else None,
            "period": exposures.period if exposures else None,
            "cycle": list(exposures.ratios) if exposures else None,
            "confidence": estimate.confidence if estimate else None,
            "sure": estimate.sure if estimate else None,
            "slips": [
                {"frame": index, "time_s": rows[index]["time_s"], "what": what} for index, what in inspection.slips
            ],
            "trouble": known.trouble or None,
        },
        "groups": [asdict(group) | {"histogram": group.histogram.tolist()} for group in inspection.groups],
        "histogram": {"darkest_stop": DARKEST_STOP, "bins_per_stop": BINS_PER_STOP},
        "stops_gained": inspection.stops_gained if inspection.exposures else None,
        "stops_used": inspection.stops_used if inspection.exposures else None,
        "warnings": self_check(inspection),
        "frames": rows,
        "conversion": inspection.conversion,
    }


def _format_record(inspection: Inspection) -> dict[str, Any]:
    info = inspection.source.info
    return asdict(inspection.details) | {
        "width": info.width,
        "height": info.height,
        "rate": str(info.rate) if info.rate else None,
        "variable_rate": inspection.has_varying_rate,
        "timecode": info.timecode,
        "frames": len(inspection.frames),
        "faults": inspection.source.faults.messages(),
    }
