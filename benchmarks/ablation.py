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
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
import torch.nn.functional as F
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parent.parent))

import model.correction
import model.lite
import model.neighbors
from model.alignment import LuminanceAttention
from model.color import mu_law, mu_law_inverse
from model.correction import correct_start, guide_channels
from model.exposure import match_exposure, to_radiance
from model.lite import HalfSizeBody, LiteBlock, LiteNet
from model.motion import halve
from model.neighbors import CandidateKey, align_batch
from model.network import NetworkConfig, Prediction, luminance_input
from model.physical_merge import Candidate, MergedStart, merge_by_variance
from model.pretrained import DESIGNS, bundled_path, load_network
from train import run
from train.config import TrainConfig, resolved_config
from train.data.folder import find_sources
from train.data.loader import Batch
from train.evaluation.metrics import psnr
from train.losses import LOSSES, LossWeights
from train.sampling_config import Mixture
from train.synthesis.dataset import TrainingSet
from train.trainer import Trainer

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


def _matched_alone(nexps: int) -> tuple[CandidateKey, ...]:
    return tuple(("matched", frame) for frame in range(-nexps, nexps + 1) if frame)


@contextmanager
def _one_hypothesis() -> Iterator[None]:
    with (
        patch.object(model.neighbors, "candidate_keys", _matched_alone),
        patch.object(model.correction, "candidate_keys", _matched_alone),
    ):
        yield


@contextmanager
def _design(network: type[LiteNet]) -> Iterator[None]:
    with patch.dict(DESIGNS, {("lite", "guided"): network}):
        yield


class DeepBody(HalfSizeBody):
    """Six blocks at 1/8 of the frame in place of three."""

    def __init__(self, width: int, growth: int) -> None:
        super().__init__(width, growth)
        self.hallucinate = nn.Sequential(*(LiteBlock(width + 4 * growth) for _ in range(6)))


class WideBody(HalfSizeBody):
    """Twice the channels at 1/8 of the frame."""

    def __init__(self, width: int, growth: int) -> None:
        super().__init__(width, growth)
        coarse = width + 4 * growth
        self.hallucinate = nn.Sequential(
            nn.Conv2d(coarse, 2 * coarse, 1),
            *(LiteBlock(2 * coarse) for _ in range(3)),
            nn.Conv2d(2 * coarse, coarse, 1),
        )


class ModulatedNet(LiteNet):
    """Noise level and exposure scale and shift the channels at 1/2 and 1/8 of the frame (Perez et al., AAAI 2018)."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__(config)
        names = [name for name, _ in guide_channels(config.nexps)]
        self.told = [names.index(name) for name in ("level", "exposure")]
        widths = (config.channels, config.channels + 4 * config.pyramid_channels)
        self.modulate = nn.ModuleList(nn.Sequential(nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 2 * n)) for n in widths)
        for part in self.modulate:
            nn.init.zeros_(part[-1].weight)  # type: ignore[index]
            nn.init.zeros_(part[-1].bias)  # type: ignore[index]

    def _correct(self, window: model.neighbors.AlignedWindow) -> Prediction:
        radiance, start = correct_start(window, self._predict)
        return Prediction(radiance, start=start)

    def _predict(self, guide: Tensor) -> Tensor:
        told = guide[:, self.told].mean((2, 3))
        half, coarse = (part(told)[..., None, None].chunk(2, dim=1) for part in self.modulate)
        hook = self.body.hallucinate.register_forward_pre_hook(lambda _, inputs: (_modulated(inputs[0], coarse),))
        with_hook = self.tail(self.body(_modulated(self.stem(guide), half)))
        hook.remove()
        return with_hook


def _modulated(x: Tensor, change: Sequence[Tensor]) -> Tensor:
    return x * (1 + change[0]) + change[1]


class UnsureAttentionNet(LiteNet):
    """The published attention at 1/16 of the frame, whose finds count as far as the search has no agreement there."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__(config)
        self.attention = LuminanceAttention(8)
        self.enter = nn.Conv2d(64, config.channels + 4 * config.pyramid_channels, 1)
        nn.init.zeros_(self.enter.weight)
        names = guide_channels(config.nexps)
        self.agreement = [names.index(("agreement matched", frame)) for frame in config.neighbors]

    def forward(self, ldr: Tensor, exposures: Tensor, precision: Tensor | None = None) -> Prediction:
        """Reconstruct the frame in the middle of a window, as `LiteNet.forward`."""
        middle, found = ldr.shape[1] // 2, []
        reference = ldr[:, middle]
        for place, (image, exposure) in enumerate(zip(ldr.unbind(1), exposures.unbind(1), strict=True)):
            if place == middle:
                continue
            own, target = (e.to(ldr).view(-1, 1, 1, 1) for e in (exposures[:, middle], exposure))
            colors = halve(torch.cat([image, to_radiance(image, target)], dim=1))
            values = self.attention.offer(halve(luminance_input(image, target)), colors)
            alike = match_exposure(reference, own, target=target)
            transferred, score = self.attention(self.attention.embed(halve(luminance_input(alike, target))), values)
            found.append(transferred * score)

        def predict(guide: Tensor) -> Tensor:
            def enter(_: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
                total = inputs[0]
                for place, features in zip(self.agreement, found, strict=True):
                    unsure = F.adaptive_avg_pool2d(1 - guide[:, place : place + 1], features.shape[-2:])
                    total = total + F.interpolate(self.enter(features * unsure), size=total.shape[-2:], mode="bilinear")
                return (total,)

            hook = self.body.hallucinate.register_forward_pre_hook(enter)
            predicted: Tensor = self.tail(self.body(self.stem(guide)))
            hook.remove()
            return predicted

        radiance, start = correct_start(align_batch(ldr, exposures, precision), predict)
        return Prediction(radiance, start=start)


@contextmanager
def _distilled() -> Iterator[None]:
    """Train for the mean of the truth and what the bundled network makes of the window, on average over four flips."""
    plain = Trainer.batches

    def batches(trainer: Trainer) -> Iterator[tuple[list[Batch], float]]:
        teacher = load_network(bundled_path(nexps=trainer.config.nexps)).network
        for parts, waited_s in plain(trainer):
            yield [_with_teacher(part, teacher) for part in parts], waited_s

    with patch.object(Trainer, "batches", batches):
        yield


@torch.no_grad()
def _with_teacher(batch: Batch, teacher: nn.Module) -> Batch:
    taught = torch.zeros_like(batch.truth)
    for axes in ((), (-1,), (-2,), (-1, -2)):
        flipped = teacher(batch.ldr.flip(axes), batch.exposures, batch.precision).radiance
        taught += mu_law(flipped.flip(axes)) / 4
    return batch._replace(truth=mu_law_inverse((taught + mu_law(batch.truth)) / 2))


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
    "one-hypothesis": Variant("frames of another exposure matched with the reference alone", inside=_one_hypothesis),
    "deep": Variant("six blocks at 1/8", inside=lambda: patch.object(model.lite, "HalfSizeBody", DeepBody)),
    "wide": Variant("twice the channels at 1/8", inside=lambda: patch.object(model.lite, "HalfSizeBody", WideBody)),
    "modulated": Variant("noise level and exposure modulate channels", inside=lambda: _design(ModulatedNet)),
    "attention": Variant("attention at 1/16 where the search is unsure", inside=lambda: _design(UnsureAttentionNet)),
    "distilled": Variant("half of the truth from the mean of four flips of bundled weights", inside=_distilled),
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
