"""What an evaluation leaves: pictures show what was scored, where it is worst; files hold every score."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from scored import tiny_clip, two_contenders

from model.color import mu_law
from train.errors import DatasetError
from train.montage import picture_row
from train.report import Report, write_markdown, write_png, write_scores
from train.scoring import evaluate
from train.sheets import Sheet


def make_report(amounts: dict[str, float], *, worst: int) -> Report:
    report = Report(worst=worst, cost="a test")
    for name, amount in amounts.items():
        for scored in evaluate(two_contenders(amount), [tiny_clip(name, [1.0, 8.0], frames=6)], window_length=5):
            report.add(scored)
    return report


def test_the_worst_clips_are_pictured_worst_first(tmp_path: Path) -> None:
    report = make_report({"fair": -0.02, "easy": -0.01, "hard": -0.1}, worst=2)
    paths = report.write_pictures(tmp_path / "pictures", two_contenders(-0.1))
    assert [path.name for path in paths] == ["worst1_hard.png", "worst2_fair.png"]
    sheet = np.asarray(cv2.imread(str(paths[0])))[..., ::-1]
    assert sheet.shape == (2 * (16 + 32), 4 * 32, 3)  # two methods with captions; input, result, truth, error
    crop = report._worst[0][0]
    shown = tiny_clip("hard", [1.0, 8.0], frames=6).radiance[0][:, :, crop.left : crop.left + 32]
    truth = (mu_law(shown) * 255).round().permute(1, 2, 0).numpy()
    assert np.array_equal(sheet[16:48, 64:96], truth.astype(np.uint8))
    result, error = sheet[64:, 32:64].astype(int), sheet[64:, 96:].astype(int)
    bright = truth > 30  # where subtracting 0.1 does not reach black
    assert np.abs(truth - result - 25.5)[bright].max() <= 1.5
    assert error[bright].min() >= 254
    assert sheet[:16].max() > 200 and sheet[48:64].max() > 200  # captions


def test_scores_are_written_as_json(tmp_path: Path) -> None:
    report = make_report({"easy": -0.01}, worst=0)
    write_scores(tmp_path / "scores.json", report.scores, about={"device": "here"})
    stored = json.loads((tmp_path / "scores.json").read_text())
    assert stored["about"] == {"device": "here"}
    rows = stored["scores"]
    assert [(row["method"], row["frame"]) for row in rows] == [("worse", 2), ("worse", 3), ("better", 2), ("better", 3)]
    assert [row["psnr_t"] for row in rows] == [score.values["psnr_t"] for score in report.scores]
    assert "flicker" not in rows[0] and "flicker" in rows[1]


def test_tables_come_per_clip_and_as_means(tmp_path: Path) -> None:
    sheets = make_report({"easy": -0.01}, worst=0).sheets(("psnr_t", "flicker"))
    assert [sheet.columns[0] for sheet in sheets] == ["clip", "clip", "method"]
    write_markdown(tmp_path / "tables.md", sheets)
    text = (tmp_path / "tables.md").read_text()
    assert text.count("| --- |") == 3
    assert "a test" in text


def test_a_row_shows_its_pictures_side_by_side(tmp_path: Path) -> None:
    left, right = torch.zeros(3, 4, 6), torch.full((3, 4, 2), 2.0)  # too bright is white
    left[0] = 0.2
    row = picture_row([left, right])
    assert row.shape == (4, 8, 3)
    assert row[0, 0].tolist() == [51, 0, 0]
    assert (row[:, 6:] == 255).all()
    write_png(tmp_path / "new" / "row.png", row)
    assert np.array_equal(np.asarray(cv2.imread(str(tmp_path / "new" / "row.png")))[..., ::-1], row)


def test_places_that_cannot_be_written_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DatasetError, match="choose another folder"):
        write_png(tmp_path / "file" / "row.png", np.zeros((2, 2, 3), np.uint8))
    with pytest.raises(DatasetError, match="choose another place"):
        write_markdown(tmp_path / "nowhere" / "tables.md", [Sheet("a", ("b",), ())])
