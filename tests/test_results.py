"""Results in files: read again as they were, and what is none is refused in one line."""

import csv
import math
from pathlib import Path

import pytest
import torch
from support.scored import make_results, record, score

from train.errors import DatasetError
from train.evaluation.results import Published, read_results, worst_crop, write_csv, write_results

RESULTS = make_results(
    score("a", "m", {"psnr_t": 30.125, "flicker": 0.1}),
    score("b", "m", {"psnr_t": math.inf}, role="high", protocol="hdrflow"),
    methods=(record("m", kind="network", weights="m.safetensors", parameters=1234, seconds_per_frame=0.25),),
    published=(
        Published(method="theirs", nexps=2, values={"psnr_t": 41.0}, protocol_note="as predicted", source="a paper"),
    ),
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


def test_the_worst_crop_lies_on_the_error() -> None:
    wanted = torch.full((1, 3, 352, 640), 0.5)
    output = wanted.clone()
    output[..., 150:170, 480:500] = 1.0
    crop = worst_crop(output, wanted)
    assert crop.side == 160
    assert crop.top <= 150 and crop.top + 160 >= 170
    assert crop.left <= 480 and crop.left + 160 >= 500
    assert crop.error == pytest.approx(0.5 * 20 * 20 / 160**2, rel=1e-3)
    assert crop.cut(output[0]).shape == (3, 160, 160)
    assert (crop.cut(output[0]) == 1).sum() == 3 * 20 * 20


def test_a_small_frame_is_its_own_crop() -> None:
    crop = worst_crop(torch.zeros(1, 3, 32, 40), torch.zeros(1, 3, 32, 40))
    assert (crop.top, crop.left, crop.side) == (0, 0, 32)
