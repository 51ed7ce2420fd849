"""Where a preview goes: nowhere, into a picture, or into a video that shows the input beside the result."""

from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from lanhdr_cli.media.formats import is_video
from lanhdr_cli.media.png import write_png
from lanhdr_cli.media.sdr import sdr_video
from lanhdr_cli.media.video_file import ClipOrigin
from lanhdr_cli.pipeline import Reconstructed
from lanhdr_cli.preview import GAP, Adaptation, Preview, adaptation, fit, fitted_size, tone_map

SMOOTHING = 0.9  # part of the brightness seen before that stays from frame to frame


class PreviewOutput(AbstractContextManager["PreviewOutput"], Protocol):
    """Takes results as they come; leaving its `with` completes the file."""

    def consider(self, frame: Reconstructed) -> None:
        """Take a result."""


class NoPreview:
    """Takes nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def consider(self, frame: Reconstructed) -> None:
        """Take nothing."""


class PicturePreview(NoPreview):
    """One picture of a frame.

    Args:
        path: The PNG file.
        target: Index of the frame to show.
    """

    def __init__(self, path: Path, target: int) -> None:
        self._path = path
        self._preview = Preview(target)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        picture = self._preview.picture() if error is None else None
        if picture is not None:
            write_png(self._path, picture)

    def consider(self, frame: Reconstructed) -> None:
        """Keep a frame if it is not beyond the target."""
        self._preview.consider(frame)


class VideoPreview:
    """A video: the input frame on the left, the tone-mapped result on the right, with the sound of the clip.

    The operator is that of `preview.tone_map`; what it adapts to follows the clip slowly, so that it does not flicker.

    Args:
        path: The file.
        origin: What to take over from the clip.
        threads: Of the encoder, None for its own choice.
    """

    def __init__(self, path: Path, origin: ClipOrigin, *, threads: int | None) -> None:
        height, width = fitted_size(origin.info.height, origin.info.width)
        self._file = sdr_video(path, width=2 * width + GAP, height=height, origin=origin, threads=threads)
        self._adapted: Adaptation | None = None

    def __enter__(self) -> Self:
        self._file.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.__exit__(kind, error, trace)

    def consider(self, frame: Reconstructed) -> None:
        """Add a frame."""
        radiance = fit(frame.hdr.radiance)
        seen = adaptation(radiance)
        self._adapted = seen if self._adapted is None else self._adapted.toward(seen, keep=SMOOTHING)
        left = fit(frame.ldr.image)
        gap = left.new_ones(3, left.shape[1], GAP)
        result = tone_map(radiance, adapted=self._adapted)
        self._file.put(left, gap, result, index=frame.index, time=frame.hdr.time)


def open_preview(path: Path | None, origin: ClipOrigin, *, target: int, threads: int | None) -> PreviewOutput:
    """Choose the kind of preview by the file's name.

    Args:
        path: Where it goes, None for nowhere.
        origin: What a video takes over from the clip.
        target: Index of the frame that a picture shows.
        threads: Of an encoder, None for its own choice.
    """
    if path is None:
        return NoPreview()
    return VideoPreview(path, origin, threads=threads) if is_video(path) else PicturePreview(path, target)
