"""CUDA graphs: what a function launches on a GPU, recorded once per shape and launched at once from then on."""

import logging
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import Any, ClassVar, Protocol
from weakref import WeakSet

import torch
from torch import Tensor

from model.device import is_out_of_memory

MOST_RECORDINGS = 4  # per function: the pairs at the start of a clip and in its middle, of two sizes

logger = logging.getLogger(__name__)


class Recorder(Protocol):
    """Records what a function does with tensors that stay where they are."""

    def record(self, compute: Callable[..., Tensor], inputs: tuple[Tensor, ...]) -> tuple[Tensor, Callable[[], None]]:
        """Return the result's place, and what computes it anew from what then lies in `inputs`."""


class CudaRecorder:
    """Records CUDA graphs. What is recorded must not wait for the device nor copy from the CPU."""

    def record(self, compute: Callable[..., Tensor], inputs: tuple[Tensor, ...]) -> tuple[Tensor, Callable[[], None]]:
        """As `Recorder.record`."""
        device = inputs[0].device
        kind, half = device.type, torch.is_autocast_enabled(device.type)
        dtype = torch.get_autocast_dtype(kind)
        # Copies of weights that autocast keeps would be of memory that the graph owns, or that is gone when it is used.
        with torch.cuda.device(device), torch.autocast(kind, dtype=dtype, enabled=half, cache_enabled=False):
            beside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
            beside.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(beside):  # plans of transforms and choices of algorithms are made here
                for _ in range(2):
                    compute(*inputs)
            torch.cuda.current_stream().wait_stream(beside)
            graph = torch.cuda.CUDAGraph()
            # Other threads wait for their copies, and may allocate, in the meantime.
            with torch.cuda.graph(graph, capture_error_mode="thread_local"):
                output = compute(*inputs)
        return output, graph.replay


@dataclass(frozen=True)
class _Recording:
    inputs: tuple[Tensor, ...]
    output: Tensor
    replay: Callable[[], None]


class Recorded:
    """A function of tensors that is recorded on CUDA devices, in inference mode; elsewhere it is called as it is.

    Args:
        compute: Its result depends on its tensors alone, and on no weights that may move.
        recorder: Makes recordings on devices of a type.
    """

    _all: ClassVar["WeakSet[Recorded]"] = WeakSet()

    def __init__(
        self, compute: Callable[..., Tensor], *, recorder: Recorder | None = None, device_type: str = "cuda"
    ) -> None:
        self._compute = compute
        self._recorder: Recorder | None = recorder or CudaRecorder()
        self._device_type = device_type
        self._recordings: OrderedDict[Any, _Recording] = OrderedDict()
        self._lock = Lock()
        self._all.add(self)

    def __call__(self, *tensors: Tensor) -> Tensor:
        """Compute from tensors of one device."""
        device = tensors[0].device
        if device.type != self._device_type or not torch.is_inference_mode_enabled():
            return self._compute(*tensors)
        with self._lock:  # a recording serves one caller at a time
            return self._replayed(tensors)

    def _replayed(self, tensors: tuple[Tensor, ...]) -> Tensor:
        device, recorder = tensors[0].device, self._recorder
        if recorder is None:
            return self._compute(*tensors)
        types = torch.is_autocast_enabled(device.type), torch.get_autocast_dtype(device.type)
        key = device, types, tuple((tensor.shape, tensor.dtype) for tensor in tensors)
        if key not in self._recordings:
            try:
                self._recordings[key] = self._record(recorder, tensors)
            except RuntimeError as error:
                if is_out_of_memory(error):
                    raise
                logger.warning("CUDA graphs are not used: %s", str(error).splitlines()[0])
                self._recorder = None
                return self._compute(*tensors)
        self._recordings.move_to_end(key)
        if len(self._recordings) > MOST_RECORDINGS:
            self._recordings.popitem(last=False)
        recording = self._recordings[key]
        for place, tensor in zip(recording.inputs, tensors, strict=True):
            place.copy_(tensor)
        recording.replay()
        return recording.output.clone()

    def _record(self, recorder: Recorder, tensors: tuple[Tensor, ...]) -> _Recording:
        inputs = tuple(tensor.clone(memory_format=torch.contiguous_format) for tensor in tensors)
        return _Recording(inputs, *recorder.record(self._compute, inputs))

    @classmethod
    def forget_all(cls) -> None:
        """Give back the memory of all recordings."""
        for function in cls._all:
            function._recordings.clear()
