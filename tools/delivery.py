"""Copies of a run's results in another folder: averaged weights, metrics, and the state in small parts."""

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from model.pretrained import save_network
from train.checkpoint import RunFolder, write_atomically
from train.data.clips import shortened
from train.errors import TrainError
from train.export import export_record, read_run

FORMAT = 1
MIB = 2**20


@dataclass(frozen=True)
class Part:
    """A file that holds a part of another."""

    name: str
    size: int  # in bytes
    sha256: str  # checksum, hexadecimal


@dataclass(frozen=True)
class Manifest:
    """The parts of a file, in its order."""

    file: str
    size: int  # in bytes
    parts: tuple[Part, ...]


def manifest_name(file: str) -> str:
    """Name of the manifest of a file's parts."""
    return f"{file}.parts.json"


def split_file(path: Path, folder: Path, *, part_bytes: int) -> Manifest:
    """Split a file into parts in a folder, in place of those that lie there; the manifest is written last.

    Raises:
        TrainError: If the file cannot be read, or the disk refuses.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        remove_parts(path.name, folder)
        parts: list[Part] = []
        with path.open("rb") as file:
            while content := file.read(part_bytes):
                name = f"{path.name}.part-{len(parts):03d}"
                (folder / name).write_bytes(content)
                parts.append(Part(name, len(content), _checksum(content)))
    except OSError as error:
        raise TrainError(f"{path} cannot be split into {folder} ({error}): check free space and permissions") from error
    manifest = Manifest(path.name, sum(part.size for part in parts), tuple(parts))
    text = json.dumps({"format": FORMAT, **asdict(manifest)}, indent=1) + "\n"
    write_atomically(folder / manifest_name(path.name), text.encode())
    return manifest


def remove_parts(file: str, folder: Path) -> None:
    """Remove the manifest and the parts of a file from a folder, if there are any."""
    (folder / manifest_name(file)).unlink(missing_ok=True)
    for part in folder.glob(f"{file}.part-*"):
        part.unlink()


def find_manifest(file: str, folder: Path) -> Path | None:
    """Find the manifest of a file's parts in a folder or below it; None if there is none.

    Raises:
        TrainError: If there are several.
    """
    manifests = sorted(folder.rglob(manifest_name(file)))
    if len(manifests) > 1:
        raise TrainError(f"{manifests[0]} and {manifests[1]} are two states: remove the older one with its parts")
    return manifests[0] if manifests else None


def join_parts(manifest_path: Path, folder: Path, *, target: Path) -> None:
    """Put a file together from its parts, wherever they lie in a folder or below it, also more than once.

    Raises:
        TrainError: If the manifest or a part is missing or damaged, or the disk refuses.
    """
    manifest = _read_manifest(manifest_path)
    copies = {part.name: sorted(folder.rglob(part.name)) for part in manifest.parts}
    missing = [name for name, paths in copies.items() if not paths]
    if missing:
        raise TrainError(
            f"{len(missing)} of {len(copies)} parts of {manifest.file} are not in {folder}: {shortened(missing)}; "
            f"bring them, or remove {manifest_path} to begin anew"
        )

    def join(partial: Path) -> None:
        with partial.open("wb") as file:
            for part in manifest.parts:
                file.write(_read_part(part, copies[part.name]))

    write_atomically(target, join)


def _read_part(part: Part, copies: list[Path]) -> bytes:
    for copy in copies:
        content = copy.read_bytes()
        if _checksum(content) == part.sha256:
            return content
    raise TrainError(
        f"{copies[-1]} is damaged or of another state ({len(content):,} bytes, {part.size:,} expected, the checksum "
        "differs): bring it again"
    )


def _read_manifest(path: Path) -> Manifest:
    try:
        read: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if read.pop("format") != FORMAT:
            raise ValueError("another format")
        manifest = Manifest(read["file"], read["size"], tuple(Part(**part) for part in read["parts"]))
        if sum(part.size for part in manifest.parts) != manifest.size:
            raise ValueError("sizes that do not add up")
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise TrainError(f"{path} is no list of parts ({error}): bring it again, or remove it") from error
    return manifest


def _checksum(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


WEIGHTS = "weights.safetensors"
# Parts are made here, in the run's folder, and stay until the next stretch makes new ones.
PARTS = "parts"


def deliver(folder: RunFolder, out: Path, *, part_bytes: int, most_bytes: int | None = None) -> list[str]:
    """Copy a run's averaged weights in half precision, metrics, environment and state in parts to another folder.

    Parts of the state beyond `most_bytes` in all stay in the run's folder.

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
        record = export_record(run, name=name, licence=None, notes=())
        save_network(run.network, out / WEIGHTS, record=record, half=True)
        room = None if most_bytes is None else most_bytes - _size([out / WEIGHTS, *small])
        sent = _fitting(parts, room)
        for path in (*small, *sent):
            shutil.copyfile(path, out / path.name)
    except OSError as error:
        raise TrainError(f"{out} cannot be written ({error}): free some space or pass another --out") from error
    lines = [f"{out} holds {WEIGHTS} and {len(sent)} of {len(parts)} parts of the state"]
    if unsent := parts[len(sent) :]:
        mib = f"{_size(unsent) / MIB:.1f} MiB"
        lines.append(f"bring the other {len(unsent)} ({mib}) in later calls: {unsent[0]} to {unsent[-1].name}")
    return lines


def fetch_state(folder: RunFolder) -> Path | None:
    """Put a state that came in parts, in the run's folder or below it, together, unless there is a whole one.

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


def _size(paths: Sequence[Path]) -> int:
    return sum(path.stat().st_size for path in paths)
