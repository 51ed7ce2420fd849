"""The source of a clip's frames: a video file or an image sequence."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Protocol, Self

from lanhdr_cli.media.advice import missing_file, unread_kind
from lanhdr_cli.media.details import Details
from lanhdr_cli.media.errors import MediaError
from lanhdr_cli.media.faults import Faults
from lanhdr_cli.media.frame_index import FrameIndex
from lanhdr_cli.media.image_sequence import ImageSequence, OnMissing, names_sequence
from lanhdr_cli.media.mosaic import Bayer, Pattern, require_opencv
from lanhdr_cli.media.stream_reader import StreamReader, names_stream
from lanhdr_cli.media.video_reader import DecodedFrame, FieldOrder, VideoInfo, VideoReader


class Source(Protocol):
    """An open clip.

    Attributes:
        path: As the user named it.
        folder: Where its files are; a list of exposures may lie there.
        name: Stem for files made of it.
        faults: Faults of the last pass so far.
        numbers: Number of each frame in the names of its files; None for a video.
        exposures: Linear exposure of each frame, the shortest 1, if the files say so themselves.
        index: By which ranges of frames are sought, if there is one.
    """

    path: Path
    folder: Path
    name: str
    info: VideoInfo
    details: Details
    faults: Faults
    numbers: tuple[int, ...] | None
    exposures: list[float] | None
    index: FrameIndex | None

    @property
    def paths(self) -> tuple[Path, ...]:
        """Its files."""

    @property
    def id(self) -> str:
        """Tells it from other clips by its content, whatever its name."""

    @property
    def video(self) -> Path | None:
        """The file of its pictures and sound, None for an image sequence."""

    def __enter__(self) -> Self:
        """Open it."""

    def __exit__(self, *error: object) -> None:
        """Close it."""

    def frames(self, *, start: int = 0, stop: int | None = None) -> Iterator[DecodedFrame]:
        """Decode it from frame `start` to the one before `stop`; each call is a pass of its own and ends the last."""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """Options of reading a clip.

    Args:
        fps: Frames per second of an image sequence, None for 24.
        on_missing: Treatment of a number that a sequence leaves out.
        hwaccel: Hardware decoder of a video: `auto`, or FFmpeg's name of it; None for none.
        field_order: `progressive` if a video flagged as interlaced is progressive; `auto` to find out.
        strict: Whether damage is an error.
        bits: Bits of the codes in 16-bit pictures, 8 to 16; None to find them.
        bayer: Pattern of the color filters of gray pictures, `none` if there are none; None to look for them.
        interleave: Paths of sequences whose pictures follow in turn on each of the clip.
    """

    fps: Fraction | None = None
    on_missing: OnMissing = "error"
    hwaccel: str | None = None
    field_order: FieldOrder = "auto"
    strict: bool = False
    bits: int | None = None
    bayer: Bayer | None = None
    interleave: tuple[Path, ...] = ()

    @property
    def filters(self) -> Pattern | None:
        """The pattern of the color filters, if one is given."""
        return None if self.bayer == "none" else self.bayer


def open_source(path: Path, reading: Reading = Reading(), *, threads: int = 0) -> Source:
    """Choose the reader for a path; it opens on entering its `with`.

    Args:
        path: A video file, a folder of pictures or a pattern for their names.
        threads: Threads of a video decoder, 0 for its own choice.

    Raises:
        MediaError: If an option is for the other kind of clip, or needs a package that is not installed.
    """
    if reading.filters:
        require_opencv()
    is_stream = names_stream(path)
    for other in (path, *reading.interleave) if reading.interleave else ():
        if not other.exists() and not names_sequence(other):
            raise MediaError(missing_file(other))
        if names_stream(other) or not names_sequence(other):
            raise MediaError(f"--interleave is for image sequences, {other} is none: make pictures of it first")
    if not is_stream and names_sequence(path):
        return ImageSequence(
            path,
            fps=reading.fps,
            on_missing=reading.on_missing,
            bits=reading.bits,
            bayer=reading.filters,
            others=reading.interleave,
        )
    if path.exists() and (advice := unread_kind(path)):
        raise MediaError(advice)
    if reading.fps:
        raise MediaError(f"--fps is for image sequences, {path} has times of its own: leave it out")
    if reading.bits:
        raise MediaError(f"--bits is for 16-bit pictures, {path} says how many it has: leave it out")
    reader = StreamReader if is_stream else VideoReader
    return reader(
        path,
        threads=threads,
        hwaccel=reading.hwaccel,
        field_order=reading.field_order,
        strict=reading.strict,
        bayer=reading.filters,
    )
