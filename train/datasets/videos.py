"""Videos in memory; LDR ones are decoded once into bytes."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from train.datasets.pictures import Stored
from train.errors import DatasetError


@dataclass(frozen=True)
class Video:
    """Consecutive frames of a video.

    Args:
        name: File name without suffix.
        frames: R, G, B, (N, H, W, 3); uint8 encoded, or float linear radiance of any scale.
    """

    name: str
    frames: Stored

    @property
    def count(self) -> int:
        """Number of frames."""
        return len(self.frames)

    @property
    def encoded(self) -> bool:
        """Whether the pixels are 8-bit codes of an unknown camera response."""
        return self.frames.dtype == np.uint8

    def load(self, indices: Sequence[int]) -> list[Stored]:
        """Return frames by index, not copied."""
        return [self.frames[index] for index in indices]


def read_ldr_video(path: Path, *, first: int = 0, most_frames: int = 72, longest_side: int = 960) -> Video:
    """Decode consecutive frames, reduced by area averaging to at most `longest_side`.

    Args:
        path: Any video that OpenCV can decode.
        first: Frames to leave out at the beginning.
        most_frames: Frames to decode.
        longest_side: Frames wider or higher than this are reduced to it.

    Raises:
        DatasetError: If not one frame can be decoded.
    """
    capture = cv2.VideoCapture(str(path))
    frames: list[NDArray[np.uint8]] = []
    try:
        for _ in range(first):
            capture.grab()
        while len(frames) < most_frames:
            decoded, frame = capture.read()
            if not decoded:
                break
            frames.append(reduced(np.asarray(frame, dtype=np.uint8), longest_side)[..., ::-1])
    finally:
        capture.release()
    if not frames:
        raise DatasetError(f"{path} cannot be decoded as a video: repair it or take it out of the folder")
    return Video(path.stem, np.stack(frames))


def reduced(frame: NDArray[np.uint8], longest_side: int) -> NDArray[np.uint8]:
    """Reduce a frame by area averaging to at most `longest_side`, wide or high."""
    scale = longest_side / max(frame.shape[:2])
    if scale >= 1:
        return frame
    size = (round(frame.shape[1] * scale), round(frame.shape[0] * scale))
    return np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
