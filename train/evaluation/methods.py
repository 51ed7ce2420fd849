"""Who is compared: methods that learn nothing, and networks with their weights."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from model.exposure import GAMMA_8_BIT, CodePrecision
from model.network import Prediction
from model.pretrained import Network, Pretrained, load_network
from model.reconstruct import Reconstructor
from train.evaluation.baselines import (
    Method,
    interpolate_equal_exposures,
    merge_by_flow,
    merge_by_flow_and_noise,
    merge_unaligned,
    reference_alone,
)


@dataclass(frozen=True)
class Trained:
    """A network that takes part.

    Args:
        reconstructor: The network, as `lanhdr convert` runs it.
        weights: Name of the file.
    """

    reconstructor: Reconstructor
    weights: str

    @property
    def parameters(self) -> int:
        """Number of its weights."""
        network: Network = self.reconstructor.network  # type: ignore[assignment]
        return sum(values.numel() for values in network.parameters())

    def window(self, ldr: Tensor, exposures: Tensor, precision: CodePrecision) -> tuple[Tensor, ...]:
        """Reconstruct the middle frame of a window alone; otherwise as a `Contender` runs."""
        place, network = self.reconstructor.device, self.reconstructor.network
        stated = precision.tensor()[None].to(place)
        return self.outputs(network(ldr[None].to(place), exposures[None].to(place), stated))  # type: ignore[operator]

    def outputs(self, prediction: Prediction) -> tuple[Tensor, ...]:
        """Radiances that a prediction holds, (3, H, W) each, on the CPU: of a guided network its start comes first."""
        found = prediction.radiance if prediction.start is None else torch.cat([prediction.start, prediction.radiance])
        return tuple(found.float().cpu())  # so that the time taken includes all work of a GPU


@dataclass(frozen=True)
class Contender:
    """Something that reconstructs the middle frame of a window.

    Args:
        names: What tables call its results; the last is what it is for, the others are made on the way.
        run: Maps (ldr (N, 3, H, W), exposures (N)) to one radiance (3, H, W) per name.
        trained: What a network is; None for what learns nothing.
    """

    names: tuple[str, ...]
    run: Callable[[Tensor, Tensor], tuple[Tensor, ...]]
    trained: Trained | None = None

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.trained.reconstructor.device if self.trained else torch.device("cpu")


def baselines() -> list[Contender]:
    """All methods that learn nothing, from the simplest to the best."""
    return [
        contender("reference", reference_alone),
        contender("unaligned merge", merge_unaligned),
        contender("flow merge", merge_by_flow),
        interpolation(),
        noise_aware_merge(),
    ]


def interpolation() -> Contender:
    """Equal-exposure interpolation: what moves where the reference is black or clipped, two equal frames tell best."""
    return contender("equal-exposure interpolation", interpolate_equal_exposures)


def noise_aware_merge() -> Contender:
    """The best method that learns nothing: what disturbances are compared with."""
    return contender("noise-aware flow", merge_by_flow_and_noise)


def contender(name: str, method: Method) -> Contender:
    """Enter a method under a name."""
    return Contender((name,), lambda ldr, exposures: (method(ldr, exposures),))


def trained(paths: Sequence[Path], *, nexps: int, device: str = "cpu") -> list[Contender]:
    """Enter networks; a guided one is preceded by its start.

    Args:
        paths: Files of weights.
        nexps: Number of exposures.
        device: Where to compute.

    Returns:
        One per file, named as the weights call themselves, with the file's name where that is not enough.

    Raises:
        WeightsError: If a file is not one of weights for this number of exposures.
    """
    loaded = [load_network(path, nexps=nexps) for path in paths]
    count = Counter(entry.name for entry in loaded)
    return [
        _network(
            entry,
            path,
            device=device,
            name=entry.name if count[entry.name] == 1 else f"{entry.name} ({path.parent.name}/{path.stem})",
        )
        for path, entry in zip(paths, loaded, strict=True)
    ]


def _network(loaded: Pretrained, path: Path, *, name: str, device: str) -> Contender:
    entry = Trained(Reconstructor(loaded.network, device=device), path.name)
    guided = loaded.network.config.output == "guided"
    names = (f"start of {name}", name) if guided else (name,)
    run = partial(entry.window, precision=GAMMA_8_BIT)
    return Contender(names, run, entry)
