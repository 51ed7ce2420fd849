"""Reads the frames of a scene and their truths, and refuses what could only be scored wrongly."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from model.exposure import GAMMA_8_BIT, CodePrecision, to_ldr
from model.response import ResponseCurve, gamma_curve, table_curve
from train.benchmarks.request import Request
from train.benchmarks.scene import Scene
from train.curve_file import read_curve
from train.datasets.pictures import Pixels, Stored, read_radiance
from train.datasets.whole_files import demand_whole
from train.errors import DatasetError

LOSSY = frozenset({".jpg", ".jpeg"})
ReadFrame = Callable[[Path], Tensor]
Rescale = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class SceneFiles:
    """The files of a scene.

    Args:
        name: Name as the set has it.
        exposures: Linear, relative to the shortest, one per frame.
        frames: One file per frame, in order of time.
        truths: Files by frame number.
        response: File of the camera's response, None for frames that are encoded with 1/2.2.
    """

    name: str
    exposures: tuple[float, ...]
    frames: tuple[Path, ...]
    truths: Mapping[int, Path]
    response: Path | None = None

    @property
    def paths(self) -> tuple[Path, ...]:
        """All files."""
        return (*self.frames, *self.truths.values())

    def scene(self, *, read_frame: ReadFrame, rescale: Rescale) -> Scene:
        """Turn files into what reads them.

        Args:
            read_frame: Reads a frame as it is stored, 0..1, (3, H, W); encoded with 1/2.2 if there is no response.
            rescale: Brings a truth to 1.0 = clip level of the shortest exposure.

        Raises:
            DatasetError: If frames of a camera with a response of its own are linear already.
            ResponseError: If the file of the response cannot be read.
        """
        curve = gamma_curve() if self.response is None else table_curve(self.name, read_curve(self.response))
        frames = FrameReader(self.frames, lambda path: curve.to_ldr(read_frame(path)))
        truths = {number: partial(read_truth, path, frames, rescale=rescale) for number, path in self.truths.items()}
        labels = tuple(path.stem for path in self.frames)
        return Scene(self.name, self.exposures, labels, frames, truths, self._precision(curve), curve)

    def _precision(self, curve: ResponseCurve) -> CodePrecision:
        first = self.frames[0]
        lossy = first.suffix.lower() in LOSSY
        if self.response is None:
            return curve.precision(lossy=True) if lossy else GAMMA_8_BIT
        if first.suffix.lower() == ".exr":
            raise DatasetError(f"{first} is linear already: take {self.response.name} out of its folder")
        return curve.precision(bits=8 * read_codes(first).itemsize, lossy=lossy)


def unscored(found: Sequence[SceneFiles], request: Request) -> tuple[str, ...]:
    """Say how many frames could be scored but have no truth; nothing if all have one."""
    possible = sum(len(request.centers(len(files.frames))) for files in found)
    lacking = possible - sum(len(files.truths) for files in found)
    return (f"{lacking} of {possible} frames with a whole window have no truth and are not scored.",) if lacking else ()


@dataclass(frozen=True)
class FrameReader:
    """Reads frames of one size by their number.

    Args:
        paths: One file per frame.
        read: Reads one.
    """

    paths: tuple[Path, ...]
    read: ReadFrame

    def __call__(self, number: int) -> Tensor:
        """Read a frame.

        Returns:
            Encoded with 1/2.2, 0..1, (3, H, W).

        Raises:
            DatasetError: If the file is damaged or of another size than the first.
        """
        frame = self.read(self.paths[number])
        if _size(frame) != self.size:
            raise DatasetError(
                f"{self.paths[number]} has {_words(_size(frame))} pixels, {self.paths[0].name} beside it has "
                f"{_words(self.size)}: fetch both again"
            )
        return frame

    @cached_property
    def size(self) -> tuple[int, int]:
        """Height and width of the first frame."""
        return _size(self.read(self.paths[0]))


def read_truth(path: Path, frames: FrameReader, *, rescale: Rescale) -> Tensor:
    """Read a truth, Radiance or OpenEXR.

    Args:
        path: The file.
        frames: The frames that it must fit.
        rescale: Brings it to 1.0 = clip level of the shortest exposure.

    Returns:
        Linear radiance, clipped to 0..1, (3, H, W).

    Raises:
        DatasetError: If it is damaged, of another size than the frames, or holds values that are no numbers.
    """
    radiance = _to_tensor(np.asarray(read_radiance(path), np.float32))
    if _size(radiance) != frames.size:
        raise DatasetError(
            f"{path} has {_words(_size(radiance))} pixels, the frames of its scene have {_words(frames.size)}: a truth "
            "must have the size of its frames, fetch both again"
        )
    wrong = int((~radiance.isfinite()).sum())
    if wrong:
        raise DatasetError(f"{path} holds {wrong:,} values that are NaN or infinite: repair it or take the scene out")
    return rescale(radiance.clamp_(min=0)).clamp_(0, 1)


def as_stored(radiance: Tensor) -> Tensor:
    """Leave a truth as it is."""
    return radiance


def by_own_maximum(radiance: Tensor) -> Tensor:
    """Divide a truth by its own maximum where that is above 1, as the published loaders do with filmed sets."""
    return radiance / radiance.max().clamp(min=1)


def read_encoded(path: Path) -> Tensor:
    """Read a frame that is encoded with 1/2.2: 8 or 16 bits over their greatest code; OpenEXR is exposed and encoded.

    Returns:
        0..1, (3, H, W).

    Raises:
        DatasetError: If the file is damaged or of another kind.
    """
    if path.suffix.lower() == ".exr":
        linear = _to_tensor(np.asarray(read_radiance(path), np.float32))
        return to_ldr(linear.nan_to_num(nan=0.0), 1.0)
    codes = read_codes(path)
    return _to_tensor(np.asarray(codes, np.float32) / np.float32(np.iinfo(codes.dtype).max))


def read_codes(path: Path) -> Stored:
    """Read R, G, B codes of 8 or 16 bits as stored, (H, W, 3).

    Raises:
        DatasetError: If the file is damaged or holds no such codes.
    """
    demand_whole(path)
    codes = cv2.imread(str(path), cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
    if codes is None:
        raise DatasetError(f"{path} cannot be read as a picture: it is damaged or cut short, fetch it again")
    if codes.dtype not in (np.uint8, np.uint16):
        raise DatasetError(f"{path} holds {codes.dtype} samples, 8- or 16-bit codes are needed: fetch it again")
    return codes[..., ::-1]


def read_by_table(path: Path, *, table: Pixels) -> Tensor:
    """Read a 16-bit frame and look up each code.

    Args:
        path: The file.
        table: Values encoded with 1/2.2 by code, 0..1, (65536, 3).

    Returns:
        Encoded with 1/2.2, 0..1, (3, H, W).

    Raises:
        DatasetError: If the file is damaged or not of 16 bits.
    """
    codes = read_codes(path)
    if codes.dtype != np.uint16:
        raise DatasetError(f"{path} has 8 bits, the camera's table has 65,536 codes: fetch the 16-bit file")
    channels = [table[codes[..., channel], channel] for channel in range(3)]
    return torch.from_numpy(np.stack(channels))


def _to_tensor(pixels: Pixels) -> Tensor:
    """(H, W, 3) to (3, H, W)."""
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))


def _size(picture: Tensor) -> tuple[int, int]:
    return picture.shape[-2], picture.shape[-1]


def _words(size: tuple[int, int]) -> str:
    return f"{size[1]}x{size[0]}"
