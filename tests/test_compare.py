"""Two runs against each other: differences by scene, and p-values that scipy and a table of 1945 agree on."""

from dataclasses import replace
from itertools import product

import pytest
from support.scored import make_results, score

from train.errors import DatasetError
from train.evaluation.compare import compare, comparison_sheets
from train.evaluation.results import Results

BEFORE = {"a": 30.0, "b": 31.0, "c": 32.0, "d": 33.0, "e": 34.0, "f": 35.0}
GAINS = (0.5, 1.0, 1.5, 2.0, 2.5, -0.25)


def run(values: dict[str, float], *, method: str = "net", key: str = "psnr_t", nexps: int = 2) -> Results:
    found = make_results(*(score(scene, method, {key: value}) for scene, value in values.items()))
    return found if nexps == 2 else replace(found, nexps=nexps)


def test_scenes_are_paired_and_their_differences_ranked() -> None:
    after = {scene: value + gain for (scene, value), gain in zip(BEFORE.items(), GAINS, strict=True)}
    (opponents,) = compare(run({**after, "new": 99.0}), run({**BEFORE, "gone": 1.0}))
    (found,) = opponents.differences
    assert found.scenes == tuple(BEFORE)
    assert found.differences == pytest.approx(GAINS)
    assert found.better == 5
    # Ranks 2 to 6 against rank 1: of the 64 equally likely signs 2 have a lower rank sum of at most 1, and as many
    # on the other side.
    extreme = sum(sum(rank for rank, sign in enumerate(signs, 1) if sign) <= 1 for signs in product((0, 1), repeat=6))
    assert found.p_value == pytest.approx(2 * extreme / 64) == 0.0625


def test_the_sheets_say_which_test_and_how_many() -> None:
    now = run({"a": 31.0, "b": 30.5})
    summary, scenes = comparison_sheets(compare(now, run({"a": 30.0, "b": 31.0})), now)
    assert "Wilcoxon" in summary.title and "n = 2" in summary.title
    assert summary.rows == (("PSNR_T, dB", "30.50", "30.75", "+0.25", "1 of 2", "1"),)
    assert scenes.rows == (("a", "30.00", "31.00", "+1.00"), ("b", "31.00", "30.50", "-0.50"))


def test_equal_runs_differ_by_chance_alone() -> None:
    (opponents,) = compare(run(BEFORE), run(BEFORE))
    assert opponents.differences[0].p_value == 1
    assert opponents.differences[0].better == 0


def test_ties_and_single_scenes_have_a_p_value() -> None:
    (tied,) = compare(run({"a": 1.0, "b": 1.0, "c": 5.0}), run({"a": 0.0, "b": 0.0, "c": 5.0}))
    assert 0 < tied.differences[0].p_value <= 1
    (single,) = compare(run({"a": 1.0}), run({"a": 0.0}))
    assert single.differences[0].p_value == 1


def test_less_is_better_where_the_measure_says_so() -> None:
    (opponents,) = compare(run({"a": 0.5}, key="flicker"), run({"a": 0.75}, key="flicker"))
    assert opponents.differences[0].better == 1


def test_other_names_are_compared_as_what_each_run_is_about() -> None:
    (opponents,) = compare(run({"a": 1.0}, method="new"), run({"a": 0.0}, method="old"))
    assert (opponents.now, opponents.before) == ("new", "old")


def test_runs_without_anything_in_common_are_refused() -> None:
    with pytest.raises(DatasetError, match="with 3 exposures, this one of selftest with 2"):
        compare(run({"a": 1.0}), run({"a": 1.0}, nexps=3))
    with pytest.raises(DatasetError, match="no scene, method and protocol of this one"):
        compare(run({"a": 1.0}), run({"b": 1.0}))
