"""One way from a benchmark and methods to results; whatever scores goes through here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.color import mu_law
from train.environment import describe_environment
from train.errors import DatasetError
from train.evaluation.benchmarks.scene import Benchmark, Scene, Truth
from train.evaluation.cost import Cost
from train.evaluation.methods import Contender
from train.evaluation.results import Example, FrameScore, Method, Rank, Results
from train.evaluation.scoring import (
    Advance,
    Rules,
    ScoredScene,
    Sink,
    evaluate,
    known_truth,
    scored_frames,
    window,
)
from train.evaluation.tables import ESTIMATE, published_for
from train.montage import ERROR_GAIN, caption, picture_row


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


COST = (
    "Seconds per frame are medians over scenes, without reading: networks run as a stream, as in `lanhdr convert`, "
    "other methods window by window. MiB is the peak of what a GPU held, else of the whole process."
)


@dataclass(frozen=True)
class Wishes:
    """What to keep of a run besides scores.

    Args:
        worst: Number of the worst places to show.
        best: Number of the best.
        sink: Takes every reconstruction.
        advance: Called whenever a contender is through with a frame.
    """

    worst: int = 0
    best: int = 0
    sink: Sink | None = None
    advance: Advance = lambda: None


@dataclass(frozen=True)
class Evaluation:
    """What came of it.

    Args:
        results: All scores.
        examples: Places to look at, the worst first.
    """

    results: Results
    examples: tuple[Example, ...]


def evaluate_benchmark(
    benchmark: Benchmark, contenders: Sequence[Contender], *, rules: Rules, command: str, wishes: Wishes = Wishes()
) -> Evaluation:
    """Score methods on a benchmark.

    Args:
        benchmark: What to run on.
        contenders: What to compare, in the order of the tables; the last is what it is about.
        rules: How to score.
        command: The command line, for the record.
        wishes: What else to keep.

    Raises:
        DatasetError: If there is nothing to score, or a file cannot be read.
    """
    if not contenders:
        raise DatasetError("there is nothing to score: pass weights, or let the methods that learn nothing take part")
    found = evaluate(
        contenders,
        scenes_to_score(benchmark),
        rules=rules,
        sink=wishes.sink,
        advance=wishes.advance,
    )
    scored = list(found)
    scores = in_order(contenders, scored)
    results = Results(
        benchmark.name,
        benchmark.title,
        benchmark.nexps,
        (*benchmark.notes, *([f"Published at {benchmark.source}"] if benchmark.source else []), COST),
        methods_with_cost(contenders, scored),
        scores,
        published_for(benchmark.name, benchmark.nexps, protocols=rules.protocols),
        environment(contenders),
        command,
        benchmark.truth,
    )
    return Evaluation(results, _examples(benchmark, contenders, scores, rules=rules, wishes=wishes))


def frames_to_do(benchmark: Benchmark, contenders: Sequence[Contender], *, rules: Rules) -> int:
    """Count how often `advance` is called."""
    scenes = scenes_to_score(benchmark)
    return len(contenders) * sum(len(scored_frames(scene, rules.window_length)) for scene in scenes)


def scenes_to_score(benchmark: Benchmark) -> tuple[Scene, ...]:
    """Leave out scenes without a truth, unless no scene has one."""
    return tuple(scene for scene in benchmark.scenes if scene.truths or benchmark.truth == "none")


def in_order(contenders: Sequence[Contender], scored: Sequence[ScoredScene]) -> tuple[FrameScore, ...]:
    """Scores of all scenes, method by method."""
    names = [name for contender in contenders for name in contender.names]
    every = [score for scene in scored for score in scene.scores]
    return tuple(score for name in names for score in every if score.method == name)


def methods_with_cost(contenders: Sequence[Contender], scored: Sequence[ScoredScene]) -> tuple[Method, ...]:
    """Describe the methods; what a contender made on its way has no cost of its own."""
    methods: list[Method] = []
    for place, contender in enumerate(contenders):
        costs = [scene.by_contender[place].cost for scene in scored]
        *early, last = contender.names
        methods += [_method(contender, name, Cost(None, None), is_start=True) for name in early]
        methods.append(_method(contender, last, _typical(costs), is_start=False))
    return tuple(methods)


def environment(contenders: Sequence[Contender]) -> dict[str, str]:
    """What computed, in words."""
    device = contenders[-1].device
    found = describe_environment(device, torch.get_num_threads())
    return {key: str(value) for key, value in found.items() if value is not None}


def _typical(costs: Sequence[Cost]) -> Cost:
    """The median of times, for a first run is slower and others may share the machine; the greatest memory."""
    seconds = [cost.seconds for cost in costs if cost.seconds is not None]
    memory = [cost.peak_memory_mib for cost in costs if cost.peak_memory_mib is not None]
    return Cost(median(seconds) if seconds else None, max(memory, default=None))


def _method(contender: Contender, name: str, cost: Cost, *, is_start: bool) -> Method:
    trained = contender.trained
    return Method(
        name,
        "start" if is_start else "network" if trained else "baseline",
        trained.weights if trained else None,
        trained.parameters if trained and not is_start else None,
        cost.seconds,
        cost.peak_memory_mib,
        str(contender.device),
    )


def _examples(
    benchmark: Benchmark, contenders: Sequence[Contender], scores: Sequence[FrameScore], *, rules: Rules, wishes: Wishes
) -> tuple[Example, ...]:
    name, protocol = contenders[-1].names[-1], rules.protocols[0]
    ours = [score for score in scores if score.method == name and score.protocol == protocol]
    scenes = by_name(benchmark.scenes)
    return tuple(
        make_example(
            chosen,
            scenes[chosen.score.scene],
            contenders,
            window_length=rules.window_length,
            truth=benchmark.truth,
        )
        for chosen in pick(ours, worst=wishes.worst, best=wishes.best)
    )
