"""Estimation of the exposure cycle of a clip, and of the place of each frame in it."""

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from statistics import median

from model.analysis.brightness import FrameLight, Step, find_blank
from model.analysis.doubled_frames import find_doubled, without_doubled
from model.analysis.phases import LEAST_GAP, Slip, decide_phases, find_slips, scale_of
from model.errors import ExposureError
from model.exposure import ExposureCycle, FrameExposures, nearest_stop

PERIODS = (2, 3)
LEAST_FRAMES = 4
REFINEMENTS = 3
LEAST_CONFIDENCE = 0.5
LARGEST_OPEN_END = 0.3  # of the brightness range: a cycle ends where it began
LEAST_SUPPORT = 0.2
SURE_TO = 0.12  # stops of uncertainty that halve the confidence
LARGEST_UNEVENNESS = 0.12  # stops; noise makes up to 0.08, sRGB pictures taken for gamma 2.2 have 0.16 or more
NOISE_UNEVENNESS, NOISE_BEGINS = 0.05, 4.0  # stops more for each stop of the ratio, from so many stops on
EVEN = 0.1  # stops; gamma 2.2 has up to 0.08, sRGB and cameras' curves 0.2 and more
ODD_UNEVENNESS = 0.06  # of clips whose ratio is next to no whole, half or third stop
PASS_EXPOSURES = "pass them, e.g. --exposures 1,8"
SAME = 1.05  # a factor; what lies closer together counts as one exposure
SLIPS_SHOWN = 5
LONGEST_CYCLE = 6
LEAST_REPEATED = 0.6  # share of frames that have the exposure of the frame one cycle on


@dataclass(frozen=True, kw_only=True)
class ExposureEstimate:
    """The exposures of a clip, estimated from brightness.

    Args:
        exposures: Exposure of each frame.
        slips: Breaks of their order.
        confidence: 0 (no idea) to 1.
        uncertainty: Standard error of the ratios, in stops.
        unevenness: Difference of the steps in dark, middle and bright parts, in stops; near 0 if the camera response
            is the one assumed. Response and ratio are ambiguous together, so that this warns of both.
        explained: Share of the brightness steps that agree.
        seen: Number of steps between neighbors that could be measured.
        alternating: Number of those that agree and lead from one exposure to another.
        unexplained: Frames whose step from the frame before is not that of their exposures.
    """

    exposures: FrameExposures
    slips: tuple[Slip, ...]
    confidence: float
    uncertainty: float
    unevenness: float
    explained: float
    seen: int
    alternating: int
    unexplained: tuple[int, ...] = ()

    @property
    def sure(self) -> bool:
        """Whether the estimate may be used without asking."""
        return self.confidence >= LEAST_CONFIDENCE

    @property
    def is_even(self) -> bool:
        """Whether steps are alike in dark and bright parts, but for noise: the curve is the one assumed, or a power."""
        return self.unevenness <= EVEN + self._noise

    @property
    def _noise(self) -> float:
        """Unevenness that darks of short frames make, which lie in the noise."""
        return NOISE_UNEVENNESS * max(0.0, math.log2(max(self.exposures.ratios)) - NOISE_BEGINS)

    @property
    def warning(self) -> str:
        """A doubt about the ratios, empty if there is none."""
        # Two weak signs count as one: cameras are seldom set in odd fractions of a stop.
        usual = all(nearest_stop(ratio) is not None for ratio in self.exposures.ratios)
        if self.unevenness <= (LARGEST_UNEVENNESS if usual else ODD_UNEVENNESS) + self._noise:
            return ""
        return (
            f"steps of brightness differ by {self.unevenness:.2f} stops between dark and bright parts: the camera "
            "response is not the one assumed, the ratio is as uncertain; pass the response and --exposures if known"
        )

    @property
    def message(self) -> str:
        """The finding in one line, e.g. `exposures 1, 8.03 (3.01 stops), shortest first, confidence 0.98`."""
        ratios = self.exposures.ratios
        listed = ", ".join(f"{ratio:.3g}" for ratio in ratios)
        stops = ", ".join(f"{math.log2(ratio):.2f}" for ratio in ratios)
        message = f"exposures {listed} (stops {stops}) from the first frame on, confidence {self.confidence:.2f}"
        doubled = [str(slip.index) for slip in self.slips if slip.kind == "doubled"]
        breaks = [str(slip) for slip in self.slips if slip.kind != "doubled" or len(doubled) == 1]
        if breaks:
            count = "1 break" if len(breaks) == 1 else f"{len(breaks)} breaks"
            message += f"; {count} in their order: {first_of(breaks)}"
        if len(doubled) > 1:
            message += f"; {len(doubled)} frames show the frame before them again: {first_of(doubled)}"
        return message


def first_of(items: Sequence[str]) -> str:
    """List the first few of many in words."""
    more = f" and {len(items) - SLIPS_SHOWN} more" if len(items) > SLIPS_SHOWN else ""
    return ", ".join(items[:SLIPS_SHOWN]) + more


def estimate_exposures(frames: Sequence[FrameLight]) -> ExposureEstimate:
    """Find the exposure cycle of a clip, two or three frames long, and each frame's place in it.

    Ratios are relative: the shortest exposure is 1. They are as measured, not the nearest whole stop.

    Args:
        frames: The light of all frames, as `LightMeter` measures it.

    Raises:
        ExposureError: If there are too few frames, or brightness does not alternate, or not in such a cycle.
    """
    doubled = find_doubled(frames)
    if len(frames) - len(doubled) < LEAST_FRAMES:
        raise ExposureError(f"{len(frames)} frames are too few to find the exposures: {PASS_EXPOSURES}")
    distinct = without_doubled(frames, doubled)
    estimates = [_fit(distinct, levels) for period in PERIODS if (levels := _first_levels(distinct, period))]
    if estimates:
        return _of_all(frames, max(estimates, key=lambda estimate: estimate.confidence), doubled)
    steps = [abs(frame.steps[0].stops) for frame in frames if frame.steps and frame.steps[0].measured]
    if len(steps) < len(frames) / 4:
        raise ExposureError(
            f"too little is well exposed in neighboring frames to compare their exposures: {PASS_EXPOSURES}"
        )
    if median(steps) < LEAST_GAP:
        raise ExposureError(
            f"the clip does not alternate: neighboring frames differ by {median(steps):.2f} stops only; "
            f"if it does, {PASS_EXPOSURES}"
        )
    raise ExposureError(f"the brightness of the frames repeats neither every 2 nor every 3 frames: {PASS_EXPOSURES}")


def follow_exposures(frames: Sequence[FrameLight], cycle: ExposureCycle) -> ExposureEstimate:
    """Find each frame's place in a cycle that is known, and where the order breaks.

    Args:
        frames: The light of all frames, as `LightMeter` measures it.
        cycle: Exposures, from the clip's first frame on as far as nothing contradicts it.
    """
    levels, doubled = [math.log2(ratio) for ratio in cycle.ratios], find_doubled(frames)
    distinct = without_doubled(frames, doubled)
    exposures = FrameExposures.from_phases(cycle, decide_phases(distinct, levels, start=0))
    return _of_all(frames, _judge(distinct, exposures), doubled)


def judge_exposures(frames: Sequence[FrameLight], exposures: FrameExposures) -> ExposureEstimate:
    """Compare exposures whose places in the cycle are known with the light of all frames."""
    doubled = find_doubled(frames)
    own = exposures.of_frames(0, len(frames))
    doubled = frozenset(index for index in doubled if own[index] == own[index - 1])
    distinct = without_doubled(frames, doubled)
    phases = tuple(phase for index, phase in enumerate(own.phases) if index not in doubled)
    return _of_all(frames, _judge(distinct, FrameExposures(own.cycle, phases)), doubled)


def _of_all(frames: Sequence[FrameLight], estimate: ExposureEstimate, doubled: frozenset[int]) -> ExposureEstimate:
    """Put frames back that show their predecessor again; they have its exposure."""
    kept = [index for index in range(len(frames)) if index not in doubled]
    picture = [place - 1 for place in accumulate(index not in doubled for index in range(len(frames)))]
    found = FrameExposures(estimate.exposures.cycle, tuple(estimate.exposures.phases[place] for place in picture))
    blank = find_blank(frames, [found[index] for index in range(len(frames))])
    slips = [replace(slip, index=kept[slip.index], last=kept[slip.last]) for slip in estimate.slips]
    slips += [Slip(index, "doubled") for index in doubled]
    return replace(
        estimate,
        exposures=replace(found, doubled=doubled, blank=blank),
        slips=tuple(sorted(slips, key=lambda slip: slip.index)),
        unexplained=tuple(kept[index] for index in estimate.unexplained),
    )


def _first_levels(frames: Sequence[FrameLight], period: int) -> list[float]:
    """Guess the cycle from all stretches of one period: their median; empty if most don't close."""
    scale = scale_of(frames, [0.0, 1.0])
    steps = [frame.steps[0].stops if scale.usable(frame.steps[0]) else math.nan for frame in frames[1:]]
    stretches = [steps[start : start + period] for start in range(len(steps) - period + 1)]
    seen = [stretch for stretch in stretches if not any(math.isnan(stop) for stop in stretch)]
    closed = []
    for stretch in seen:
        levels = _levels_around(stretch)
        if max(levels) >= LEAST_GAP and abs(sum(stretch)) <= LARGEST_OPEN_END * max(levels):
            lowest = levels.index(0.0)
            closed.append(levels[lowest:] + levels[:lowest])
    if not closed or len(closed) < LEAST_SUPPORT * len(seen):
        return []
    return [median(column) for column in zip(*closed, strict=True)]


def _levels_around(steps: Sequence[float]) -> list[float]:
    """Return the level before each step around a cycle, the lowest 0; the sum of all steps is drift."""
    drift = sum(steps) / len(steps)
    levels = [sum(step - drift for step in steps[:number]) for number in range(len(steps))]
    return [level - min(levels) for level in levels]


def _as_one(levels: list[float]) -> list[float]:
    """Take levels that lie together for one exposure that comes twice in the cycle."""
    groups = [[other for other in levels if abs(other - level) < LEAST_GAP] for level in levels]
    means = [sum(group) / len(group) for group in groups]
    return [mean - min(means) for mean in means]


def _fit(frames: Sequence[FrameLight], levels: list[float]) -> ExposureEstimate:
    for _ in range(REFINEMENTS):
        phases = decide_phases(frames, levels)
        steps = [median(regular) for regular in _steps_by_phase(frames, phases, levels) if regular]
        if len(steps) == len(levels):
            levels = _as_one(_levels_around(steps))
    cycle = ExposureCycle(tuple(2.0**level for level in levels))
    return _judge(frames, FrameExposures.from_phases(cycle, decide_phases(frames, levels)))


def _steps_by_phase(frames: Sequence[FrameLight], phases: Sequence[int], levels: Sequence[float]) -> list[list[float]]:
    """Collect the regular steps from each phase of the cycle to the next."""
    scale, period = scale_of(frames, levels), len(levels)
    steps: list[list[float]] = [[] for _ in levels]
    for (before, after), frame in zip(pairwise(phases), frames[1:], strict=True):
        if (after - before - 1) % period == 0 and scale.usable(frame.steps[0]):
            steps[before].append(frame.steps[0].stops)
    return steps


def _judge(frames: Sequence[FrameLight], exposures: FrameExposures) -> ExposureEstimate:
    levels = [math.log2(ratio) for ratio in exposures.cycle.ratios]
    scale = scale_of(frames, levels)
    slips = find_slips(frames, exposures.phases, exposures.period, scale=scale)
    places = enumerate(zip(pairwise(exposures.phases), frames[1:], strict=True), 1)
    steps = {
        index: (frame.steps[0], levels[after] - levels[before])
        for index, ((before, after), frame) in places
        if scale.usable(frame.steps[0])
    }
    seen = len(steps)
    unexplained = tuple(index for index, (step, expected) in steps.items() if not scale.explains(step, expected))
    explained = (seen - len(unexplained)) / max(1, seen)
    changes = sum(abs(expected) >= LEAST_GAP for index, (_, expected) in steps.items() if index not in unexplained)
    uncertainty = _uncertainty(_steps_by_phase(frames, exposures.phases, levels))
    confidence: float = (
        explained**2
        * min(1.0, 2 * seen / max(1, len(frames) - 1))
        * (1 - 0.5 ** (seen / exposures.period))
        * (1 - len(slips) / len(frames))
        / (1 + uncertainty / SURE_TO)
    )
    return ExposureEstimate(
        exposures=exposures,
        slips=slips,
        confidence=confidence,
        uncertainty=uncertainty,
        unevenness=_unevenness(list(steps.values())),
        explained=explained,
        seen=seen,
        alternating=changes,
        unexplained=unexplained,
    )


def _uncertainty(steps_by_phase: list[list[float]]) -> float:
    """Standard error of the largest of the medians that the levels come from, in stops."""
    errors = []
    for steps in steps_by_phase:
        if not steps:
            return math.inf
        middle = median(steps)
        deviation = 1.48 * median(abs(step - middle) for step in steps)
        errors.append(1.25 * deviation / math.sqrt(len(steps)))
    return max(errors)


def _unevenness(steps: list[tuple[Step, float]]) -> float:
    """Difference of steps between dark, middle and bright parts; each step is given with the expected one."""
    parts = [
        [math.copysign(1.0, expected) * part for part in step.parts]
        for step, expected in steps
        if abs(expected) >= LEAST_GAP
    ]
    if not parts:
        return 0.0
    usual: list[float] = [median(column) for column in zip(*parts, strict=True)]
    # The eighths at both ends see more of a wrong response, and twice as much of the noise.
    return max(max(usual[:3]) - min(usual[:3]), 0.5 * (max(usual) - min(usual)))


def follow_list(exposures: Sequence[float]) -> FrameExposures:
    """Find the cycle in a list of exposures, and the place of each frame in it.

    Args:
        exposures: Linear exposure of each frame, of any scale.

    Raises:
        ExposureError: If they are no positive numbers, all equal, or don't repeat.
    """
    ExposureCycle.from_ratios(exposures)  # refuses what can't be exposures
    values = _leveled(exposures)
    period = next((period for period in range(2, LONGEST_CYCLE + 1) if _repeats(values, period)), None)
    if period is None:
        shown = ", ".join(f"{value:g}" for value in values[:8])
        raise ExposureError(f"the listed exposures ({shown}, ...) repeat in no cycle of 2 to {LONGEST_CYCLE} frames")
    # Stretches of one period that are rotations of each other count as the same.
    stretches = Counter(
        min((*values[middle : start + period], *values[start:middle]) for middle in range(start, start + period))
        for start in range(len(values) - period + 1)
    )
    cycle = ExposureCycle.from_ratios(stretches.most_common(1)[0][0])
    return FrameExposures.from_phases(cycle, _phases(values, cycle))


def _leveled(exposures: Sequence[float]) -> list[float]:
    """Make nearly equal exposures equal, the smallest 1."""
    levels: list[float] = []
    for exposure in sorted(set(exposures)):
        if not levels or exposure > SAME * levels[-1]:
            levels.append(exposure)
    return [levels[bisect_right(levels, exposure) - 1] / levels[0] for exposure in exposures]


def _repeats(values: list[float], period: int) -> bool:
    if len(values) <= period:
        return len(values) == period
    pairs = list(zip(values, values[period:], strict=False))
    return sum(first == second for first, second in pairs) >= LEAST_REPEATED * len(pairs)


def _phases(values: list[float], cycle: ExposureCycle) -> list[int]:
    # Where an exposure comes twice in the cycle, the frames that follow decide which of both the first frame is.
    start = values[: cycle.period]
    expected = max(
        range(cycle.period), key=lambda place: sum(cycle[place + k] == value for k, value in enumerate(start))
    )
    phases: list[int] = []
    for index, value in enumerate(values):
        fitting = [phase for phase in range(cycle.period) if cycle[phase] == value]
        if not fitting:
            listed = ", ".join(f"{ratio:g}" for ratio in cycle.ratios)
            raise ExposureError(f"frame {index} has exposure {value:g} in the list, the cycle has {listed}: correct it")
        phases.append(expected if expected in fitting else fitting[0])
        expected = (phases[-1] + 1) % cycle.period
    return phases
