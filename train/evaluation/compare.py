"""Two runs over the same scenes: what differs, and whether that may be chance."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean

from train.errors import DatasetError
from train.evaluation.metrics import MEASURES, NOTHING, Measure
from train.evaluation.protocols import IN_WORDS
from train.evaluation.results import Protocol, Results
from train.evaluation.tables import Sheet, mean, protocols_of, title_of, under

TEST = "Wilcoxon signed-rank test over scenes, two-sided"


@dataclass(frozen=True)
class Difference:
    """What differs between a method of this run and one of the earlier run, by one measure.

    Args:
        measure: The measure.
        scenes: Names of the scenes that both runs have.
        now: Mean of each scene in this run.
        before: In the earlier run.
    """

    measure: Measure
    scenes: tuple[str, ...]
    now: tuple[float, ...]
    before: tuple[float, ...]

    @property
    def differences(self) -> tuple[float, ...]:
        """This run minus the earlier one, scene by scene."""
        return tuple(now - before for now, before in zip(self.now, self.before, strict=True))

    @property
    def better(self) -> int:
        """Number of scenes on which this run is better."""
        sign = 1 if self.measure.higher_is_better else -1
        return sum(sign * difference > 0 for difference in self.differences)

    @property
    def p_value(self) -> float:
        """How likely differences as large are if neither run is better.

        Scenes are counted and not frames, for frames of a scene resemble each other.
        """
        from scipy.stats import wilcoxon

        if not any(self.differences):
            return 1.0
        exact = len(set(map(abs, self.differences))) == len(self.differences) and all(self.differences)
        return float(wilcoxon(self.differences, method="exact" if exact else "approx").pvalue)


@dataclass(frozen=True)
class Opponents:
    """A method of this run and one of the earlier run.

    Args:
        now: Name of the method here.
        before: Its name there.
        protocol: Which scores.
        differences: By measure.
    """

    now: str
    before: str
    protocol: Protocol
    differences: tuple[Difference, ...]


def compare(now: Results, before: Results) -> tuple[Opponents, ...]:
    """Compare methods of the same name, and the last method of each run, which is the one that matters.

    Args:
        now: This run.
        before: The earlier one.

    Raises:
        DatasetError: If the runs have nothing in common.
    """
    demand_same_set(before, now.benchmark, nexps=now.nexps)
    found = tuple(
        Opponents(name, other, protocol, differences)
        for protocol in protocols_of(now)
        for name, other in _pairs(now, before)
        if (differences := tuple(_differences(now, before, names=(name, other), protocol=protocol)))
    )
    if not found:
        raise DatasetError("the earlier run has no scene, method and protocol of this one: pass another as --against")
    return found


def demand_same_set(before: Results, benchmark: str, *, nexps: int) -> None:
    """Make sure that an earlier run is of the same set.

    Args:
        before: The earlier run.
        benchmark: Name of the set.
        nexps: Number of exposures.

    Raises:
        DatasetError: If it is of another one.
    """
    if (benchmark, nexps) != (before.benchmark, before.nexps):
        raise DatasetError(
            f"the earlier run is of {before.benchmark} with {before.nexps} exposures, this one of {benchmark} "
            f"with {nexps}: pass results of the same set as --against"
        )


def comparison_sheets(found: Sequence[Opponents], now: Results) -> list[Sheet]:
    """Tables of a comparison: one of all measures, and the first measure scene by scene.

    Args:
        found: What differs.
        now: This run.
    """
    return [sheet for opponents in found for sheet in (_summary(opponents, now), _scenes(opponents, now))]


def _pairs(now: Results, before: Results) -> list[tuple[str, str]]:
    names = [method.name for method in before.methods]
    same = [(method.name, method.name) for method in now.methods if method.name in names]
    last = (now.methods[-1].name, names[-1])
    return same if last in same else [*same, last]


def _differences(now: Results, before: Results, *, names: tuple[str, str], protocol: Protocol) -> Iterator[Difference]:
    for measure in MEASURES:
        means = [
            _by_scene(results, measure, method=name, protocol=protocol)
            for results, name in zip((now, before), names, strict=True)
        ]
        scenes = tuple(scene for scene in means[0] if scene in means[1])
        if scenes:
            values = [tuple(found[scene] for scene in scenes) for found in means]
            yield Difference(measure, scenes, *values)


def _by_scene(results: Results, measure: Measure, *, method: str, protocol: Protocol) -> dict[str, float]:
    scores = under(results, protocol)
    scenes = dict.fromkeys(score.scene for score in scores)
    means = {scene: mean(scores, measure.key, method=method, scene=scene) for scene in scenes}
    return {scene: value for scene, value in means.items() if value is not None}


def _summary(opponents: Opponents, now: Results) -> Sheet:
    rows = tuple(
        (
            title_of(found.measure, now.truth),
            found.measure.shown(fmean(found.before)),
            found.measure.shown(fmean(found.now)),
            _signed(found.measure, fmean(found.differences)),
            f"{found.better} of {len(found.scenes)}",
            f"{found.p_value:.2g}",
        )
        for found in opponents.differences
    )
    columns = ("mean over scenes", "before", "now", "difference", "scenes better", "p")
    return Sheet(f"{_title(opponents)}; p: {TEST}, n = {_most(opponents)}", columns, rows)


def _scenes(opponents: Opponents, now: Results) -> Sheet:
    first = opponents.differences[0]
    rows = tuple(
        (scene, first.measure.shown(old), first.measure.shown(new), _signed(first.measure, new - old))
        for scene, old, new in zip(first.scenes, first.before, first.now, strict=True)
    )
    title = f"{title_of(first.measure, now.truth)}: {_title(opponents)}"
    return Sheet(title, ("scene", "before", "now", "difference"), rows)


def _title(opponents: Opponents) -> str:
    names = opponents.now if opponents.now == opponents.before else f"{opponents.now} after {opponents.before}"
    return f"{names} against the earlier run, {IN_WORDS[opponents.protocol]}"


def _most(opponents: Opponents) -> int:
    return max(len(found.scenes) for found in opponents.differences)


def _signed(measure: Measure, value: float) -> str:
    return f"{value:+.{measure.digits}f}" if value == value else NOTHING
