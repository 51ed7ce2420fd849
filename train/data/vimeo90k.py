"""Vimeo-90K septuplets: seven LDR frames a clip, tens of thousands of clips, read when they are asked for.

Layout: `sequences/00001/0001/im1.png` to `im7.png`, and lists `sep_trainlist.txt`, `sep_testlist.txt` of `00001/0001`.
Xue et al., "Video Enhancement with Task-Oriented Flow", IJCV 2019.
"""

from collections.abc import Collection
from pathlib import Path

from train.data.clips import FileClip, Findings, list_clips, read_list
from train.data.images import read_codes

FRAMES = tuple(f"im{number}.png" for number in range(1, 8))
LISTS = {"train": "sep_trainlist.txt", "validation": "sep_testlist.txt"}


def is_vimeo90k(folder: Path) -> bool:
    """Return whether a folder is laid out as Vimeo-90K's septuplets are."""
    if not (folder / "sequences").is_dir():
        return False
    listed = any((folder / name).is_file() for name in LISTS.values())
    return listed or next((folder / "sequences").glob("*/*/im1.png"), None) is not None


def find_septuplets(folder: Path, split: str, *, findings: Findings) -> list[FileClip]:
    """List the clips of a split whose seven files are there; without a list, all clips on the disk.

    Raises:
        DatasetError: If the list is damaged, or not one clip is complete.
    """
    root = folder / "sequences"
    path = folder / LISTS[split]
    if path.is_file():
        names, list_name = read_list(path), path.name
    else:
        names = sorted(f"{clip.parent.name}/{clip.name}" for clip in root.glob("*/*") if clip.is_dir())
        list_name = f"all folders, for there is no {path.name}"
    title = f"Vimeo-90K septuplets in {folder}"
    return list_clips(root, names, _open_septuplet, title=title, list_name=list_name, findings=findings)


def _open_septuplet(folder: Path, files: Collection[str]) -> FileClip | str:
    missing = [name for name in FRAMES if name not in files]
    if missing:
        return f"no {', '.join(missing)}"
    return FileClip(f"{folder.parent.name}/{folder.name}", str(folder), FRAMES, read_codes)
