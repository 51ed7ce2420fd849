"""Two runs over the same scenes: what differs, and whether that may be chance."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from train.errors import DatasetError
from train.evaluation.metrics import MEASURES, NOTHING, Measure
from train.evaluation.protocols import IN_WORDS
from train.evaluation.results import Protocol, Results
from train.evaluation.tables import Means, Sheet, protocols_of, scenes_of, title_of

TEST = "Wilcoxon signed-rank test over scenes, two-sided"


@dataclass(frozen=True, kw_only=True)
class Difference:
    """The means by scene of a method of this run and of one of the earlier run, by one measure."""

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
        """Probability of differences as large if neither run is better.

        Scenes are counted and not frames, for frames of a scene resemble each other.
        """
        from scipy.stats import wilcoxon

        if not any(self.differences):
            return 1.0
        exact = len(set(map(abs, self.differences))) == len(self.differences) and all(self.differences)
        return float(wilcoxon(self.differences, method="exact" if exact else "approx").pvalue)


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A method of this run and one of the earlier run, by all measures."""

    now: str
    before: str
    protocol: Protocol
    differences: tuple[Difference, ...]


def compare(now: Results, before: Results) -> tuple[Comparison, ...]:
    """Compare methods of the same name, and the last method of each run, which is the one that matters.

    Raises:
        DatasetError: If the runs have nothing in common.
    """
    demand_same_set(before, now.benchmark, nexps=now.nexps)
    names = [method.name for method in before.methods]
    pairs = [(method.name, method.name) for method in now.methods if method.name in names]
    last = (now.methods[-1].name, names[-1])
    pairs += [] if last in pairs else [last]
    means = Means(now.scores), Means(before.scores)
    comparisons = []
    for protocol in protocols_of(now):
        scenes = scenes_of(now, protocol), scenes_of(before, protocol)
        for name, other in pairs:
            differences = _differences(means, scenes, names=(name, other), protocol=protocol)
            if differences:
                comparisons.append(Comparison(now=name, before=other, protocol=protocol, differences=differences))
    if not comparisons:
        raise DatasetError("the earlier run has no scene, method and protocol of this one: pass another as --against")
    return tuple(comparisons)


def demand_same_set(before: Results, benchmark: str, *, nexps: int) -> None:
    """Make sure that an earlier run is of the same set.

    Raises:
        DatasetError: If it is of another one.
    """
    if (benchmark, nexps) != (before.benchmark, before.nexps):
        raise DatasetError(
            f"the earlier run is of {before.benchmark} with {before.nexps} exposures, this one of {benchmark} "
            f"with {nexps}: pass results of the same set as --against"
        )


def comparison_sheets(comparisons: Sequence[Comparison], now: Results) -> list[Sheet]:
    """Lay out each comparison: all measures, and the first measure scene by scene."""
    sheets = []
    for comparison in comparisons:
        names = comparison.now
        if comparison.now != comparison.before:
            names = f"{comparison.now} after {comparison.before}"
        title = f"{names} against the earlier run, {IN_WORDS[comparison.protocol]}"
        rows = tuple(
            (
                title_of(difference.measure, now.truth),
                difference.measure.shown(fmean(difference.before)),
                difference.measure.shown(fmean(difference.now)),
                _signed(difference.measure, fmean(difference.differences)),
                f"{difference.better} of {len(difference.scenes)}",
                f"{difference.p_value:.2g}",
            )
            for difference in comparison.differences
        )
        most = max(len(difference.scenes) for difference in comparison.differences)
        columns = ("mean over scenes", "before", "now", "difference", "scenes better", "p")
        sheets.append(Sheet(title=f"{title}; p: {TEST}, n = {most}", columns=columns, rows=rows))
        first = comparison.differences[0]
        scenes = tuple(
            (scene, first.measure.shown(old), first.measure.shown(new), _signed(first.measure, new - old))
            for scene, old, new in zip(first.scenes, first.before, first.now, strict=True)
        )
        title = f"{title_of(first.measure, now.truth)}: {title}"
        sheets.append(Sheet(title=title, columns=("scene", "before", "now", "difference"), rows=scenes))
    return sheets


def _differences(
    means: tuple[Means, Means],
    scenes: tuple[tuple[str, ...], tuple[str, ...]],
    *,
    names: tuple[str, str],
    protocol: Protocol,
) -> tuple[Difference, ...]:
    """Compare two methods by all measures; each pair is of this run and of the earlier one."""
    differences = []
    for measure in MEASURES:
        ours, theirs = (
            {scene: of_run.of(measure.key, protocol=protocol, method=name, scene=scene) for scene in of_scenes}
            for of_run, of_scenes, name in zip(means, scenes, names, strict=True)
        )
        common = {
            scene: (value, other)
            for scene, value in ours.items()
            if value is not None and (other := theirs.get(scene)) is not None
        }
        if common:
            values = [value for value, _ in common.values()], [other for _, other in common.values()]
            differences.append(
                Difference(measure=measure, scenes=tuple(common), now=tuple(values[0]), before=tuple(values[1]))
            )
    return tuple(differences)


def _signed(measure: Measure, value: float) -> str:
    return f"{value:+.{measure.digits}f}" if value == value else NOTHING
