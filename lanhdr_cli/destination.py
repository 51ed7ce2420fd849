"""Destinations of results: EXR frames or one HDR video, as `-o` says."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from lanhdr_cli.media.encoder import EncoderOptions, check_encoder_options
from lanhdr_cli.media.errors import MediaError
from lanhdr_cli.media.exr import ClipRecord, ExrWriter
from lanhdr_cli.media.paths import FrameNames, frame_names, is_video
from lanhdr_cli.media.segments import SegmentPlan
from lanhdr_cli.media.source import Source
from lanhdr_cli.media.video_writer import ClipOrigin, VideoOptions, VideoWriter
from lanhdr_cli.options import FrameRange

HdrWriter = ExrWriter | VideoWriter


@dataclass(frozen=True, kw_only=True)
class ExrFrames:
    """A sequence of EXR files."""

    names: FrameNames
    step: ClassVar[int] = 1  # frames that have to be made by one process

    @property
    def folder(self) -> Path:
        """The folder of the files."""
        return self.names.folder

    def existing(self, first: int, last: int | None) -> list[Path]:
        """List existing files with the names of frames `first` to `last`, None for any after `first`."""
        return self.names.existing(first, last)

    def writer(
        self, record: ClipRecord, origin: ClipOrigin, *, position: int = 0, joins: bool = True, verify: bool = False
    ) -> ExrWriter:
        """Make the writer of the files; `position` and `joins` are for video."""
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

    def existing(self, first: int, last: int | None) -> list[Path]:
        """List the file if it exists."""
        return [self.path] if self.path.exists() else []

    def writer(
        self, record: ClipRecord, origin: ClipOrigin, *, position: int = 0, joins: bool = True, verify: bool = False
    ) -> VideoWriter:
        """Make the writer of the file, or of a part of it.

        Args:
            position: Of the first frame in the video, a multiple of `step`.
            joins: Whether the file is made here, of the segments of all processes.
            verify: Whether what is written is read again.
        """
        segments = replace(self.segments, first=position // self.step, joins=joins)
        return VideoWriter(self.path, self.options, scale=record.scale, origin=origin, segments=segments, verify=verify)


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
        return HdrVideo(path=path, options=video, segments=SegmentPlan.beside(path))
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
