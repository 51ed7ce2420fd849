"""What a stretch of training leaves for the way home: averaged weights, metrics, and the state in small parts."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from train.config import TrainError
from train.export import read_run, record_of, write_weights
from train.run_folder import RunFolder
from train.state_parts import MIB, find_manifest, join_parts, manifest_name, remove_parts, split_file

WEIGHTS = "weights.safetensors"
# Parts are made here, in the run's folder, and stay until the next stretch makes new ones.
PARTS = "parts"


def deliver(folder: RunFolder, out: Path, *, part_bytes: int, most_bytes: int | None = None) -> list[str]:
    """Leave what a run has come to in another folder.

    Args:
        folder: The run, just saved.
        out: Where it goes: averaged weights in half precision, metrics, environment, the state in parts.
        part_bytes: Largest size of a part.
        most_bytes: What may go there in all; parts beyond it stay in the run's folder. None for everything.

    Returns:
        A line for each thing to say.

    Raises:
        LanHdrError: If the run is damaged, or the disk refuses.
    """
    run = read_run(folder.path, "last")
    name = folder.path.resolve().name
    manifest = split_file(folder.checkpoint, folder.path / PARTS, part_bytes=part_bytes)
    parts = [folder.path / PARTS / part.name for part in manifest.parts]
    small = [folder.metrics, folder.environment, folder.path / PARTS / manifest_name(manifest.file)]
    try:
        out.mkdir(parents=True, exist_ok=True)
        remove_parts(manifest.file, out)
        write_weights(run, out / WEIGHTS, record=record_of(run, name=name, licence=None, notes=()), half=True)
        room = None if most_bytes is None else most_bytes - _size([out / WEIGHTS, *small])
        sent = _fitting(parts, room)
        for path in (*small, *sent):
            shutil.copyfile(path, out / path.name)
    except OSError as error:
        raise TrainError(f"{out} cannot be written ({error}): free some space or pass another --out") from error
    return [f"{out} holds {WEIGHTS} and {len(sent)} of {len(parts)} parts of the state", *_unsent(parts[len(sent) :])]


def fetch_state(folder: RunFolder) -> Path | None:
    """Put a state that came in parts together, unless there is a whole one.

    Args:
        folder: The run; the parts lie in it or below it.

    Returns:
        The manifest of the parts; None if there is a whole state, or none at all.

    Raises:
        TrainError: If parts are missing or damaged.
    """
    manifest = None if folder.checkpoint.exists() else find_manifest(folder.checkpoint.name, folder.path)
    if manifest is None:
        return None
    join_parts(manifest, folder.path, target=folder.checkpoint)
    for path in (folder.metrics, folder.environment):
        beside = manifest.with_name(path.name)
        if beside.exists() and not path.exists():
            shutil.copyfile(beside, path)
    return manifest


def _fitting(parts: Sequence[Path], room: int | None) -> Sequence[Path]:
    """Return the first parts, as many as there is room for."""
    if room is None:
        return parts
    counts = [count for count in range(len(parts) + 1) if _size(parts[:count]) <= room]
    return parts[: max(counts, default=0)]


def _unsent(parts: Sequence[Path]) -> list[str]:
    if not parts:
        return []
    return [
        f"bring the other {len(parts)} ({_size(parts) / MIB:.1f} MiB) in later calls: {parts[0]} to {parts[-1].name}"
    ]


def _size(paths: Sequence[Path]) -> int:
    return sum(path.stat().st_size for path in paths)
