"""Tables: the means they claim, the best emphasised, dashes where a measure is not defined."""

import io

import pytest
from rich.console import Console
from support.scored import make_results, record, score

from train.evaluation.benchmarks.catalog import NAMES
from train.evaluation.metrics import BY_KEY
from train.evaluation.protocols import PROTOCOLS
from train.evaluation.tables import ROLES, Sheet, entries, mean_sheet, published_for, scene_sheet, title_of

RESULTS = make_results(
    score("a", "old", {"psnr_t": 30.0, "flicker": 0.5}),
    score("b", "old", {"psnr_t": 36.0}, role="high"),
    score("a", "new", {"psnr_t": 34.0, "flicker": 0.25}),
    score("b", "new", {"psnr_t": 35.0}, role="high"),
    methods=(
        record("old", seconds_per_frame=1.25),
        record("new", kind="network", weights="n.safetensors", parameters=12, peak_memory_mib=99.6),
    ),
)


def test_a_scene_sheet_has_means_and_losses() -> None:
    sheet = scene_sheet(RESULTS, BY_KEY["psnr_t"], protocol="lanhdr")
    assert sheet.title == "PSNR_T, dB, per scene, as predicted"
    assert sheet.columns == ("scene", "old", "new")
    assert sheet.rows == (
        ("a", "30.00", "34.00"),
        ("b", "36.00", "35.00"),
        ("mean over frames", "33.00", "34.50"),
        ("scenes better than new", "1", "–"),  # noqa: RUF001
    )
    assert sheet.best == {(0, 2), (1, 1), (2, 2)}


def test_less_flicker_is_better_and_none_is_a_dash() -> None:
    sheet = scene_sheet(RESULTS, BY_KEY["flicker"], protocol="lanhdr")
    assert sheet.rows[1][1:] == ("–", "–")  # noqa: RUF001
    assert sheet.rows[2] == ("mean over frames", "0.500", "0.250")
    assert sheet.best == {(0, 2), (2, 2)}
    assert sheet.rows[3][1] == "0"


def test_a_mean_sheet_shows_what_was_measured_by_role_and_at_what_cost() -> None:
    sheet = mean_sheet(RESULTS, "lanhdr")
    assert sheet.columns == ("method", "PSNR_T, dB", "of low", "of high", "flicker, %", "s/frame", "MiB")
    assert sheet.rows == (
        ("old", "33.00", "30.00", "36.00", "0.500", "1.2", "–"),  # noqa: RUF001
        ("new", "34.50", "34.00", "35.00", "0.250", "–", "100"),  # noqa: RUF001
    )
    assert sheet.best == {(1, 1), (1, 2), (0, 3), (1, 4)}


def test_protocols_are_not_mixed() -> None:
    both = make_results(
        score("a", "m", {"psnr_t": 30.0}), score("a", "m", {"psnr_t": 40.0}, protocol="hdrflow")
    )  # fmt: skip
    sheets = [mean_sheet(both, protocol) for protocol in ("lanhdr", "hdrflow")]
    assert [sheet.rows[0][1] for sheet in sheets] == ["30.00", "40.00"]
    assert "as predicted" in sheets[0].title and "pasted" in sheets[1].title


def test_figures_relative_to_another_method_say_so_and_come_last() -> None:
    values = {"psnr_t": 30.0, "ssim_t": 0.5, "warping_error": 1.0}
    sheet = mean_sheet(make_results(score("a", "m", values), truth="estimate"), "lanhdr")
    assert sheet.columns[1:5] == (
        "warping error, %", "PSNR_T relative to Kalantari13, dB", "of low", "SSIM_T relative to Kalantari13"
    )  # fmt: skip
    assert title_of(BY_KEY["psnr_t"], "truth") == "PSNR_T, dB"


@pytest.fixture
def sheet() -> Sheet:
    return Sheet(title="Points", columns=("name", "x"), rows=(("one", "1.0"), ("two", "2.0")), best=frozenset({(1, 1)}))


def test_markdown_aligns_figures_and_emphasises_the_best(sheet: Sheet) -> None:
    assert sheet.markdown() == "Points:\n\n| name | x |\n| --- | ---: |\n| one | 1.0 |\n| two | **2.0** |\n"


def test_the_terminal_shows_the_same(sheet: Sheet) -> None:
    console = Console(file=io.StringIO(), record=True, width=60)
    console.print(sheet.console_table())
    text = console.export_text()
    for word in ("Points", "name", "one", "1.0", "two", "2.0"):
        assert word in text
    assert "bold" not in text


def test_entries_name_sets_protocols_and_measures_that_exist() -> None:
    assert len(entries()) > 10
    for entry in entries():
        assert entry.benchmark in NAMES and entry.nexps in (2, 3) and entry.protocol in PROTOCOLS
        assert entry.source.startswith("https://") and entry.note
        for key in entry.values:
            measure, _, role = key.partition(" ")
            assert measure in BY_KEY and role in ("", *ROLES)


def test_only_the_set_and_protocols_of_a_run_are_shown() -> None:
    shown = published_for("hdrv", 2, protocols=("hdrflow",))
    assert [entry.values["psnr_t"] for entry in shown if entry.method == "LAN-HDR"] == [39.79]
    assert all("pasted" in entry.protocol_note for entry in shown)
    assert published_for("hdrv", 2, protocols=("lanhdr",)) == ()
    assert published_for("dynamic", 2, protocols=PROTOCOLS)[0].values["psnr_t low"] == 40.83


def test_tog13_has_none_for_it_has_no_truth() -> None:
    assert published_for("tog13", 2, protocols=PROTOCOLS) == published_for("tog13", 3, protocols=PROTOCOLS) == ()
