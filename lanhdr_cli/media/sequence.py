"""Image sequences, read as if they were a video file."""

import logging
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from av.video.reformatter import VideoReformatter
from torch import Tensor

from lanhdr_cli.media.decode import DecodedFrame, VideoInfo
from lanhdr_cli.media.errors import MediaError
from lanhdr_cli.media.faults import Faults
from lanhdr_cli.media.headers import PictureHeader, read_header
from lanhdr_cli.media.images import read_picture
from lanhdr_cli.media.numbering import Numbered, describe_numbers, find_pictures
from train.datasets.exif import relative_exposures

OnMissing = Literal["error", "skip", "repeat"]
DEFAULT_FPS = Fraction(24)

logger = logging.getLogger(__name__)


class ImageSequence:
    """An open image sequence; use it in a `with`.

    Args:
        path: A folder, a pattern (`frames/*.png`), or a name with a place for the number (`shot.####.tif`).
        fps: Frames per second; None for 24, which is told.
        on_missing: Where a number is left out: refuse, go on at the next one's time, or repeat the picture before.

    Raises:
        MediaError: On entering, if there is no such sequence, numbers are missing, or sizes differ.
    """

    def __init__(self, path: Path, *, fps: Fraction | None = None, on_missing: OnMissing = "error") -> None:
        self.path = path
        self._rate = fps or DEFAULT_FPS
        self._tells_rate = fps is None
        self._on_missing = on_missing
        self._reformatter = VideoReformatter()
        self._above_one = 0
        self.faults = Faults()

    def __enter__(self) -> Self:
        files = find_pictures(self.path)
        self._treat_missing(files)
        headers = {path: read_header(path) for path in files.paths}
        _refuse_sizes(headers)
        self.folder, self.name, self.numbers = files.folder, files.name, self._placed_numbers(files)
        self.paths, self.times = self._placed(files)
        self.exposures = relative_exposures([headers[path].shot for path in self.paths])
        self.faults.promised = len(self.paths)
        self.info = self._describe(headers[self.paths[0]])
        if self._tells_rate:
            logger.info("%s: %d pictures, taken as %s frames per second: --fps says otherwise", *self._told())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._above_one:
            count = f"{self._above_one} pictures hold" if self._above_one > 1 else "1 picture holds"
            logger.warning("%s: %s linear values above 1.0, which is taken as the clip level", self.path, count)
            self._above_one = 0

    def frames(self, *, start: int = 0, stop: int | None = None) -> Iterator[DecodedFrame]:
        """Decode the pictures in order.

        Args:
            start: First frame wanted.
            stop: Frame to stop before, None for all.

        Raises:
            MediaError: If `start` lies behind the end, or a picture can't be read.
        """
        count = len(self.paths)
        if start >= count:
            raise MediaError(f"{self.path} has only {count} frames, {start} is behind its end")
        self.faults.decoded = start
        for index in range(start, count if stop is None else min(stop, count)):
            self.faults.decoded += 1
            yield DecodedFrame(index, self._image(index), self.times[index])
        self.faults.finished = stop is None or stop >= count

    def _image(self, index: int) -> Tensor:
        picture = read_picture(self.paths[index], reformatter=self._reformatter)
        height, width = picture.image.shape[1:]
        if (width, height) != (self.info.width, self.info.height):
            raise MediaError(f"{self.paths[index]} is {width}x{height}, its header says otherwise: replace it")
        self._above_one += picture.share_above_one > 0
        return picture.image

    def _treat_missing(self, files: Numbered) -> None:
        if not (missing := files.missing):
            return
        named = f"{self.path}: {len(missing)} of its numbers missing ({describe_numbers(missing)})"
        if self._on_missing == "error":
            raise MediaError(f"{named}: find them, or pass --on-missing skip or repeat")
        what = "the picture before is repeated" if self._on_missing == "repeat" else "they are skipped"
        logger.warning("%s, %s", named, what)

    def _placed(self, files: Numbered) -> tuple[tuple[Path, ...], tuple[Fraction, ...]]:
        """File and time of each frame; a skipped number leaves a gap in time."""
        if self.numbers is None or files.numbers is None:
            return files.paths, tuple(index / self._rate for index in range(len(files.paths)))
        by_number = dict(zip(files.numbers, files.paths, strict=True))
        paths: list[Path] = []
        for number in self.numbers:
            paths.append(by_number.get(number, paths[-1] if paths else files.paths[0]))
        return tuple(paths), tuple((number - self.numbers[0]) / self._rate for number in self.numbers)

    def _placed_numbers(self, files: Numbered) -> tuple[int, ...] | None:
        if files.numbers is None or self._on_missing != "repeat":
            return files.numbers
        return tuple(range(files.numbers[0], files.numbers[-1] + 1))

    def _describe(self, header: PictureHeader) -> VideoInfo:
        kind = read_picture(self.paths[0], reformatter=self._reformatter).format
        return VideoInfo(
            width=header.width,
            height=header.height,
            rate=self._rate,
            frames=len(self.paths),
            timecode=None,
            pixel_aspect=Fraction(1),
            quarter_turns=0,
            description=f"{kind} {header.width}x{header.height}",
            lossy=kind.startswith("mjpeg"),
        )

    def _told(self) -> tuple[Path, int, Fraction]:
        return self.path, len(self.paths), self._rate


def _refuse_sizes(headers: dict[Path, PictureHeader]) -> None:
    """Refuse a picture that differs from the first."""
    first, *others = headers.items()
    for path, header in others:
        if header.size != first[1].size:
            sizes = f"{header.width}x{header.height}, {first[0].name} is {first[1].width}x{first[1].height}"
            raise MediaError(f"{path} is {sizes}: all pictures of a sequence must have one size")
