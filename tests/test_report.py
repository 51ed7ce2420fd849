"""What an evaluation leaves: pictures show what was scored, where it is worst; tables say what must be known."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from support.scored import make_results, score, tiny_clip, two_contenders

from model.color import mu_law
from train.errors import DatasetError
from train.evaluation.benchmarks.scene import Benchmark, scene_of
from train.evaluation.evaluate import Evaluation, Wishes, evaluate_benchmark
from train.evaluation.report import sheets, write_markdown, write_pictures, write_png, write_report
from train.evaluation.results import Published
from train.evaluation.scoring import Rules
from train.evaluation.tables import Sheet
from train.montage import picture_row


def make_evaluation(*, worst: int, best: int = 0) -> Evaluation:
    """Two scenes of the same pixels; darker ones get larger errors when something is subtracted from mu-law values."""
    clips = [tiny_clip(name, [1.0, 8.0], frames=6, darkest=dark) for name, dark in (("easy", 0.0), ("hard", 0.3))]
    scenes = tuple(scene_of(clip, 2) for clip in clips)
    benchmark = Benchmark("selftest", "A set", 2, scenes, "truth", ("A note.",), "")
    wishes = Wishes(worst=worst, best=best)
    return evaluate_benchmark(benchmark, two_contenders(-0.1), rules=Rules(2), command="do it", wishes=wishes)


def test_the_worst_scenes_are_pictured_worst_first(tmp_path: Path) -> None:
    found = make_evaluation(worst=2, best=1)
    paths = write_pictures(tmp_path / "pictures", found.examples)
    assert [path.name for path in paths] == ["worst1_hard.png", "worst2_easy.png", "best1_easy.png"]
    sheet = np.asarray(cv2.imread(str(paths[0])))[..., ::-1]
    assert sheet.shape == (2 * (16 + 32), 4 * 32, 3)  # two methods with captions; input, result, truth, error
    crop = found.examples[0].crop
    shown = crop.cut(tiny_clip("hard", [1.0, 8.0], frames=6, darkest=0.3).radiance[0])
    truth = (mu_law(shown) * 255).round().permute(1, 2, 0).numpy()
    assert np.array_equal(sheet[16:48, 64:96], truth.astype(np.uint8))
    result, error = sheet[64:, 32:64].astype(int), sheet[64:, 96:].astype(int)
    assert np.abs(truth - result - 25.5).max() <= 1.5
    assert error.min() >= 254
    assert sheet[:16].max() > 200 and sheet[48:64].max() > 200  # captions


def test_tables_come_per_scene_as_means_and_beside_published_figures(tmp_path: Path) -> None:
    entry = Published(
        "theirs", 2, {"psnr_t": 41.5, "psnr_t low": 40.25}, "as predicted; by hand", "https://example.org"
    )
    results = make_results(score("a", "ours", {"psnr_t": 30.0}), published=(entry,))
    shown = sheets(results, per_scene=("psnr_t", "flicker"))
    assert [sheet.columns[0] for sheet in shown] == ["scene", "method", "method"]  # no frame has flicker
    assert shown[-1].columns == ("method", "PSNR_T, dB", "PSNR_T, dB of low", "protocol", "source")
    assert shown[-1].rows == (
        ("ours", "30.00", "30.00", "as predicted", "this run"),
        ("theirs", "41.50", "40.25", "as predicted; by hand", "https://example.org"),
    )
    write_markdown(tmp_path / "tables.md", shown)
    assert (tmp_path / "tables.md").read_text().count("| --- |") == 3


def test_the_report_says_what_must_be_known(tmp_path: Path) -> None:
    results = make_results(score("a", "m", {"psnr_t": 30.0}), environment={"torch": "9"}, command="lanhdr eval ...")
    write_report(tmp_path / "report.md", results, sheets(results))
    text = (tmp_path / "report.md").read_text()
    for words in ("# A set", "- A note.", "30.00", "lanhdr eval ...", "- torch: 9"):
        assert words in text


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
