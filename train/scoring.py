"""Which frames of clips are scored, and what every contender scores on them."""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from train.batches import Sample
from train.contenders import Contender
from train.measures import MEASURES, Measure, Pair, measure

CROP = 160
CROP_STEP = 16


class Clip(Sample, Protocol):
    """Consecutive frames and their truth."""

    @property
    def name(self) -> str:
        """What the table calls it."""
        ...


@dataclass(frozen=True)
class Case:
    """A frame to be reconstructed from the window around it.

    Args:
        clip: Name of the clip.
        frame: Number of the frame in the clip.
        role: Which exposure it has: `short`, `middle` or `long`.
        ldr: The window, encoded with 1/2.2, 0..1, (N, 3, H, W).
        exposures: Linear exposures relative to the shortest, (N).
        truth: Linear radiance of the middle frame, 0..1, (3, H, W).
    """

    clip: str
    frame: int
    role: str
    ldr: Tensor
    exposures: Tensor
    truth: Tensor

    @property
    def reference(self) -> Tensor:
        """The frame as captured, (3, H, W)."""
        return self.ldr[len(self.ldr) // 2]


@dataclass(frozen=True)
class Crop:
    """Where a frame is worst.

    Args:
        top: First row.
        left: First column.
        side: Rows and columns, at most 160.
        error: Mean absolute error of mu-law values in it.
    """

    top: int
    left: int
    side: int
    error: float


@dataclass(frozen=True)
class Score:
    """How well one method did on one frame.

    Args:
        clip: Name of the clip.
        method: Name of the method.
        frame: Number of the frame in the clip.
        role: Which exposure that frame has: `short`, `middle` or `long`.
        values: Figures by the keys of `measures.MEASURES`; those that are not defined for the frame are absent.
        crop: Where it did worst.
        seconds: Time that it took; None for what another method made on its way.
    """

    clip: str
    method: str
    frame: int
    role: str
    values: dict[str, float]
    crop: Crop
    seconds: float | None = None


@dataclass(frozen=True)
class ScoredClip:
    """One clip with all scores.

    Args:
        cases: Its frames.
        scores: Of all methods on all frames, method by method, each in order of time.
    """

    cases: tuple[Case, ...]
    scores: tuple[Score, ...]


class ScoreStore(Protocol):
    """Remembers scores between runs."""

    def recall(self, contender: Contender, cases: Sequence[Case]) -> list[Score] | None:
        """Find the scores of a contender on the frames of a clip, None if they are not known."""
        ...

    def keep(self, contender: Contender, cases: Sequence[Case], *, scores: Sequence[Score]) -> None:
        """Remember them."""
        ...


def evaluate(
    contenders: Sequence[Contender],
    clips: Iterable[Clip],
    *,
    window_length: int,
    store: ScoreStore | None = None,
    measures: Sequence[Measure] = MEASURES,
) -> Iterator[ScoredClip]:
    """Score all contenders on every frame that has a whole window inside its clip; each window is computed anew.

    Args:
        contenders: What to compare, in the order of the tables.
        clips: What to run on.
        window_length: Frames N per window.
        store: What is known from earlier runs is not computed again.
        measures: What to measure.

    Yields:
        One clip after the other.
    """
    for clip in clips:
        found = tuple(cases(clip, window_length))
        scores: list[Score] = []
        for contender in contenders:
            scores += _recalled_or_scored(contender, found, store=store, measures=measures)
        yield ScoredClip(found, tuple(scores))


def cases(clip: Clip, window_length: int) -> Iterator[Case]:
    """Yield the frames of a clip that have a whole window inside it."""
    for first in range(len(clip.ldr) - window_length + 1):
        window, middle = slice(first, first + window_length), first + window_length // 2
        role = _role(clip.exposures, middle)
        yield Case(clip.name, middle, role, clip.ldr[window], clip.exposures[window], clip.radiance[middle])


def reconstructed(contender: Contender, case: Case) -> tuple[Tensor, ...]:
    """Run a contender on a frame: linear radiance, clipped to 0..1, (3, H, W), one per name."""
    with torch.no_grad():
        return tuple(output.clamp(0, 1).cpu() for output in contender.run(case.ldr, case.exposures))


def _recalled_or_scored(
    contender: Contender, found: Sequence[Case], *, store: ScoreStore | None, measures: Sequence[Measure]
) -> Sequence[Score]:
    if store is None:
        return _scored(contender, found, measures=measures)
    told_apart = replace(contender, fingerprint=" ".join([contender.fingerprint, *(entry.key for entry in measures)]))
    scores = store.recall(told_apart, found)
    if scores is None:
        scores = _scored(contender, found, measures=measures)
        store.keep(told_apart, found, scores=scores)
    return scores


def _scored(contender: Contender, found: Sequence[Case], *, measures: Sequence[Measure]) -> list[Score]:
    by_name: dict[str, list[Score]] = {name: [] for name in contender.names}
    before: dict[str, Pair] = {}
    for case in found:
        began = time.perf_counter()
        outputs = reconstructed(contender, case)
        seconds = time.perf_counter() - began
        for name, output in zip(contender.names, outputs, strict=True):
            now = Pair(output, case.truth)
            values = measure(now, before.get(name), measures=measures)
            by_name[name].append(Score(case.clip, name, case.frame, case.role, values, worst_crop(now)))
            before[name] = now
        last = by_name[contender.names[-1]]
        last[-1] = replace(last[-1], seconds=seconds)
    return [score for scores in by_name.values() for score in scores]


def worst_crop(pair: Pair) -> Crop:
    """Find the square of 160 pixels, of those at every 16th, with the largest mean error of mu-law values."""
    output, truth = pair.compressed
    errors = (output - truth).abs().mean(1, keepdim=True)  # (1, 1, H, W)
    height, width = errors.shape[-2:]
    side = min(CROP, height, width)
    means = F.avg_pool2d(errors, side, stride=CROP_STEP)[0, 0]
    place = int(means.argmax())
    row, column = divmod(place, means.shape[1])
    return Crop(row * CROP_STEP, column * CROP_STEP, side, float(means.flatten()[place]))


def _role(exposures: Tensor, frame: int) -> str:
    exposure = exposures[frame]
    if exposure == exposures.min():
        return "short"
    return "long" if exposure == exposures.max() else "middle"
