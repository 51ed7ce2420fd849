"""Packing of pictures, brackets and clips in folders, and dealing out into parts."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from train.data.brackets import read_bracket
from train.data.clips import FEWEST_FRAMES, LONGEST_SIDE, FileClip, read_list
from train.data.images import HALF_MAX, Stored, encode_radiance, read_codes, read_radiance
from train.errors import DatasetError

MIB = 2**20


@dataclass(frozen=True, kw_only=True)
class Unit:
    """Files that are of no use without each other: a picture, a video, a clip of frames."""

    kind: str  # in the plural, as `LDR videos`
    files: tuple[Path, ...]
    listed: tuple[Path, str] | None = None  # a list of clips and the unit's line in it; None for what no list names
    changes: tuple[str, ...] = ()  # what packing changed, each said as for many: `videos cut to ...`

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
class Part:
    """A folder of limited size that data is packed into."""

    size: int = 0  # in bytes
    units: list[Unit] = field(default_factory=list)


def deal_out(units: Sequence[Unit], *, most_bytes: int) -> list[Part]:
    """Put units into as few parts of at most `most_bytes` as first fit in falling order of size finds.

    Raises:
        DatasetError: If a unit is larger than a part may be.
    """
    parts: list[Part] = []
    for size, unit in sorted(((unit.size, unit) for unit in units), key=lambda sized: -sized[0]):
        if size > most_bytes:
            sizes = f"{size / MIB:.1f} MiB, a part may have {most_bytes / MIB:g}"
            raise DatasetError(f"{unit.name} takes {sizes}: pass a larger --part-mib")
        part = next((part for part in parts if part.size + size <= most_bytes), None)
        if part is None:
            part = Part()
            parts.append(part)
        part.units.append(unit)
        part.size += size
    return parts


def fill_folder(units: Sequence[Unit], folder: Path, *, origin: Path) -> None:
    """Move the files of units into a new folder, laid out as below `origin`, with lists of the listed ones."""
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


AS_RADIANCE = "written as Radiance .hdr, each channel to 1/256 of the brightest of its pixel"
MERGED = "exposure brackets merged into Radiance .hdr, each channel to 1/256 of the brightest of its pixel"
HALVED = "reduced to fit into a part"
HDR_KIND, LDR_KIND = "HDR pictures", "LDR pictures"
SMALLEST_SIDE = 64


def pack_hdr_picture(path: Path, target: Path, *, most_bytes: int) -> Unit:
    """Copy a Radiance picture, or write an OpenEXR one as Radiance; `target` gets this suffix.

    Pictures larger than `most_bytes` are halved until they fit; panoramas stay twice as wide as high.

    Raises:
        DatasetError: If it cannot be read or written.
    """
    pixels, changes = read_radiance(path), []
    target = _prepared(target.with_suffix(".hdr"))
    if path.suffix.lower() == ".hdr":
        shutil.copyfile(path, target)
    else:
        write_radiance(target, pixels)
        changes.append(AS_RADIANCE)
    if _halve_to_fit(target, pixels, most_bytes=most_bytes):
        changes.append(HALVED)
    return Unit(kind=HDR_KIND, files=(target,), changes=tuple(changes))


def pack_bracket(folder: Path, target: Path, *, most_bytes: int) -> Unit:
    """Merge an exposure bracket and write it as a Radiance picture, halved until it fits; `target` gets a suffix.

    Raises:
        DatasetError: If it cannot be read, merged or written.
    """
    pixels: Stored = read_bracket(folder).radiance()
    target = _prepared(target.with_name(f"{target.name}.hdr"))
    write_radiance(target, pixels)
    halved = _halve_to_fit(target, pixels, most_bytes=most_bytes)
    return Unit(kind=HDR_KIND, files=(target,), changes=(MERGED, HALVED) if halved else (MERGED,))


def pack_ldr_picture(path: Path, target: Path, *, most_bytes: int) -> Unit:
    """Copy an 8-bit picture that can be read; one larger than `most_bytes` becomes PNG and is halved until it fits.

    Raises:
        DatasetError: If it cannot be read or written.
    """
    codes, changes = read_codes(path), []
    target = _prepared(target)
    shutil.copyfile(path, target)
    if target.stat().st_size > most_bytes:
        target.unlink()
        target = _prepared(target.with_suffix(".png"))
        _write(target, codes)
        _halve_to_fit(target, codes, most_bytes=most_bytes)
        changes.append(HALVED)
    return Unit(kind=LDR_KIND, files=(target,), changes=tuple(changes))


def write_radiance(path: Path, light: Stored) -> None:
    """Write linear R, G, B, (H, W, 3), as a Radiance picture; negative values become 0.

    Raises:
        DatasetError: If the disk refuses.
    """
    finite = np.nan_to_num(light.astype(np.float32), nan=0.0, posinf=HALF_MAX, neginf=0.0).clip(min=0)
    try:
        path.write_bytes(encode_radiance(finite))
    except OSError as error:
        raise DatasetError(f"{path} cannot be written ({error.strerror}): check free space and permissions") from error


def _halve_to_fit(path: Path, pixels: Stored, *, most_bytes: int) -> bool:
    halved = False
    while path.stat().st_size > most_bytes and min(pixels.shape[:2]) >= 2 * SMALLEST_SIDE:
        height, width = pixels.shape[0] // 2, pixels.shape[1] // 2
        if pixels.shape[1] == 2 * pixels.shape[0]:
            width = 2 * height
        wide: NDArray[Any] = pixels if pixels.dtype == np.uint8 else pixels.astype(np.float32)
        pixels = np.asarray(cv2.resize(wide, (width, height), interpolation=cv2.INTER_AREA))
        if path.suffix == ".hdr":
            write_radiance(path, pixels)
        else:
            _write(path, pixels)
        halved = True
    return halved


def _prepared(target: Path) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    return free_name(target)


def _write(path: Path, pixels: Stored) -> None:
    if not cv2.imwrite(str(path), np.ascontiguousarray(pixels[..., ::-1])):
        raise DatasetError(f"{path} cannot be written: check free space and permissions")


CUT = "cut short to fit into a part"
FRAMES_KIND = "sequences of HDR frames"


def pack_frames(run: FileClip, folder: Path, *, most_bytes: int) -> Unit:
    """Copy numbered Radiance frames, or write OpenEXR ones as Radiance, reduced as training reduces them.

    Raises:
        DatasetError: If a frame cannot be read, or `most_bytes` allows for less than seven.
    """
    changed = False

    def write(index: int, path: Path) -> None:
        nonlocal changed
        origin = Path(run.folder, run.files[index])
        if origin.suffix.lower() == ".hdr" and max(read_radiance(origin).shape[:2]) <= LONGEST_SIDE:
            shutil.copyfile(origin, path)
        else:
            write_radiance(path, run.load([index])[0])
            changed = True

    names = [Path(name).stem for name in run.files]
    files = write_while_it_fits(names, folder, write=write, most_bytes=most_bytes)
    changes = []
    if changed:
        changes.append(AS_RADIANCE)
    if len(files) < len(names):
        changes.append(CUT)
    return Unit(kind=FRAMES_KIND, files=files, changes=tuple(changes))


def write_while_it_fits(
    names: list[str], folder: Path, *, write: Callable[[int, Path], None], most_bytes: int
) -> tuple[Path, ...]:
    """Write frames one after the other, by index to a path, until all take more than `most_bytes`.

    Raises:
        DatasetError: If there is room for less than seven, which is no clip.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files: list[Path] = []
    total = 0
    for index, name in enumerate(names):
        path = folder / f"{name}.hdr"
        write(index, path)
        total += path.stat().st_size
        if total > most_bytes:
            path.unlink()
            break
        files.append(path)
    if len(files) < FEWEST_FRAMES:
        raise DatasetError(
            f"{folder.name}: {most_bytes / MIB:g} MiB hold {len(files)} of its frames, a clip needs {FEWEST_FRAMES}: "
            "pass a larger --part-mib"
        )
    return tuple(files)


def pack_listed(clips: Sequence[FileClip], *, folder: Path, target: Path, list_name: str, kind: str) -> Iterator[Unit]:
    """Copy clips of a set in `folder` that has a list, with the lists of frames in their own folders, to `target`."""
    for clip in clips:
        own_list = f"{Path(clip.folder).name}.txt"
        names = [own_list, *clip.files] if Path(clip.folder, own_list).is_file() else clip.files
        copies = target / Path(clip.folder).relative_to(folder)
        copies.mkdir(parents=True, exist_ok=True)
        for name in names:
            shutil.copyfile(Path(clip.folder, name), copies / name)
        files = tuple(copies / name for name in dict.fromkeys(names))
        yield Unit(kind=kind, files=files, listed=(target / list_name, clip.name))
