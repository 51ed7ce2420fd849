"""Who is compared: methods that learn nothing, and networks with their weights."""

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from train.baselines import Method, merge_by_flow, merge_by_flow_and_noise, merge_unaligned, reference_alone

ROOT = Path(__file__).resolve().parent.parent
# What the scores of any contender depend on; networks depend on all of `model` besides.
SCORING_SOURCES = (
    "train/baselines.py", "train/measures.py", "train/metrics.py", "train/noise.py", "train/perceptual.py",
    "train/scoring.py", "train/temporal.py", "model/color.py", "model/exposure.py", "model/transfer.py",
)  # fmt: skip


@dataclass(frozen=True)
class Contender:
    """Something that reconstructs the middle frame of a window.

    Args:
        names: What tables call its results; the last is what it is for, the others are made on the way.
        run: Maps (ldr (N, 3, H, W), exposures (N)) to one radiance (3, H, W) per name.
        fingerprint: Differs wherever results may: a digest of code and weights.
    """

    names: tuple[str, ...]
    run: Callable[[Tensor, Tensor], tuple[Tensor, ...]]
    fingerprint: str


def baselines() -> list[Contender]:
    """All methods that learn nothing, from the simplest to the best."""
    return [
        contender("reference", reference_alone),
        contender("unaligned merge", merge_unaligned),
        contender("flow merge", merge_by_flow),
        noise_aware_merge(),
    ]


def noise_aware_merge() -> Contender:
    """The best method that learns nothing: what disturbances are compared with."""
    return contender("noise-aware flow", merge_by_flow_and_noise)


def contender(name: str, method: Method) -> Contender:
    """Enter a method under a name."""
    sources = [(ROOT / source).read_bytes() for source in SCORING_SOURCES]
    return Contender((name,), lambda ldr, exposures: (method(ldr, exposures),), _digest([name.encode(), *sources]))


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
    from model.pretrained import load_network

    loaded = [load_network(path, nexps=nexps) for path in paths]
    count = Counter(entry.name for entry in loaded)
    return [
        _network(
            entry.network.to(device),
            entry.name if count[entry.name] == 1 else f"{entry.name} ({path.parent.name}/{path.stem})",
            fingerprint=_network_digest(path, device),
        )
        for path, entry in zip(paths, loaded, strict=True)
    ]


def _network(network: torch.nn.Module, name: str, *, fingerprint: str) -> Contender:
    guided = network.config.output == "guided"  # type: ignore[union-attr]
    device = next(network.parameters()).device

    def run(ldr: Tensor, exposures: Tensor) -> tuple[Tensor, ...]:
        prediction = network(ldr[None].to(device), exposures[None].to(device))
        outputs = (prediction.start, prediction.radiance) if guided else (prediction.radiance,)
        return tuple(output[0].cpu() for output in outputs)  # so that the time taken includes all work of a GPU

    return Contender((f"start of {name}", name) if guided else (name,), run, fingerprint)


def _network_digest(path: Path, device: str) -> str:
    sources = [(ROOT / source).read_bytes() for source in SCORING_SOURCES]
    sources += [source.read_bytes() for source in sorted((ROOT / "model").glob("*.py"))]
    return _digest([path.read_bytes(), device.encode(), *sources])


def _digest(parts: Sequence[bytes]) -> str:
    total = hashlib.sha256()
    for part in parts:
        total.update(hashlib.sha256(part).digest())
    return total.hexdigest()
