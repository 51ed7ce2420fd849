"""Reads the frames of a scene and their truths, and refuses what could only be scored wrongly."""

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from model.errors import ExposureError
from model.exposure import GAMMA_8_BIT, ExposureCycle, to_ldr
from model.response import gamma_curve, table_curve
from train.data.clips import shortened
from train.data.images import Pixels, Stored, demand_whole, read_radiance
from train.data.response_curve import read_curve
from train.errors import DatasetError
from train.evaluation.benchmarks.scene import Request, Scene

LOSSY = frozenset({".jpg", ".jpeg"})
ReadFrame = Callable[[Path], Tensor]


@dataclass(frozen=True, kw_only=True)
class SceneFiles:
    """The files of a scene.

    Args:
        name: Name in the set.
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

    def scene(self, *, read_frame: ReadFrame, normalize: bool) -> Scene:
        """Make a scene that reads the files.

        Args:
            read_frame: Reads a frame as it is stored, 0..1, (3, H, W); encoded with 1/2.2 if there is no response.
            normalize: Whether truths are divided by their maximum if that is above 1, as the published loaders do with
                filmed sets.

        Raises:
            DatasetError: If frames of a camera with a response of its own are linear already.
            ResponseError: If the file of the response cannot be read.
        """
        curve = gamma_curve() if self.response is None else table_curve(self.name, read_curve(self.response))
        frames = FrameReader(self.frames, lambda path: curve.to_ldr(read_frame(path)))
        truths = {
            number: partial(read_truth, path, frames, normalize=normalize) for number, path in self.truths.items()
        }
        first = self.frames[0]
        lossy = first.suffix.lower() in LOSSY
        if self.response is None:
            precision = curve.precision(lossy=True) if lossy else GAMMA_8_BIT
        elif first.suffix.lower() == ".exr":
            raise DatasetError(f"{first} is linear already: take {self.response.name} out of its folder")
        else:
            precision = curve.precision(bits=8 * read_codes(first).itemsize, lossy=lossy)
        labels = tuple(path.stem for path in self.frames)
        return Scene(self.name, self.exposures, labels, frames, truths, precision, curve)


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


def read_truth(path: Path, frames: FrameReader, *, normalize: bool) -> Tensor:
    """Read a truth, Radiance or OpenEXR, which must have the size of its frames.

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
    radiance.clamp_(min=0)
    return (radiance / radiance.max().clamp(min=1) if normalize else radiance).clamp_(0, 1)


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


ARCHIVE_ENDINGS = (".tgz", ".tar.gz", ".tar", ".zip", ".7z", ".rar", ".part")


def find_root(data_dir: Path | None, folder: str, *, marks: Sequence[str], source: str) -> Path:
    """Find the folder of a set: the one given, or the one of its published name in it.

    Args:
        data_dir: What the user passed.
        folder: Name of the folder as published.
        marks: What lies directly in it: files, or folders; `*` stands for any name.
        source: Page where the set is published.

    Raises:
        DatasetError: If neither is it.
    """
    if data_dir is None:
        raise DatasetError(f"no folder is given: fetch {folder} from {source} and pass it as --data-dir")
    if not data_dir.is_dir():
        raise DatasetError(f"{data_dir} is no folder: pass the folder {folder} (from {source}) as --data-dir")
    for root in (data_dir, data_dir / folder):
        if all(next(root.glob(mark), None) for mark in marks):
            return root
    likeliest = data_dir / folder if (data_dir / folder).is_dir() else data_dir
    lacking = ", ".join(mark for mark in marks if not next(likeliest.glob(mark), None))
    archives = [f"{folder}{ending}" for ending in ARCHIVE_ENDINGS if (data_dir / f"{folder}{ending}").exists()]
    hint = f" ({archives[0]} is there, but not unpacked)" if archives else ""
    raise DatasetError(
        f"{data_dir} is not {folder}: it has no {lacking}{hint}; pass the unpacked folder "
        f"as --data-dir, the set is published at {source}"
    )


def read_rows(path: Path, *, columns: int, source: str) -> list[list[str]]:
    """Read a list: words in lines, empty lines left out.

    Args:
        path: The list.
        columns: Words that every line must have at least.
        source: Page where the set is published.

    Raises:
        DatasetError: If it is missing, empty, no text, or a line has fewer words.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise DatasetError(f"the list {path} is missing ({error.strerror}): fetch it from {source}") from error
    except UnicodeDecodeError as error:
        raise DatasetError(f"the list {path} is no text ({error}): fetch it from {source}") from error
    rows = [line.split() for line in lines if line.strip()]
    if not rows:
        raise DatasetError(f"the list {path} is empty: fetch it from {source}")
    short = next((row for row in rows if len(row) < columns), None)
    if short is not None:
        raise DatasetError(f"the list {path} has a line {' '.join(short)!r}, {columns} words are needed: fetch it anew")
    return rows


def read_names(path: Path, *, source: str) -> list[str]:
    """Read the first word of each line; errors as of `read_rows`."""
    return [row[0] for row in read_rows(path, columns=1, source=source)]


def demand_files(paths: Iterable[Path], *, root: Path, source: str) -> None:
    """Look whether all files are there and none is empty.

    Raises:
        DatasetError: If not; the first few are named, and all are counted.
    """
    wanted = list(dict.fromkeys(paths))
    lacking = [path for path in wanted if not _has_content(path)]
    if lacking:
        named = shortened([str(path.relative_to(root)) for path in lacking])
        fetched = f", the set is published at {source}" if source else ""
        raise DatasetError(
            f"{root}: {len(lacking):,} of {len(wanted):,} files are missing or empty: {named}; unpack or copy the "
            f"whole set again{fetched}"
        )


def _has_content(path: Path) -> bool:
    try:
        return path.is_file() and path.stat().st_size > 0
    except OSError:
        return False


LARGEST_FILE = 1 << 20
# the sets write both with two digits
SAME, SAME_STOP = 0.02, 0.02


def read_exposures(path: Path, frames: int, *, nexps: int) -> tuple[float, ...]:
    """Read stops, parted by spaces, commas or ends of lines, and repeat them over the frames of a clip.

    Args:
        nexps: Number of distinct exposures that the file must have.

    Returns:
        Linear exposures, 2^(stop - least stop), one per frame.

    Raises:
        DatasetError: If the file is missing, holds what is no number, or has another number of exposures.
    """
    try:
        with path.open(encoding="utf-8-sig") as file:
            text = file.read(LARGEST_FILE)
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path} cannot be read ({error}): it should hold stops, e.g. 0 3") from error
    stops = [to_number(word, path=path) for word in re.split(r"[\s,;]+", text) if word]
    if not stops:
        raise DatasetError(f"{path} is empty: it should hold stops, e.g. 0 3")
    period = next(
        length
        for length in range(1, len(stops) + 1)
        if all(abs(stop - stops[number % length]) <= SAME_STOP for number, stop in enumerate(stops))
    )
    if period != nexps:
        shown = ", ".join(f"{stop:g}" for stop in stops[:8])
        advice = f"pass --nexps {period}" if period in (2, 3) else "correct the file"
        raise DatasetError(f"{path} has a cycle of {period} exposures (stops {shown}), not of {nexps}: {advice}")
    try:
        cycle = ExposureCycle.from_stops(stops[:nexps])
    except (ExposureError, OverflowError) as error:
        raise DatasetError(f"{path} holds no exposures ({error}): it should hold stops, e.g. 0 3") from error
    return tuple(cycle[frame] for frame in range(frames))


def demand_equal(given: float, listed: float, *, path: Path, name: str) -> None:
    """Look whether a list of truths gives a frame the exposure that Exposures.txt gives it.

    Raises:
        DatasetError: If not.
    """
    if not math.isclose(given, listed, rel_tol=SAME):
        raise DatasetError(
            f"{path} gives {name} the exposure {listed:g}, Exposures.txt beside it {given:g}: fetch both again"
        )


def to_number(word: str, *, path: Path) -> float:
    """Read one number of a list.

    Raises:
        DatasetError: If it is none.
    """
    try:
        number = float(word)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise DatasetError(f"{path} holds {word[:40]!r} where a number belongs: correct or fetch it again")
    return number
