"""The methods under evaluation: classical baselines and trained networks."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import torch
from torch import Tensor

from model.frames import LdrFrame
from model.network import NetworkConfig, Prediction
from model.pretrained import Network, load_network
from model.reconstruct import Reconstructor
from train.evaluation.baselines import (
    interpolate_equal_exposures,
    merge_by_flow,
    merge_by_flow_and_noise,
    merge_unaligned,
    reference_alone,
)
from train.evaluation.benchmarks.scene import Scene
from train.evaluation.cost import Meter

Outputs = tuple[Tensor, ...]  # linear radiance as a method returns it, (3, H, W), one per name of the method


@dataclass(frozen=True, kw_only=True)
class Method(ABC):
    """A method that reconstructs frames of a scene.

    Args:
        names: Names of its results in tables; the last is its own, those before it are made on the way.
    """

    names: tuple[str, ...]

    @property
    def device(self) -> torch.device:
        """The device that computes."""
        return torch.device("cpu")

    @abstractmethod
    def stream(self, scene: Scene, frames: Sequence[int], *, nexps: int, meter: Meter) -> Iterator[tuple[int, Outputs]]:
        """Reconstruct some frames, in order of time; yield the number of each with its outputs."""

    @abstractmethod
    def reconstruct(self, scene: Scene, frame: int, *, nexps: int) -> Outputs:
        """Reconstruct one frame from its window alone."""


@dataclass(frozen=True, kw_only=True)
class WindowMethod(Method):
    """A method that learns nothing and works window by window.

    Args:
        run: Maps encoded frames (N, 3, H, W) and their exposures (N) to the outputs for the middle frame.
    """

    run: Callable[[Tensor, Tensor], Outputs]

    def stream(self, scene: Scene, frames: Sequence[int], *, nexps: int, meter: Meter) -> Iterator[tuple[int, Outputs]]:
        """Reconstruct some frames, each from its window."""
        for frame in frames:
            ldr, exposures = read_window(scene, frame, nexps=nexps)
            with meter.time("combine"), torch.no_grad():
                outputs = self.run(ldr, exposures)
            yield frame, outputs

    def reconstruct(self, scene: Scene, frame: int, *, nexps: int) -> Outputs:
        """Reconstruct one frame from its window."""
        with torch.no_grad():
            return self.run(*read_window(scene, frame, nexps=nexps))


@dataclass(frozen=True, kw_only=True)
class NetworkMethod(Method):
    """A network with its weights; the results of a guided one are its start and its own.

    Args:
        reconstructor: The network, as `lanhdr convert` runs it.
        weights: Name of the file.
    """

    reconstructor: Reconstructor
    weights: str

    @property
    def device(self) -> torch.device:
        """The device of the network."""
        return self.reconstructor.device

    @property
    def parameters(self) -> int:
        """Number of the network's parameters."""
        network: Network = self.reconstructor.network  # type: ignore[assignment]
        return sum(values.numel() for values in network.parameters())

    def stream(self, scene: Scene, frames: Sequence[int], *, nexps: int, meter: Meter) -> Iterator[tuple[int, Outputs]]:
        """Stream the scene through the network up to the last of the frames."""

        def read() -> Iterator[LdrFrame]:
            for number, exposure in enumerate(scene.exposures):
                with meter.time("read"):
                    image = scene.read_ldr(number)
                yield LdrFrame(image, exposure, Fraction(number), scene.precision)

        windows = self.reconstructor.windows(read(), period=nexps)
        for number in range(max(frames, default=-1) + 1):
            with meter.time("prepare"):
                window = next(windows)
            if number in frames:
                with meter.time("combine"):
                    outputs = _outputs(self.reconstructor.predict(window))
                yield number, outputs

    def reconstruct(self, scene: Scene, frame: int, *, nexps: int) -> Outputs:
        """Run the network on the window of one frame."""
        ldr, exposures = (values[None].to(self.device) for values in read_window(scene, frame, nexps=nexps))
        precision = scene.precision.tensor()[None].to(self.device)
        with torch.no_grad():
            return _outputs(self.reconstructor.network(ldr, exposures, precision))  # type: ignore[operator]


def _outputs(prediction: Prediction) -> Outputs:
    radiance = prediction.radiance
    if prediction.start is not None:
        radiance = torch.cat([prediction.start, radiance])
    return tuple(radiance.float().cpu())  # so that the time taken includes all work of a GPU


def read_window(scene: Scene, frame: int, *, nexps: int) -> tuple[Tensor, Tensor]:
    """Read the window around a frame: encoded frames, (N, 3, H, W), and their exposures, (N)."""
    radius = NetworkConfig(nexps).window_length // 2
    numbers = range(frame - radius, frame + radius + 1)
    ldr = torch.stack([scene.read_ldr(number) for number in numbers])
    return ldr, torch.tensor([scene.exposures[number] for number in numbers])


def baselines() -> list[WindowMethod]:
    """Return all methods that learn nothing, from the simplest to the best."""
    return [
        baseline("reference", reference_alone),
        baseline("unaligned merge", merge_unaligned),
        baseline("flow merge", merge_by_flow),
        baseline("equal-exposure interpolation", interpolate_equal_exposures),
        noise_aware_merge(),
    ]


def noise_aware_merge() -> WindowMethod:
    """Return the best method that learns nothing."""
    return baseline("noise-aware flow", merge_by_flow_and_noise)


def baseline(name: str, merge: Callable[[Tensor, Tensor], Tensor]) -> WindowMethod:
    """Make a method of a function of encoded frames and exposures that returns one radiance."""
    return WindowMethod(names=(name,), run=lambda ldr, exposures: (merge(ldr, exposures),))


def load_methods(paths: Sequence[Path], *, nexps: int, device: str = "cpu") -> list[NetworkMethod]:
    """Load networks from files of weights.

    Returns:
        One per file, with the name in its record, and with that of the file where names are equal.

    Raises:
        WeightsError: If a file is not one of weights for this number of exposures.
    """
    loaded = [load_network(path, nexps=nexps) for path in paths]
    count = Counter(pretrained.name for pretrained in loaded)
    methods = []
    for path, pretrained in zip(paths, loaded, strict=True):
        name = pretrained.name
        if count[name] > 1:
            name = f"{name} ({path.parent.name}/{path.stem})"
        guided = pretrained.network.config.output == "guided"
        names = (f"start of {name}", name) if guided else (name,)
        reconstructor = Reconstructor(pretrained.network, device=device)
        methods.append(NetworkMethod(names=names, reconstructor=reconstructor, weights=path.name))
    return methods
