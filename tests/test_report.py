"""What an evaluation leaves: pictures show what was scored, where it is worst; tables say what must be known."""

from pathlib import Path

import pytest
import torch
from support.scored import make_results, score, tiny_clip, two_methods

from model.color import mu_law
from train.errors import DatasetError
from train.evaluation.benchmarks.scene import Benchmark, scene_of
from train.evaluation.evaluate import Evaluation, evaluate_benchmark
from train.evaluation.report import sheets, write_report
from train.evaluation.results import Published
from train.evaluation.scoring import Rules
from train.montage import picture_row


def make_evaluation(*, worst: int, best: int = 0) -> Evaluation:
    """Two scenes of the same pixels; darker ones get larger errors when something is subtracted from mu-law values."""
    clips = [tiny_clip(name, [1.0, 8.0], frames=6, darkest=dark) for name, dark in (("easy", 0.0), ("hard", 0.3))]
    scenes = tuple(scene_of(clip, 2) for clip in clips)
    benchmark = Benchmark("selftest", "A set", 2, scenes, "truth", ("A note.",), "")
    return evaluate_benchmark(benchmark, two_methods(-0.1), rules=Rules(nexps=2), worst=worst, best=best)


def test_the_worst_scenes_are_examples_worst_first() -> None:
    examples = make_evaluation(worst=2, best=1).examples
    assert [(example.rank, example.scene) for example in examples] == [
        ("worst", "hard"), ("worst", "easy"), ("best", "easy")
    ]  # fmt: skip
    hard = examples[0]
    shown = hard.crop.cut(tiny_clip("hard", [1.0, 8.0], frames=6, darkest=0.3).radiance[0])
    assert hard.truth is not None and torch.equal(hard.truth, shown)
    assert list(hard.pictures) == ["worse", "better"]
    assert (mu_law(hard.pictures["better"]) - mu_law(shown)).mean().item() == pytest.approx(-0.1, abs=1e-3)


def test_tables_come_per_scene_as_means_and_beside_published_figures(tmp_path: Path) -> None:
    entry = Published(
        method="theirs",
        nexps=2,
        values={"psnr_t": 41.5, "psnr_t low": 40.25},
        protocol_note="as predicted; by hand",
        source="https://example.org",
    )
    results = make_results(score("a", "ours", {"psnr_t": 30.0}), published=(entry,))
    shown = sheets(results, per_scene=("psnr_t", "flicker"))
    assert [sheet.columns[0] for sheet in shown] == ["scene", "method", "method"]  # no frame has flicker
    assert shown[-1].columns == ("method", "PSNR_T, dB", "PSNR_T, dB of low", "protocol", "source")
    assert shown[-1].rows == (
        ("ours", "30.00", "30.00", "as predicted", "this run"),
        ("theirs", "41.50", "40.25", "as predicted; by hand", "https://example.org"),
    )
    write_report(tmp_path / "tables.md", results, shown)
    assert (tmp_path / "tables.md").read_text().count("| --- |") == 3


def test_the_report_says_what_must_be_known(tmp_path: Path) -> None:
    results = make_results(score("a", "m", {"psnr_t": 30.0}), environment={"torch": "9"}, command="lanhdr eval ...")
    write_report(tmp_path / "report.md", results, sheets(results))
    text = (tmp_path / "report.md").read_text()
    for words in ("# A set", "- A note.", "30.00", "lanhdr eval ...", "- torch: 9"):
        assert words in text


def test_a_row_shows_its_pictures_side_by_side() -> None:
    left, right = torch.zeros(3, 4, 6), torch.full((3, 4, 2), 2.0)  # too bright is white
    left[0] = 0.2
    row = picture_row([left, right])
    assert row.shape == (4, 8, 3)
    assert row[0, 0].tolist() == [51, 0, 0]
    assert (row[:, 6:] == 255).all()


def test_places_that_cannot_be_written_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="choose another place"):
        write_report(tmp_path / "nowhere" / "tables.md", make_results(), [])
