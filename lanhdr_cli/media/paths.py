"""Names of numbered frames, paths in advice, and files that appear under their name only when complete."""

import errno
import hashlib
import os
import re
import secrets
import shlex
import socket
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePath
from unicodedata import category

from lanhdr_cli.media.errors import MediaError
from model.files import atomic_write, hidden_name

EXR_SUFFIX = ".exr"
PNG_SUFFIX = ".png"
WEIGHTS_SUFFIX = ".safetensors"
TIFF_SUFFIXES = frozenset({".tif", ".tiff"})
RAW_SUFFIXES = frozenset({".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".rw2", ".orf", ".pef", ".srw"})
PICTURE_SUFFIXES = TIFF_SUFFIXES | RAW_SUFFIXES | {".png", ".jpg", ".jpeg", ".exr", ".bmp"}
CONTAINERS = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska"}  # of video that is written, as FFmpeg says them
DEFAULT_DIGITS = 4
SEEN_S = 10  # after which a new file is seen on all machines of a network file system
SAMPLE = 1 << 20  # bytes that tell a file from others
DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
DISK_GONE = (errno.EIO, errno.ESTALE, errno.ENODEV, errno.ENXIO, errno.ENOTCONN, errno.EHOSTDOWN, errno.ETIMEDOUT)
PLACEHOLDER = re.compile(r"%0?(?P<width>\d*)d|(?P<hashes>#+)")
_NUMBERED = re.compile(
    rf"(?P<prefix>.*\.)(?P<number>\d{{3,}})(?P<suffix>{re.escape(EXR_SUFFIX)})", re.IGNORECASE | re.DOTALL
)
_BEFORE_A_WORD = re.compile(r"(#|%d)[^\W_]", re.DOTALL)  # take #2, 100%done: no place for a number


def ffmpeg_name(path: PurePath) -> str:
    """Name a file to FFmpeg, which takes what is before a colon for a protocol."""
    return f"file:{path}"


def shell_word(path: PurePath, *, for_ffmpeg: bool = False) -> str:
    """Quote a path for a shell, so that a command of an advice can be pasted.

    Args:
        for_ffmpeg: Whether FFmpeg reads it, to which a colon and a leading dash mean something.
    """
    text = str(path)
    if text.startswith("-") or (for_ffmpeg and ":" in text):
        text = ffmpeg_name(path) if for_ffmpeg else f"./{path}"
    return quoted(text)


def quoted(text: str) -> str:
    """Quote a word for a shell, so that a command can be pasted."""
    if printable(text) == text:
        return shlex.quote(text)
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"$'{printable(escaped)}'"


def printable(text: str) -> str:
    """Show control characters, and bytes of names that are no text, as $'...' of a shell takes them, e.g. \\xe9."""
    hidden = ("Cc", "Cs", "Zl", "Zp")
    return "".join(_escaped(letter) if category(letter) in hidden else letter for letter in text)


def _escaped(letter: str) -> str:
    byte = ord(letter) - 0xDC00  # of a name that is not UTF-8, as os.fsdecode has it
    return f"\\x{byte:02x}" if 0x80 <= byte <= 0xFF else letter.encode("unicode_escape").decode("ascii")


def check_output(target: str) -> None:
    """Refuse an `-o` that names neither EXR frames (a name in .exr, or a folder with a slash) nor a video."""
    suffix = PurePath(target).suffix.lower()
    if target == "-":
        raise MediaError("-o -: can't write to standard output; pass a file, e.g. out.mp4, or out.exr for frames")
    if not target.endswith("/") and suffix != EXR_SUFFIX and suffix not in CONTAINERS:
        raise MediaError(
            f"-o {target}: can't write {suffix or 'a name without suffix'}; "
            "pass out.mp4, .mov or .mkv for video, out.exr, or out/ for a folder"
        )


def check_preview(path: PurePath) -> None:
    """Refuse a preview that is neither a PNG nor a video."""
    if path.suffix.lower() != PNG_SUFFIX and not is_video(path):
        raise MediaError(f"--preview {path}: can only write PNG and video; pass e.g. preview.png or preview.mp4")


def check_plot(path: PurePath) -> None:
    """Refuse a plot that is no PNG."""
    if path.suffix.lower() != PNG_SUFFIX:
        raise MediaError(f"--plot {path}: can only write PNG; pass e.g. --plot plot.png")


def check_weights(path: PurePath) -> None:
    """Refuse weights that are not safetensors."""
    if path.suffix.lower() != WEIGHTS_SUFFIX:
        raise MediaError(f"-o {path}: weights are written as {WEIGHTS_SUFFIX}; pass e.g. weights{WEIGHTS_SUFFIX}")


def is_video(path: PurePath) -> bool:
    """Tell whether a name to write to is that of a video."""
    return path.suffix.lower() in CONTAINERS


def is_tiff(path: PurePath) -> bool:
    """Tell whether a file may hold several pictures."""
    return path.suffix.lower() in TIFF_SUFFIXES


def is_camera_raw(path: PurePath) -> bool:
    """Tell whether a file is a still of a camera's sensor, CinemaDNG included."""
    return path.suffix.lower() in RAW_SUFFIXES


def is_picture(path: PurePath) -> bool:
    """Tell whether a file is one of those that make up image sequences."""
    return path.suffix.lower() in PICTURE_SUFFIXES


@dataclass(frozen=True, kw_only=True)
class FrameNames:
    """Names of the files of one sequence.

    Args:
        digits: Least number of digits; None for a single file without number.
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
        number = "" if self.digits is None else f"{self.number(index):0{self.digits}d}"
        return self.folder / f"{self.prefix}{number}{self.suffix}"

    def existing(self, first: int, last: int | None) -> list[Path]:
        """Find existing files under the names of frames `first` to `last`, None for any after `first`."""
        if self.digits is None:
            return [path for path in (self.path(first),) if path.exists()]
        names = self.folder.iterdir() if self.folder.is_dir() else ()
        return sorted(path for path in names if self.holds(path.name, first, last))

    def holds(self, name: str, first: int, last: int | None) -> bool:
        """Whether a name is that of one of the frames `first` to `last`, None for any after `first`."""
        if self.digits is None:
            return name == self.path(first).name
        match = re.fullmatch(re.escape(self.prefix) + r"(\d+)" + re.escape(self.suffix), name)
        if match is None:
            return False
        index = self._indices.get(int(match[1]), -1) if self.numbers else int(match[1]) - self.start
        return first <= index and (last is None or index <= last) and name == self.path(index).name

    @cached_property
    def _indices(self) -> dict[int, int]:
        return {number: index for index, number in enumerate(self.numbers)}


def frame_names(
    target: str,
    stem: str,
    *,
    first: int = 0,
    start_number: int | None = None,
    single: bool = False,
    numbers: tuple[int, ...] | None = None,
) -> FrameNames:
    """Read `-o`: `dir/`, `out.exr`, `out.####.exr`, `out.%05d.exr` or `out.1001.exr`.

    Without any number given, frames keep the numbers that they have, and frame k of a clip without numbers becomes
    number k + 1, so that ranges converted apart fit together; a number that is given belongs to the first frame of
    the range. Only three digits or more behind a dot are such a number: `MVI_0042.exr` becomes `MVI_0042.0001.exr`.

    Args:
        target: The option as typed.
        stem: Name of the clip, for files in `dir/`.
        first: Index of the first frame of the range.
        start_number: Value of `--start-number`.
        single: Whether the range is one frame, which keeps a plain name.
        numbers: Numbers that the clip's frames have in their own names.

    Raises:
        MediaError: If there are two placeholders, or two start numbers.
    """
    folder, name = Path(target).parent, Path(target).name
    in_folder = target.endswith("/") or Path(target).is_dir()
    if in_folder:
        folder, name = Path(target), stem + EXR_SUFFIX  # nothing in a clip's own name is a place for a number
    places = () if in_folder else PLACEHOLDER.finditer(name)
    placeholders = [place for place in places if not _BEFORE_A_WORD.match(name, place.start())]
    if len(placeholders) > 1:
        raise MediaError(f"-o {name} has {len(placeholders)} places for a number: keep one, e.g. out.####{EXR_SUFFIX}")
    given = start_number
    digits: int | None
    if placeholders:
        (placeholder,) = placeholders
        prefix, suffix = name[: placeholder.start()], name[placeholder.end() :]
        digits = len(placeholder["hashes"] or "") or int(placeholder["width"] or 1)
        if placeholder["hashes"] == "#":  # a single # is four digits, as oiiotool has it
            digits = DEFAULT_DIGITS
    elif not in_folder and (numbered := _NUMBERED.fullmatch(name)):
        prefix, suffix, digits = numbered["prefix"], numbered["suffix"], len(numbered["number"])
        given = int(numbered["number"])
        if start_number is not None:
            raise MediaError(f"-o {target} already starts at {given}: leave out --start-number {start_number}")
    else:
        prefix, suffix = os.path.splitext(name)
        digits = None if single and not in_folder else DEFAULT_DIGITS
        prefix += "" if digits is None else "."
    return FrameNames(
        folder=folder,
        prefix=prefix,
        digits=digits,
        suffix=suffix,
        start=1 if given is None else given - first,
        numbers=numbers or () if given is None else (),
    )


def content_id(paths: Sequence[Path]) -> str:
    """Tell clips apart by the first and the last of their files: size, beginning and end, whatever their names."""
    digest = hashlib.sha256()
    for path in dict.fromkeys((paths[0], paths[-1])):
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            digest.update(size.to_bytes(8, "big"))
            for position in (0, max(0, size - SAMPLE)):
                file.seek(position)
                digest.update(file.read(SAMPLE))
    return digest.hexdigest()[:16]


def refuse_existing(paths: Sequence[Path], *, resumable: bool = False) -> None:
    """Refuse to overwrite files.

    Args:
        resumable: Whether an interrupted run may have left them.
    """
    if paths:
        existing = f"{paths[0]} exists" if len(paths) == 1 else f"{paths[0]} and {len(paths) - 1} more exist"
        options = "--resume to keep what is finished, -y to overwrite," if resumable else "-y to overwrite,"
        raise MediaError(f"{existing} already: pass {options} or another name")


def refuse_sources(targets: Iterable[Path], sources: Iterable[Path]) -> None:
    """Refuse to overwrite a file that is still to be read, under whatever name."""
    states = [path.stat() for path in sources if path.exists()]
    known = {(state.st_dev, state.st_ino) for state in states}
    for target in targets:
        if target.exists() and (target.stat().st_dev, target.stat().st_ino) in known:
            raise MediaError(f"{target} is the input itself: choose another name for the output")


def prepare_folder(folder: Path) -> None:
    """Make a folder, and refuse it if no files can be made in it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise MediaError(f"can't write to folder {folder} ({error.strerror}): choose another place") from error


@contextmanager
def landmark(path: Path) -> Iterator[Path]:
    """Make a file by which other processes find out whether they see the same folder; it goes away at the end.

    Args:
        path: The file that is to be made in the folder, or the first of them.
    """
    mark = hidden_name(path, purpose=f".{secrets.token_hex(4)}.landmark")
    try:
        mark.touch()
    except OSError as error:
        raise MediaError(
            f"can't write to folder {mark.parent} ({error.strerror}): {writing_advice(error.errno)}"
        ) from error
    try:
        yield mark
    finally:
        with suppress(OSError):  # a disk that is gone must not hide the error that ended the work
            mark.unlink()


def check_landmark(mark: Path) -> None:
    """Refuse a folder that is not the one in which another process has made a landmark.

    Raises:
        MediaError: If it is not seen there.
    """
    until = time.monotonic() + SEEN_S
    while not mark.exists():
        if time.monotonic() > until:
            raise MediaError(f"folder {mark.parent} is another one on {socket.gethostname()}: name one that all share")
        time.sleep(0.2)


@contextmanager
def complete_file(path: Path, *, to_disk: bool = False) -> Iterator[Path]:
    """Yield a hidden name to write to; it becomes `path` if all goes well and vanishes if not.

    Args:
        to_disk: Whether it is to survive a loss of power from then on.
    """
    try:
        with atomic_write(path, to_disk=to_disk) as unfinished:
            yield unfinished
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise MediaError(f"can't write {path} ({reason}): {writing_advice(error.errno)}") from error


def writing_advice(code: int | None) -> str:
    """What helps where a file can't be written, by the system's error number."""
    if code in DISK_FULL:
        return "free some space or choose another place"
    return "check that its disk or network is still there" if code in DISK_GONE else "choose another place"
