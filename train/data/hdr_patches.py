"""Patches of HDR video as DeepHDRVideo prepares HdM-HDR-2014 and LiU HDRv for training; read when asked for.

Layout: `{list,train_list,val_list}.txt` of lines `scene/patch`, and `Images/scene/patch/` with `patch.txt`, seven rows
of a frame's name and a number that is not used any more, and the frames `name.npy`, float16, (H, W, 3).
"""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from train.data.clips import ClipFolders, Findings, SevenFrameClip, frames_of_one_size, list_clips, read_list
from train.data.images import Stored
from train.errors import DatasetError

FRAMES = 7
LISTS = {"train": ("train_list.txt", "list.txt"), "validation": ("val_list.txt", "list.txt")}


class PatchClip(SevenFrameClip):
    """One patch over seven frames."""

    def load(self, indices: Sequence[int]) -> list[Stored]:
        """Read frames by index, linear, 0..1 of the brightest of the middle frame, float16.

        Raises:
            DatasetError: If the list of frames or one of them is missing, cut short or of another size.
        """
        names = read_list(self.folder / f"{self.folder.name}.txt")
        if len(names) != FRAMES:
            raise DatasetError(f"{self.folder / self.folder.name}.txt names {len(names)} frames, not 7: make it anew")
        paths = [self.folder / f"{Path(name).stem}.npy" for name in names]
        return frames_of_one_size(paths, indices, read=_read_npy)


def is_patch_tree(folder: Path) -> bool:
    """Return whether a folder is laid out as HdM-HDR-2014 and LiU HDRv are for training."""
    lists = {name for names in LISTS.values() for name in names}
    return (folder / "Images").is_dir() and any((folder / name).is_file() for name in lists)


def find_patches(folder: Path, split: str) -> tuple[ClipFolders, Findings]:
    """List the patches of a split whose files are there.

    Raises:
        DatasetError: If there is no list of the split, it is damaged, or not one patch is complete.
    """
    path = next((folder / name for name in LISTS[split] if (folder / name).is_file()), None)
    if path is None:
        raise DatasetError(f"{folder} has none of {', '.join(LISTS[split])}: fetch the list")
    names = read_list(path)
    title = f"HDR video patches in {folder}"
    return list_clips(PatchClip, folder / "Images", names, fault=_fault, title=title, list_name=path.name)


def _fault(clip: Path) -> str | None:
    try:
        present = set(os.listdir(clip))
    except OSError:
        return "no folder"
    if f"{clip.name}.txt" not in present:
        return f"no {clip.name}.txt"
    frames = sum(name.endswith(".npy") for name in present)
    return f"{frames} of {FRAMES} frames" if frames < FRAMES else None


def _read_npy(path: Path) -> Stored:
    try:
        pixels = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DatasetError(f"{path} is missing or cut short ({error}): fetch it again") from error
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype.kind != "f":
        raise DatasetError(f"{path} holds {pixels.shape} {pixels.dtype}, not a float picture (H, W, 3): make it anew")
    return np.asarray(pixels)
