"""Scores methods on clips with known truth; `python -m train.evaluate --data DIR` prints the table."""

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import click
import torch
from rich.console import Console
from torch import Tensor

from model.color import mu_law
from model.errors import LanHdrError
from train.baselines import Method, merge_by_flow, merge_by_flow_and_noise, merge_unaligned, reference_alone
from train.batches import Sample
from train.metrics import psnr, ssim


class Clip(Sample, Protocol):
    """Consecutive frames and their truth."""

    @property
    def name(self) -> str:
        """What the table calls it."""
        ...


@dataclass(frozen=True)
class Score:
    """How well one method did on one frame.

    Args:
        clip: Name of the clip.
        method: Name of the method.
        frame: Number of the frame in the clip.
        role: Which exposure that frame has: `short`, `middle` or `long`.
        psnr_t: PSNR of mu-law values, dB.
        ssim_t: SSIM of mu-law values.
        psnr_l: PSNR of linear values, dB.
    """

    clip: str
    method: str
    frame: int
    role: str
    psnr_t: float
    ssim_t: float
    psnr_l: float


@dataclass(frozen=True)
class Result:
    """One reconstructed frame beside its input and truth.

    Args:
        score: Its score.
        reference: The frame as captured, (3, H, W).
        radiance: What the method made, (3, H, W).
        truth: What it should have made, (3, H, W).
    """

    score: Score
    reference: Tensor
    radiance: Tensor
    truth: Tensor


def evaluate(methods: Mapping[str, Method], clips: Iterable[Clip], *, window_length: int) -> Iterator[Result]:
    """Run every method on every frame that has a whole window inside its clip.

    Args:
        methods: By name; each maps (ldr (N, 3, H, W), exposures (N)) to the radiance (3, H, W) of the middle frame.
        clips: What to run on.
        window_length: Frames N per window.

    Yields:
        One result per clip, frame and method.
    """
    for clip in clips:
        for first in range(len(clip.ldr) - window_length + 1):
            for name, method in methods.items():
                yield _result(name, method, clip, window=slice(first, first + window_length))


@torch.no_grad()
def _result(name: str, method: Method, clip: Clip, *, window: slice) -> Result:
    middle = (window.start + window.stop) // 2
    radiance = method(clip.ldr[window], clip.exposures[window]).clamp(0, 1)
    output, truth = radiance[None], clip.radiance[middle][None]
    compressed = mu_law(output), mu_law(truth)
    score = Score(
        clip=clip.name,
        method=name,
        frame=middle,
        role=_role(clip.exposures, middle),
        psnr_t=psnr(*compressed).item(),
        ssim_t=ssim(*compressed).item(),
        psnr_l=psnr(output, truth).item(),
    )
    return Result(score, clip.ldr[middle], radiance, truth[0])


def _role(exposures: Tensor, frame: int) -> str:
    exposure = exposures[frame]
    if exposure == exposures.min():
        return "short"
    return "long" if exposure == exposures.max() else "middle"


def baselines() -> dict[str, Method]:
    """All methods that learn nothing, by the names of the table."""
    return {
        "reference": reference_alone,
        "unaligned merge": merge_unaligned,
        "flow merge": merge_by_flow,
        "noise-aware flow": merge_by_flow_and_noise,
    }


def trained(path: Path, *, nexps: int) -> Iterator[tuple[str, Method]]:
    """Yield the start of a guided network, then the network, each with its name.

    Raises:
        WeightsError: If the file is not one of weights for this number of exposures.
    """
    from model.pretrained import load_network

    pretrained = load_network(path, nexps=nexps)

    def predict(pick: Callable[..., Tensor]) -> Method:
        return lambda ldr, exposures: pick(pretrained.network(ldr[None], exposures[None]))[0]

    if pretrained.network.config.output == "guided":
        yield f"start of {pretrained.name}", predict(lambda prediction: prediction.start)
    yield pretrained.name, predict(lambda prediction: prediction.radiance)


@click.command()
@click.option("--data", type=click.Path(path_type=Path), required=True, help="Folder of held-out pictures and clips.")
@click.option("--nexps", type=click.IntRange(2, 3), default=2, show_default=True, help="Exposures in the cycle.")
@click.option("--weights", type=click.Path(path_type=Path), multiple=True, help="Weights to score; may be repeated.")
@click.option("--only-weights", is_flag=True, help="Leave out the methods that learn nothing.")
@click.option("--save-pictures", type=click.Path(path_type=Path), help="Folder for the best and worst clip's pictures.")
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="File for the score of every frame.")
@click.option("--threads", type=click.IntRange(min=1), default=2, show_default=True, help="Threads of arithmetic.")
def main(
    data: Path,
    nexps: int,
    *,
    weights: tuple[Path, ...],
    only_weights: bool,
    save_pictures: Path | None,
    json_path: Path | None,
    threads: int,
) -> None:
    """Print PSNR_T, SSIM_T and PSNR_L of every method on clips made from a folder, and their means."""
    from train.clips import test_clips
    from train.report import Report

    torch.set_num_threads(threads)
    methods = {} if only_weights else baselines()
    report = Report()
    try:
        for path in weights:
            methods |= dict(trained(path, nexps=nexps))
        for result in evaluate(methods, test_clips(data, nexps), window_length=2 * nexps + 1):
            report.add(result)
        report.print(Console(width=None if sys.stdout.isatty() else 24 + 20 * len(methods)))
        if json_path is not None:
            report.write_json(json_path)
        if save_pictures is not None:
            report.write_pictures(save_pictures)
    except LanHdrError as error:
        raise click.ClickException(str(error)) from error


if __name__ == "__main__":
    main()
