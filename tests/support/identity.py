"""A reconstructor without a network: it linearises the reference frame, through real windows."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from model.exposure import ExposureCycle, to_radiance
from model.frames import HdrFrame, LdrFrame, exposure_windows, sliding_windows


@dataclass(frozen=True)
class Identity:
    """Each output shows its own input frame, so that mixed-up frames are seen."""

    length: int = 5

    def reconstruct(
        self, frames: Iterable[LdrFrame], *, period: int, cycle: ExposureCycle | None = None
    ) -> Iterator[HdrFrame]:
        """Linearise the middle of each window."""
        windows = (
            exposure_windows(frames, length=self.length, cycle=cycle)
            if cycle
            else sliding_windows(frames, length=self.length, period=period)
        )
        for window in windows:
            center = window[len(window) // 2]
            yield HdrFrame(to_radiance(center.image, center.exposure), center.time)
