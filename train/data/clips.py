"""Clips in files: published sets with lists, and numbered HDR frames."""

import os
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.random import Generator

from train.data.images import HALF_MAX, Stored, read_radiance, reduced
from train.data.videos import Video
from train.errors import DatasetError

FEWEST_FRAMES = 7
LONGEST_SIDE = 960
# Samples follow no order, so this serves small sets; 64 frames of 960x540 are 200 MB.
REMEMBERED = 64
NAMED = 3  # items of a list in a message

_NUMBERED = re.compile(r"^(.*?)(\d+)$")


def evenly(count: int, *, limit: int | None) -> list[int]:
    """Choose at most `limit` of 0..count - 1, evenly spread; all without a limit."""
    chosen = min(limit or count, count)
    return [index * count // chosen for index in range(chosen)]


@dataclass(frozen=True, slots=True)
class FileClip:
    """Consecutive frames in files of one folder, read when they are asked for."""

    name: str
    folder: str
    files: tuple[str, ...]  # in order of time
    read: Callable[[Path], Stored]

    @property
    def count(self) -> int:
        """Number of frames."""
        return len(self.files)

    def load(self, indices: Sequence[int]) -> list[Stored]:
        """Read frames by index, each file once: R, G, B, (H, W, 3) each, uint8 encoded or float linear of any scale.

        Raises:
            DatasetError: If a file is missing, cut short or of another size than the others.
        """
        frames = {index: self.read(Path(self.folder, self.files[index])) for index in dict.fromkeys(indices)}
        height, width = frames[indices[0]].shape[:2]
        for index, frame in frames.items():
            if frame.shape[:2] != (height, width):
                raise DatasetError(
                    f"{Path(self.folder, self.files[index])} has {frame.shape[1]}x{frame.shape[0]} pixels, "
                    f"{self.files[indices[0]]} beside it has {width}x{height}: fetch both again, or take the clip out "
                    "of the folder"
                )
        return [frames[index] for index in indices]


Clip = Video | FileClip


def mirrored(index: int, count: int) -> int:
    """Move an index inside 0..count - 1 as if time turned around at the ends, without standing still there.

    A septuplet has 7 frames, two windows of three exposures need 8: the eighth is the sixth again. Time that turns
    around is motion that turns around; a frame repeated would be motion that stops.
    """
    period = max(1, 2 * (count - 1))
    index %= period
    return min(index, period - index)


def draw_indices(rng: Generator, count: int, *, frames: int, longest_stride: int = 1) -> list[int]:
    """Draw consecutive frames, or every second or third, of a clip; one that is too short is mirrored in time."""
    longest = max(1, (count - 1) // max(1, frames - 1))
    stride = min(int(rng.integers(1, longest_stride + 1)), longest)
    start = int(rng.integers(max(1, count - stride * (frames - 1))))
    return [mirrored(start + stride * step, count) for step in range(frames)]


@dataclass(frozen=True)
class Findings:
    """Contents of a folder of training data, and problems in it, a line per kind."""

    found: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)  # listed but absent, empty, or left out


def read_list(path: Path) -> list[str]:
    """Read the first word of every line that has one; raise a DatasetError if the list cannot be read or is empty."""
    try:
        names = [line.split()[0] for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"the list {path} cannot be read ({error}): fetch it again") from error
    if not names:
        raise DatasetError(f"the list {path} is empty: fetch it again")
    return names


def shortened(items: Sequence[str]) -> str:
    """Name the first few, and count the others."""
    rest = f" and {len(items) - NAMED:,} more" if len(items) > NAMED else ""
    return ", ".join(items[:NAMED]) + rest


def list_clips(
    root: Path,
    names: Sequence[str],
    open_clip: Callable[[Path, Collection[str]], FileClip | str],
    *,
    title: str,
    list_name: str,
    findings: Findings,
) -> list[FileClip]:
    """Keep the clips of a list that are complete, and report the others in `findings`.

    Args:
        root: Folder of the clips' folders, which are called as `names` says.
        open_clip: Makes a clip of its folder and the names of the files in it, or says what is missing.
        title: Name of the set for messages.

    Raises:
        DatasetError: If not one clip is complete.
    """
    clips: list[FileClip] = []
    wrong: list[str] = []
    for name in names:
        try:
            clip = open_clip(root / name, set(os.listdir(root / name)))
        except OSError:
            clip = "no folder"
        if isinstance(clip, FileClip):
            clips.append(clip)
        else:
            wrong.append(f"{name} ({clip})")
    if not clips:
        raise DatasetError(
            f"{root.parent}: none of {len(names):,} clips is complete, e.g. {shortened(wrong)}: unpack it"
        )
    findings.found.append(f"{title}: {len(clips):,} clips, by {list_name}")
    if wrong:
        findings.missing.append(
            f"{title}: {len(wrong):,} of {len(names):,} clips of {list_name} are absent or incomplete and left out: "
            f"{shortened(wrong)}"
        )
    return clips


def split_runs(paths: Iterable[Path], *, findings: Findings) -> tuple[list[FileClip], list[Path]]:
    """Separate HDR files into clips of numbered frames and single pictures; report missing numbers in `findings`.

    Seven or more files of one folder, name and suffix with consecutive numbers are a clip; a missing number parts it.
    Pictures twice as wide as high are panoramas, whatever they are called. Frames become float16, at most 960 pixels
    wide or high.
    """
    numbered: dict[tuple[Path, str, str], dict[int, Path]] = defaultdict(dict)
    singles: list[Path] = []
    for path in paths:
        match = _NUMBERED.match(path.stem)
        if match:
            numbered[path.parent, match[1], path.suffix.lower()][int(match[2])] = path
        else:
            singles.append(path)
    runs: list[FileClip] = []
    broken: list[str] = []
    for (folder, prefix, suffix), files in numbered.items():
        height, width = _read_frame(next(iter(files.values()))).shape[:2] if len(files) >= FEWEST_FRAMES else (1, 2)
        if width == 2 * height:
            singles += files.values()
            continue
        parts: list[list[str]] = []
        for number in sorted(files):
            if number - 1 not in files:
                parts.append([])
            parts[-1].append(files[number].name)
        whole = [tuple(part) for part in parts if len(part) >= FEWEST_FRAMES]
        runs += [FileClip(f"{folder.name}/{part[0]}", str(folder), part, _read_frame) for part in whole]
        if len(parts) > 1:
            left = sum(map(len, parts)) - sum(map(len, whole))
            broken.append(f"{folder / prefix}*{suffix} (parted into {len(parts)}, {left} frames left out)")
    if broken:
        findings.missing.append(f"numbers are missing in {len(broken):,} sequences of HDR frames: {shortened(broken)}")
    return runs, sorted(singles)


@lru_cache(maxsize=REMEMBERED)
def _read_frame(path: Path) -> Stored:
    pixels = np.nan_to_num(read_radiance(path).astype(np.float32), nan=0.0, posinf=HALF_MAX, neginf=0.0)
    return np.asarray(reduced(pixels, LONGEST_SIDE).clip(0, HALF_MAX), np.float16)
