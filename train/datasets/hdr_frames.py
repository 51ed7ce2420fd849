"""Folders of numbered HDR frames as clips, read when they are asked for."""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from train.datasets.clip import frames_of_one_size
from train.datasets.listed import Findings, shortened
from train.datasets.pictures import HALF_MAX, Stored, read_radiance

FEWEST_FRAMES = 7
LONGEST_SIDE = 960
# Samples follow no order, so this serves small sets; 64 frames of 960x540 are 200 MB.
REMEMBERED = 64

_NUMBERED = re.compile(r"^(.*?)(\d+)$")


@dataclass(frozen=True)
class FrameRun:
    """Consecutively numbered frames of one folder.

    Args:
        paths: Files in order of number.
    """

    paths: tuple[Path, ...]

    @property
    def name(self) -> str:
        """Folder and first file."""
        return f"{self.paths[0].parent.name}/{self.paths[0].name}"

    @property
    def count(self) -> int:
        """Number of frames."""
        return len(self.paths)

    def load(self, indices: Sequence[int]) -> list[Stored]:
        """Read frames by index, linear, float16, reduced by area averaging to 960 pixels at most.

        Raises:
            DatasetError: If a file is missing, damaged or of another size than the others.
        """
        return frames_of_one_size(self.paths, indices, read=_read_frame)


def split_runs(paths: Iterable[Path]) -> tuple[list[FrameRun], list[Path], Findings]:
    """Tell numbered frames from single pictures.

    Seven or more files of one folder, name and suffix with consecutive numbers are a clip; a missing number parts it.
    Pictures twice as wide as high are panoramas, whatever they are called.

    Args:
        paths: HDR files.

    Returns:
        Clips, the files that are none, and what is missing.
    """
    numbered, singles = _by_name(paths)
    runs: list[FrameRun] = []
    broken: list[str] = []
    for (folder, prefix, suffix), files in numbered.items():
        if len(files) < FEWEST_FRAMES or _is_panorama(next(iter(files.values()))):
            singles += files.values()
            continue
        parts = _consecutive(files)
        whole = [part for part in parts if len(part) >= FEWEST_FRAMES]
        runs += [FrameRun(tuple(part)) for part in whole]
        if len(parts) > 1:
            left = sum(map(len, parts)) - sum(map(len, whole))
            broken.append(f"{folder / prefix}*{suffix} (parted into {len(parts)}, {left} frames left out)")
    return runs, sorted(singles), Findings(missing=_words(broken))


def _by_name(paths: Iterable[Path]) -> tuple[dict[tuple[Path, str, str], dict[int, Path]], list[Path]]:
    """Group files by folder, name without number, and suffix; files without a number are single."""
    numbered: dict[tuple[Path, str, str], dict[int, Path]] = defaultdict(dict)
    singles = []
    for path in paths:
        match = _NUMBERED.match(path.stem)
        if match:
            numbered[path.parent, match[1], path.suffix.lower()][int(match[2])] = path
        else:
            singles.append(path)
    return numbered, singles


def _words(broken: list[str]) -> tuple[str, ...]:
    return (f"numbers are missing in {len(broken):,} sequences of HDR frames: {shortened(broken)}",) if broken else ()


def _consecutive(files: dict[int, Path]) -> list[list[Path]]:
    parts: list[list[Path]] = []
    for number in sorted(files):
        if number - 1 not in files:
            parts.append([])
        parts[-1].append(files[number])
    return parts


def _is_panorama(path: Path) -> bool:
    height, width = _read_frame(path).shape[:2]
    return bool(width == 2 * height)


@lru_cache(maxsize=REMEMBERED)
def _read_frame(path: Path) -> Stored:
    pixels = np.nan_to_num(read_radiance(path).astype(np.float32), nan=0.0, posinf=HALF_MAX, neginf=0.0)
    scale = LONGEST_SIDE / max(pixels.shape[:2])
    if scale < 1:
        size = (round(pixels.shape[1] * scale), round(pixels.shape[0] * scale))
        pixels = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.float32)
    return np.asarray(pixels.clip(0, HALF_MAX), np.float16)
