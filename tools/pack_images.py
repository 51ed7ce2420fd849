"""Packing of pictures, brackets and clips in folders, and dealing out into parts."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from train.data import hdr_patches, vimeo90k
from train.data.brackets import read_bracket
from train.data.clips import FEWEST_FRAMES, LONGEST_SIDE, FrameRun, evenly, read_list
from train.data.images import HALF_MAX, Stored, read_codes, read_radiance
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
        part = next((part for part in bins if part.size + size <= most_bytes), None)
        if part is None:
            part = Bin()
            bins.append(part)
        part.take(unit, size)
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


AS_RADIANCE = "written as Radiance .hdr, each channel to 1/256 of the brightest of its pixel"
MERGED = "exposure brackets merged into Radiance .hdr, each channel to 1/256 of the brightest of its pixel"
HALVED = "reduced to fit into a part"
HDR_KIND, LDR_KIND = "HDR pictures", "LDR pictures"
SMALLEST_SIDE = 64


def pack_hdr_picture(path: Path, target: Path, *, most_bytes: int) -> Unit:
    """Copy a Radiance picture, or write an OpenEXR one as Radiance.

    Args:
        path: The picture.
        target: Where it goes; the suffix may change.
        most_bytes: Larger ones are halved until they fit; panoramas stay twice as wide as high.

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
    return Unit(HDR_KIND, (target,), changes=tuple(changes))


def pack_bracket(folder: Path, target: Path, *, most_bytes: int) -> Unit:
    """Merge an exposure bracket and write it as a Radiance picture.

    Args:
        folder: The bracket.
        target: Where it goes, beside the place of the folder; a suffix is added.
        most_bytes: Larger ones are halved until they fit.

    Raises:
        DatasetError: If it cannot be read, merged or written.
    """
    pixels: Stored = read_bracket(folder).radiance()
    target = _prepared(target.with_name(f"{target.name}.hdr"))
    write_radiance(target, pixels)
    halved = _halve_to_fit(target, pixels, most_bytes=most_bytes)
    return Unit(HDR_KIND, (target,), changes=(MERGED, HALVED) if halved else (MERGED,))


def pack_ldr_picture(path: Path, target: Path, *, most_bytes: int) -> Unit:
    """Copy an 8-bit picture, after a look whether it can be read.

    Args:
        path: The picture.
        target: Where it goes; the suffix may change.
        most_bytes: Larger ones are halved until they fit, and become PNG.

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
    return Unit(LDR_KIND, (target,), changes=tuple(changes))


def write_radiance(path: Path, light: Stored) -> None:
    """Write linear R, G, B, (H, W, 3), as a Radiance picture; negative values become 0.

    Raises:
        DatasetError: If the disk refuses.
    """
    finite = np.nan_to_num(light.astype(np.float32), nan=0.0, posinf=HALF_MAX, neginf=0.0).clip(min=0)
    brightest = finite.max(-1, keepdims=True)
    # OpenCV cuts off after eight bits where it should round; half a step more makes it round.
    half_step = np.ldexp(np.float32(0.5), np.frexp(brightest)[1] - 8) * (brightest > 0)
    _write(path, finite + half_step)


def _halve_to_fit(path: Path, pixels: Stored, *, most_bytes: int) -> bool:
    halved = False
    while path.stat().st_size > most_bytes and min(pixels.shape[:2]) >= 2 * SMALLEST_SIDE:
        pixels, halved = _halved(pixels), True
        if path.suffix == ".hdr":
            write_radiance(path, pixels)
        else:
            _write(path, pixels)
    return halved


def _halved(pixels: Stored) -> Stored:
    height, width = pixels.shape[0] // 2, pixels.shape[1] // 2
    if pixels.shape[1] == 2 * pixels.shape[0]:
        width = 2 * height
    wide: NDArray[Any] = pixels if pixels.dtype == np.uint8 else pixels.astype(np.float32)
    return np.asarray(cv2.resize(wide, (width, height), interpolation=cv2.INTER_AREA))


def _prepared(target: Path) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    return free_name(target)


def _write(path: Path, pixels: Stored) -> None:
    if not cv2.imwrite(str(path), np.ascontiguousarray(pixels[..., ::-1])):
        raise DatasetError(f"{path} cannot be written: check free space and permissions")


CUT = "cut short to fit into a part"
FRAMES_KIND = "sequences of HDR frames"


def pack_frames(run: FrameRun, folder: Path, *, most_bytes: int) -> Unit:
    """Copy numbered Radiance frames, or write OpenEXR ones as Radiance, reduced as training reduces them.

    Args:
        run: The frames.
        folder: Where they go.
        most_bytes: As many are taken as this allows.

    Raises:
        DatasetError: If a frame cannot be read, or this allows for less than seven.
    """
    changed = False

    def write(index: int, path: Path) -> None:
        nonlocal changed
        changed |= _pack_frame(run, index, path)

    names = [path.stem for path in run.paths]
    files = write_while_it_fits(names, folder, write=write, most_bytes=most_bytes)
    changes = []
    if changed:
        changes.append(AS_RADIANCE)
    if len(files) < len(names):
        changes.append(CUT)
    return Unit(FRAMES_KIND, files, changes=tuple(changes))


def write_while_it_fits(
    names: list[str], folder: Path, *, write: Callable[[int, Path], None], most_bytes: int
) -> tuple[Path, ...]:
    """Write frames one after the other as long as there is room.

    Args:
        names: Names of the files without suffix.
        folder: Where they go.
        write: Writes a frame, by its index, to a path.
        most_bytes: What all may take together.

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


def pack_vimeo90k(folder: Path, target: Path, *, split: str, limit: int | None) -> Iterator[Unit]:
    """Copy septuplets of a split; at most `limit`, evenly chosen.

    Args:
        folder: The set.
        target: Where it goes.
        split: `train` or `validation`.
        limit: Most clips, None for all.

    Raises:
        DatasetError: If the list is damaged, or no clip is complete.
    """
    clips, _ = vimeo90k.find_septuplets(folder, split)
    for index in evenly(len(clips), limit=limit):
        files = [Path(clips.folders[index]) / name for name in vimeo90k.FRAMES]
        yield _copied("Vimeo-90K septuplets", files, folder, target=target, list_name=vimeo90k.LISTS[split])


def pack_patches(folder: Path, target: Path, *, split: str, limit: int | None) -> Iterator[Unit]:
    """Copy patches of HDR video of a split; at most `limit`, evenly chosen.

    Args:
        folder: The set.
        target: Where it goes.
        split: `train` or `validation`.
        limit: Most patches, None for all.

    Raises:
        DatasetError: If the list is damaged, or no patch is complete.
    """
    clips, _ = hdr_patches.find_patches(folder, split)
    for index in evenly(len(clips), limit=limit):
        clip = Path(clips.folders[index])
        files = [clip / f"{clip.name}.txt", *sorted(clip.glob("*.npy"))]
        yield _copied("HDR video patches", files, folder, target=target, list_name=hdr_patches.LISTS[split][0])


def _copied(kind: str, files: list[Path], folder: Path, *, target: Path, list_name: str) -> Unit:
    copies = [target / path.relative_to(folder) for path in files]
    copies[0].parent.mkdir(parents=True, exist_ok=True)
    for path, copy in zip(files, copies, strict=True):
        shutil.copyfile(path, copy)
    name = f"{files[0].parent.parent.name}/{files[0].parent.name}"
    return Unit(kind, tuple(copies), listed=(target / list_name, name))


def _pack_frame(run: FrameRun, index: int, path: Path) -> bool:
    """Write one frame; return whether it is anything but a copy."""
    origin = run.paths[index]
    if origin.suffix.lower() == ".hdr" and max(_size(read_radiance(origin))) <= LONGEST_SIDE:
        shutil.copyfile(origin, path)
        return False
    (frame,) = run.load([index])
    write_radiance(path, np.asarray(frame))
    return True


def _size(pixels: Stored) -> tuple[int, int]:
    return pixels.shape[0], pixels.shape[1]
