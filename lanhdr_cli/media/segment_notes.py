"""Notes on finished segments, a JSON file beside each, by which a later run takes them over."""

import hashlib
import json
from fractions import Fraction
from pathlib import Path
from typing import Any

from lanhdr_cli.media.paths import complete_file
from lanhdr_cli.media.segments import Segment, SegmentPlan

FORMAT = 1
SUFFIX = ".json"
LARGEST_NOTE = 1 << 20  # bytes


def note_segment(segment: Segment) -> None:
    """Note what is known of a finished segment, so that it survives a loss of power.

    Raises:
        MediaError: If the note can't be written.
    """
    note = {
        "format": FORMAT,
        "frames": segment.frames,
        "begin": str(segment.begin),
        "last": str(segment.last),
        "max_cll_nits": segment.max_cll_nits,
        "max_fall_nits": segment.max_fall_nits,
        "nan_frames": segment.nan_frames,
        "alone": list(segment.alone),
        "ticks": list(segment.ticks),
        "sha256": _sha256(segment.path),
    }
    path = _note_path(segment.path)
    with complete_file(path, to_disk=True) as unfinished:
        unfinished.write_text(json.dumps(note, indent=1) + "\n", encoding="utf-8")


def noted_segments(plan: SegmentPlan, *, count: int) -> dict[int, Segment]:
    """Find the finished segments of a plan's settings, by their numbers.

    One that is damaged, of another length than it has to be, or without a note counts as not there.

    Args:
        count: Number of frames of the whole video.
    """
    segments = {}
    for number in range(-(-count // plan.frames)):
        segment = _noted(plan.path(number))
        if segment and segment.frames == min(plan.frames, count - number * plan.frames):
            segments[number] = segment
    return segments


def count_noted(plan: SegmentPlan) -> int:
    """Count the finished segments of a plan's settings, whoever has made them."""
    return sum(1 for _ in plan.folder.glob(f"[0-9]*.{plan.settings}{SUFFIX}"))


def other_segments(plan: SegmentPlan) -> list[Path]:
    """List the finished segments of other settings than the plan's, or of any if it has none."""
    notes = plan.folder.glob(f"[0-9]*{SUFFIX}") if plan.folder.is_dir() else ()
    own = f".{plan.settings}"
    return sorted(note.with_suffix("") for note in notes if not note.with_suffix("").name.endswith(own))


def _noted(path: Path) -> Segment | None:
    try:
        note = _note_path(path)
        if note.stat().st_size > LARGEST_NOTE:
            return None
        record: dict[str, Any] = json.loads(note.read_bytes())
        if record["format"] != FORMAT or record["sha256"] != _sha256(path):
            return None
        return Segment(
            path=path,
            frames=int(record["frames"]),
            begin=Fraction(record["begin"]),
            last=Fraction(record["last"]),
            max_cll_nits=float(record["max_cll_nits"]),
            max_fall_nits=float(record["max_fall_nits"]),
            nan_frames=int(record["nan_frames"]),
            alone=tuple(map(int, record["alone"])),
            ticks=tuple(map(int, record["ticks"])),
        )
    except (OSError, ValueError, KeyError, TypeError, RecursionError, ZeroDivisionError):
        return None


def _note_path(path: Path) -> Path:
    return path.with_name(path.name + SUFFIX)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
