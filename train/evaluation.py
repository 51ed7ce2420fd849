"""One way from a benchmark and methods to results; whatever scores goes through here."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import torch

from train.benchmarks.scene import Benchmark, Scene
from train.contenders import Contender
from train.cost import Cost
from train.environment import describe_environment
from train.errors import DatasetError
from train.examples import by_name, make_example, pick
from train.published import published_for
from train.results import Example, FrameScore, Method, Results
from train.running import scored_frames
from train.scoring import Advance, Rules, ScoredScene, ScoreStore, Sink, evaluate

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
        store: Scores of earlier runs.
        sink: Takes every reconstruction.
        advance: Called whenever a contender is through with a frame.
    """

    worst: int = 0
    best: int = 0
    store: ScoreStore | None = None
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
        store=wishes.store,
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
    """Count how often `advance` is called where nothing is known from earlier runs."""
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
