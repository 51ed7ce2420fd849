"""Places to look at: where the method that matters did worst and best, and what every method made of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.color import mu_law
from train.benchmarks.scene import Scene, Truth
from train.contenders import Contender
from train.montage import ERROR_GAIN, caption, picture_row
from train.results import Example, FrameScore, Rank
from train.running import window
from train.scoring import known_truth
from train.sheets import ESTIMATE


@dataclass(frozen=True)
class Pick:
    """A place that was chosen.

    Args:
        score: Of the method that matters, on the frame.
        rank: Why.
    """

    score: FrameScore
    rank: Rank


def pick(scores: Sequence[FrameScore], *, worst: int, best: int) -> list[Pick]:
    """Choose frames by the error in their worst crop: the worst of each scene, and the best, no frame twice.

    Args:
        scores: Of one method under one protocol.
        worst: How many of the worst scenes.
        best: How many of the best.
    """
    by_scene: dict[str, list[FrameScore]] = {}
    for score in sorted(scores, key=lambda score: score.crop.error):
        by_scene.setdefault(score.scene, []).append(score)
    lowest = [Pick(found[-1], "worst") for found in by_scene.values()]
    highest = [Pick(found[0], "best") for found in by_scene.values() if len(found) > 1]
    lowest.sort(key=lambda chosen: -chosen.score.crop.error)
    highest.sort(key=lambda chosen: chosen.score.crop.error)
    return lowest[:worst] + highest[:best]


def make_example(
    chosen: Pick, scene: Scene, contenders: Sequence[Contender], *, window_length: int, truth: Truth
) -> Example:
    """Run all methods again on a frame that was chosen.

    Args:
        chosen: Which frame.
        scene: Its scene.
        contenders: The methods.
        window_length: Frames N per window.
        truth: What the set's truths are; another method's output is shown beside the methods, and not as the truth.
    """
    score, crop = chosen.score, chosen.score.crop
    ldr, exposures = window(scene, score.frame, length=window_length)
    pictures = {
        name: crop.cut(output.clamp(0, 1).cpu())
        for contender in contenders
        for name, output in zip(contender.names, _run(contender, scene, ldr, exposures), strict=True)
    }
    wanted = known_truth(scene, score.frame)
    compared = None if wanted is None else crop.cut(wanted)
    if truth == "estimate" and compared is not None:
        pictures, compared = {**pictures, ESTIMATE: compared}, None
    reference = crop.cut(ldr[window_length // 2])
    return Example(score.scene, score.frame, score.label, chosen.rank, crop, reference, pictures, compared)


def example_sheet(example: Example) -> NDArray[np.uint8]:
    """Show a place of a frame: per method a caption above input, result and, where known, truth and 10 times the error.

    Args:
        example: The place.

    Returns:
        8-bit codes, (rows * (16 + side), columns * side, 3).
    """
    rows = []
    for name, radiance in example.pictures.items():
        row = picture_row(_views(example, radiance))
        rows += [caption([name], width=row.shape[1]), row]
    return np.concatenate(rows)


def by_name(scenes: Sequence[Scene]) -> Mapping[str, Scene]:
    """Scenes by their names."""
    return {scene.name: scene for scene in scenes}


def _run(contender: Contender, scene: Scene, ldr: Tensor, exposures: Tensor) -> tuple[Tensor, ...]:
    with torch.no_grad():
        if contender.trained:
            return contender.trained.window(ldr, exposures, scene.precision)
        return contender.run(ldr, exposures)


def _views(example: Example, radiance: Tensor) -> list[Tensor]:
    output = mu_law(radiance)
    if example.truth is None:
        return [example.reference, output]
    truth = mu_law(example.truth)
    return [example.reference, output, truth, ERROR_GAIN * (output - truth).abs()]
