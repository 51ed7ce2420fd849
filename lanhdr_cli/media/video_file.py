"""A video file in the making: encoded beside the other work, complete or absent."""

from contextlib import ExitStack
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import av
from torch import Tensor

from lanhdr_cli.media.audio import Span, open_source
from lanhdr_cli.media.background import Background
from lanhdr_cli.media.decode import VideoInfo
from lanhdr_cli.media.encode import FALLBACK_RATE, Measure, StreamPlan, VideoEncoder
from lanhdr_cli.media.formats import container_of
from lanhdr_cli.media.light_level import StaticMetadata
from lanhdr_cli.media.mux import Surroundings, finish
from lanhdr_cli.media.output import complete_file, hidden_file
from lanhdr_cli.media.timecode import advance, parse_timecode

UNDER_WAY = 2  # frames that are being encoded or wait for it
COUNTED = Fraction(1, 90000)  # unit of times where there are no others


@dataclass(frozen=True)
class ClipOrigin:
    """What a new video file takes over from the clip.

    Args:
        info: Size, rate, time code and pixel aspect.
        path: The video file, for its sound, tags and unit of times; None for image sequences.
        sound: Whether to take over the sound.
        cut: Whether the clip's end may be missing; then sound ends with the pictures.
    """

    info: VideoInfo
    path: Path | None = None
    sound: bool = True
    cut: bool = False

    def time_base(self) -> Fraction:
        """Unit of the clip's times in seconds."""
        if self.path is None:
            return 1 / self.info.rate if self.info.rate else COUNTED
        with open_source(self.path) as container:
            return container.streams.video[0].time_base or COUNTED


class Pictures(Protocol):
    """Makes frames for an encoder; runs in its thread."""

    def frame(self, *pictures: Tensor) -> av.VideoFrame:
        """Make a frame of the tensors that were handed over."""

    def metadata(self) -> StaticMetadata | None:
        """Describe what has been encoded, None if there is nothing to say."""


class VideoFile:
    """Encodes frames in the background; use it in a `with`.

    Leaving it waits for the encoder, adds sound and tags, and gives the file its name. On an error nothing stays.

    Args:
        path: The file.
        plan: How to encode.
        origin: What to take over from the clip.
        pictures: Makes the frames.
        measure: Is shown every frame as a player will decode it.

    Raises:
        MediaError: From `put` or on leaving, if the file can't be made.
    """

    def __init__(
        self,
        path: Path,
        plan: StreamPlan,
        *,
        origin: ClipOrigin,
        pictures: Pictures,
        measure: Measure | None = None,
    ) -> None:
        self.path = path
        self._plan = plan
        self._origin = origin
        self._pictures = pictures
        self._measure = measure
        self._begin: tuple[int, Fraction] | None = None
        self._last = Fraction(0)

    def __enter__(self) -> Self:
        with ExitStack() as outer, ExitStack() as inner:
            self._hidden = outer.enter_context(hidden_file(self.path, "pictures"))
            self._encoder = inner.enter_context(VideoEncoder(self._hidden, self._plan, measure=self._measure))
            self._work = inner.enter_context(Background(self._encode, depth=UNDER_WAY, name="video"))
            self._inner, self._outer = inner.pop_all(), outer.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._outer:
            self._inner.__exit__(kind, error, trace)
            if error is None and self._begin is not None:
                self._finish()

    def put(self, *pictures: Tensor, index: int, time: Fraction) -> None:
        """Hand over a frame; waits while too many are under way.

        Args:
            pictures: What `Pictures.frame` takes.
            index: Position in the clip, from 0.
            time: Presentation time in seconds.
        """
        if self._begin is None:  # a range that begins later begins anew at 0
            self._begin = (index, time if index else Fraction(0))
        self._last = time - self._begin[1]
        self._work.put((pictures, self._last))

    def _encode(self, item: tuple[tuple[Tensor, ...], Fraction]) -> None:
        pictures, time = item
        self._encoder.encode(self._pictures.frame(*pictures), time)

    def _finish(self) -> None:
        container = container_of(self.path)
        with complete_file(self.path) as unfinished:
            finish(
                self._hidden,
                unfinished,
                container=container,
                around=self._surroundings(),
                metadata=self._pictures.metadata(),
            )

    def _surroundings(self) -> Surroundings:
        assert self._begin is not None
        index, begin = self._begin
        origin, rate = self._origin, self._origin.info.rate
        end = begin + self._last + 1 / (rate or FALLBACK_RATE) if origin.cut else None
        around = Surroundings(origin.path, sound=origin.sound, span=Span(begin, end), rate=rate)
        label = parse_timecode(origin.info.timecode) if origin.info.timecode else None
        return replace(around, timecode=str(advance(label, index, rate=rate))) if label and rate else around
