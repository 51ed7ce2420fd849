"""An inspection as values that JSON knows."""

from dataclasses import asdict
from typing import Any

from lanhdr_cli.fitness import self_check
from lanhdr_cli.inspection import Inspection
from lanhdr_cli.survey import BINS_PER_STOP, DARKEST_STOP


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
        "camera": _camera(found),
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


def _camera(found: Inspection) -> dict[str, Any]:
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
