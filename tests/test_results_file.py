"""Results in files: read again as they were, and what is none is refused in one line."""

import csv
import math
from pathlib import Path

import pytest
from scored import make_results, score

from train.errors import DatasetError
from train.evaluation.results import Method, Published, read_results, write_csv, write_results

RESULTS = make_results(
    score("a", "m", {"psnr_t": 30.125, "flicker": 0.1}),
    score("b", "m", {"psnr_t": math.inf}, role="high", protocol="hdrflow"),
    methods=(Method("m", "network", "m.safetensors", 1234, 0.25, None, "cpu"),),
    published=(Published("theirs", 2, {"psnr_t": 41.0}, "as predicted", "a paper"),),
    environment={"torch": "9"},
    command="lanhdr eval",
    truth="estimate",
)


def test_results_are_read_as_they_were_written(tmp_path: Path) -> None:
    write_results(tmp_path / "r.json", RESULTS)
    assert read_results(tmp_path / "r.json") == RESULTS


def test_a_table_has_a_row_per_score(tmp_path: Path) -> None:
    write_csv(tmp_path / "r.csv", RESULTS)
    rows = list(csv.DictReader((tmp_path / "r.csv").read_text().splitlines()))
    assert [(row["scene"], row["role"], row["protocol"]) for row in rows] == [
        ("a", "low", "lanhdr"), ("b", "high", "hdrflow")
    ]  # fmt: skip
    assert (rows[0]["psnr_t"], rows[0]["flicker"], rows[1]["flicker"]) == ("30.125", "0.1", "")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"about": {}, "scores": []}'])
def test_what_holds_no_results_is_one_line(text: str, tmp_path: Path) -> None:
    (tmp_path / "r.json").write_text(text)
    with pytest.raises(DatasetError, match=r"holds no results .*: pass a file that --json wrote") as caught:
        read_results(tmp_path / "r.json")
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="pass results of an earlier run"):
        read_results(tmp_path / "none.json")
