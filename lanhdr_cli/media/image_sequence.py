"""Image sequences, read like a video file."""

import glob
import logging
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import chain, groupby, pairwise, takewhile
from pathlib import Path
from typing import Literal, Self

from av.video.reformatter import VideoReformatter

from lanhdr_cli.media.advice import converted, missing_file
from lanhdr_cli.media.code_bits import CONTAINER_BITS, CodeBits, find_code_bits
from lanhdr_cli.media.details import sequence_details
from lanhdr_cli.media.errors import MediaError
from lanhdr_cli.media.faults import Faults, describe_ranges
from lanhdr_cli.media.frame_index import FrameIndex
from lanhdr_cli.media.images import Picture, PictureHeader, read_header, read_picture
from lanhdr_cli.media.mosaic import Pattern, demosaiced
from lanhdr_cli.media.paths import PLACEHOLDER, content_id, is_picture, is_tiff, shell_word
from lanhdr_cli.media.stated_colors import StatedColors
from lanhdr_cli.media.video_reader import DecodedFrame, VideoInfo
from train.data.exif import relative_exposures

_DIGITS = re.compile(r"\d+")
_WILDCARD = re.compile(r"[*?\[]")
_SEPARATORS = "._- "
LOOKS, LOOK_LENGTH = 10, 3  # runs of pictures that are looked at for the bits of their codes; they hold every exposure
SENSOR_BITS = range(9, CONTAINER_BITS)
MOST_REPEATED = 100_000  # pictures for numbers that are missing
OnMissing = Literal["error", "skip", "repeat"]
DEFAULT_FPS = Fraction(24)

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class SequenceFiles:
    """Files of a sequence, in order.

    Args:
        name: Common part of their names, for files made of them.
        numbers: Their numbers; None if they have none that count frames.
    """

    name: str
    folder: Path
    paths: tuple[Path, ...]
    numbers: tuple[int, ...] | None

    @property
    def missing(self) -> list[range]:
        """Numbers that are left out between the first and the last, in ranges: there may be thousands of millions."""
        return [range(a + 1, b) for a, b in pairwise(self.numbers or ()) if b > a + 1]


def names_sequence(source: Path) -> bool:
    """Tell whether a path names pictures: a folder, a single picture, or a pattern that is not itself a file."""
    if source.exists():
        return source.is_dir() or is_picture(source)
    return is_picture(source) or bool(PLACEHOLDER.search(source.name)) or _has_wildcard(source)


def find_pictures(source: Path) -> SequenceFiles:
    """Find the files of a sequence: a folder, `frames/*.png`, `shot.%04d.tif`, `shot.####.tif`, or a TIFF of pages.

    Raises:
        MediaError: If there are none, or it is not clear which.
    """
    if source.is_dir():
        files = _in_natural_order(source, [path for path in source.iterdir() if not path.name.startswith(".")])
    elif source.exists() and _has_pages(source):
        return SequenceFiles(name=source.stem, folder=source.parent, paths=(source,), numbers=None)
    elif source.exists():
        raise MediaError(f"{source} is a single picture: {_sequence_advice(source)}")
    elif numbered := _by_template(source):
        files = numbered
    elif _has_wildcard(source) and (_matching(source) or is_picture(source)):
        files = _in_natural_order(source, _matching(source))
    elif is_picture(source) and PLACEHOLDER.search(source.name):
        raise MediaError(f"no pictures match {source}: check the name and the number of digits")
    else:
        raise MediaError(missing_file(source))
    if len(files.paths) == 1 and not _has_pages(files.paths[0]):
        raise MediaError(f"{source} finds a single picture, {files.paths[0].name}: exposures need two frames or more")
    return files


def _has_pages(path: Path) -> bool:
    return is_tiff(path) and len(read_header(path).pages) > 1


def interleaved(sequences: Sequence[SequenceFiles]) -> SequenceFiles:
    """Take pictures of several sequences in turn, as cameras store the exposures of a frame in a folder each.

    Raises:
        MediaError: If there are more of one than of another, or numbers are missing.
    """
    first, *_ = sequences
    for files in sequences:
        begin = files.paths[0]
        if len(files.paths) != len(first.paths):
            counts = f"{len(first.paths)} pictures like {first.paths[0]}, {len(files.paths)} like {begin}"
            raise MediaError(f"there are {counts}: --interleave takes them in turn, so pass as many of each")
        steps = {later - earlier for earlier, later in pairwise(files.numbers or ())}
        if len(steps) > 1:
            raise MediaError(f"numbers are missing between {begin} and {files.paths[-1].name}: --interleave needs all")
    paths = tuple(chain.from_iterable(zip(*(files.paths for files in sequences), strict=True)))
    if len(set(paths)) < len(paths):
        raise MediaError(f"--interleave: {first.paths[0]} is in two of the sequences: pass different ones")
    return SequenceFiles(name=first.name, folder=first.folder, paths=paths, numbers=None)


def _has_wildcard(source: Path) -> bool:
    """Tell whether a path has wildcards beyond the folder that is there under just this name."""
    return bool(_WILDCARD.search(str(source.relative_to(_existing_folder(source)))))


def _existing_folder(source: Path) -> Path:
    return next((parent for parent in source.parents if parent.is_dir()), Path(source.anchor))


def _matching(source: Path) -> list[Path]:
    """List what a pattern matches; brackets stand for themselves if that finds something."""
    folder = _existing_folder(source)
    rest = str(source.relative_to(folder))
    found = glob.glob(rest.replace("[", "[[]"), root_dir=folder) or glob.glob(rest, root_dir=folder)
    return [folder / name for name in found]


def _by_template(source: Path) -> SequenceFiles | None:
    """Find pictures by a name with a place for the number; other such places are letters of the name."""
    folder = source.parent
    names = os.listdir(folder) if folder.is_dir() else []
    places = list(PLACEHOLDER.finditer(source.name))
    found = [(place, files) for place in places if (files := _numbered(source.name, place, names))]
    if not found:
        return None
    if len(found) > 1:
        raise MediaError(f"{source} has {len(found)} places for a number: keep one, e.g. shot.####.png")
    ((place, files),) = found
    if not is_picture(source):
        advice = converted(folder / name for _, name in files)
        raise MediaError(f"{source}: {source.suffix or 'this'} is not read as a sequence: {advice}")
    numbers, paths = zip(*((number, folder / name) for number, name in files), strict=True)
    _refuse_doubles(numbers, paths)
    prefix = source.name[: place.start()]
    return SequenceFiles(name=_sequence_name(prefix, folder), folder=folder, paths=paths, numbers=numbers)


def _numbered(template: str, place: re.Match[str], names: Sequence[str]) -> list[tuple[int, str]]:
    """Find the names that have a number at a place, which may be a placeholder or a number, and are else the same."""
    digits = place.groupdict()
    width = int(digits.get("width") or 1) if digits.get("hashes") is None else len(place[0])
    before, after = re.escape(template[: place.start()]), re.escape(template[place.end() :])
    pattern = re.compile(rf"{before}(\d{{{width},}}){after}")
    return sorted((int(match[1]), name) for name in names if (match := pattern.fullmatch(name)))


def _sequence_advice(picture: Path) -> str:
    """Say how to pass the sequence that a picture belongs to."""
    names = os.listdir(picture.parent)
    places = [place for place in _DIGITS.finditer(picture.name) if place.end() <= len(picture.stem)]
    counts = [len(_numbered(picture.name, place, names)) for place in places]
    if max(counts, default=0) > 1:
        place = places[counts.index(max(counts))]
        pattern = picture.name[: place.start()] + "#" * len(place[0]) + picture.name[place.end() :]
    elif sum(name.endswith(picture.suffix) and not name.startswith(".") for name in names) > 1:
        pattern = f"*{picture.suffix}"
    else:
        return "exposures need two frames or more"
    return f"pass its sequence, e.g. {shell_word(picture.with_name(pattern))}"


def _in_natural_order(source: Path, paths: Sequence[Path]) -> SequenceFiles:
    pictures = sorted((path for path in paths if is_picture(path) and path.is_file()), key=_natural_key)
    if not pictures:
        what = f"folder {source} holds" if source.is_dir() else f"pattern {source} finds"
        raise MediaError(f"{what} no pictures: {converted(paths)}")
    folder = pictures[0].parent
    kinds = sorted({path.suffix.lower() for path in pictures})
    if len(kinds) > 1:
        example = shell_word(folder / f"*{pictures[0].suffix}")
        raise MediaError(f"{source} holds {' and '.join(kinds)} pictures: say which, e.g. {example}")
    # Names of other letters may take turns (1_short, 2_long); one block after another is another sequence.
    blocks = [next(block) for _, block in groupby(pictures, lambda path: (path.parent, _DIGITS.sub("#", path.name)))]
    if len(blocks) > 1 and len(blocks) == len({_DIGITS.sub("#", path.name) for path in blocks}):
        examples = ", ".join(path.name for path in blocks[:3])
        turns = " --interleave ".join(shell_word(path.with_name(_DIGITS.sub("*", path.name))) for path in blocks[:3])
        advice = f"pass one sequence, or if frames were taken in turn, {turns}, that of the first frame first"
        raise MediaError(f"{source} holds pictures of {len(blocks)} names ({examples}): {advice}")
    numbers = _numbers(pictures)
    if numbers is not None:
        _refuse_doubles(numbers, pictures)
    names = [path.name for path in pictures]
    alike = takewhile(lambda pair: pair[0] == pair[1], zip(min(names), max(names), strict=False))
    name = _sequence_name("".join(letter for letter, _ in alike), folder)
    return SequenceFiles(name=name, folder=folder, paths=tuple(pictures), numbers=numbers)


def _natural_key(path: Path) -> tuple[str, list[tuple[int, int, str]], str]:
    """Order in which people count: a2 before a10."""
    parts = re.split(r"(\d+)", path.name.lower())
    return str(path.parent), [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts], path.name


def _numbers(pictures: Sequence[Path]) -> tuple[int, ...] | None:
    """Numbers that count frames: one place in the names varies, and somewhere in steps of one."""
    digits = [[int(group) for group in _DIGITS.findall(path.stem)] for path in pictures]
    if len(pictures) < 2 or len({len(groups) for groups in digits}) > 1:
        return (digits[0][-1],) if len(pictures) == 1 and digits[0] else None
    varying = [values for values in zip(*digits, strict=True) if len(set(values)) > 1]
    if len(varying) != 1:
        return None
    return varying[0] if any(later - earlier <= 1 for earlier, later in pairwise(varying[0])) else None


def _refuse_doubles(numbers: Sequence[int], paths: Sequence[Path]) -> None:
    for (earlier, first), (later, second) in pairwise(zip(numbers, paths, strict=True)):
        if earlier == later:
            raise MediaError(f"{first} and {second.name} both have number {earlier}: remove one")


def _sequence_name(prefix: str, folder: Path) -> str:
    """Name a sequence by its prefix, or by its folder where the names are numbers alone."""
    return prefix.rstrip("0123456789").rstrip(_SEPARATORS) or folder.resolve().name


class ImageSequence:
    """An open image sequence; use it in a `with`.

    Args:
        path: A folder, a pattern (`frames/*.png`), or a name with a place for the number (`shot.####.tif`).
        fps: Frames per second; None for 24, which is logged.
        on_missing: Where a number is left out: refuse, go on at the next one's time, or repeat the picture before.
        bits: Bits of the codes in 16-bit pictures; None to find them.
        bayer: Pattern of the color filters in front of a gray picture's samples; None if there are none.
        others: Paths of sequences whose pictures follow in turn on each of the first.

    Raises:
        MediaError: On entering, if there is no such sequence, numbers are missing, or sizes differ.
    """

    video: Path | None = None
    index: FrameIndex | None = None  # each frame is a file of its own

    def __init__(
        self,
        path: Path,
        *,
        fps: Fraction | None = None,
        on_missing: OnMissing = "error",
        bits: int | None = None,
        bayer: Pattern | None = None,
        others: Sequence[Path] = (),
    ) -> None:
        self.path = path
        self._bits = bits
        self._bayer = bayer
        self._others = others
        self._fps = fps
        self._on_missing = on_missing
        self._reformatter = VideoReformatter()
        self._above_one: set[Path] = set()
        self._no_numbers: set[Path] = set()

    @cached_property
    def id(self) -> str:
        """Tells the clip from others by its content."""
        return content_id(self.paths)

    def __enter__(self) -> Self:
        files = find_pictures(self.path)
        if self._others:
            files = interleaved([files, *map(find_pictures, self._others)])
        self.folder, self.name = files.folder, files.name
        headers = {path: read_header(path) for path in files.paths}
        self.paths, self.numbers = self._frame_files(files, in_pages=any(len(h.pages) > 1 for h in headers.values()))
        self._pictures = [(path, page) for path in self.paths for page in headers[path].pages]
        first = headers[files.paths[0]]
        size = f"{first.width}x{first.height}"
        for path, header in headers.items():
            if header.size != first.size:
                sizes = f"{header.width}x{header.height}, {files.paths[0].name} is {size}"
                raise MediaError(f"{path} is {sizes}: all pictures of a sequence must have one size")
        self.exposures = relative_exposures([headers[path].shot for path, _ in self._pictures])
        count, rate = len(self._pictures), self._fps or DEFAULT_FPS
        positions = self.numbers or tuple(range(count))
        self.times = [(position - positions[0]) / rate for position in positions]  # a skipped number leaves a gap
        self.faults = Faults(promised=count)
        self._white_balance = first.white_balance
        if any(header.white_balance != first.white_balance for header in headers.values()):
            logger.warning("%s: white balance varies, that of %s is used for all", self.path, files.paths[0].name)
        picture = self._read(0)
        if picture.transparent:
            logger.warning("%s: transparency is left out, colors are taken as they are stored", self.path)
        kind = picture.format
        self._code_bits = self._find_bits(picture)
        self.info = VideoInfo(
            width=first.width,
            height=first.height,
            rate=rate,
            time_base=1 / rate,
            frames=count,
            description=f"{kind} {size}",
            bits=self._code_bits.bits if picture.bits == CONTAINER_BITS else picture.bits,
            lossy=kind.startswith("mjpeg"),
            colors=self._colors(headers),
            of_sensor=self._code_bits.bits in SENSOR_BITS or self._bayer is not None,
        )
        self.details = sequence_details(
            *kind.split(), bits=self.info.bits, colors=self.info.colors, duration_s=float(count / rate)
        )
        if self._fps is None:
            logger.info("%s: %d pictures, taken as %s frames per second: --fps says otherwise", self.path, count, rate)
        return self

    def __exit__(self, *error: object) -> None:
        if self._above_one:
            count = f"{len(self._above_one)} pictures hold" if len(self._above_one) > 1 else "1 picture holds"
            logger.warning("%s: %s linear values above 1.0, which is taken as the clip level", self.path, count)
            self._above_one.clear()
        if self._no_numbers:
            count = f"{len(self._no_numbers)} pictures hold" if len(self._no_numbers) > 1 else "1 picture holds"
            first = min(self._no_numbers).name
            logger.warning("%s: %s NaN or infinity (%s): taken as black, or as clipped", self.path, count, first)
            self._no_numbers.clear()

    def frames(self, *, start: int = 0, stop: int | None = None) -> Iterator[DecodedFrame]:
        """Decode the pictures in order.

        Args:
            start: First frame to decode.
            stop: Frame to stop before, None for all.

        Raises:
            MediaError: If `start` lies behind the end, or a picture can't be read.
        """
        count = len(self._pictures)
        if start >= count:
            raise MediaError(f"{self.path} has only {count} frames, {start} is behind its end")
        self.faults = Faults(promised=count, decoded=start)
        for index in range(start, count if stop is None else min(stop, count)):
            self.faults.decoded += 1
            path, _ = self._pictures[index]
            picture = self._read(index)
            height, width = picture.image.shape[1:]
            if (width, height) != (self.info.width, self.info.height):
                raise MediaError(f"{path} is {width}x{height}, its header says otherwise: replace it")
            if picture.share_above_one > 0:
                self._above_one.add(path)
            if picture.no_numbers:
                self._no_numbers.add(path)
            try:
                image = self._code_bits.scaled(picture.image)
            except MediaError as error:
                raise MediaError(f"{path}: {error}") from error
            if self._bayer:
                image = demosaiced(image, self._bayer)
            yield DecodedFrame(index=index, image=image, time=self.times[index])
        self.faults.finished = stop is None or stop >= count

    def _read(self, index: int) -> Picture:
        path, page = self._pictures[index]
        return read_picture(path, page, reformatter=self._reformatter, white_balance=self._white_balance)

    def _colors(self, headers: Mapping[Path, PictureHeader]) -> StatedColors:
        """Take the colors that the first picture names, and say where others name something else."""
        first_path, first = next(iter(headers.items()))
        if first.colors.trouble:
            logger.warning("%s: %s; it is not used", first_path, first.colors.trouble)
        for path, header in headers.items():
            if header.colors.names != first.colors.names:
                logger.warning("%s names other colors than %s, which count", path, first_path.name)
                break
        return first.colors

    def _find_bits(self, first: Picture) -> CodeBits:
        """Look for the bits of the codes in pictures from all over the clip."""
        if first.is_float or first.bits != CONTAINER_BITS:
            if self._bits is not None and (first.is_float or self._bits != first.bits):
                kind = "hold floats" if first.is_float else f"have {first.bits}"
                raise MediaError(f"--bits is for 16-bit pictures, those of {self.path} {kind}: leave it out")
            return CodeBits()
        count = len(self._pictures)
        last = max(0, count - LOOK_LENGTH)
        begins = [round(last * number / (LOOKS - 1)) for number in range(LOOKS)]
        looked_at = sorted({begin + step for begin in begins for step in range(LOOK_LENGTH)} & set(range(count)))
        try:
            found = find_code_bits((self._read(index).image for index in looked_at), given=self._bits)
        except MediaError as error:
            raise MediaError(f"{self.path}: {error}") from error
        if found.scales and self._bits is None:
            logger.warning(
                "%s: no code is above %d, so they are taken as of %d bits: --bits %d (or 16) says it for certain",
                self.path,
                found.highest,
                found.bits,
                found.bits,
            )
        return found

    def _frame_files(self, files: SequenceFiles, *, in_pages: bool) -> tuple[tuple[Path, ...], tuple[int, ...] | None]:
        """File and number of each frame, as numbers that are missing are treated; files of pages number no frames."""
        if files.numbers is None or not files.missing:
            return files.paths, None if in_pages else files.numbers
        count = sum(gap.stop - gap.start for gap in files.missing)  # more than len() can say
        named = f"{self.path}: {count} of its numbers missing ({describe_ranges(files.missing)})"
        if self._on_missing == "error":
            raise MediaError(f"{named}: find them, or pass --on-missing skip or repeat")
        if self._on_missing == "skip":
            logger.warning("%s, they are skipped", named)
            return files.paths, None if in_pages else files.numbers
        if in_pages:
            raise MediaError(f"{named}, and each holds several frames: find them, or pass --on-missing skip")
        if count > MOST_REPEATED:
            raise MediaError(f"{named}, at most {MOST_REPEATED} are repeated: find them, or pass --on-missing skip")
        logger.warning("%s, the picture before is repeated", named)
        by_number = dict(zip(files.numbers, files.paths, strict=True))
        numbers = tuple(range(files.numbers[0], files.numbers[-1] + 1))
        paths: list[Path] = []
        for number in numbers:
            paths.append(by_number.get(number) or paths[-1])
        return tuple(paths), numbers
