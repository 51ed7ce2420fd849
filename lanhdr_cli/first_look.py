"""The first frames of a clip, reduced to samples and read once for all estimates."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import cached_property
from itertools import islice
from types import TracebackType
from typing import Self

import torch

from lanhdr_cli.media.source import Source
from lanhdr_cli.media.video_reader import DecodedFrame
from model.analysis.brightness import sampled
from model.analysis.camera import Shot

FRAMES = 120


class FirstLook:
    """Reads the first frames when somebody asks for them, keeps them, and goes on from there; use it in a `with`.

    Args:
        reopen: Opens the clip once more.
    """

    def __init__(self, reopen: Callable[[], Source]) -> None:
        self._reopen = reopen
        self._open = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    @cached_property
    def _running(self) -> Iterator[DecodedFrame]:
        return map(_shrunk, self._open.enter_context(self._reopen()).frames())

    @cached_property
    def frames(self) -> list[DecodedFrame]:
        """The first 120 frames, or all if there are fewer."""
        return list(islice(self._running, FRAMES))

    @property
    def shots(self) -> list[Shot]:
        """The same for the analysis."""
        return [Shot(frame.image, frame.time) for frame in self.frames]

    def all_frames(self, *, stop: int | None = None) -> Iterator[DecodedFrame]:
        """Yield the frames kept and those that follow, to the one before `stop`; call it once."""
        yield from self.frames[:stop]
        if len(self.frames) == FRAMES and (stop is None or stop > FRAMES):
            yield from self._running if stop is None else islice(self._running, stop - FRAMES)


def _shrunk(frame: DecodedFrame) -> DecodedFrame:
    """Keep as many samples as the analysis needs, in half precision, which holds codes of 10 bits."""
    return replace(frame, image=sampled(frame.image).to(torch.float16))
