"""What is packed stays together in units, and units are dealt out to parts of limited size."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from train.datasets.listed import read_list
from train.errors import DatasetError

MIB = 2**20


@dataclass(frozen=True)
class Unit:
    """Files that are of no use without each other: a picture, a video, a clip of frames.

    Args:
        kind: What it is, in the plural, as `LDR videos`.
        files: Where they lie.
        listed: A list of clips and the unit's line in it; None for what no list names.
        changes: What packing changed, each said as for many: `videos cut to ...`.
    """

    kind: str
    files: tuple[Path, ...]
    listed: tuple[Path, str] | None = None
    changes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Name for messages."""
        return self.listed[1] if self.listed else self.files[0].name

    @property
    def size(self) -> int:
        """In bytes, with its line in a list."""
        line = len(self.listed[1]) + 1 if self.listed else 0
        return line + sum(path.stat().st_size for path in self.files)


@dataclass
class Bin:
    """One part.

    Args:
        size: Bytes in it.
        units: What is in it.
    """

    size: int = 0
    units: list[Unit] = field(default_factory=list)

    def take(self, unit: Unit, size: int) -> None:
        """Put a unit in."""
        self.units.append(unit)
        self.size += size


def deal_out(units: Sequence[Unit], *, most_bytes: int) -> list[Bin]:
    """Put units into as few parts as first fit in falling order of size finds.

    Args:
        units: What is to be dealt out.
        most_bytes: Largest size of a part.

    Raises:
        DatasetError: If a unit is larger than a part may be.
    """
    bins: list[Bin] = []
    for size, unit in sorted(((unit.size, unit) for unit in units), key=lambda sized: -sized[0]):
        if size > most_bytes:
            sizes = f"{size / MIB:.1f} MiB, a part may have {most_bytes / MIB:g}"
            raise DatasetError(f"{unit.name} takes {sizes}: pass a larger --part-mib")
        place = next((place for place in bins if place.size + size <= most_bytes), None)
        if place is None:
            place = Bin()
            bins.append(place)
        place.take(unit, size)
    return bins


def fill_folder(units: Sequence[Unit], folder: Path, *, origin: Path) -> None:
    """Move the files of units into a folder, where they lie as they lay below `origin`, with lists of the listed ones.

    Args:
        units: Of one part.
        folder: The part's, made here.
        origin: Where files and lists lie.
    """
    for unit in units:
        for path in unit.files:
            target = folder / path.relative_to(origin)
            target.parent.mkdir(parents=True, exist_ok=True)
            path.rename(target)
        if unit.listed is not None:
            path = folder / unit.listed[0].relative_to(origin)
            lines = read_list(path) if path.exists() else []
            path.write_text("".join(f"{line}\n" for line in [*lines, unit.listed[1]]), encoding="utf-8")


def free_name(path: Path) -> Path:
    """Return the path, or one beside it if it is taken: `a.exr` and `a.hdr` both become `a.hdr`."""
    number, name = 1, path
    while name.exists():
        number += 1
        name = path.with_stem(f"{path.stem}_{number}")
    return name
