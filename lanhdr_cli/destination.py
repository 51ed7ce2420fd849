"""Destinations of results: EXR frames or one HDR video, as `-o` says."""

import re
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from lanhdr_cli.media.encoder import EncoderOptions, check_encoder_options
from lanhdr_cli.media.errors import MediaError
from lanhdr_cli.media.exr import ClipRecord, ExrWriter
from lanhdr_cli.media.paths import FrameNames, frame_names, is_video
from lanhdr_cli.media.segments import SegmentPlan
from lanhdr_cli.media.source import Source
from lanhdr_cli.media.target_lock import target_lock
from lanhdr_cli.media.video_writer import ClipOrigin, VideoOptions, VideoWriter
from lanhdr_cli.options import FrameRange
from model.files import remove_unfinished

HdrWriter = ExrWriter | VideoWriter
_UNFINISHED = r"\.\d+(\.\w+\.landmark)?\.tmp"  # the end of a name that a process has given


@dataclass(frozen=True, kw_only=True)
class ExrFrames:
    """A sequence of EXR files."""

    names: FrameNames
    step: ClassVar[int] = 1  # frames that have to be made by one process

    @property
    def folder(self) -> Path:
        """The folder of the files."""
        return self.names.folder

    def file(self, index: int) -> Path:
        """The file that a frame is in."""
        return self.names.path(index)

    def existing(self, first: int, last: int | None) -> list[Path]:
        """List existing files with the names of frames `first` to `last`, None for any after `first`."""
        return self.names.existing(first, last)

    def lock(self, first: int, last: int | None) -> AbstractContextManager[None]:
        """Make a context that holds the right to write frames `first` to `last`, None for any after `first`.

        Raises:
            MediaError: On entering, if another process writes one of them.
        """
        names = self.names
        target = names.folder / f"{names.prefix}{'' if names.digits is None else '#'}{names.suffix}"
        if names.digits is None:
            return target_lock(target)
        if names.numbers:
            numbers = names.numbers[first:] if last is None else names.numbers[first : last + 1]
            return target_lock(target, min(numbers), max(numbers))
        return target_lock(target, names.number(first), None if last is None else names.number(last))

    def tidy(self, pids: Iterable[int]) -> None:
        """Remove what processes that are gone have left unfinished."""
        remove_unfinished(self.folder, pids)

    def remove_leftovers(self, first: int, last: int | None) -> None:
        """Remove what killed processes have left unfinished of frames that are locked."""
        names = self.names
        pattern = re.compile(rf"\.(?P<name>{re.escape(names.prefix)}(\d*){re.escape(names.suffix)}){_UNFINISHED}")
        for path in names.folder.glob(".*.tmp"):
            if (match := pattern.fullmatch(path.name)) and names.holds(match["name"], first, last):
                path.unlink(missing_ok=True)

    def with_settings(self, settings: str) -> "ExrFrames":
        """Return the same; the settings of frames are in their headers."""
        return self

    def writer(
        self,
        record: ClipRecord,
        origin: ClipOrigin,
        *,
        position: int | None = 0,
        begin: int = 0,
        joins: bool = True,
        verify: bool = False,
    ) -> ExrWriter:
        """Make the writer of the files; `position`, `begin` and `joins` are for video."""
        return ExrWriter(self.names, record, verify=verify)


@dataclass(frozen=True, kw_only=True)
class HdrVideo:
    """One HDR video."""

    path: Path
    options: VideoOptions
    segments: SegmentPlan

    @property
    def step(self) -> int:
        """Number of frames that have to be made by one process."""
        return self.segments.frames

    @property
    def folder(self) -> Path:
        """The folder of the file."""
        return self.path.parent

    def file(self, index: int) -> Path:
        """The file that a frame is in."""
        return self.path

    def existing(self, first: int, last: int | None) -> list[Path]:
        """List the file if it exists."""
        return [self.path] if self.path.exists() else []

    def lock(self, first: int, last: int | None) -> AbstractContextManager[None]:
        """Make a context that holds the right to write the file, whatever frames are in it.

        Raises:
            MediaError: On entering, if another process writes it.
        """
        return target_lock(self.path)

    def tidy(self, pids: Iterable[int]) -> None:
        """Remove what processes that are gone have left unfinished."""
        remove_unfinished(self.folder, pids)
        if self.segments.folder.is_dir():
            self.segments.leave(joined=False, pids=pids)

    def remove_leftovers(self, first: int, last: int | None) -> None:
        """Remove what killed processes have left unfinished of the file and its segments."""
        pattern = re.compile(rf"\.{re.escape(self.path.name)}{_UNFINISHED}")
        own = (path for path in self.folder.glob(".*.tmp") if pattern.fullmatch(path.name))
        for path in (*own, *self.segments.folder.glob(".*.tmp")):
            path.unlink(missing_ok=True)

    def with_settings(self, settings: str) -> "HdrVideo":
        """Let later runs of the same settings take over finished segments."""
        return replace(self, segments=replace(self.segments, settings=settings))

    def writer(
        self,
        record: ClipRecord,
        origin: ClipOrigin,
        *,
        position: int | None = 0,
        begin: int = 0,
        joins: bool = True,
        verify: bool = False,
    ) -> VideoWriter:
        """Make the writer of the file, or of a part of it.

        Args:
            position: Of the first frame that is made here in the video, a multiple of `step`; None if none is.
            begin: Position in the clip of the video's first frame.
            joins: Whether the file is made here, of the segments of all processes.
            verify: Whether what is written is read again.
        """
        first = None if position is None else position // self.step
        segments = replace(self.segments, first=first, joins=joins)
        return VideoWriter(
            self.path, self.options, scale=record.scale, origin=origin, segments=segments, begin=begin, verify=verify
        )


Destination = ExrFrames | HdrVideo


def clip_origin(source: Source, *, sound: bool, cut: bool) -> ClipOrigin:
    """Describe the clip for a video made of it."""
    return ClipOrigin(info=source.info, path=source.video, sound=sound, cut=cut)


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
    """Interpret `-o`, which `paths.check_output` has checked.

    Raises:
        MediaError: If options don't fit the kind of output, or an encoder does not support them.
    """
    if not output.endswith("/") and is_video(path := Path(output)):
        if start_number is not None:
            raise MediaError(f"--start-number {start_number} is for EXR frames, -o {path} is a video: leave it out")
        if colorspace != "rec709":
            raise MediaError(f"--colorspace {colorspace} is for EXR frames, HDR video is in BT.2020: leave it out")
        check_encoder_options(video.encoding, path)
        if path.is_dir():
            raise MediaError(
                f"-o {path} is a folder: name a file in it, or end with a slash for EXR frames: -o {path}/"
            )
        if preview and preview.absolute() == path.absolute():
            raise MediaError(f"-o and --preview both name {path}: choose another name for the preview")
        return HdrVideo(path=path, options=video, segments=SegmentPlan.lasting(path))
    if video != VideoOptions(encoding=EncoderOptions(threads=video.encoding.threads), sound=video.sound):
        raise MediaError(
            f"-o {output} means EXR frames, options of video (--codec, --crf, --peak-nits ...) do not fit: "
            "leave them out or name a .mp4, .mov or .mkv file"
        )
    names = frame_names(
        output,
        source.name,
        first=frames.first,
        start_number=start_number,
        single=frames.count() == 1,
        numbers=source.numbers,
    )
    return ExrFrames(names=names)
