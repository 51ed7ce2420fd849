"""Image sequences, read as if they were a video file."""

import glob
import logging
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import groupby, pairwise, takewhile
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from av.video.reformatter import VideoReformatter
from torch import Tensor

from lanhdr_cli.media.errors import MediaError
from lanhdr_cli.media.images import PictureHeader, read_header, read_picture
from lanhdr_cli.media.paths import PLACEHOLDER, is_picture
from lanhdr_cli.media.video_reader import DecodedFrame, Faults, VideoInfo
from train.data.exif import relative_exposures

_DIGITS = re.compile(r"\d+")
_WILDCARD = re.compile(r"[*?\[]")
_SEPARATORS = "._- "
MOST_NAMED = 5  # ranges of missing numbers that an error lists
OnMissing = Literal["error", "skip", "repeat"]
DEFAULT_FPS = Fraction(24)

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class SequenceFiles:
    """Files of a sequence, in order.

    Args:
        name: What the files have in common, for names of what is made of them.
        folder: Where they are.
        paths: The files.
        numbers: Their numbers; None if they have none that count frames.
    """

    name: str
    folder: Path
    paths: tuple[Path, ...]
    numbers: tuple[int, ...] | None

    @property
    def missing(self) -> list[int]:
        """Numbers that are left out between the first and the last."""
        if self.numbers is None:
            return []
        return sorted(set(range(self.numbers[0], self.numbers[-1] + 1)) - set(self.numbers))


def names_sequence(source: Path) -> bool:
    """Tell whether a path names pictures: a folder, a single picture, or a pattern that is not itself a file."""
    if source.exists():
        return source.is_dir() or is_picture(source)
    return is_picture(source) or bool(PLACEHOLDER.search(source.name) or _WILDCARD.search(str(source)))


def find_pictures(source: Path) -> SequenceFiles:
    """Find the files of a sequence: a folder, `frames/*.png`, `shot.%04d.tif` or `shot.####.tif`.

    Raises:
        MediaError: If there are none, or it is not clear which.
    """
    found = _find(source)
    if len(found.paths) == 1:
        raise MediaError(f"{source} finds a single picture, {found.paths[0].name}: exposures need two frames or more")
    return found


def _find(source: Path) -> SequenceFiles:
    if source.is_dir():
        return _in_natural_order(source, [path for path in source.iterdir() if not path.name.startswith(".")])
    if source.exists():
        raise MediaError(f"{source} is a single picture: pass its sequence, e.g. '{_suggestion(source)}'")
    template = PLACEHOLDER.search(source.name)
    if template and not _WILDCARD.search(str(source)):
        return _by_template(source, template)
    if not _WILDCARD.search(str(source)):
        raise MediaError(f"no such file: {source}")
    return _in_natural_order(source, [Path(name) for name in glob.glob(str(source))])


def describe_numbers(numbers: Sequence[int]) -> str:
    """Name numbers in ranges, e.g. `1003, 1007-1010`."""
    runs = [list(run) for _, run in groupby(enumerate(numbers), lambda pair: pair[1] - pair[0])]
    named = [f"{run[0][1]}-{run[-1][1]}" if len(run) > 1 else str(run[0][1]) for run in runs]
    more = len(named) - MOST_NAMED
    return ", ".join(named[:MOST_NAMED]) + (f" and {more} more ranges" if more > 0 else "")


def _suggestion(picture: Path) -> str:
    """A pattern that a single picture's name fits."""
    digits = list(_DIGITS.finditer(picture.stem))
    if not digits:
        return str(picture.with_name(f"*{picture.suffix}"))
    begin, end = digits[-1].span()
    return str(picture.with_name(picture.name[:begin] + "#" * (end - begin) + picture.name[end:]))


def _by_template(source: Path, template: re.Match[str]) -> SequenceFiles:
    prefix, suffix = source.name[: template.start()], source.name[template.end() :]
    if PLACEHOLDER.search(suffix):
        raise MediaError(f"{source} has two places for a number: keep one, e.g. shot.####.png")
    width = len(template["hashes"]) if template["hashes"] else int(template["width"] or 1)
    width = 1 if template["hashes"] == "#" else width
    pattern = re.compile(re.escape(prefix) + rf"(\d{{{width},}})" + re.escape(suffix))
    folder = source.parent
    found = sorted(
        (int(match[1]), folder / name)
        for name in (os.listdir(folder) if folder.is_dir() else ())
        if (match := pattern.fullmatch(name))
    )
    if not found:
        raise MediaError(f"no pictures match {source}: check the name and the number of digits")
    numbers = tuple(number for number, _ in found)
    paths = tuple(path for _, path in found)
    _refuse_doubles(numbers, paths)
    return SequenceFiles(_name(prefix, folder), folder, _pictures(source, paths), numbers)


def _in_natural_order(source: Path, found: Sequence[Path]) -> SequenceFiles:
    pictures = sorted((path for path in found if is_picture(path) and path.is_file()), key=_natural_key)
    if not pictures:
        what = f"folder {source} holds" if source.is_dir() else f"pattern {source} finds"
        raise MediaError(f"{what} no pictures: PNG, TIFF, JPEG and OpenEXR are read")
    _refuse_mixture(source, pictures)
    numbers = _numbers(pictures)
    if numbers is not None:
        _refuse_doubles(numbers, pictures)
    names = [path.name for path in pictures]
    alike = takewhile(lambda pair: pair[0] == pair[1], zip(min(names), max(names), strict=False))
    folder = pictures[0].parent
    return SequenceFiles(_name("".join(letter for letter, _ in alike), folder), folder, tuple(pictures), numbers)


def _pictures(source: Path, paths: tuple[Path, ...]) -> tuple[Path, ...]:
    if not is_picture(source):
        raise MediaError(f"{source}: PNG, TIFF, JPEG and OpenEXR are read as a sequence, not {source.suffix or 'this'}")
    return paths


def _natural_key(path: Path) -> tuple[str, list[tuple[int, int, str]], str]:
    """Order in which people count: a2 before a10."""
    parts = re.split(r"(\d+)", path.name.lower())
    return str(path.parent), [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts], path.name


def _refuse_mixture(source: Path, pictures: Sequence[Path]) -> None:
    suffixes = {path.suffix.lower(): path for path in pictures}
    if len(suffixes) > 1:
        kinds = " and ".join(sorted(suffixes))
        example = f"{pictures[0].parent}/*{pictures[0].suffix}"
        raise MediaError(f"{source} holds {kinds} pictures: say which, e.g. '{example}'")
    # Names of other letters may take turns (1_short, 2_long); one block after another is another sequence.
    blocks = [next(block) for _, block in groupby(pictures, lambda path: (path.parent, _DIGITS.sub("#", path.name)))]
    if len(blocks) > 1 and len(blocks) == len({_DIGITS.sub("#", path.name) for path in blocks}):
        examples = ", ".join(path.name for path in blocks[:3])
        raise MediaError(f"{source} holds pictures of {len(blocks)} names ({examples}): pass one sequence")


def _numbers(pictures: Sequence[Path]) -> tuple[int, ...] | None:
    """Numbers that count frames: one place in the names varies, and somewhere in steps of one."""
    digits = [[int(found) for found in _DIGITS.findall(path.stem)] for path in pictures]
    if len(pictures) < 2 or len({len(groups) for groups in digits}) > 1:
        return (digits[0][-1],) if len(pictures) == 1 and digits[0] else None
    varying = [place for place, values in enumerate(zip(*digits, strict=True)) if len(set(values)) > 1]
    if len(varying) != 1:
        return None
    numbers = tuple(groups[varying[0]] for groups in digits)
    return numbers if any(later - earlier <= 1 for earlier, later in pairwise(numbers)) else None


def _refuse_doubles(numbers: Sequence[int], paths: Sequence[Path]) -> None:
    for (earlier, first), (later, second) in pairwise(zip(numbers, paths, strict=True)):
        if earlier == later:
            raise MediaError(f"{first} and {second.name} both have number {earlier}: remove one")


def _name(prefix: str, folder: Path) -> str:
    """What to call a sequence: its prefix, or its folder where the names are numbers alone."""
    return prefix.rstrip("0123456789").rstrip(_SEPARATORS) or folder.resolve().name


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

    def _treat_missing(self, files: SequenceFiles) -> None:
        if not (missing := files.missing):
            return
        named = f"{self.path}: {len(missing)} of its numbers missing ({describe_numbers(missing)})"
        if self._on_missing == "error":
            raise MediaError(f"{named}: find them, or pass --on-missing skip or repeat")
        what = "the picture before is repeated" if self._on_missing == "repeat" else "they are skipped"
        logger.warning("%s, %s", named, what)

    def _placed(self, files: SequenceFiles) -> tuple[tuple[Path, ...], tuple[Fraction, ...]]:
        """File and time of each frame; a skipped number leaves a gap in time."""
        if self.numbers is None or files.numbers is None:
            return files.paths, tuple(index / self._rate for index in range(len(files.paths)))
        by_number = dict(zip(files.numbers, files.paths, strict=True))
        paths: list[Path] = []
        for number in self.numbers:
            paths.append(by_number.get(number, paths[-1] if paths else files.paths[0]))
        return tuple(paths), tuple((number - self.numbers[0]) / self._rate for number in self.numbers)

    def _placed_numbers(self, files: SequenceFiles) -> tuple[int, ...] | None:
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
