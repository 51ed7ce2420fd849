"""Scores of methods on the frames of scenes."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from torch import Tensor

from model.color import mu_law
from model.exposure import to_radiance
from model.network import NetworkConfig
from train.evaluation.benchmarks.scene import Scene
from train.evaluation.cost import Cost, Meter
from train.evaluation.methods import Method
from train.evaluation.metrics import MEASURES, Measure, Pair, evidence_of, measure
from train.evaluation.protocols import scored_radiance
from train.evaluation.results import FrameScore, Protocol, Role, worst_crop

# Takes a method's name, the scene, the number of the frame, and linear radiance as returned, (3, H, W).
Sink = Callable[[str, Scene, int, Tensor], None]
Advance = Callable[[], None]


@dataclass(frozen=True, kw_only=True)
class Rules:
    """The number of exposures, and the protocols and measures of scores."""

    nexps: int
    protocols: tuple[Protocol, ...] = ("lanhdr",)
    measures: Sequence[Measure] = MEASURES


@dataclass(frozen=True, kw_only=True)
class ScoredScene:
    """The scores of all methods on a scene, method by method, and the cost of each method."""

    scene: Scene
    scores: tuple[FrameScore, ...]
    costs: tuple[Cost, ...]


def scored_frames(scene: Scene, *, nexps: int) -> tuple[int, ...]:
    """List the frames that have a truth; where the scene has none at all, those with a whole window."""
    radius = NetworkConfig(nexps).window_length // 2
    return tuple(sorted(scene.truths)) or tuple(range(radius, len(scene.exposures) - radius))


def evaluate(
    methods: Sequence[Method],
    scenes: Iterable[Scene],
    *,
    rules: Rules,
    sink: Sink | None = None,
    advance: Advance = lambda: None,
) -> Iterator[ScoredScene]:
    """Score all methods on every frame that has a truth; where none has, by measures that need none.

    Args:
        sink: Takes every reconstruction.
        advance: Called whenever a method has finished a frame.

    Yields:
        One scene after the other.
    """
    for scene in scenes:
        scores: list[FrameScore] = []
        costs = []
        for method in methods:
            meter = Meter(method.device)
            scores += _scores(method, scene, rules=rules, meter=meter, sink=sink, advance=advance)
            costs.append(meter.cost())
        yield ScoredScene(scene=scene, scores=tuple(scores), costs=tuple(costs))


def _scores(
    method: Method, scene: Scene, *, rules: Rules, meter: Meter, sink: Sink | None, advance: Advance
) -> Iterator[FrameScore]:
    """Score a method on a scene, name by name and protocol by protocol."""
    # Windows overlap, and their middle frame is looked at again: the frames read last are kept.
    scene = replace(scene, read_ldr=lru_cache(NetworkConfig(rules.nexps).window_length)(scene.read_ldr))
    scores: dict[tuple[str, Protocol], list[FrameScore]] = {
        (name, protocol): [] for name in method.names for protocol in rules.protocols
    }
    before: dict[tuple[str, Protocol], tuple[int, Pair]] = {}
    needs_evidence = any(measure.needs_evidence for measure in rules.measures)
    frames = scored_frames(scene, nexps=rules.nexps)
    for frame, outputs in method.stream(scene, frames, nexps=rules.nexps, meter=meter):
        reference, truth = scene.read_ldr(frame), known_truth(scene, frame)
        evidence = evidence_of(scene, frame) if truth is None and needs_evidence else None
        role, exposure = role_of(scene, frame), scene.exposures[frame]
        target = mu_law(to_radiance(reference, exposure) if truth is None else truth)[None]
        for name, output in zip(method.names, outputs, strict=True):
            if sink:
                sink(name, scene, frame, output)
            for protocol in rules.protocols:
                radiance = scored_radiance(output, reference, exposure=exposure, role=role, protocol=protocol)
                now = Pair(radiance, truth, evidence)
                last, pair = before.get((name, protocol), (None, None))
                values = measure(now, pair if last == frame - 1 else None, measures=rules.measures)
                before[name, protocol] = frame, now
                score = FrameScore(
                    scene=scene.name,
                    frame=frame,
                    label=scene.labels[frame],
                    role=role,
                    method=name,
                    protocol=protocol,
                    values=values,
                    crop=worst_crop(now.shown, target),
                )
                scores[name, protocol].append(score)
        advance()
    for of_name in scores.values():
        yield from of_name


def role_of(scene: Scene, frame: int) -> Role:
    """Return the place of a frame's exposure among all."""
    exposure = scene.exposures[frame]
    if exposure == min(scene.exposures):
        return "low"
    return "high" if exposure == max(scene.exposures) else "middle"


def known_truth(scene: Scene, frame: int) -> Tensor | None:
    """Read the truth of a frame, if it has one."""
    return scene.truths[frame]() if frame in scene.truths else None
