"""Which step of the exposure cycle each frame of a clip is, decided by dynamic programming over brightness steps."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise, product

from model.brightness import FrameLight, Step

# Costs are negative logarithms of probability, up to a common factor.
LARGEST_COST = 6.0  # of one step, whatever it shows: a flash or a hand before the lens must not decide
SLIP_COST = 9.0  # below two steps that speak for a slip, above one
UNUSED_GAP_COST = 3.0  # a gap in time that the exposures don't follow
WRONG_START_COST = 9.0
LEAST_GAP = 0.3  # stops between two exposures that count as different
TOLERANCE = 0.18  # deviation of a step, as a part of the least difference between exposures
SPREAD_COUNTS = 0.15
CUT_SPREAD = 0.35  # stops; steps that vary more over the picture, and more than usual, are those of a cut
CUT_FACTOR = 3.0
LARGEST_GAP_SHARE = 0.1  # with more gaps the frame rate varies, and gaps say nothing

Table = list[list[float]]
Pair = tuple[int, int]


@dataclass(frozen=True)
class Scale:
    """What counts as usual in a clip.

    Args:
        spread: Largest spread of a step within one scene, in stops.
        gap: Least difference between two exposures, in stops.
    """

    spread: float
    gap: float

    def usable(self, step: Step) -> bool:
        """Whether a step shows exposures and not a cut."""
        return step.measured and step.spread <= self.spread

    def explains(self, step: Step, expected: float) -> bool:
        """Whether a step is as expected, rather than as another exposure would have it."""
        return abs(step.stops - expected) <= max(0.3 * self.gap, 0.12) + SPREAD_COUNTS * step.spread

    def cost(self, step: Step, expected: float) -> float:
        """How much a step speaks against what is expected."""
        if not self.usable(step):
            return 0.0
        deviation = math.hypot(TOLERANCE * self.gap, SPREAD_COUNTS * step.spread)
        return min(0.5 * ((step.stops - expected) / deviation) ** 2, LARGEST_COST)


def scale_of(frames: Sequence[FrameLight], levels: Sequence[float]) -> Scale:
    """Find what is usual in a clip whose exposures have these levels, in stops."""
    spreads = sorted(frame.steps[0].spread for frame in frames if frame.steps and frame.steps[0].measured)
    usual = spreads[len(spreads) // 2] if spreads else 0.0
    gaps = [abs(a - b) for a, b in product(levels, levels) if abs(a - b) >= LEAST_GAP]
    return Scale(max(CUT_FACTOR * usual, CUT_SPREAD), min(gaps, default=LEAST_GAP))


def frame_advances(times: Sequence[Fraction]) -> list[int]:
    """Number of frame periods from each frame to the next, 1 everywhere if the frame rate varies.

    Args:
        times: Presentation times, in order.
    """
    steps = [later - earlier for earlier, later in pairwise(times)]
    usual = sorted(steps)[len(steps) // 2] if steps else Fraction(0)
    if usual <= 0:
        return [1] * len(steps)
    advances = [max(1, round(step / usual)) for step in steps]
    irregular = sum(advance > 1 for advance in advances)
    return advances if irregular <= LARGEST_GAP_SHARE * len(steps) else [1] * len(steps)


def decide_phases(
    frames: Sequence[FrameLight], levels: Sequence[float], *, start: int | None = None
) -> tuple[int, ...]:
    """Find the likeliest place of each frame in the cycle (Viterbi 1967), slips allowed at a price.

    Args:
        frames: All frames of the clip.
        levels: Exposures of the cycle in stops, in order.
        start: Place where the first frame is expected, None if unknown.

    Returns:
        One place per frame, 0..len(levels)-1.
    """
    scale, period = scale_of(frames, levels), len(levels)
    advances = frame_advances([frame.time for frame in frames])
    # A state is the places of a frame and of the one before it, so that steps over two frames count as well.
    costs: dict[Pair, float] = {
        ((place - 1) % period, place): 0.0 if start in (None, place) else WRONG_START_COST for place in range(period)
    }
    arrivals: list[dict[Pair, Pair]] = []
    for frame, advance in zip(frames[1:], advances, strict=True):
        tables = [_table(step, levels, scale) for step in frame.steps[:2]]
        costs, arrival = _advance(costs, tables, advance=advance, period=period)
        arrivals.append(arrival)
    state = min(costs, key=costs.__getitem__)
    phases = [state[1]]
    for arrival in reversed(arrivals):
        state = arrival[state]
        phases.append(state[1])
    return tuple(reversed(phases))


def _table(step: Step, levels: Sequence[float], scale: Scale) -> Table:
    return [[scale.cost(step, after - before) for after in levels] for before in levels]


def _advance(
    costs: dict[Pair, float], tables: list[Table], *, advance: int, period: int
) -> tuple[dict[Pair, float], dict[Pair, Pair]]:
    best: dict[Pair, float] = {}
    arrival: dict[Pair, Pair] = {}
    for (before, last), cost in costs.items():
        for place in range(period):
            total = cost + tables[0][last][place] + _slip_cost(place - last, advance, period)
            if len(tables) > 1:
                total += tables[1][before][place]
            if total < best.get((last, place), math.inf):
                best[last, place], arrival[last, place] = total, (before, last)
    return best, arrival


def _slip_cost(moved: int, advance: int, period: int) -> float:
    if (moved - advance) % period == 0:
        return 0.0
    if (moved - 1) % period == 0:
        return UNUSED_GAP_COST
    return SLIP_COST
