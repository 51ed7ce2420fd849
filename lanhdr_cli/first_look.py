"""The first frames of a clip, reduced to samples and read once for all estimates."""

from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from itertools import islice

import torch

from lanhdr_cli.media.source import Source
from lanhdr_cli.media.video_reader import DecodedFrame
from model.analysis.brightness import sampled
from model.analysis.camera import Shot

FRAMES = 120


class FirstLook:
    """Reads the first frames of an open clip when asked for them, keeps them, and goes on from there."""

    def __init__(self, clip: Source) -> None:
        self._running = map(_shrunk, clip.frames())

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
