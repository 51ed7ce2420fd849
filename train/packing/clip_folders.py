"""Clips that lie in folders, frame by frame."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from train.clips import evenly
from train.datasets import hdr_patches, vimeo90k
from train.datasets.hdr_frames import FEWEST_FRAMES, LONGEST_SIDE, FrameRun
from train.datasets.pictures import Stored, read_radiance
from train.errors import DatasetError
from train.packing.stills import AS_RADIANCE, write_radiance
from train.packing.units import MIB, Unit

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
    changes = [AS_RADIANCE] * changed + [CUT] * (len(files) < len(names))
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
