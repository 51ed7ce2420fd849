"""An inspection in words."""

from collections.abc import Iterator

from lanhdr_cli.fitness import self_check
from lanhdr_cli.inspection import ExposureGroup, Inspection

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
