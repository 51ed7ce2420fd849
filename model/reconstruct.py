"""Streaming reconstruction of clips, for frames and for arrays."""

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from operator import attrgetter
from typing import Any, Literal, Protocol, TypeVar, cast
from weakref import WeakSet

import torch
from torch import Tensor

from model.device import is_out_of_memory, on_device
from model.errors import ExposureError, FrameError
from model.exposure import ExposureCycle, to_radiance
from model.frames import FrameBatch, HdrFrame, LdrFrame, exposure_windows, sliding_windows
from model.graphs import Recorded
from model.network import Prediction, StreamingNetwork
from model.response import ResponseCurve, gamma_curve
from model.tiles import TiledNetwork, Tiling

logger = logging.getLogger(__name__)

Layout = Literal["channels_first", "channels_last"]
CODE_BITS = {torch.uint8: 8, torch.uint16: 16}
MOST_BITS = 12  # of precision; steps of wider codes lie below any noise


class SupportsArray(Protocol):
    """A NumPy array, or anything that turns into one."""

    def __array__(self) -> Any:
        """The values."""


T = TypeVar("T")
Pictures = TypeVar("Pictures", bound=Tensor | SupportsArray)


@dataclass(eq=False)
class PreparedFrame:
    """A frame of a clip and the network's state of it, which is made anew if whole frames turn out not to fit.

    The image is encoded with 1/2.2, 0..1, (3, H, W), exposures are linear, relative to the shortest, times in seconds.
    """

    frame: LdrFrame
    state: Any
    clip: "_FramesInUse"

    @property
    def image(self) -> Tensor:
        """The picture."""
        return self.frame.image

    @property
    def exposure(self) -> float:
        """Its exposure."""
        return self.frame.exposure

    @property
    def time(self) -> Fraction:
        """Its time."""
        return self.frame.time

    @property
    def blank(self) -> bool:
        """Whether it shows nothing."""
        return self.frame.blank


class Reconstructor:
    """Runs a network over a clip of any length; memory does not grow with it.

    Frames that do not fit into memory are computed in tiles from there on, with a warning; none is lost.

    Args:
        network: It is moved to the device and switched to evaluation.
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
        self._tiled: TiledNetwork | None = None

    def divide(self, tiling: Tiling) -> None:
        """Compute frames in these tiles from now on, for a budget of memory that is known before the start."""
        self._tiled = TiledNetwork(self.network, tiling) if len(tiling) > 1 else None

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
            Frames on the network's device, radiance not negative.

        Raises:
            FrameError: If a frame differs in size from the first, or there are fewer frames than one period.
            ExposureError: If the frames have another number of exposures than the network is made for.
            DeviceError: If there is too little memory even for tiles.
        """
        for window in self.windows(frames, period=period, cycle=cycle):
            middle = window[len(window) // 2]
            if self._complete(window):
                yield HdrFrame(in_file_range(self.predict(window).radiance[0]), middle.time)
            else:
                yield HdrFrame(in_file_range(to_radiance(middle.image, middle.exposure)), middle.time, merged=False)

    def _complete(self, window: tuple[PreparedFrame, ...]) -> bool:
        return len({frame.exposure for frame in window}) == self.network.config.nexps

    def reconstruct_array(
        self,
        images: Pictures,
        exposures: Sequence[float],
        *,
        layout: Layout = "channels_first",
        response: ResponseCurve | None = None,
    ) -> Pictures:
        """Reconstruct a whole clip that is held in memory.

        Args:
            images: Encoded pictures in order of time, (T, 3, H, W), or (T, H, W, 3) if `layout` says so; a tensor or a
                NumPy array of 8- or 16-bit codes, or of floats in 0..1.
            exposures: Linear exposures of one cycle from the first picture on, e.g. [1, 8]; or one per picture.
            layout: Place of the channels, of input and output.
            response: The camera's response; None is gamma 2.2.

        Returns:
            Linear radiance, 1.0 = clip level of the shortest exposure, float32, not negative; kind, shape and layout
            of `images`.

        Raises:
            FrameError: If the pictures have another shape or type, or are fewer than one cycle.
            ExposureError: If the exposures don't alternate, or the network is made for another number of them.
        """
        pictures = torch.as_tensor(images)
        if pictures.ndim != 4:
            raise FrameError(f"expected four dimensions (T, 3, H, W), found shape {tuple(pictures.shape)}")
        radiance = torch.stack(
            list(self.reconstruct_arrays(pictures, exposures, layout=layout, response=response, count=len(pictures)))
        )
        return cast(Pictures, radiance if isinstance(images, Tensor) else radiance.numpy())

    def reconstruct_arrays(
        self,
        images: Iterable[Pictures],
        exposures: Sequence[float],
        *,
        layout: Layout = "channels_first",
        response: ResponseCurve | None = None,
        count: int | None = None,
    ) -> Iterator[Pictures]:
        """Reconstruct a clip picture by picture, as `reconstruct_array` does; memory does not grow with it.

        Args:
            images: Encoded pictures in order of time, (3, H, W) or (H, W, 3).
            exposures: Linear exposures of one cycle from the first picture on; or one per picture, as many as `count`.
            layout: Place of the channels, of input and output.
            response: The camera's response; None is gamma 2.2.
            count: Number of pictures, where each has an exposure of its own.

        Yields:
            Linear radiance of each picture, as soon as the pictures after it that it needs have come.
        """
        nexps = self.network.config.nexps
        per_picture = count is not None and len(exposures) == count and count > nexps
        cycle = ExposureCycle.from_ratios(list(dict.fromkeys(exposures)) if per_picture else exposures)
        shortest = min(exposures)
        curve, as_tensors = response or gamma_curve(), True
        precision = cache(lambda bits: curve.precision(bits=bits))  # of all pictures of a type

        def frames() -> Iterator[LdrFrame]:
            nonlocal as_tensors
            for number, image in enumerate(images):
                as_tensors = isinstance(image, Tensor)
                exposure = exposures[number % len(exposures)] / shortest
                encoded, bits = _encoded(torch.as_tensor(image), number, layout=layout)
                yield LdrFrame(curve.to_ldr(encoded), exposure, Fraction(number), precision(bits))

        for frame in self.reconstruct(frames(), period=cycle.period, cycle=cycle if per_picture else None):
            radiance = frame.radiance.cpu()
            radiance = radiance if layout == "channels_first" else radiance.permute(1, 2, 0).contiguous()
            yield cast(Pictures, radiance if as_tensors else radiance.numpy())

    def windows(
        self, frames: Iterable[LdrFrame], *, period: int, cycle: ExposureCycle | None = None
    ) -> Iterator[tuple[PreparedFrame, ...]]:
        """Yield the window around each frame, for `predict`; arguments and errors as of `reconstruct`.

        With a `cycle`, a window whose exposures are not all there lies where frames of one are too far away.
        """
        length, states, nexps = self.network.config.window_length, self._states(frames), self.network.config.nexps
        if cycle is not None and len(set(cycle.ratios)) != nexps:
            listed = ", ".join(f"{ratio:g}" for ratio in sorted(set(cycle.ratios)))
            raise ExposureError(f"the exposures are {listed}, the weights are for {nexps}: pass other weights")
        windows = (
            sliding_windows(states, length=length, period=period, blank=attrgetter("blank"))
            if cycle is None
            else exposure_windows(states, length=length, cycle=cycle, blank=attrgetter("blank"))
        )
        for window in windows:
            if cycle is None and not self._complete(window):
                exposures = sorted({frame.exposure for frame in window})
                listed = ", ".join(f"{exposure:g}" for exposure in exposures)
                time_s = float(window[len(window) // 2].time)
                raise ExposureError(
                    f"the frames around {time_s:.3f} s have {len(exposures)} exposures ({listed}), "
                    f"the weights are for {nexps}: pass other weights or check the exposures"
                )
            yield window

    def _states(self, frames: Iterable[LdrFrame]) -> Iterator[PreparedFrame]:
        size: tuple[int, ...] | None = None
        in_use = _FramesInUse(self._prepare, nexps=self.network.config.nexps)
        for number, frame in enumerate(frames):
            shape = tuple(frame.image.shape)
            size = size or shape
            if shape != size:
                raise FrameError(
                    f"frame {number} is {shape[-1]}x{shape[-2]}, the first is {size[-1]}x{size[-2]}: "
                    "frames of one clip must have one size"
                )
            yield self._fitting(lambda frame=frame: in_use.add(frame), in_use, frame)  # type: ignore[misc]

    # Inference mode is held per call: around a yield it would leak into the caller's code.
    @torch.inference_mode()
    def _prepare(self, frame: LdrFrame, *, recent: tuple[Any, ...]) -> Any:
        batch = FrameBatch(
            image=on_device(frame.image[None].float(), self.device),
            exposure=torch.tensor([frame.exposure]),
            precision=frame.precision.tensor()[None].to(self.device),
            time=float(frame.time),
        )
        with self._autocast():
            return (self._tiled or self.network).prepare(batch, recent=recent)

    def predict(self, window: tuple[PreparedFrame, ...]) -> Prediction:
        """Reconstruct the frame in the middle of one of `windows`; results stay on the device.

        Raises:
            DeviceError: If there is too little memory even for tiles.
        """
        return self._fitting(lambda: self._combine(window), window[0].clip, window[0].frame)

    @torch.inference_mode()
    def _combine(self, window: tuple[PreparedFrame, ...]) -> Prediction:
        with self._autocast():
            return (self._tiled or self.network).combine(tuple(frame.state for frame in window))

    def _fitting(self, compute: Callable[[], T], in_use: "_FramesInUse", frame: LdrFrame) -> T:
        """Compute; where memory runs out, go over to tiles or to smaller ones, and compute again."""
        complete = True
        while True:
            try:
                if not complete:
                    in_use.make_again()
                return compute()
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
            # Here the error and what its frames held are gone.
            complete = False
            in_use.forget()
            Recorded.forget_all()
            if self.device.type == "cuda":
                torch.cuda.empty_cache()
            height, width = frame.image.shape[-2:]
            tiling = (self._tiled.tiling if self._tiled else Tiling(height=height, width=width)).finer()
            self._tiled = TiledNetwork(self.network, tiling)
            logger.warning(
                "%s has too little memory for whole frames of %dx%d: from %.3f s on, they are computed in %d tiles",
                *(self.device, width, height, float(frame.time), len(tiling)),
            )

    def _autocast(self) -> torch.autocast:
        half = self.precision != torch.float32
        return torch.autocast(self.device.type, dtype=self.precision if half else None, enabled=half)


class _FramesInUse:
    """The frames of a clip that windows still hold, and the making of their states, in order of time.

    Args:
        prepare: Makes the state of a frame from it and the states of the frames before it.
        nexps: Number of those.
    """

    def __init__(self, prepare: Callable[..., Any], *, nexps: int) -> None:
        self._prepare = prepare
        self._recent: deque[PreparedFrame] = deque(maxlen=nexps)
        self._all: WeakSet[PreparedFrame] = WeakSet()

    def add(self, frame: LdrFrame) -> PreparedFrame:
        """Make the state of the next frame."""
        state = self._prepare(frame, recent=tuple(other.state for other in self._recent))
        prepared = PreparedFrame(frame, state, self)
        self._recent.append(prepared)
        self._all.add(prepared)
        return prepared

    def forget(self) -> None:
        """Let go of all states."""
        for frame in self._all:
            frame.state = None

    def make_again(self) -> None:
        """Make all states anew."""
        recent: deque[PreparedFrame] = deque(maxlen=self._recent.maxlen)
        for frame in sorted(self._all, key=attrgetter("time")):
            frame.state = self._prepare(frame.frame, recent=tuple(other.state for other in recent))
            recent.append(frame)


def in_file_range(radiance: Tensor) -> Tensor:
    """Convert predicted radiance to that of files: float32, not negative."""
    return radiance.float().clamp(min=0)


def _encoded(codes: Tensor, number: int, *, layout: Layout) -> tuple[Tensor, int]:
    """Scale a picture of codes or floats to 0..1, (3, H, W); return the bits of its precision as well."""
    image = codes.permute(2, 0, 1) if layout == "channels_last" and codes.ndim == 3 else codes
    if image.ndim != 3 or image.shape[0] != 3:
        expected = "(3, H, W)" if layout == "channels_first" else "(H, W, 3)"
        raise FrameError(f"picture {number} has shape {tuple(codes.shape)}, expected {expected}: check layout")
    if bits := CODE_BITS.get(codes.dtype):
        return image.to(torch.float32) / (2**bits - 1), min(bits, MOST_BITS)
    if not codes.is_floating_point():
        raise FrameError(f"picture {number} holds {codes.dtype}, expected uint8, uint16 or floats in 0..1")
    return image.to(torch.float32), 8
