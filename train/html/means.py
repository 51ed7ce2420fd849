"""Means of scores over frames, over all or by scene and by exposure of the reference."""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from train.measures import Measure
from train.results import FrameScore


@dataclass(frozen=True)
class Part:
    """Which scores a mean is taken over.

    Args:
        protocol: Of the scores.
        method: Name of the method.
        scene: The only scene, None for all.
        role: The only exposure of the reference (`low`, `middle`, `high`), None for all.
    """

    protocol: str
    method: str
    scene: str | None = None
    role: str | None = None


class Means:
    """Knows the means of all measures over all parts of the scores; tables ask for thousands of them.

    Args:
        scores: Of all methods, protocols and frames.
    """

    def __init__(self, scores: Sequence[FrameScore]) -> None:
        groups: defaultdict[tuple[Part, str], list[float]] = defaultdict(list)
        for score in scores:
            for key, value in score.values.items():
                for part in _parts_of(score):
                    groups[part, key].append(value)
        self._means = {group: fmean(values) for group, values in groups.items()}

    def of(self, measure: Measure, part: Part) -> float | None:
        """Return the mean over the frames that have the measure; None if none has it, or if it is not finite."""
        return finite(self._means.get((part, measure.key)))


def finite(value: float | None) -> float | None:
    """Return a value that can be printed and compared, None for infinity and not-a-number."""
    return value if value is not None and math.isfinite(value) else None


def _parts_of(score: FrameScore) -> tuple[Part, ...]:
    whole = Part(score.protocol, score.method)
    return (
        whole,
        Part(score.protocol, score.method, scene=score.scene),
        Part(score.protocol, score.method, role=score.role),
    )
