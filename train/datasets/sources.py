"""Finds what a folder of training pictures offers."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from train.datasets.pictures import Picture, read_hdr_picture, read_ldr_picture
from train.datasets.videos import Video, read_ldr_video
from train.errors import DatasetError

HDR_SUFFIXES = frozenset({".hdr", ".exr"})
LDR_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"})
VIDEO_SUFFIXES = frozenset({".mp4", ".mkv", ".mov", ".avi", ".webm", ".m4v"})
FEWEST_FRAMES = 8

T = TypeVar("T")


@dataclass(frozen=True)
class Sources:
    """What scenes are made of; empty ones leave procedural scenes alone.

    Args:
        panoramas: Equirectangular HDR pictures.
        hdr_photos: Other HDR pictures.
        ldr_photos: 8-bit pictures.
        videos: 8-bit videos of 8 frames or more.
    """

    panoramas: tuple[Picture, ...] = ()
    hdr_photos: tuple[Picture, ...] = ()
    ldr_photos: tuple[Picture, ...] = ()
    videos: tuple[Video, ...] = ()

    @property
    def pictures(self) -> tuple[Picture, ...]:
        """All still pictures."""
        return self.panoramas + self.hdr_photos + self.ldr_photos


def find_sources(data_dir: Path | None) -> Sources:
    """Load every picture and video below a folder, known by suffix, into memory.

    Args:
        data_dir: The folder, or None for procedural scenes alone.

    Raises:
        DatasetError: If the folder is missing, holds nothing usable, or a file in it cannot be read.
    """
    if data_dir is None:
        return Sources()
    if not data_dir.is_dir():
        raise DatasetError(f"{data_dir} is not a folder: pass one that holds .hdr, .exr, .jpg, .png or .mp4 files")
    hdr = _read_all(data_dir, HDR_SUFFIXES, read=read_hdr_picture)
    found = Sources(
        panoramas=tuple(picture for picture in hdr if picture.panorama),
        hdr_photos=tuple(picture for picture in hdr if not picture.panorama),
        ldr_photos=_read_all(data_dir, LDR_SUFFIXES, read=read_ldr_picture),
        videos=_long_enough(_read_all(data_dir, VIDEO_SUFFIXES, read=read_ldr_video)),
    )
    if not (found.pictures or found.videos):
        suffixes = ", ".join(sorted(HDR_SUFFIXES | LDR_SUFFIXES | VIDEO_SUFFIXES))
        raise DatasetError(f"{data_dir} holds no usable picture or video: put files with {suffixes} into it")
    return found


def _read_all(folder: Path, suffixes: frozenset[str], *, read: Callable[[Path], T]) -> tuple[T, ...]:
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in suffixes and path.is_file())
    return tuple(read(path) for path in paths)


def _long_enough(videos: tuple[Video, ...]) -> tuple[Video, ...]:
    return tuple(video for video in videos if len(video.frames) >= FEWEST_FRAMES)
