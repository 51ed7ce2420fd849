"""The phase of each frame in the exposure cycle, by dynamic programming over brightness steps."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise, product
from statistics import median
from typing import Literal

from model.analysis.brightness import FrameLight, Step

# Costs are negative logarithms of probability, up to a common factor.
LARGEST_COST = 6.0  # of one step, whatever it shows: a flash or a hand before the lens must not decide
SLIP_COST = 9.0  # below two steps that speak for a slip, above one
RUN_COST = 1.0  # of one more frame of the same exposure
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
SHORTEST_RUN = 3  # frames
STILL = 0.002  # mean difference of encoded values below which a scene does not move


@dataclass(frozen=True, kw_only=True)
class Scale:
    """The usual steps of a clip.

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
        """Negative logarithm of the probability of a step, given the expected one, up to a factor."""
        if not self.usable(step):
            return 0.0
        deviation = math.hypot(TOLERANCE * self.gap, SPREAD_COUNTS * step.spread)
        return min(0.5 * ((step.stops - expected) / deviation) ** 2, LARGEST_COST)


def scale_of(frames: Sequence[FrameLight], levels: Sequence[float]) -> Scale:
    """Measure the usual steps of a clip whose exposures have these levels, in stops."""
    spreads = sorted(frame.steps[0].spread for frame in frames if frame.steps and frame.steps[0].measured)
    usual = spreads[len(spreads) // 2] if spreads else 0.0
    gaps = [abs(a - b) for a, b in product(levels, levels) if abs(a - b) >= LEAST_GAP]
    return Scale(spread=max(CUT_FACTOR * usual, CUT_SPREAD), gap=min(gaps, default=LEAST_GAP))


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
        # Cost of each step, to the frame before and to the one before that, from any place to any other.
        tables = [
            [[scale.cost(step, after - before) for after in levels] for before in levels] for step in frame.steps[:2]
        ]
        costs, arrival = _advance(costs, tables, advance=advance, period=period)
        arrivals.append(arrival)
    state = min(costs, key=costs.__getitem__)
    phases = [state[1]]
    for arrival in reversed(arrivals):
        state = arrival[state]
        phases.append(state[1])
    return tuple(reversed(phases))


def _advance(
    costs: dict[Pair, float], tables: list[Table], *, advance: int, period: int
) -> tuple[dict[Pair, float], dict[Pair, Pair]]:
    best: dict[Pair, float] = {}
    arrival: dict[Pair, Pair] = {}
    for (before, last), cost in costs.items():
        for place in range(period):
            moved = place - last
            total = cost + tables[0][last][place]
            if moved == 0 and before == last:
                total += RUN_COST
            elif (moved - advance) % period != 0:
                total += UNUSED_GAP_COST if (moved - 1) % period == 0 else SLIP_COST
            if len(tables) > 1:
                total += tables[1][before][place]
            if total < best.get((last, place), math.inf):
                best[last, place], arrival[last, place] = total, (before, last)
    return best, arrival


@dataclass(frozen=True)
class Slip:
    """A break in the order of exposures.

    Args:
        index: First frame after the break, counted from 0.
        kind: Whether frames are missing before it, it shows its predecessor again, either of these in a still
            scene, the break is at a cut, or exposures don't alternate from it on.
        missing: Number of missing frames, as far as the exposures and times tell.
        last: Last frame of those that don't alternate.
    """

    index: int
    kind: Literal["dropped", "doubled", "unclear", "cut", "run"]
    missing: int = 0
    last: int = 0

    def __str__(self) -> str:
        missing = "one frame" if self.missing == 1 else f"{self.missing} frames"
        what = {
            "dropped": f"{missing} missing before it",
            "doubled": "shows the frame before it again",
            "unclear": f"{missing} missing before it, or one doubled",
            "cut": "the order begins anew at a cut",
            "run": f"one exposure up to frame {self.last}",
        }
        return f"frame {self.index}: {what[self.kind]}"


def find_slips(frames: Sequence[FrameLight], phases: Sequence[int], period: int, *, scale: Scale) -> tuple[Slip, ...]:
    """List the breaks in the order of exposures, by the phase of each frame in a cycle of this period."""
    advances = frame_advances([frame.time for frame in frames])
    same = [frame.steps[period - 1].difference for frame in frames if len(frame.steps) >= period]
    usual = median(same) if same else 0.0
    runs = _runs(phases)
    slips = [Slip(first, "run", last=last) for first, last in runs]
    inside = {index for first, last in runs for index in range(first + 1, last + 1)}
    for index, ((before, after), advance) in enumerate(zip(pairwise(phases), advances, strict=True), 1):
        moved, missing = (after - before) % period, (after - before - 1) % period
        if missing == 0 or index in inside:
            continue
        if not scale.usable(frames[index].steps[0]) and advance <= 1:
            slips.append(Slip(index, "cut"))
        elif advance > 1 and (advance - moved) % period == 0:
            slips.append(Slip(index, "dropped", advance - 1))
        else:
            slips.append(Slip(index, "unclear" if moved == 0 and usual < STILL else "dropped", missing))
    return tuple(sorted(slips, key=lambda slip: slip.index))


def _runs(phases: Sequence[int]) -> list[tuple[int, int]]:
    """First and last frame of each run of one exposure; two in a row are no run, one is missing between them."""
    starts = [index for index, phase in enumerate(phases) if index == 0 or phases[index - 1] != phase]
    runs = zip(starts, [*(start - 1 for start in starts[1:]), len(phases) - 1], strict=True)
    return [(first, last) for first, last in runs if last - first + 1 >= SHORTEST_RUN]
