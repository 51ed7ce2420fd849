"""What every contender scores on the frames of scenes."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache

import torch
from torch import Tensor

from model.color import mu_law
from model.exposure import to_radiance
from model.frames import LdrFrame
from model.network import NetworkConfig
from train.evaluation.benchmarks.scene import Scene
from train.evaluation.cost import Cost, Meter
from train.evaluation.methods import Contender, Trained
from train.evaluation.metrics import MEASURES, Evidence, Measure, Pair, evidence_of, measure
from train.evaluation.protocols import scored_radiance
from train.evaluation.results import FrameScore, Protocol, Role, worst_crop

Outputs = tuple[Tensor, ...]


def scored_frames(scene: Scene, window_length: int) -> tuple[int, ...]:
    """Frames to look at: those that have a truth; where the scene has none at all, those with a whole window.

    Args:
        scene: The clip.
        window_length: Frames N per window.
    """
    radius = window_length // 2
    return tuple(sorted(scene.truths)) or tuple(range(radius, len(scene.exposures) - radius))


def window(scene: Scene, frame: int, *, length: int) -> tuple[Tensor, Tensor]:
    """Read the frames around one: encoded, (N, 3, H, W), and their exposures, (N)."""
    numbers = range(frame - length // 2, frame + length // 2 + 1)
    ldr = torch.stack([scene.read_ldr(number) for number in numbers])
    return ldr, torch.tensor([scene.exposures[number] for number in numbers])


def run_over(
    contender: Contender, scene: Scene, *, window_length: int, period: int, meter: Meter
) -> Iterator[tuple[int, Outputs]]:
    """Reconstruct the frames of a scene that are to be scored.

    Args:
        contender: The method.
        scene: The clip.
        window_length: Frames N per window.
        period: Number of frames after which the exposures repeat.
        meter: Takes the time.

    Yields:
        Number of the frame and, per name of the method, linear radiance as the method returns it, (3, H, W).
    """
    if contender.trained:
        yield from _streamed(contender.trained, scene, scored_frames(scene, window_length), period=period, meter=meter)
        return
    for frame in scored_frames(scene, window_length):
        ldr, exposures = window(scene, frame, length=window_length)
        with meter.combining(), torch.no_grad():
            outputs = contender.run(ldr, exposures)
        yield frame, outputs


def remembering(scene: Scene, count: int) -> Scene:
    """Keep the frames read last: windows overlap, and their middle frame is looked at again."""
    return replace(scene, read_ldr=lru_cache(maxsize=count)(scene.read_ldr))


def _streamed(
    trained: Trained, scene: Scene, wanted: tuple[int, ...], *, period: int, meter: Meter
) -> Iterator[tuple[int, Outputs]]:
    windows = trained.reconstructor.windows(_frames(scene, meter), period=period)
    for number in range(max(wanted, default=-1) + 1):
        with meter.preparing():
            around = next(windows)
        if number in wanted:
            with meter.combining():
                outputs = trained.outputs(trained.reconstructor.predict(around))
            yield number, outputs


def _frames(scene: Scene, meter: Meter) -> Iterator[LdrFrame]:
    for number, exposure in enumerate(scene.exposures):
        with meter.reading():
            image = scene.read_ldr(number)
        yield LdrFrame(image, exposure, Fraction(number), scene.precision)


# Takes a method's name, the scene, the number of the frame, and linear radiance as returned, (3, H, W).
Sink = Callable[[str, Scene, int, Tensor], None]
Advance = Callable[[], None]


@dataclass(frozen=True)
class Rules:
    """How to score.

    Args:
        nexps: Number of exposures in the cycle.
        protocols: What of a prediction is scored.
        measures: What to measure.
    """

    nexps: int
    protocols: tuple[Protocol, ...] = ("lanhdr",)
    measures: Sequence[Measure] = MEASURES

    @property
    def window_length(self) -> int:
        """Frames per window."""
        return NetworkConfig(self.nexps).window_length


@dataclass(frozen=True)
class SceneScores:
    """What one contender scored on a scene.

    Args:
        scores: Of each of its names, under each protocol, on each frame, in order of time.
        cost: What a frame took.
    """

    scores: tuple[FrameScore, ...]
    cost: Cost


@dataclass(frozen=True)
class ScoredScene:
    """One scene with all scores.

    Args:
        scene: The scene.
        by_contender: Scores of each contender, in their order.
    """

    scene: Scene
    by_contender: tuple[SceneScores, ...]

    @property
    def scores(self) -> tuple[FrameScore, ...]:
        """Scores of all contenders."""
        return tuple(score for entry in self.by_contender for score in entry.scores)


def evaluate(
    contenders: Sequence[Contender],
    scenes: Iterable[Scene],
    *,
    rules: Rules,
    sink: Sink | None = None,
    advance: Advance = lambda: None,
) -> Iterator[ScoredScene]:
    """Score all contenders on every frame that has a truth; where none has, by what needs no truth.

    Args:
        contenders: What to compare, in the order of the tables.
        scenes: What to run on.
        rules: How to score.
        sink: Takes every reconstruction.
        advance: Called whenever a contender is through with a frame.

    Yields:
        One scene after the other.
    """
    for scene in scenes:
        found = (_scored(contender, scene, rules=rules, sink=sink, advance=advance) for contender in contenders)
        yield ScoredScene(scene, tuple(found))


def role_of(scene: Scene, frame: int) -> Role:
    """Tell which exposure a frame has."""
    exposure = scene.exposures[frame]
    if exposure == min(scene.exposures):
        return "low"
    return "high" if exposure == max(scene.exposures) else "middle"


def known_truth(scene: Scene, frame: int) -> Tensor | None:
    """Read the truth of a frame, if it has one."""
    return scene.truths[frame]() if frame in scene.truths else None


def _evidence(scene: Scene, frame: int, rules: Rules) -> Evidence | None:
    """Gather what stands in for the truth, if there is none and a measure asks for it."""
    wanted = frame not in scene.truths and any(entry.needs_evidence for entry in rules.measures)
    return evidence_of(scene, frame) if wanted else None


def _scored(contender: Contender, scene: Scene, *, rules: Rules, sink: Sink | None, advance: Advance) -> SceneScores:
    meter, scene = Meter(contender.device), remembering(scene, rules.window_length)
    frames = run_over(contender, scene, window_length=rules.window_length, period=rules.nexps, meter=meter)
    before: dict[tuple[str, Protocol], _Scored] = {}
    scores: dict[tuple[str, Protocol], list[FrameScore]] = {
        (name, protocol): [] for name in contender.names for protocol in rules.protocols
    }
    for frame, outputs in frames:
        case = _Case(scene, frame, scene.read_ldr(frame), known_truth(scene, frame), _evidence(scene, frame, rules))
        for name, output in zip(contender.names, outputs, strict=True):
            if sink:
                sink(name, scene, frame, output)
            for protocol in rules.protocols:
                now = case.scored(output, name, protocol=protocol, before=before.get((name, protocol)), rules=rules)
                before[name, protocol] = now
                scores[name, protocol].append(now.score)
        advance()
    return SceneScores(tuple(score for found in scores.values() for score in found), meter.cost)


@dataclass(frozen=True)
class _Scored:
    score: FrameScore
    pair: Pair


@dataclass(frozen=True)
class _Case:
    scene: Scene
    frame: int
    reference: Tensor
    truth: Tensor | None
    evidence: Evidence | None

    def scored(
        self, output: Tensor, method: str, *, protocol: Protocol, before: _Scored | None, rules: Rules
    ) -> _Scored:
        """Score what a method returned; only the very next frame is compared with the one before."""
        role, exposure = role_of(self.scene, self.frame), self.scene.exposures[self.frame]
        radiance = scored_radiance(output, self.reference, exposure=exposure, role=role, protocol=protocol)
        now = Pair(radiance, self.truth, self.evidence)
        follows = before is not None and before.score.frame == self.frame - 1
        values = measure(now, before.pair if before and follows else None, measures=rules.measures)
        label = self.scene.labels[self.frame]
        crop = worst_crop(now.shown, self._compared(exposure))
        return _Scored(FrameScore(self.scene.name, self.frame, label, role, method, protocol, values, crop), now)

    def _compared(self, exposure: float) -> Tensor:
        """Mu-law values that a result is compared with to find its crop: of the truth, else of the reference frame."""
        wanted = to_radiance(self.reference, exposure) if self.truth is None else self.truth
        return mu_law(wanted)[None]
