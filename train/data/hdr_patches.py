"""Patches of HDR video as DeepHDRVideo prepares HdM-HDR-2014 and LiU HDRv for training; read when asked for.

Layout: `{list,train_list,val_list}.txt` of lines `scene/patch`, and `Images/scene/patch/` with `patch.txt`, seven rows
of a frame's name and a number that is not used any more, and the frames `name.npy`, float16, (H, W, 3).
"""

from collections.abc import Collection
from pathlib import Path

import numpy as np

from train.data.clips import FileClip, Findings, list_clips, read_list
from train.data.images import Stored
from train.errors import DatasetError

FRAMES = 7
LISTS = {"train": ("train_list.txt", "list.txt"), "validation": ("val_list.txt", "list.txt")}


def is_patch_tree(folder: Path) -> bool:
    """Return whether a folder is laid out as HdM-HDR-2014 and LiU HDRv are for training."""
    lists = {name for names in LISTS.values() for name in names}
    return (folder / "Images").is_dir() and any((folder / name).is_file() for name in lists)


def find_patches(folder: Path, split: str, *, findings: Findings) -> list[FileClip]:
    """List the patches of a split whose files are there.

    Raises:
        DatasetError: If there is no list of the split, it is damaged, or not one patch is complete.
    """
    path = next((folder / name for name in LISTS[split] if (folder / name).is_file()), None)
    if path is None:
        raise DatasetError(f"{folder} has none of {', '.join(LISTS[split])}: fetch the list")
    title = f"HDR video patches in {folder}"
    names = read_list(path)
    return list_clips(folder / "Images", names, _open_patch, title=title, list_name=path.name, findings=findings)


def _open_patch(folder: Path, files: Collection[str]) -> FileClip | str:
    if f"{folder.name}.txt" not in files:
        return f"no {folder.name}.txt"
    frames = sum(name.endswith(".npy") for name in files)
    if frames < FRAMES:
        return f"{frames} of {FRAMES} frames"
    names = tuple(f"{Path(name).stem}.npy" for name in read_list(folder / f"{folder.name}.txt"))
    if len(names) != FRAMES:
        return f"{folder.name}.txt names {len(names)} frames, not {FRAMES}"
    return FileClip(f"{folder.parent.name}/{folder.name}", str(folder), names, _read_npy)


def _read_npy(path: Path) -> Stored:
    """Read a frame, linear, 0..1 of the brightest of the middle frame, float16."""
    try:
        pixels = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DatasetError(f"{path} is missing or cut short ({error}): fetch it again") from error
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype.kind != "f":
        raise DatasetError(f"{path} holds {pixels.shape} {pixels.dtype}, not a float picture (H, W, 3): make it anew")
    return np.asarray(pixels)
