"""What the choices of our training recipe are worth: the same short training with one choice changed at a time.

`python benchmarks/ablation.py --data DIR --validation-data DIR` prints a Markdown table. All variants take the same
number of steps and see about the same number of pixels; each is scored with its averaged weights on the same held-out
windows of 128x128. Short trainings favour what learns quickly; differences under 0.05 dB are noise.
"""

import argparse
import dataclasses
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parent.parent))

import model.correction
import model.neighbors
from model.color import mu_law
from model.physical_merge import Candidate, MergedStart, merge_by_variance
from model.pretrained import load_network
from train import run
from train.config import TrainConfig, resolved_config
from train.data.folder import find_sources
from train.data.loader import Batch
from train.evaluation.metrics import psnr
from train.losses import LOSSES, LossWeights
from train.sampling_config import Mixture
from train.synthesis.dataset import TrainingSet

SEED = 11
WINDOWS_SCORED = 64


@dataclass(frozen=True)
class Variant:
    """One change of the recipe.

    Args:
        name: What the table calls it.
        change: Replaces values of the config.
        inside: Changes parts of the code while it trains and is scored.
    """

    name: str
    change: Callable[[TrainConfig], TrainConfig] = lambda config: config
    inside: Callable[[], AbstractContextManager[Any]] = nullcontext


def of(**values: Any) -> Callable[[TrainConfig], TrainConfig]:
    """Replace values of the config."""
    return lambda config: dataclasses.replace(config, **values)


def sampling(**values: Any) -> Callable[[TrainConfig], TrainConfig]:
    """Replace values of the way samples are taken."""

    def change(config: TrainConfig) -> TrainConfig:
        samples = config.sample_recipe()
        changed = dataclasses.replace(samples, sampling=dataclasses.replace(samples.sampling, **values))
        return dataclasses.replace(config, samples=changed)

    return change


def mixture(**weights: float) -> Callable[[TrainConfig], TrainConfig]:
    """Replace the mixture of data."""
    return lambda config: dataclasses.replace(
        config, samples=dataclasses.replace(config.sample_recipe(), mixture=Mixture(**weights))
    )


def _reference_alone(reference: Candidate, neighbors: tuple[Candidate, ...], level: Tensor) -> MergedStart:
    """MergedStart from the reference; what the neighbors agree in is still told to the network."""
    whole = merge_by_variance(reference, neighbors, level)
    return dataclasses.replace(merge_by_variance(reference, (), level), agreement=whole.agreement)


def _no_motion(_reference: Tensor, _moved: Tensor, *, certainty: Tensor) -> Tensor:
    return torch.zeros_like(certainty).expand(-1, 2, -1, -1)


@contextmanager
def _loss(**weights: float) -> Iterator[None]:
    with patch.dict(LOSSES, dict.fromkeys(LOSSES, LossWeights(**weights))):
        yield


PLAIN = {"camera_curve_share": 0.0, "flicker_share": 0.0, "dark_share": 0.0}
CLEAN = {"dropped_share": 0.0, "blurred_share": 0.0, "noisy_share": 0.0, "jpeg_share": 0.0, "h264_share": 0.0, **PLAIN}
VARIANTS = {
    "recipe": Variant("the recipe"),
    "start-reference": Variant(
        "start from the reference alone",
        inside=lambda: patch.object(model.correction, "merge_by_variance", _reference_alone),
    ),
    "start-unaligned": Variant(
        "neighbors not aligned", inside=lambda: patch.object(model.neighbors, "search_motion", _no_motion)
    ),
    "loss-paper": Variant("the paper's loss (L1, frequency, temporal)", of(loss="paper")),
    "loss-l1": Variant("L1 alone", inside=lambda: _loss(l1=1.0)),
    "loss-no-temporal": Variant("no temporal term", inside=lambda: _loss(log_mse=1.0)),
    "patch-64": Variant("patches of 64x64, 18 samples a step", of(patch=64, batch=18)),
    "patch-128": Variant("patches of 128x128, 4 samples a step", of(patch=128, batch=4)),
    "patch-256": Variant("patches of 256x256, 1 sample a step", of(patch=256, batch=1)),
    "data-procedural": Variant("procedural scenes alone", mixture(procedural=1.0)),
    "data-no-video": Variant("no videos", mixture(panorama=0.35, hdr_photo=0.15, ldr_photo=0.15, procedural=0.1)),
    "data-clean": Variant("no noise, compression, blur or lost frames, gamma 2.2 alone", sampling(**CLEAN)),
    "data-plain": Variant("no cameras with curves of their own, no flicker, no dark scenes", sampling(**PLAIN)),
    "no-average": Variant("last weights, not averaged ones", of(ema_decay=0.0)),
    "constant-rate": Variant("constant learning rate", of(schedule="constant")),
    "rate-quarter": Variant("a fourth of the learning rate", of(lr=2e-4)),
    "float32": Variant("float32 instead of bf16", of(precision="float32")),
}


def train_and_score(variant: Variant, config: TrainConfig) -> dict[str, float]:
    """Train a variant in a folder that goes away, and score it.

    Returns:
        PSNR_T of the result and of its start in dB, and CPU seconds of the training.
    """
    config = variant.change(config)
    with tempfile.TemporaryDirectory() as folder, variant.inside():
        began = time.process_time()
        trainer = run.start(config, Path(folder) / "run", device=torch.device("cpu"))
        trainer.run(lambda _row: None)
        seconds = time.process_time() - began
        return {"cpu_s": seconds, **_scores(Path(folder) / "run" / "last.safetensors", config)}


@torch.no_grad()
def _scores(weights: Path, config: TrainConfig) -> dict[str, float]:
    network = load_network(weights).network
    sources = find_sources(Path(config.validation_data) if config.validation_data else None, "validation")
    recipe = resolved_config({"nexps": config.nexps}).sample_recipe()
    held_out = TrainingSet(sources, recipe, patch=128, frames=2 * config.nexps + 2, seed=run.VALIDATION_SEED)
    found = []
    for index in range(WINDOWS_SCORED // 2):
        batch = Batch.of([held_out.sample(0, index)])
        prediction = network(batch.ldr, batch.exposures, batch.precision)
        assert prediction.start is not None
        truth = mu_law(batch.truth)
        found += [(psnr(mu_law(each), truth)) for each in (prediction.radiance, prediction.start)]
    return {"psnr_t": float(torch.cat(found[::2]).mean()), "start": float(torch.cat(found[1::2]).mean())}


def main() -> None:
    """Train all variants, each in a process of its own, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", help="training pictures; without it, procedural scenes")
    parser.add_argument("--validation-data", help="held-out pictures")
    parser.add_argument("--nexps", type=int, default=2, choices=(2, 3))
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=list(VARIANTS))
    parser.add_argument("--one", choices=list(VARIANTS), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(train_and_score(VARIANTS[arguments.one], _config(arguments))))
        return
    print("| changed | PSNR_T, dB | its start | CPU time of the training |\n| --- | ---: | ---: | ---: |")
    for key in arguments.variants:
        command = [sys.executable, __file__, *sys.argv[1:], "--one", key]
        row = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        name = VARIANTS[key].name
        print(f"| {name} | {row['psnr_t']:.2f} | {row['start']:.2f} | {row['cpu_s']:.0f} s |", flush=True)


def _config(arguments: argparse.Namespace) -> TrainConfig:
    values = {"data": arguments.data, "validation_data": arguments.validation_data}
    config = resolved_config({name: value for name, value in values.items() if value} | {"nexps": arguments.nexps})
    return dataclasses.replace(
        config, steps=arguments.steps, warmup=50, seed=SEED, threads=arguments.threads, validation_samples=0
    )


if __name__ == "__main__":
    main()
