"""Discovery of the pictures and clips in a folder of training data."""

import logging
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np

from train.data.brackets import bracket_files, is_bracket, read_bracket
from train.data.clips import Clip, FileClip, Findings, shortened, split_runs
from train.data.hdr_patches import find_patches, is_patch_tree
from train.data.images import Picture, hdr_picture, ldr_picture, read_codes, read_hdr_picture
from train.data.videos import Video, hdr_transfer, pyav_available, read_hdr_video, read_ldr_video
from train.data.vimeo90k import find_septuplets, is_vimeo90k
from train.errors import DatasetError

HDR_SUFFIXES = frozenset({".hdr", ".exr"})
LDR_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"})
VIDEO_SUFFIXES = frozenset({".mp4", ".mkv", ".mov", ".avi", ".webm", ".m4v"})
# What browsers and download tools call a file that is not complete yet.
PARTIAL_SUFFIXES = frozenset({".part", ".partial", ".crdownload", ".aria2", ".download"})
ARCHIVES = frozenset({".zip", ".tar", ".gz", ".tgz", ".7z", ".rar"})
MOST_IN_A_BRACKET = 32  # a folder of more is one of photos, and their headers need not be read


@dataclass(frozen=True)
class Listing:
    """Files and folders below a folder; each list is in order of paths."""

    hdr: list[Path] = field(default_factory=list)
    ldr: list[Path] = field(default_factory=list)
    videos: list[Path] = field(default_factory=list)
    # folders of pictures of one scene at different exposures, which are not in `ldr`
    brackets: list[Path] = field(default_factory=list)
    vimeo90k: list[Path] = field(default_factory=list)
    patches: list[Path] = field(default_factory=list)  # folders laid out as HdM-HDR-2014 and LiU HDRv patches
    missing: list[str] = field(default_factory=list)  # a line per kind of what is empty or unfinished


def list_folder(folder: Path) -> Listing:
    """Walk a folder; large sets of a known layout are named, not walked through."""
    listing = Listing()
    empty: list[str] = []
    partial: list[str] = []  # files that a download has not finished, and archives that nobody has unpacked
    by_suffix = ((HDR_SUFFIXES, listing.hdr), (LDR_SUFFIXES, listing.ldr), (VIDEO_SUFFIXES, listing.videos))
    for name, folders, files in os.walk(folder):
        path = Path(name)
        folders[:] = sorted(child for child in folders if not child.startswith("."))
        if is_vimeo90k(path):
            listing.vimeo90k.append(path)
            folders[:] = []
        elif is_patch_tree(path):
            listing.patches.append(path)
            folders[:] = []
        elif not folders and not files:
            empty.append(str(path))
        pictures = bracket_files(path) if files else ()
        if 1 < len(pictures) <= MOST_IN_A_BRACKET and is_bracket(path):
            listing.brackets.append(path)
        else:
            pictures = ()
        for file in sorted(files):
            if path / file in pictures or file.startswith("."):
                continue
            suffix = Path(file).suffix.lower()
            for suffixes, paths in by_suffix:
                if suffix in suffixes:
                    paths.append(path / file)
            if suffix in PARTIAL_SUFFIXES | ARCHIVES:
                partial.append(str(path / file))
    for title, names in (("empty folders", empty), ("files not downloaded to the end, or not unpacked", partial)):
        if names:
            listing.missing.append(f"{title} ({len(names):,}): {shortened(names)}")
    return listing


# Kinds of scenes as `Mixture` names them, by the field of `Sources` that offers them.
STILL_KINDS = {"panorama": "panoramas", "hdr_photo": "hdr_photos", "ldr_photo": "ldr_photos"}
CLIP_KINDS = {
    "ldr_video": "videos",
    "hdr_video": "hdr_videos",
    "hdr_clip": "hdr_clips",
    "hdr_patch": "hdr_patches",
    "vimeo90k": "vimeo90k",
}
LDR_KINDS = ("ldr_photo", "ldr_video", "vimeo90k")
FEWEST_FRAMES = 8
# Videos are held decoded: 4,000 frames of 960x540 are 6 GB; where there are many videos, each gives fewer frames.
FRAMES_PER_VIDEO, FRAMES_IN_ALL = 72, 4000

Split = Literal["train", "validation"]
T = TypeVar("T")
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Sources:
    """Pictures and clips by kind; without any, scenes are procedural."""

    panoramas: tuple[Picture, ...] = ()  # equirectangular HDR pictures
    hdr_photos: tuple[Picture, ...] = ()  # other HDR pictures, and merged exposure brackets
    ldr_photos: tuple[Picture, ...] = ()
    videos: tuple[Video, ...] = ()  # 8-bit videos of 8 frames or more
    hdr_videos: tuple[Video, ...] = ()  # PQ and HLG videos, linear
    hdr_clips: Sequence[FileClip] = ()  # folders of numbered HDR frames
    hdr_patches: Sequence[FileClip] = ()
    vimeo90k: Sequence[FileClip] = ()
    findings: Findings = field(default_factory=Findings)

    @property
    def pictures(self) -> tuple[Picture, ...]:
        """All still pictures."""
        return self.panoramas + self.hdr_photos + self.ldr_photos

    @property
    def offered(self) -> frozenset[str]:
        """Kinds of scenes that can be made."""
        kinds = STILL_KINDS | CLIP_KINDS
        return frozenset([*(kind for kind, field_name in kinds.items() if getattr(self, field_name)), "procedural"])

    def clips(self, kind: str) -> Sequence[Clip]:
        """Return all clips of one of `CLIP_KINDS`."""
        clips: Sequence[Clip] = getattr(self, CLIP_KINDS[kind])
        return clips


def find_sources(data_dir: Path | None, split: Split = "train") -> Sources:
    """Find every picture and clip below a folder, by suffix and layout; several sets may lie side by side.

    Pictures and video files are loaded into memory; of Vimeo-90K, HDR patches and folders of HDR frames only names are.
    Counts are logged, and problems as warnings.

    Args:
        data_dir: The folder, or None for procedural scenes alone.
        split: Which list of a set that has several is used.

    Raises:
        DatasetError: If the folder is missing, holds nothing usable, or a file in it cannot be read.
    """
    if data_dir is None:
        return Sources()
    if not data_dir.is_dir():
        raise DatasetError(f"{data_dir} is not a folder: pass one that holds .hdr, .exr, .jpg, .png or .mp4 files")
    listing = list_folder(data_dir)
    sources = _load(listing, split)
    if sources.offered == {"procedural"}:
        suffixes = ", ".join(sorted(HDR_SUFFIXES | LDR_SUFFIXES | VIDEO_SUFFIXES))
        problems = "".join(f" ({line})" for line in sources.findings.missing)
        raise DatasetError(f"{data_dir} holds no usable picture or video{problems}: put files with {suffixes} into it")
    log.info("%s holds %s", data_dir, "; ".join(sources.findings.found))
    for line in sources.findings.missing:
        log.warning("%s", line)
    return sources


def _load(listing: Listing, split: Split) -> Sources:
    findings = Findings()
    merged, unmerged = _merge_brackets(listing.brackets, findings=findings)
    septuplets = [clip for folder in listing.vimeo90k for clip in find_septuplets(folder, split, findings=findings)]
    patches = [clip for folder in listing.patches for clip in find_patches(folder, split, findings=findings)]
    runs, singles = split_runs(listing.hdr, findings=findings)
    hdr = _read_all(singles, read=read_hdr_picture)
    videos = _read_videos(listing.videos, findings=findings)
    findings.missing.extend(listing.missing)
    sources = Sources(
        panoramas=tuple(picture for picture in hdr if picture.panorama),
        hdr_photos=(*(picture for picture in hdr if not picture.panorama), *merged),
        ldr_photos=_read_all([*listing.ldr, *unmerged], read=lambda path: ldr_picture(path.stem, read_codes(path))),
        videos=tuple(video for video in videos if video.frames.dtype == np.uint8),
        hdr_videos=tuple(video for video in videos if video.frames.dtype != np.uint8),
        hdr_clips=runs,
        hdr_patches=patches,
        vimeo90k=septuplets,
        findings=findings,
    )
    counts = {
        "HDR panoramas": len(sources.panoramas),
        "HDR photos": len(sources.hdr_photos),
        "LDR photos": len(sources.ldr_photos),
        "LDR videos": len(sources.videos),
        "HDR videos": len(sources.hdr_videos),
        "sequences of HDR frames": len(sources.hdr_clips),
    }
    findings.found[:0] = [f"{kind}: {count:,}" for kind, count in counts.items() if count]
    return sources


def _read_all(paths: Sequence[Path], *, read: Callable[[Path], T]) -> tuple[T, ...]:
    """Read files side by side; decoders leave Python to others while they work."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return tuple(pool.map(read, paths))


def _merge_brackets(folders: Sequence[Path], *, findings: Findings) -> tuple[list[Picture], list[Path]]:
    """Merge exposure brackets; return those, and the pictures of what is no bracket, such as photos in one folder."""
    merged: list[Picture] = []
    unmerged: list[Path] = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        tasks = [pool.submit(lambda path: hdr_picture(path.name, read_bracket(path).radiance()), p) for p in folders]
        for folder, task in zip(folders, tasks, strict=True):
            try:
                merged.append(task.result())
            except DatasetError as error:
                unmerged += bracket_files(folder)
                findings.missing.append(f"taken for LDR photos, not for a bracket: {error}")
    if merged:
        findings.found.append(f"of the HDR photos, merged exposure brackets: {len(merged):,}")
    return merged, unmerged


def _read_videos(paths: Sequence[Path], *, findings: Findings) -> list[Video]:
    most_frames = max(FEWEST_FRAMES, min(FRAMES_PER_VIDEO, FRAMES_IN_ALL // max(1, len(paths))))

    def read_video(path: Path) -> Video:
        if pyav_available() and hdr_transfer(path):
            video = read_hdr_video(path, most_frames=most_frames)
            return replace(video, frames=video.frames.astype(np.float16))
        return read_ldr_video(path, most_frames=most_frames)

    videos = _read_all(paths, read=read_video)
    short = [f"{video.name} ({video.count})" for video in videos if video.count < FEWEST_FRAMES]
    if short:
        findings.missing.append(
            f"{len(short)} videos of less than {FEWEST_FRAMES} frames are left out: {shortened(short)}"
        )
    if paths and not pyav_available():
        findings.missing.append("without the package av, PQ and HLG video is taken for LDR: pip install av")
    return [video for video in videos if video.count >= FEWEST_FRAMES]
