"""Brackets of still scenes: exposures, the camera's curve, the merge, and clips with truth made of them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from support.brackets import CURVE, EXPOSURES, picture_of, scene_light, write_bracket
from support.pictures import add_exif, exif, write_picture

from model.color import mu_law
from model.exposure import to_radiance
from train.data.brackets import Bracket, find_brackets, is_bracket, nominal, read_bracket
from train.data.images import hdr_picture
from train.errors import DatasetError
from train.evaluation.benchmarks.bracket_clips import choose_exposures, clip_of_bracket
from train.evaluation.benchmarks.catalog import open_benchmark

SEEN = range(20, 236)  # codes of which Debevec's method is asked


@pytest.fixture(scope="module")
def bracket(tmp_path_factory: pytest.TempPathFactory) -> Bracket:
    folder = tmp_path_factory.mktemp("data") / "still"
    write_bracket(folder)
    return read_bracket(folder)


def test_pictures_are_sorted_by_their_exposures(bracket: Bracket) -> None:
    assert bracket.exposures == EXPOSURES
    means = [picture.mean() for picture in bracket.pictures]
    assert means == sorted(means)


def test_the_curve_is_the_camera_s(bracket: Bracket) -> None:
    true = CURVE.table()[::4].numpy()
    stops = stops_of(bracket.light, true, SEEN)
    assert abs(stops - np.median(stops)).max() < 0.25  # smoothed over four stops, and 150 samples
    assert abs(np.median(stops)) < 0.2  # the scale hangs on the clip level, which is extrapolated
    assert bracket.light[0] == 0 and bracket.light[255] == 1 and (np.diff(bracket.light) >= 0).all()
    # Debevec's method alone is a stop off where this camera crushes.
    assert abs(stops_of(bracket.light, true, range(4, 20)) - np.median(stops)).max() < 0.2


def stops_of(light: NDArray[np.float64], true: NDArray[np.float64], codes: range) -> NDArray[np.float64]:
    return np.asarray(np.log2(light[codes] / true[codes]))


def test_the_merge_is_the_light(bracket: Bracket) -> None:
    light = scene_light()
    merged = bracket.radiance()
    scale = np.median(merged / light)
    error = np.log2(merged / (scale * light))
    assert np.percentile(abs(error), 90) < 0.15
    assert np.allclose(bracket.radiance(shortest=2), 16 * merged)
    alone = bracket.light[bracket.pictures[-1]] / EXPOSURES[-1]
    clipped = bracket.pictures[-1].max(2) == 255
    assert clipped.mean() > 0.2
    assert (merged[clipped] > 1.5 * alone[clipped]).mean() > 0.5  # clipped parts come from shorter ones


def test_pictures_agree_where_nothing_moved_and_disagree_else(bracket: Bracket) -> None:
    shift, disagreement = bracket.compare()
    assert disagreement < 0.1
    assert shift < 0.5
    other = picture_of(scene_light(seed=5), EXPOSURES[2])
    moved = replace(bracket, pictures=(*bracket.pictures[:2], other, bracket.pictures[3]))
    assert moved.compare()[1] > 0.4


def test_what_a_hand_moved_is_undone(tmp_path: Path) -> None:
    write_bracket(tmp_path / "handheld", shifts=(0, 6, -5, 3))
    found = read_bracket(tmp_path / "handheld")
    shift, disagreement = found.compare()
    assert shift < 0.5
    assert disagreement < 0.1
    assert found.pictures[0].shape[1] <= 320 - 2 * 5  # borders that not all show are cut off


def test_what_cannot_be_aligned_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "moved"
    write_bracket(folder)
    for number, path in enumerate(sorted(folder.glob("*.png"))):
        write_picture(path, picture_of(scene_light(seed=number), 4.0))
    with pytest.raises(DatasetError, match="moved"):
        read_bracket(folder)


def test_a_list_of_inverse_exposures_is_turned_round(tmp_path: Path) -> None:
    write_bracket(tmp_path / "a")
    text = (tmp_path / "a/image_list.txt").read_text().splitlines()
    turned = [f"{row.split()[0]} 1/{row.split()[1]}" for row in text[1:]]
    (tmp_path / "a/image_list.txt").write_text("\n".join(turned))
    assert read_bracket(tmp_path / "a").exposures == EXPOSURES


def test_exposures_are_read_from_exif(tmp_path: Path) -> None:
    light = scene_light(size=(96, 128))
    for number, (time, iso) in enumerate([((1, 60), 100), ((1, 1000), 100), ((1, 60), 400)]):
        exposure = 64 / (time[1] if time[1] != 60 else 64) * iso / 100
        codes = picture_of(light, 16 * exposure)
        add_exif(write_picture(tmp_path / f"{number}.jpg", codes), exif(time=time, iso=iso))
    assert is_bracket(tmp_path)
    assert read_bracket(tmp_path).exposures == (1, 16, 64)  # 1/60 s stands for 1/64, 1/1000 for 1/1024


@pytest.mark.parametrize(
    ("setting", "stops"),
    [(1 / 60, -6), (1 / 125, -7), (1 / 320, -25 / 3), (1 / 13, -11 / 3), (5.6**2, 5), (2.5, 4 / 3), (30, 5)],
)
def test_settings_stand_for_thirds_of_stops(setting: float, stops: float) -> None:
    assert nominal(setting) == pytest.approx(2.0**stops)


def test_settings_between_thirds_are_taken_as_they_are() -> None:
    assert nominal(1 / 45) == 1 / 45  # half a stop


def test_brackets_are_told_from_other_folders(tmp_path: Path) -> None:
    write_bracket(tmp_path / "still")
    (tmp_path / "clip").mkdir()
    for number in range(4):
        path = write_picture(tmp_path / f"clip/{number}.jpg", picture_of(scene_light(size=(32, 32)), 4.0))
        add_exif(path, exif(time=(1, 400 if number % 2 else 100), iso=100))  # exposures that repeat are a film
    (tmp_path / "photos").mkdir()
    write_picture(tmp_path / "photos/a.png", picture_of(scene_light(size=(32, 32)), 4.0))
    assert find_brackets(tmp_path) == (tmp_path / "still",)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("shot_0.png 1\n", "does not list"),
        ("shot_0.png 0\nshot_7.png 2\nshot_4.png 3\nshot_1.png 4\n", "not above 0"),
        ("shot_0.png long\nshot_7.png 2\n", "lines NAME EXPOSURE"),
        ("shot_0.png 1\nshot_7.png 1.1\nshot_4.png 3\nshot_1.png 4\n", "equal exposure"),
    ],
)
def test_a_wrong_list_is_refused(text: str, words: str, tmp_path: Path) -> None:
    write_bracket(tmp_path / "a")
    (tmp_path / "a/image_list.txt").write_text(text)
    with pytest.raises(DatasetError, match=words):
        read_bracket(tmp_path / "a")


def test_a_bracket_is_an_hdr_picture(tmp_path: Path) -> None:
    light = write_bracket(tmp_path / "still")
    picture = hdr_picture("still", read_bracket(tmp_path / "still").radiance())
    stops = np.log2(picture.levels[0].astype(np.float64) / (light / np.median(light)))
    assert picture.name == "still" and not picture.encoded and np.percentile(abs(stops), 90) < 0.2


@pytest.mark.parametrize("nexps", [2, 3])
def test_clips_of_a_bracket_fit_their_truth(nexps: int, bracket: Bracket) -> None:
    choice = choose_exposures(bracket, nexps)
    assert choice is not None and choice.exposures == {2: (1, 16), 3: (1, 4, 16)}[nexps]
    clip = clip_of_bracket(choice, frames=2 * nexps + 4)
    assert clip.exposures[: nexps + 1].tolist() == [*choice.exposures, 1]
    assert clip.codes.shape[1:3] == (192, 256)
    for number, exposure in enumerate(clip.exposures.tolist()):
        codes = torch.from_numpy(clip.codes[number]).permute(2, 0, 1)
        well = ((codes > 40) & (codes < 220)).all(0)
        error = (mu_law(to_radiance(clip.ldr[number], exposure)) - mu_law(clip.radiance[number]))[:, well]
        assert error.abs().median() < 0.02
    still = (clip.radiance[1:] - clip.radiance[:-1]).abs().mean((1, 2, 3))
    assert (still > 1e-3).all()


def test_a_slow_window_moves_less(bracket: Bracket) -> None:
    choice = choose_exposures(bracket, 2)
    assert choice is not None
    slow, fast = (clip_of_bracket(choice, frames=8, speed=speed).radiance for speed in (2.0, 12.0))
    changes = [(radiance[1:] - radiance[:-1]).abs().mean() for radiance in (slow, fast)]
    assert 1e-3 < changes[0] < 0.7 * changes[1]


def test_a_bracket_of_two_gives_no_clip_of_three(bracket: Bracket) -> None:
    two = replace(bracket, pictures=bracket.pictures[:2], exposures=bracket.exposures[:2])
    assert choose_exposures(two, 3) is None


@pytest.mark.parametrize("nexps", [2, 3])
def test_a_folder_of_brackets_is_a_benchmark(nexps: int, tmp_path: Path) -> None:
    write_bracket(tmp_path / "one")
    write_bracket(tmp_path / "two", exposures=(1, 16), seed=3)
    benchmark = open_benchmark("folder", tmp_path, nexps=nexps)
    assert [scene.name for scene in benchmark.scenes] == ["one", "two"][: 4 - nexps]
    scene = benchmark.scenes[0]
    assert benchmark.truth == "truth" and set(scene.truths) == {*range(nexps, nexps + 4)}
    assert "merge of all" in benchmark.notes[0]
    bracket = read_bracket(tmp_path / "one")
    choice = choose_exposures(bracket, nexps)
    assert choice is not None
    clip = clip_of_bracket(choice, frames=len(scene.exposures))
    assert torch.equal(scene.read_ldr(2), clip.ldr[2])
    assert torch.equal(scene.truths[nexps](), clip.radiance[nexps])
    assert scene.precision == clip.curve.precision() and scene.precision.black > 0
    assert scene.precision.floor != open_benchmark("selftest", None, nexps=nexps).scenes[0].precision.floor


def test_the_brackets_of_the_test_data(shared: Path) -> None:
    folders = find_brackets(shared / "data/test/brackets")
    assert [folder.name for folder in folders] == ["canal", "room"]
    canal, room = (read_bracket(folder) for folder in folders)
    assert canal.exposures == pytest.approx((1, 4, 16)) and room.exposures == pytest.approx(
        (1, 4, 32, 128, 512, 2048, 8192)
    )
    for bracket in (canal, room):  # canal was taken by hand
        assert 0 < bracket.compare()[1] < 0.15
        # what contrasty cameras hold where gamma 2.2 has 0.0023
        assert 0.008 < bracket.light[16] < 0.03
