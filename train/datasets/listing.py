"""Walks a folder of training data and says which files are what, without reading pictures."""

import os
from dataclasses import dataclass, field
from pathlib import Path

from train.datasets.brackets import bracket_files, is_bracket
from train.datasets.hdr_patches import is_patch_tree
from train.datasets.listed import Findings, shortened
from train.datasets.vimeo90k import is_vimeo90k

HDR_SUFFIXES = frozenset({".hdr", ".exr"})
LDR_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"})
VIDEO_SUFFIXES = frozenset({".mp4", ".mkv", ".mov", ".avi", ".webm", ".m4v"})
# What browsers and download tools call a file that is not complete yet.
PARTIAL_SUFFIXES = frozenset({".part", ".partial", ".crdownload", ".aria2", ".download"})
ARCHIVES = frozenset({".zip", ".tar", ".gz", ".tgz", ".7z", ".rar"})
MOST_IN_A_BRACKET = 32  # a folder of more is one of photos, and their headers need not be read


@dataclass
class Listing:
    """What lies below a folder; each list is in order of paths.

    Args:
        hdr: HDR pictures.
        ldr: 8-bit pictures.
        videos: Video files.
        brackets: Folders of pictures of one scene at different exposures, which are not in `ldr`.
        vimeo90k: Folders laid out as Vimeo-90K.
        patches: Folders laid out as HdM-HDR-2014 and LiU HDRv patches.
        empty: Folders without anything in them.
        partial: Files that a download has not finished, and archives that nobody has unpacked.
    """

    hdr: list[Path] = field(default_factory=list)
    ldr: list[Path] = field(default_factory=list)
    videos: list[Path] = field(default_factory=list)
    brackets: list[Path] = field(default_factory=list)
    vimeo90k: list[Path] = field(default_factory=list)
    patches: list[Path] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)
    partial: list[str] = field(default_factory=list)

    def findings(self) -> Findings:
        """Say what is empty or unfinished."""
        lines = {
            "empty folders": self.empty,
            "files not downloaded to the end, or not unpacked": self.partial,
        }
        return Findings(
            missing=tuple(f"{what} ({len(names):,}): {shortened(names)}" for what, names in lines.items() if names)
        )

    def take(self, path: Path) -> None:
        """Sort a file in by its suffix."""
        suffix = path.suffix.lower()
        for suffixes, paths in (
            (HDR_SUFFIXES, self.hdr),
            (LDR_SUFFIXES, self.ldr),
            (VIDEO_SUFFIXES, self.videos),
        ):
            if suffix in suffixes:
                paths.append(path)
        if suffix in PARTIAL_SUFFIXES | ARCHIVES:
            self.partial.append(str(path))


def list_folder(folder: Path) -> Listing:
    """Walk a folder; large sets of a known layout are named, not walked through."""
    listing = Listing()
    for name, folders, files in os.walk(folder):
        place = Path(name)
        folders[:] = sorted(child for child in folders if not child.startswith("."))
        if is_vimeo90k(place):
            listing.vimeo90k.append(place)
            folders[:] = []
        elif is_patch_tree(place):
            listing.patches.append(place)
            folders[:] = []
        elif not folders and not files:
            listing.empty.append(str(place))
        bracketed = _bracketed(place) if files else frozenset()
        if bracketed:
            listing.brackets.append(place)
        for file in sorted(files):
            if file not in bracketed and not file.startswith("."):
                listing.take(place / file)
    return listing


def _bracketed(folder: Path) -> frozenset[str]:
    """Names of the files of a bracket; none if the folder is no bracket."""
    paths = bracket_files(folder)
    whole = 1 < len(paths) <= MOST_IN_A_BRACKET and is_bracket(folder)
    return frozenset(path.name for path in paths) if whole else frozenset()
