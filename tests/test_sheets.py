"""Tables: the means they claim, the best emphasised, dashes where a measure is not defined."""

import io

import pytest
from rich.console import Console
from scored import tiny_clip, two_contenders

from train.measures import BY_KEY
from train.scoring import Crop, Score, evaluate
from train.sheets import Sheet, clip_sheet, mean_sheet, seconds_per_frame


def score(clip: str, method: str, values: dict[str, float], *, seconds: float | None = None) -> Score:
    return Score(clip, method, 2, "short", values, Crop(0, 0, 1, 0), seconds)


SCORES = [
    score("a", "old", {"psnr_t": 30.0, "flicker": 0.5}),
    score("a", "new", {"psnr_t": 34.0, "flicker": 0.25}),
    score("b", "old", {"psnr_t": 36.0}),
    score("b", "new", {"psnr_t": 35.0}),
]


def test_a_clip_sheet_has_means_and_losses() -> None:
    sheet = clip_sheet(SCORES, BY_KEY["psnr_t"])
    assert sheet.columns == ("clip", "old", "new")
    assert sheet.rows == (
        ("a", "30.00", "34.00"),
        ("b", "36.00", "35.00"),
        ("mean", "33.00", "34.50"),
        ("clips better than new", "1", "–"),  # noqa: RUF001
    )
    assert sheet.best == {(0, 2), (1, 1), (2, 2)}


def test_less_flicker_is_better_and_none_is_a_dash() -> None:
    sheet = clip_sheet(SCORES, BY_KEY["flicker"])
    assert sheet.rows[1][1:] == ("–", "–")  # noqa: RUF001
    assert sheet.rows[2] == ("mean", "0.500", "0.250")
    assert sheet.best == {(0, 2), (2, 2)}
    assert sheet.rows[3][1] == "0"


def test_a_mean_sheet_shows_every_measure_and_the_roles_that_occur() -> None:
    clips = [tiny_clip("a", [1.0, 8.0], frames=6, darkest=0.1)]
    scores = [score for scored in evaluate(two_contenders(), clips, window_length=5) for score in scored.scores]
    sheet = mean_sheet(scores, cost="a slow machine")
    titles = [measure.title for measure in BY_KEY.values()]
    assert list(sheet.columns) == ["method", titles[0], "of short", "of long", *titles[1:], "s/frame"]
    row = dict(zip(sheet.columns, sheet.rows[1], strict=True))
    assert row["method"] == "better"
    assert row["PSNR_T, dB"] == row["of short"] == row["of long"] == "40.00"
    assert "a slow machine" in sheet.title
    assert (1, 1) in sheet.best and (0, 1) not in sheet.best


def test_seconds_are_the_median() -> None:
    scores = [score("a", "m", {}, seconds=seconds) for seconds in (9.0, 0.25, 0.2)]
    assert seconds_per_frame(scores, "m") == "0.25"
    assert seconds_per_frame([score("a", "m", {})], "m") == "–"  # noqa: RUF001


@pytest.fixture
def sheet() -> Sheet:
    return Sheet("Points", ("name", "x"), (("one", "1.0"), ("two", "2.0")), frozenset({(1, 1)}))


def test_markdown_aligns_figures_and_emphasises_the_best(sheet: Sheet) -> None:
    assert sheet.markdown() == "Points:\n\n| name | x |\n| --- | ---: |\n| one | 1.0 |\n| two | **2.0** |\n"


def test_the_terminal_shows_the_same(sheet: Sheet) -> None:
    console = Console(file=io.StringIO(), record=True, width=60)
    console.print(sheet.console_table())
    text = console.export_text()
    for word in ("Points", "name", "one", "1.0", "two", "2.0"):
        assert word in text
    assert "bold" not in text
