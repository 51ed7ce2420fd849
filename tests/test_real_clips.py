"""The clips that conversions are judged by: stored as their camera would, true to their truth; and their tables."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from support.brackets import write_bracket
from support.converting import save_lite

from benchmarks.consumer_clips import CONSUMERS, ContrastCurve, made_clips, make_consumer_clip, read_clip
from benchmarks.real_clips import (
    Judged,
    Row,
    Score,
    fitted_scale,
    known_curve,
    reconstructed,
    refusal,
    rows,
    scored,
    tables,
    write_picture,
)
from train.evaluation.benchmarks.synthetic import ClipFolder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A panorama of the name of a clip's, and a bracket."""
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    coarse = (rng.lognormal(0, 2, (20, 40, 1)) * rng.lognormal(0, 0.2, (20, 40, 3))).astype(np.float32)
    smooth = cv2.resize(coarse, (512, 256), interpolation=cv2.INTER_CUBIC).clip(1e-3)
    cv2.imwrite(str(folder / "fireplace_1k.hdr"), smooth)
    write_bracket(folder / "brackets/still")
    return folder


@pytest.fixture(scope="module")
def clips(data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("clips")
    return {clip.name: clip for clip in made_clips(folder, data, ())}


def test_clips_are_made_once(clips: dict[str, Path], data: Path) -> None:
    assert list(clips) == ["still", "still_slow", "fireplace"]
    before = {path: path.stat().st_mtime_ns for clip in clips.values() for path in clip.rglob("*")}
    again = list(made_clips(clips["still"].parent, data, ("fireplace",)))
    assert again == [clips["fireplace"]]
    assert {path: path.stat().st_mtime_ns for clip in clips.values() for path in clip.rglob("*")} == before
    with pytest.raises(SystemExit, match="no clip is called desk: there are still, still_slow, fireplace"):
        list(made_clips(clips["still"].parent, data, ("desk",)))


@pytest.mark.parametrize("name", ["still", "fireplace"])
def test_what_is_stored_is_the_truth_through_the_camera(name: str, clips: dict[str, Path]) -> None:
    codes, exposures, truth = read_clip(clips[name])
    assert len(codes) == len(exposures) == len(truth) == 12 and exposures.min() == 1
    signal = truth * exposures.view(-1, 1, 1, 1)
    light = known_curve(clips[name]).linearize(codes)
    well = (codes.amin(1, keepdim=True) > 50 / 255) & (codes.amax(1, keepdim=True) < 220 / 255)
    well = well.expand_as(codes)
    assert well.float().mean() > 0.05
    # JPEG and noise; a curve that is measured by itself
    assert abs((light[well] / signal[well]).log2()).median() < 0.08


def test_a_crushed_clip_is_black_as_asked(data: Path, tmp_path: Path) -> None:
    consumer = replace(CONSUMERS["crushed"], picture="fireplace_1k", ratio=16)
    make_consumer_clip(ClipFolder(data), 0, consumer, tmp_path)
    codes, exposures, _ = read_clip(tmp_path)
    black = (codes[exposures == 1].amax(1) <= 8 / 255).float().mean()
    assert black == pytest.approx(0.7, abs=0.05)  # JPEG moves codes next to the border


def test_contrast_curves_rise_from_black_to_white() -> None:
    codes = ContrastCurve(0.8, 0.02).code(torch.linspace(0, 1, 1000, dtype=torch.float64))
    assert codes[0] == 0 and codes[-1] == 1 and (codes.diff() >= 0).all()
    assert (codes[:3] == 0).all() and codes[5] > 0  # crushed


def test_who_knows_the_curve_does_better_and_scale_does_not_count(clips: dict[str, Path]) -> None:
    clip = Judged.read(clips["fireplace"], 6)
    knowing, assuming = (
        scored(reconstructed(Row("noise-aware", word), clip, weights=None), clip) for word in ("curve", "gamma")
    )
    assert (knowing.whole > assuming.whole + 1).all()
    assert knowing.short.tolist() == [True, False]
    truth = torch.rand(2, 3, 8, 8).clamp(min=0.01)
    assert fitted_scale(truth / 7, truth) == pytest.approx(7)


def test_conversions_are_scored_frame_by_frame(clips: dict[str, Path], tmp_path: Path) -> None:
    weights = save_lite(tmp_path / "lite.safetensors")
    clip, row = Judged.read(clips["fireplace"], 6), Row("lanhdr", "curve")
    made = reconstructed(row, clip, weights=weights)
    found = scored(made, clip)
    assert not found.message and len(found.whole) == 2 and found.whole.min() > 15
    assert found.own.nanmean() > 20 and found.own_true.nanmean() > 20
    exact = scored(clip.truth / 3, clip)
    assert exact.own_true.tolist() == [120, 120] and exact.own.max() < 40  # noise, and another scale
    wrong = reconstructed(row, clip, weights=tmp_path / "absent.safetensors")
    assert isinstance(wrong, str) and "absent.safetensors" in scored(wrong, clip).message
    write_picture(tmp_path / "shown/fireplace.png", clip, {row: made, Row("lanhdr", "nothing"): wrong})
    picture = cv2.imread(str(tmp_path / "shown/fireplace.png"))
    assert picture is not None and picture.shape[1] == 3 * clip.codes.shape[3]  # stored, converted, truth


def test_rows_are_chosen_by_method_and_knowledge() -> None:
    assert rows(["lanhdr", "interpolation"], ["nothing", "curve"]) == [
        Row("lanhdr", "nothing"), Row("lanhdr", "curve"), Row("interpolation", "curve")
    ]  # fmt: skip
    assert rows(["noise-aware"], ["exposures"]) == [Row("noise-aware", "gamma")]


def test_tables_show_means_by_reference_and_count_refusals() -> None:
    whole, own, fill, own_true, fill_true = torch.tensor(
        [[30.0, 40.0], [50.0, 60.0], [20.0, torch.nan], [51.0, 61.0], [21.0, 31.0]]
    )
    some = Score(torch.tensor([True, False]), whole, own, fill, own_true, fill_true)
    row = Row("lanhdr", "curve")
    text = tables({("a", row): some, ("b", row): refusal("no")}, ["a", "b"], [row])
    assert "| a | 35.00 / 30.00 / 40.00 |" in text
    assert "| a | 50.00 / 60.00 |" in text
    assert "| a | 20.00 / – |" in text  # noqa: RUF001
    assert "| a | 51.00 / 61.00 |" in text and "| a | 21.00 / 31.00 |" in text
    assert text.count("| b | refused |") == 5
    assert "| mean | 35.00 / 30.00 / 40.00 (1 refused) |" in text
