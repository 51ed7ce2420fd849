"""Exposures that are listed frame by frame: the cycle they follow, and where they don't."""

from collections import Counter
from collections.abc import Sequence

from model.cycle import FrameExposures
from model.errors import ExposureError
from model.exposure import ExposureCycle

SAME = 1.05  # a factor; what lies closer together counts as one exposure
LONGEST_CYCLE = 6
LEAST_REPEATED = 0.6  # share of frames that have the exposure of the frame one cycle on


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
    stretches = Counter(_turned(values[start : start + period]) for start in range(len(values) - period + 1))
    cycle = ExposureCycle.from_ratios(stretches.most_common(1)[0][0])
    return FrameExposures.from_phases(cycle, _phases(values, cycle))


def _leveled(exposures: Sequence[float]) -> list[float]:
    """Make equal what is nearly equal, the smallest 1."""
    levels: list[float] = []
    for exposure in sorted(set(exposures)):
        if not levels or exposure > SAME * levels[-1]:
            levels.append(exposure)
    return [max(level for level in levels if level <= exposure) / levels[0] for exposure in exposures]


def _repeats(values: list[float], period: int) -> bool:
    if len(values) <= period:
        return len(values) == period
    pairs = list(zip(values, values[period:], strict=False))
    return sum(first == second for first, second in pairs) >= LEAST_REPEATED * len(pairs)


def _turned(stretch: Sequence[float]) -> tuple[float, ...]:
    return min(tuple(stretch[start:]) + tuple(stretch[:start]) for start in range(len(stretch)))


def _phases(values: list[float], cycle: ExposureCycle) -> list[int]:
    phases: list[int] = []
    for index, value in enumerate(values):
        places = [place for place in range(cycle.period) if cycle[place] == value]
        if not places:
            listed = ", ".join(f"{ratio:g}" for ratio in cycle.ratios)
            raise ExposureError(f"frame {index} has exposure {value:g} in the list, the cycle has {listed}: correct it")
        expected = (phases[-1] + 1) % cycle.period if phases else _first_place(values, cycle)
        phases.append(expected if expected in places else places[0])
    return phases


def _first_place(values: list[float], cycle: ExposureCycle) -> int:
    """Where an exposure comes twice in the cycle, what follows tells which it is."""
    return max(
        range(cycle.period),
        key=lambda place: sum(cycle[place + k] == value for k, value in enumerate(values[: cycle.period])),
    )
