"""Names of numbered frames, and files that appear under their name only when complete."""

import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePath

from lanhdr_cli.media.errors import MediaError

EXR_SUFFIX = ".exr"
PREVIEW_SUFFIX = ".png"
WEIGHTS_SUFFIX = ".safetensors"
PICTURE_SUFFIXES = frozenset({".png", ".tif", ".tiff", ".jpg", ".jpeg", ".exr"})
CONTAINERS = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska"}  # of video that is written, as FFmpeg says them
DEFAULT_DIGITS = 4
PLACEHOLDER = re.compile(r"%0?(?P<width>\d*)d|(?P<hashes>#+)")
_NUMBERED = re.compile(rf"(?P<prefix>.*[._])(?P<number>\d{{3,}})(?P<suffix>{re.escape(EXR_SUFFIX)})", re.IGNORECASE)


def check_output(target: str) -> None:
    """Make sure that `-o` names EXR frames (a folder with a slash at its end, or a name ending in .exr), or a video.

    Raises:
        MediaError: If it names anything else.
    """
    suffix = PurePath(target).suffix.lower()
    if not target.endswith("/") and suffix != EXR_SUFFIX and suffix not in CONTAINERS:
        raise MediaError(
            f"-o {target}: can't write {suffix or 'a name without suffix'}; "
            "pass out.mp4, .mov or .mkv for video, out.exr, or out/ for a folder"
        )


def check_preview(path: PurePath) -> None:
    """Make sure that the preview is to be a PNG, or a video.

    Raises:
        MediaError: If it names anything else.
    """
    if path.suffix.lower() != PREVIEW_SUFFIX and not is_video(path):
        raise MediaError(f"--preview {path}: can only write PNG and video; pass e.g. preview.png or preview.mp4")


def is_video(path: PurePath) -> bool:
    """Tell whether a name to write to is that of a video."""
    return path.suffix.lower() in CONTAINERS


def container_of(path: PurePath) -> str:
    """FFmpeg's name of the format of a video to write."""
    return CONTAINERS[path.suffix.lower()]


def is_picture(path: PurePath) -> bool:
    """Tell whether a file is one of those that make up image sequences."""
    return path.suffix.lower() in PICTURE_SUFFIXES


def check_plot(path: PurePath) -> None:
    """Make sure that a drawing is to be a PNG.

    Raises:
        MediaError: If it names anything else.
    """
    if path.suffix.lower() != PREVIEW_SUFFIX:
        raise MediaError(f"--plot {path}: can only write PNG; pass e.g. --plot plot.png")


def check_weights(path: PurePath) -> None:
    """Make sure that weights are to be written as safetensors.

    Raises:
        MediaError: If not.
    """
    if path.suffix.lower() != WEIGHTS_SUFFIX:
        raise MediaError(f"-o {path}: weights are written as {WEIGHTS_SUFFIX}; pass e.g. weights{WEIGHTS_SUFFIX}")


@dataclass(frozen=True)
class FrameNames:
    """Names of the files of one sequence.

    Args:
        folder: Where the files go.
        prefix: What stands before the number.
        digits: Least number of digits; None for a single file without number.
        suffix: What stands behind the number.
        start: Number of the clip's frame 0; may be negative when a range begins later.
        numbers: Number of each of the clip's frames, where they have their own; else they count from `start`.
    """

    folder: Path
    prefix: str
    digits: int | None
    suffix: str
    start: int
    numbers: tuple[int, ...] = ()

    def number(self, index: int) -> int:
        """Number in the file name of the clip's frame `index`."""
        return self.numbers[index] if self.numbers else self.start + index

    def path(self, index: int) -> Path:
        """File of the clip's frame `index`."""
        return self.folder / self._name(self.number(index))

    def existing(self, first: int, last: int | None) -> list[Path]:
        """Files that are there already under the names of frames `first` to `last`, None for any after `first`."""
        pattern = re.compile(re.escape(self.prefix) + r"(\d+)" + re.escape(self.suffix))
        if self.digits is None:
            return [path for path in (self.path(first),) if path.exists()]
        found = []
        for path in self.folder.iterdir() if self.folder.is_dir() else ():
            match = pattern.fullmatch(path.name)
            if match and path.name == self._name(number := int(match[1])):
                index = self._index(number)
                if index is not None and first <= index and (last is None or index <= last):
                    found.append(path)
        return sorted(found)

    def _index(self, number: int) -> int | None:
        if not self.numbers:
            return number - self.start
        return self.numbers.index(number) if number in self.numbers else None

    def _name(self, number: int) -> str:
        if self.digits is None:
            return self.prefix + self.suffix
        return f"{self.prefix}{number:0{self.digits}d}{self.suffix}"


def frame_names(
    target: str,
    stem: str,
    *,
    first: int = 0,
    start_number: int | None = None,
    single: bool = False,
    numbers: tuple[int, ...] | None = None,
) -> FrameNames:
    """Read what `-o` says: `dir/`, `out.exr`, `out.####.exr`, `out.%05d.exr` or `out.1001.exr`.

    Without any number given, frames keep the numbers that they have, and frame k of a clip without numbers becomes
    number k + 1, so that ranges converted apart fit together; a number that is given belongs to the first frame of
    the range.

    Args:
        target: What the user typed.
        stem: Name of the clip, for files in `dir/`.
        first: Index of the first frame of the range.
        start_number: What `--start-number` says.
        single: Whether the range is one frame, which keeps a plain name.
        numbers: Numbers that the clip's frames have in their own names.

    Raises:
        MediaError: If there are two placeholders, or two start numbers.
    """
    folder, name = (Path(target), "") if target.endswith("/") or Path(target).is_dir() else _split(target)
    prefix, digits, suffix, named_start = _template(name or f"{stem}.%0{DEFAULT_DIGITS}d{EXR_SUFFIX}", single=single)
    if named_start is not None and start_number is not None:
        raise MediaError(f"-o {target} already starts at {named_start}: leave out --start-number {start_number}")
    given = named_start if start_number is None else start_number
    own = numbers or () if given is None else ()
    return FrameNames(folder, prefix, digits, suffix, 1 if given is None else given - first, own)


def _split(target: str) -> tuple[Path, str]:
    path = Path(target)
    return path.parent, path.name


def _template(name: str, *, single: bool) -> tuple[str, int | None, str, int | None]:
    """Prefix, digits, suffix and start number of a file name."""
    placeholders = list(PLACEHOLDER.finditer(name))
    if len(placeholders) > 1:
        raise MediaError(f"-o {name} has {len(placeholders)} places for a number: keep one, e.g. out.####{EXR_SUFFIX}")
    if placeholders:
        found = placeholders[0]
        return name[: found.start()], _digits(found), name[found.end() :], None
    if numbered := _NUMBERED.fullmatch(name):
        return numbered["prefix"], len(numbered["number"]), numbered["suffix"], int(numbered["number"])
    plain, suffix = os.path.splitext(name)
    return (plain, None, suffix, None) if single else (f"{plain}.", DEFAULT_DIGITS, suffix, None)


def _digits(placeholder: re.Match[str]) -> int:
    hashes = placeholder["hashes"]
    if hashes:
        return DEFAULT_DIGITS if len(hashes) == 1 else len(hashes)  # a single # is four digits, as oiiotool has it
    return int(placeholder["width"] or 1)


def refuse_existing(paths: Sequence[Path]) -> None:
    """Stop before anything is overwritten.

    Raises:
        MediaError: If there are any paths.
    """
    if paths:
        more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
        raise MediaError(f"{paths[0]}{more} exists already: pass -y to overwrite, or another name")


def refuse_sources(targets: Iterable[Path], sources: Iterable[Path]) -> None:
    """Stop before a file is overwritten that is still to be read, under whatever name.

    Raises:
        MediaError: If a target is one of the sources.
    """
    places = [path.stat() for path in sources if path.exists()]
    known = {(place.st_dev, place.st_ino) for place in places}
    for target in targets:
        if target.exists() and (target.stat().st_dev, target.stat().st_ino) in known:
            raise MediaError(f"{target} is the input itself: choose another name for the output")


def prepare_folder(folder: Path) -> None:
    """Make a folder, and find out now whether files can be made in it.

    Raises:
        MediaError: If not.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise MediaError(f"can't write to folder {folder} ({error.strerror}): choose another place") from error


@contextmanager
def complete_file(path: Path) -> Iterator[Path]:
    """Yield a hidden name to write to; it becomes `path` if all goes well and vanishes if not.

    Raises:
        MediaError: If the system refuses.
    """
    with hidden_file(path) as unfinished:
        try:
            yield unfinished
            os.replace(unfinished, path)
        except OSError as error:
            reason = f"can't write {path} ({error.strerror})"
            raise MediaError(f"{reason}: choose another place or free some space") from error


@contextmanager
def hidden_file(path: Path, part: str = "") -> Iterator[Path]:
    """Yield a hidden name beside `path`; what is there under it at the end vanishes.

    Args:
        path: What the file is for.
        part: Tells several of them apart.
    """
    hidden = path.with_name(f".{path.name}.{os.getpid()}{part and '.' + part}.tmp")
    try:
        yield hidden
    finally:
        hidden.unlink(missing_ok=True)
