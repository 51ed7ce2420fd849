"""What all clips have in common, wherever their frames come from."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, overload

from numpy.random import Generator

from train.datasets.pictures import Stored
from train.errors import DatasetError


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
class ClipFolders(Sequence[Clip]):
    """Many clips, each in a folder of its own, of which only the names are in memory.

    Args:
        kind: Makes a clip of its folder.
        folders: One per clip.
    """

    kind: Callable[[Path], Clip]
    folders: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.folders)

    @overload
    def __getitem__(self, index: int) -> Clip: ...
    @overload
    def __getitem__(self, index: slice) -> "ClipFolders": ...
    def __getitem__(self, index: int | slice) -> "Clip | ClipFolders":
        if isinstance(index, slice):
            return ClipFolders(self.kind, self.folders[index])
        return self.kind(Path(self.folders[index]))


def frames_of_one_size(
    paths: Sequence[Path], indices: Sequence[int], *, read: Callable[[Path], Stored]
) -> list[Stored]:
    """Read frames by index, each file once.

    Args:
        paths: The files of a clip in order of time.
        indices: Frames in the order that is asked for.
        read: Reads one file.

    Raises:
        DatasetError: If a file is missing, damaged or of another size than the others.
    """
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


def draw_indices(rng: Generator, count: int, *, wanted: int, longest_stride: int = 1) -> list[int]:
    """Draw consecutive frames, or every second or third, of a clip; one that is too short is mirrored in time.

    Args:
        rng: Source of all randomness.
        count: Frames that the clip has.
        wanted: Frames to choose.
        longest_stride: Largest distance in frames from one to the next.
    """
    longest = max(1, (count - 1) // max(1, wanted - 1))
    stride = min(int(rng.integers(1, longest_stride + 1)), longest)
    start = int(rng.integers(max(1, count - stride * (wanted - 1))))
    return [mirrored(start + stride * step, count) for step in range(wanted)]
