"""Evaluation of methods on a benchmark, from scenes to results and example pictures."""

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import torch

from train.environment import describe_environment
from train.errors import DatasetError
from train.evaluation.benchmarks.scene import Benchmark, Scene, Truth
from train.evaluation.methods import Method, NetworkMethod
from train.evaluation.results import Example, FrameScore, MethodRecord, Rank, Results
from train.evaluation.scoring import Advance, Rules, ScoredScene, Sink, evaluate, known_truth, scored_frames
from train.evaluation.tables import ESTIMATE, published_for

COST = (
    "Seconds per frame are medians over scenes, without reading: networks run as a stream, as in `lanhdr convert`, "
    "other methods window by window. MiB is the peak of what a GPU held, else of the whole process."
)


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """The results of an evaluation, and places to look at, the worst first."""

    results: Results
    examples: tuple[Example, ...]


def evaluate_benchmark(
    benchmark: Benchmark,
    methods: Sequence[Method],
    *,
    rules: Rules,
    worst: int = 0,
    best: int = 0,
    sink: Sink | None = None,
    advance: Advance = lambda: None,
) -> Evaluation:
    """Score methods on a benchmark.

    Args:
        methods: Methods in the order of the tables; the last is the one under evaluation.
        worst: Number of the worst places to show.
        best: Number of the best.
        sink: Takes every reconstruction.
        advance: Called whenever a method has finished a frame.

    Raises:
        DatasetError: If there is nothing to score, or a file cannot be read.
    """
    if not methods:
        raise DatasetError("there is nothing to score: pass weights, or --with-baselines")
    scored = list(evaluate(methods, scenes_to_score(benchmark), rules=rules, sink=sink, advance=advance))
    every = [score for scene in scored for score in scene.scores]
    names = [name for method in methods for name in method.names]
    results = Results(
        benchmark=benchmark.name,
        title=benchmark.title,
        nexps=benchmark.nexps,
        notes=(*benchmark.notes, *([f"Published at {benchmark.source}"] if benchmark.source else []), COST),
        methods=records(methods, scored),
        scores=tuple(score for name in names for score in every if score.method == name),
        published=published_for(benchmark.name, benchmark.nexps, protocols=rules.protocols),
        environment=environment(methods),
        command=shlex.join(["lanhdr", *sys.argv[1:]]),
        truth=benchmark.truth,
    )
    ours = [s for s in results.scores if s.method == names[-1] and s.protocol == rules.protocols[0]]
    scenes = {scene.name: scene for scene in benchmark.scenes}
    examples = [
        make_example(score, rank, scenes[score.scene], methods=methods, nexps=rules.nexps, truth=benchmark.truth)
        for score, rank in pick(ours, worst=worst, best=best)
    ]
    return Evaluation(results=results, examples=tuple(examples))


def count_frames(benchmark: Benchmark, methods: Sequence[Method]) -> int:
    """Count the calls of `advance`."""
    return len(methods) * sum(len(scored_frames(scene, nexps=benchmark.nexps)) for scene in scenes_to_score(benchmark))


def scenes_to_score(benchmark: Benchmark) -> tuple[Scene, ...]:
    """Leave out scenes without a truth, unless no scene has one."""
    return tuple(scene for scene in benchmark.scenes if scene.truths or benchmark.truth == "none")


def records(methods: Sequence[Method], scored: Sequence[ScoredScene]) -> tuple[MethodRecord, ...]:
    """Describe the methods and their cost; results that a method makes on its way have no cost of their own.

    Times are medians, for a first run is slower and others may share the machine; memory is the greatest.
    """
    described = []
    for number, method in enumerate(methods):
        costs = [scene.costs[number] for scene in scored]
        seconds = [cost.seconds for cost in costs if cost.seconds is not None]
        memory = [cost.peak_memory_mib for cost in costs if cost.peak_memory_mib is not None]
        network = method if isinstance(method, NetworkMethod) else None
        for name in method.names:
            is_start = name != method.names[-1]
            record = MethodRecord(
                name=name,
                kind="start" if is_start else "network" if network else "baseline",
                weights=network.weights if network else None,
                parameters=network.parameters if network and not is_start else None,
                seconds_per_frame=median(seconds) if seconds and not is_start else None,
                peak_memory_mib=max(memory) if memory and not is_start else None,
                device=str(method.device),
            )
            described.append(record)
    return tuple(described)


def environment(methods: Sequence[Method]) -> dict[str, str]:
    """Describe the versions and the hardware in words."""
    entries = describe_environment(methods[-1].device, torch.get_num_threads())
    return {key: str(value) for key, value in entries.items() if value is not None}


def pick(scores: Sequence[FrameScore], *, worst: int, best: int) -> list[tuple[FrameScore, Rank]]:
    """Choose frames by the error in their worst crop: the worst of each scene, and the best, no frame twice.

    Args:
        scores: Scores of one method under one protocol.
        worst: Number of the worst scenes.
        best: Number of the best.
    """
    by_scene: dict[str, list[FrameScore]] = {}
    for score in sorted(scores, key=lambda score: score.crop.error):
        by_scene.setdefault(score.scene, []).append(score)
    lowest = sorted((found[-1] for found in by_scene.values()), key=lambda score: -score.crop.error)
    highest = sorted((found[0] for found in by_scene.values() if len(found) > 1), key=lambda score: score.crop.error)
    return [*((score, "worst") for score in lowest[:worst]), *((score, "best") for score in highest[:best])]


def make_example(
    score: FrameScore, rank: Rank, scene: Scene, *, methods: Sequence[Method], nexps: int, truth: Truth
) -> Example:
    """Run all methods again on a frame and crop the results; an estimate is shown as a method, not as the truth."""
    crop = score.crop
    pictures = {
        name: crop.cut(output.clamp(0, 1).cpu())
        for method in methods
        for name, output in zip(method.names, method.reconstruct(scene, score.frame, nexps=nexps), strict=True)
    }
    target = known_truth(scene, score.frame)
    compared = None if target is None else crop.cut(target)
    if truth == "estimate" and compared is not None:
        pictures, compared = {**pictures, ESTIMATE: compared}, None
    return Example(
        scene=score.scene,
        frame=score.frame,
        label=score.label,
        rank=rank,
        crop=crop,
        reference=crop.cut(scene.read_ldr(score.frame)),
        pictures=pictures,
        truth=compared,
    )
