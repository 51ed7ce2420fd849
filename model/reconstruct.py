"""Streaming reconstruction: frames in, HDR frames out, each frame's own work done once."""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor

from model.errors import ExposureError, FrameError
from model.exposure import ExposureCycle
from model.frames import FrameBatch, HdrFrame, LdrFrame, exposure_windows, sliding_windows
from model.network import Prediction, StreamingNetwork


@dataclass(frozen=True)
class PreparedFrame:
    """A frame after its own share of the work.

    Args:
        state: What the network knows of it.
        exposure: Linear exposure relative to the shortest of the clip.
        time: Presentation time in seconds.
    """

    state: Any
    exposure: float
    time: Fraction


class Reconstructor:
    """Runs a network over a clip of any length; memory does not grow with it.

    Args:
        network: The network; it is moved to the device and switched to evaluation.
        device: Where to compute.
        precision: `torch.float32`, or half precision for the convolutions (`torch.bfloat16`, `torch.float16`).
    """

    def __init__(
        self,
        network: StreamingNetwork[Any],
        *,
        device: torch.device | str = "cpu",
        precision: torch.dtype = torch.float32,
    ) -> None:
        self.device = torch.device(device)
        self.precision = precision
        self.network = network.to(self.device).eval()

    def reconstruct(
        self, frames: Iterable[LdrFrame], *, period: int, cycle: ExposureCycle | None = None
    ) -> Iterator[HdrFrame]:
        """Reconstruct one HDR frame per LDR frame, at the same times.

        Args:
            frames: The clip in order of time, all of one size.
            period: Number of frames after which the exposures repeat.
            cycle: Exposures in their order, where frames are missing or doubled; windows then follow the exposures of
                the frames and not their count.

        Yields:
            Frames on the CPU, radiance not negative.

        Raises:
            FrameError: If a frame differs in size from the first, or there are fewer frames than one period.
            ExposureError: If the frames of a window have another number of exposures than the network is made for.
        """
        for window in self.windows(frames, period=period, cycle=cycle):
            prediction = self.predict(window)
            yield HdrFrame(in_file_range(prediction.radiance[0]), window[len(window) // 2].time)

    def windows(
        self, frames: Iterable[LdrFrame], *, period: int, cycle: ExposureCycle | None = None
    ) -> Iterator[tuple[PreparedFrame, ...]]:
        """Yield the window around each frame, for `predict`; arguments and errors as of `reconstruct`."""
        length, states = self.network.config.window_length, self._states(frames)
        windows = (
            sliding_windows(states, length=length, period=period)
            if cycle is None
            else exposure_windows(states, length=length, cycle=cycle)
        )
        for window in windows:
            self._check_exposures(window)
            yield window

    def _states(self, frames: Iterable[LdrFrame]) -> Iterator[PreparedFrame]:
        size: tuple[int, ...] | None = None
        recent: deque[Any] = deque(maxlen=self.network.config.nexps)
        for number, frame in enumerate(frames):
            found = tuple(frame.image.shape)
            size = size or found
            if found != size:
                raise FrameError(
                    f"frame {number} is {found[-1]}x{found[-2]}, the first is {size[-1]}x{size[-2]}: "
                    "frames of one clip must have one size"
                )
            recent.append(self._prepare(frame, recent=tuple(recent)))
            yield PreparedFrame(recent[-1], frame.exposure, frame.time)

    def _check_exposures(self, window: tuple[PreparedFrame, ...]) -> None:
        found = sorted({frame.exposure for frame in window})
        expected = self.network.config.nexps
        if len(found) != expected:
            listed = ", ".join(f"{exposure:g}" for exposure in found)
            time_s = float(window[len(window) // 2].time)
            raise ExposureError(
                f"the frames around {time_s:.3f} s have {len(found)} exposures ({listed}), "
                f"the weights are for {expected}: pass other weights or check the exposures"
            )

    # Inference mode is held per call: around a yield it would leak into the caller's code.
    @torch.inference_mode()
    def _prepare(self, frame: LdrFrame, *, recent: tuple[Any, ...]) -> Any:
        batch = FrameBatch(
            image=frame.image[None].to(self.device, torch.float32),
            exposure=torch.tensor([frame.exposure]),
            precision=frame.precision.tensor()[None].to(self.device),
            time=float(frame.time),
        )
        with self._autocast():
            return self.network.prepare(batch, recent=recent)

    @torch.inference_mode()
    def predict(self, window: tuple[PreparedFrame, ...]) -> Prediction:
        """Reconstruct the frame in the middle of a window; results stay on the device.

        Args:
            window: One of `windows`.
        """
        with self._autocast():
            return self.network.combine(tuple(frame.state for frame in window))

    def _autocast(self) -> torch.autocast:
        half = self.precision != torch.float32
        return torch.autocast(self.device.type, dtype=self.precision if half else None, enabled=half)


def in_file_range(radiance: Tensor) -> Tensor:
    """Bring what a network predicts to what files hold: float32 on the CPU, not negative."""
    return radiance.float().clamp(min=0).cpu()
