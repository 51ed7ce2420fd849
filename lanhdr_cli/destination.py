"""Destinations of results: EXR frames or one HDR video, as `-o` says."""

from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from lanhdr_cli.media.encoder import EncoderOptions, check_encoder_options
from lanhdr_cli.media.errors import MediaError
from lanhdr_cli.media.exr import ClipRecord, ExrWriter
from lanhdr_cli.media.paths import FrameNames, frame_names, is_picture, is_video
from lanhdr_cli.media.source import Source
from lanhdr_cli.media.video_writer import ClipOrigin, VideoOptions, VideoWriter
from lanhdr_cli.options import FrameRange
from model.frames import HdrFrame


class HdrWriter(Protocol):
    """Writes HDR frames beside other work; used in a `with`."""

    @property
    def written(self) -> int:
        """Frames that are done."""

    @property
    def nan_frames(self) -> int:
        """Frames that held values that are no numbers."""

    @property
    def outcome(self) -> str:
        """What was made, for people."""

    @property
    def left_behind(self) -> str:
        """What stays after an interruption, for people."""

    def __enter__(self) -> Self:
        """Begin."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Complete what was begun, or drop it on an error."""

    def write(self, frame: HdrFrame, *, index: int, exposure: float) -> None:
        """Queue one frame; waits while too many are queued."""


class Destination(Protocol):
    """Files to be made."""

    @property
    def folder(self) -> Path:
        """Where they go."""

    def existing(self, first: int, last: int | None) -> list[Path]:
        """Files that are there already under the names of frames `first` to `last`, None for any after `first`."""

    def writer(self, record: ClipRecord, source: Source) -> HdrWriter:
        """Make what writes them."""


@dataclass(frozen=True)
class FrameFiles:
    """EXR frames.

    Args:
        names: Of the files.
    """

    names: FrameNames

    @property
    def folder(self) -> Path:
        """Where they go."""
        return self.names.folder

    def existing(self, first: int, last: int | None) -> list[Path]:
        """Files that are there already under the names of frames `first` to `last`, None for any after `first`."""
        return self.names.existing(first, last)

    def writer(self, record: ClipRecord, source: Source) -> ExrWriter:
        """Make what writes them."""
        return ExrWriter(self.names, record)


@dataclass(frozen=True)
class VideoTarget:
    """One HDR video.

    Args:
        path: The file.
        wishes: How to encode.
        cut: Whether the clip's end may be missing.
    """

    path: Path
    wishes: VideoOptions
    cut: bool

    @property
    def folder(self) -> Path:
        """Where it goes."""
        return self.path.parent

    def existing(self, first: int, last: int | None) -> list[Path]:
        """The file, if it is there already."""
        return [self.path] if self.path.exists() else []

    def writer(self, record: ClipRecord, source: Source) -> VideoWriter:
        """Make what writes it."""
        origin = origin_of(source, sound=self.wishes.sound, cut=self.cut)
        return VideoWriter(self.path, self.wishes, scale=record.scale, origin=origin)


def origin_of(source: Source, *, sound: bool, cut: bool) -> ClipOrigin:
    """What a video made of a clip takes over from it."""
    video = source.path if source.path.is_file() and not is_picture(source.path) else None
    return ClipOrigin(info=source.info, path=video, sound=sound, cut=cut)


def plan_destination(
    output: str,
    source: Source,
    *,
    frames: FrameRange,
    start_number: int | None,
    video: VideoOptions,
    colorspace: str,
    preview: Path | None,
) -> Destination:
    """Read what `-o` says.

    Args:
        output: What the user typed, checked by `formats.check_output`.
        source: The clip.
        frames: Which frames are wanted.
        start_number: What `--start-number` says.
        video: How to encode a video.
        colorspace: Primaries of EXR files.
        preview: Where a preview goes, which must be elsewhere.

    Raises:
        MediaError: If options don't fit the kind of output, or an encoder can't do what is wished.
    """
    if not output.endswith("/") and is_video(path := Path(output)):
        _refuse_exr_options(path, start_number=start_number, colorspace=colorspace)
        check_encoder_options(video.encoding, path)
        if preview and preview.absolute() == path.absolute():
            raise MediaError(f"-o and --preview both name {path}: choose another name for the preview")
        return VideoTarget(path, video, cut=frames.last is not None)
    _refuse_video_options(output, video)
    names = frame_names(
        output,
        source.name,
        first=frames.first,
        start_number=start_number,
        single=frames.count == 1,
        numbers=source.numbers,
    )
    return FrameFiles(names)


def _refuse_exr_options(path: Path, *, start_number: int | None, colorspace: str) -> None:
    if start_number is not None:
        raise MediaError(f"--start-number {start_number} is for EXR frames, -o {path} is a video: leave it out")
    if colorspace != "rec709":
        raise MediaError(f"--colorspace {colorspace} is for EXR frames, HDR video is in BT.2020: leave it out")


def _refuse_video_options(output: str, video: VideoOptions) -> None:
    if video != VideoOptions(encoding=EncoderOptions(threads=video.encoding.threads), sound=video.sound):
        raise MediaError(
            f"-o {output} means EXR frames, options of video (--codec, --crf, --peak-nits ...) do not fit: "
            "leave them out or name a .mp4, .mov or .mkv file"
        )
