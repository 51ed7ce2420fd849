"""Clips: the protocol, folders of clips, numbered HDR frames, and lists of what is complete."""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.random import Generator

from train.data.images import HALF_MAX, Stored, read_radiance, reduced
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


class Clip(Protocol):
    """Consecutive frames of one size, in memory or not."""

    @property
    def name(self) -> str:
        """Name for messages."""

    @property
    def count(self) -> int:
        """Number of frames."""

    def load(self, indices: Sequence[int]) -> list[Stored]:
        """Return frames by index: R, G, B, (H, W, 3) each, uint8 encoded or float linear of any scale.

        Raises:
            DatasetError: If a file is missing, cut short or of another size.
        """


@dataclass(frozen=True)
class SevenFrameClip:
    """A clip of seven frames in a folder of its own, `SET/CLIP`, as published sets for training have them."""

    folder: Path
    count: int = 7

    @property
    def name(self) -> str:
        """Name as the lists have it."""
        return f"{self.folder.parent.name}/{self.folder.name}"


@dataclass(frozen=True)
class ClipFolders(Sequence[Clip]):
    """Many clips, each in a folder of its own, of which only the names are in memory."""

    kind: Callable[[Path], Clip]
    folders: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.folders)

    def __getitem__(self, index: Any) -> Any:  # a clip by its number, others by a slice
        if isinstance(index, slice):
            return ClipFolders(self.kind, self.folders[index])
        return self.kind(Path(self.folders[index]))


def frames_of_one_size(
    paths: Sequence[Path], indices: Sequence[int], *, read: Callable[[Path], Stored]
) -> list[Stored]:
    """Read frames of a clip by index, each file once, or raise a DatasetError if their sizes differ."""
    frames = {index: read(paths[index]) for index in dict.fromkeys(indices)}
    height, width = frames[indices[0]].shape[:2]
    for index, frame in frames.items():
        if frame.shape[:2] != (height, width):
            raise DatasetError(
                f"{paths[index]} has {frame.shape[1]}x{frame.shape[0]} pixels, {paths[indices[0]].name} beside it has "
                f"{width}x{height}: fetch both again, or take the clip out of the folder"
            )
    return [frames[index] for index in indices]


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
    """What a folder of training data holds, and what is missing in it."""

    found: tuple[str, ...] = ()  # a line per kind
    missing: tuple[str, ...] = ()  # a line per kind of problem: listed but absent, empty, or left out

    def __add__(self, other: "Findings") -> "Findings":
        return Findings(self.found + other.found, self.missing + other.missing)


def read_list(path: Path) -> list[str]:
    """Read the first word of every line that has one.

    Raises:
        DatasetError: If the list cannot be read or is empty.
    """
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
    kind: Callable[[Path], Clip],
    root: Path,
    names: Sequence[str],
    *,
    fault: Callable[[Path], str | None],
    title: str,
    list_name: str,
) -> tuple[ClipFolders, Findings]:
    """Keep the clips of a list that are complete, and report the others.

    Args:
        kind: Makes a clip of its folder.
        root: Folder of the clips' folders.
        names: Names as the list has them.
        fault: Says what a clip's folder lacks, or None.
        title: Name of the set for messages.
        list_name: Name of the list for messages.

    Raises:
        DatasetError: If not one clip is complete.
    """
    faults = {name: fault(root / name) for name in names}
    wrong = [f"{name} ({lack})" for name, lack in faults.items() if lack]
    complete = [name for name, lack in faults.items() if not lack]
    if not complete:
        raise DatasetError(
            f"{root.parent}: none of {len(names):,} clips is complete, e.g. {shortened(wrong)}: unpack it"
        )
    missing = (
        f"{title}: {len(wrong):,} of {len(names):,} clips of {list_name} are absent or incomplete and left out: "
        f"{shortened(wrong)}"
    )
    findings = Findings((f"{title}: {len(complete):,} clips, by {list_name}",), (missing,) if wrong else ())
    return ClipFolders(kind, tuple(str(root / name) for name in complete)), findings


@dataclass(frozen=True)
class FrameRun:
    """Consecutively numbered frames of one folder, in order of number."""

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
    """Separate HDR files into clips of numbered frames and single pictures.

    Seven or more files of one folder, name and suffix with consecutive numbers are a clip; a missing number parts it.
    Pictures twice as wide as high are panoramas, whatever they are called.

    Returns:
        Clips, single pictures, and what is missing.
    """
    numbered: dict[tuple[Path, str, str], dict[int, Path]] = defaultdict(dict)
    singles: list[Path] = []
    for path in paths:
        match = _NUMBERED.match(path.stem)
        if match:
            numbered[path.parent, match[1], path.suffix.lower()][int(match[2])] = path
        else:
            singles.append(path)
    runs: list[FrameRun] = []
    broken: list[str] = []
    for (folder, prefix, suffix), files in numbered.items():
        height, width = _read_frame(next(iter(files.values()))).shape[:2] if len(files) >= FEWEST_FRAMES else (1, 2)
        if width == 2 * height:
            singles += files.values()
            continue
        parts: list[list[Path]] = []
        for number in sorted(files):
            if number - 1 not in files:
                parts.append([])
            parts[-1].append(files[number])
        whole = [part for part in parts if len(part) >= FEWEST_FRAMES]
        runs += [FrameRun(tuple(part)) for part in whole]
        if len(parts) > 1:
            left = sum(map(len, parts)) - sum(map(len, whole))
            broken.append(f"{folder / prefix}*{suffix} (parted into {len(parts)}, {left} frames left out)")
    if not broken:
        return runs, sorted(singles), Findings()
    line = f"numbers are missing in {len(broken):,} sequences of HDR frames: {shortened(broken)}"
    return runs, sorted(singles), Findings(missing=(line,))


@lru_cache(maxsize=REMEMBERED)
def _read_frame(path: Path) -> Stored:
    pixels = np.nan_to_num(read_radiance(path).astype(np.float32), nan=0.0, posinf=HALF_MAX, neginf=0.0)
    return np.asarray(reduced(pixels, LONGEST_SIDE).clip(0, HALF_MAX), np.float16)
