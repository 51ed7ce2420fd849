"""What users' trees lack: each gives one line that names it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from fake_benchmarks import (
    codes_of,
    fake_cinematic,
    fake_dynamic,
    fake_folder,
    fake_hdrv,
    fake_static,
    fake_tog13,
    light_of,
    write,
    write_exr,
)

from train.errors import DatasetError
from train.evaluation.benchmarks.catalog import open_benchmark

Fake = Callable[[Path], Path]
FAKES: dict[str, Fake] = {
    "cinematic": lambda folder: fake_cinematic(folder, frames=7),
    "dynamic": fake_dynamic,
    "static": fake_static,
    "tog13": fake_tog13,
    "hdrv": fake_hdrv,
}
PAGES = {"hdrv": "github.com/yungsyu99/Real-HDRV"}
MARKS = {
    "cinematic": "scenes_2expo.txt, Images",
    "dynamic": "scene_all.txt",
    "static": "scene_all.txt",
    "tog13": "2Exp_scenes.txt, BaslerCRF.mat",
    "hdrv": "Input_0",
}


def _complaint(name: str, data_dir: Path | None, *, nexps: int = 2) -> str:
    with pytest.raises(DatasetError) as caught:
        open_benchmark(name, data_dir, nexps=nexps)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("name", FAKES)
def test_a_wrong_folder_is_told_what_lacks_and_where_it_is(name: str, tmp_path: Path) -> None:
    for data_dir in (None, tmp_path / "absent", tmp_path):
        message = _complaint(name, data_dir)
        assert "--data-dir" in message and PAGES.get(name, "guanyingc/DeepHDRVideo_Dataset") in message
    assert MARKS[name] in message


def test_an_archive_that_nobody_unpacked_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "HDR_Synthetic_Test_Dataset.tgz").write_text("x")
    assert "HDR_Synthetic_Test_Dataset.tgz is there, but not unpacked" in _complaint("cinematic", tmp_path)


@pytest.mark.parametrize("name", FAKES)
def test_half_extracted_archives_are_counted(name: str, tmp_path: Path) -> None:
    root = FAKES[name](tmp_path)
    frames, truths = sorted(root.rglob("*.tif")), sorted(root.rglob("*.hdr"))
    frames[-1].unlink()
    truths[len(truths) // 4].write_bytes(b"")
    message = _complaint(name, root)
    assert "2 of " in message and "missing or empty" in message and frames[-1].name in message
    assert truths[len(truths) // 4].name in message
    for path in frames[1:-1]:
        path.unlink()
    assert "more; unpack" in _complaint(name, root)


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("cinematic", "Images/POKER_2expo/img_list.txt"),
        ("cinematic", "Images/POKER_2expo/hdr_expos.txt"),
        ("dynamic", "scene_001/img_hdr_list.txt"),
        ("static", "scene_001/img_hdr_list.txt"),
        ("tog13", "Fire-2Exp-3Stop/img_hdr_list.txt"),
    ],
)
def test_lists_that_are_damaged_are_named(name: str, file: str, tmp_path: Path) -> None:
    path = FAKES[name](tmp_path) / file
    content = path.read_text()
    for text, words in (("\n", "is empty"), ("\xff\xfe", "is no text"), ("one\n", "2 words are needed")):
        path.write_bytes(text.encode("latin-1"))
        message = _complaint(name, tmp_path)
        # a list of one word a line that names a stranger is whole; the stranger's file is missing
        assert words in message or (path.name == "img_list.txt" and "Images/POKER_2expo/one.tif" in message)
    path.unlink()
    if name != "tog13":
        assert f"{path} is missing" in _complaint(name, tmp_path)
    path.write_text(content)
    assert open_benchmark(name, tmp_path, nexps=2).samples


def test_truths_without_a_list_are_no_truths_of_tog13(tmp_path: Path) -> None:
    root = fake_tog13(tmp_path)
    (root / "Fire-2Exp-3Stop/img_hdr_list.txt").unlink()
    assert open_benchmark("tog13", root, nexps=2).truth == "none"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        ("0\nthree\n", "holds 'three' where a number belongs"),
        ("0 nan", "holds 'nan'"),
        ("0 2 4", r"cycle of 3 exposures \(stops 0, 2, 4\), not of 2: pass --nexps 3"),
        ("0 3 3", "cycle of 3 exposures"),
        ("0", "cycle of 1 exposures"),
        ("0 3 0 3 2", "cycle of 5 exposures .* correct the file"),
        ("0 2000", "holds no exposures"),
    ],
)
def test_exposures_that_do_not_alternate_are_told(text: str, words: str, tmp_path: Path) -> None:
    root = fake_static(tmp_path)
    (root / "scene_001" / "Exposures.txt").write_text(text)
    with pytest.raises(DatasetError, match=rf"Exposures\.txt .*{words}"):
        open_benchmark("static", root, nexps=2)


def test_a_set_for_the_other_number_of_exposures_says_so(tmp_path: Path) -> None:
    assert "not of 3: pass --nexps 2" in _complaint("dynamic", fake_dynamic(tmp_path), nexps=3)
    (tmp_path / "scene_000/Exposures.txt").unlink()
    assert "scene_000/Exposures.txt cannot be read" in _complaint("dynamic", tmp_path)


def test_a_scene_shorter_than_a_window_is_told(tmp_path: Path) -> None:
    root = fake_dynamic(tmp_path)
    path = root / "scene_002/img_hdr_list.txt"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:4]))
    assert "scene_002 has 4 frames, a window needs 5" in _complaint("dynamic", root)


def test_scenes_that_cannot_be_scored_are_told(tmp_path: Path) -> None:
    root = fake_cinematic(tmp_path, frames=5)
    carousel, poker = (root / f"Images/{scene}_2expo/img_list.txt" for scene in ("CAROUSEL", "POKER"))
    carousel.write_text("".join(carousel.read_text().splitlines(keepends=True)[:4]))
    benchmark = open_benchmark("cinematic", root, nexps=2)
    assert benchmark.samples == 1
    assert benchmark.notes[-1] == "Scenes without a frame that can be scored (1): CAROUSEL_2expo."
    poker.write_text("".join(poker.read_text().splitlines(keepends=True)[:4]))
    assert "no frame with a truth and a whole window of 5" in _complaint("cinematic", root)


def test_a_truth_of_another_size_names_both(tmp_path: Path) -> None:
    root = fake_static(tmp_path)
    write(root / "scene_000/002.hdr", light_of(0, size=(8, 12)))
    write(root / "scene_000/003.tif", codes_of(0, size=(8, 12)))
    scene = open_benchmark("static", root, nexps=2).scenes[0]
    with pytest.raises(DatasetError, match=r"002\.hdr has 12x8 pixels, the frames of its scene have 24x16"):
        scene.truths[2]()
    with pytest.raises(DatasetError, match=r"003\.tif has 12x8 pixels, 000\.tif beside it has 24x16"):
        scene.read_ldr(3)


def test_values_that_are_no_numbers_are_counted(tmp_path: Path) -> None:
    light = light_of(3)
    light[2, 3] = np.nan
    light[4, 5, 1] = np.inf
    root = fake_folder(tmp_path)
    write_exr(root / "street/truth/frame_0010.exr", light)
    street = open_benchmark("folder", root, nexps=2, scene="street").scenes[0]
    with pytest.raises(DatasetError, match=r"frame_0010\.exr holds 4 values that are NaN or infinite"):
        street.truths[3]()


@pytest.mark.parametrize("share", [0.4, 0.95])
def test_pictures_cut_short_are_named(share: float, tmp_path: Path) -> None:
    root = fake_hdrv(tmp_path)
    frame, truth = root / "scene00/Input_1/frame_02.tif", root / "scene00/GT/GT_frame_02.hdr"
    for path in (frame, truth):
        path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    scene = open_benchmark("hdrv", root, nexps=2).scenes[0]
    with pytest.raises(DatasetError, match=r"frame_02\.tif cannot be read as a picture"):
        scene.read_ldr(2)
    with pytest.raises(DatasetError, match=r"GT_frame_02\.hdr cannot be read"):
        scene.truths[2]()


def test_codes_of_another_kind_are_refused(tmp_path: Path) -> None:
    root = fake_hdrv(tmp_path)
    write(root / "scene00/Input_1/frame_02.tif", light_of(0))
    with pytest.raises(DatasetError, match=r"frame_02\.tif holds float32 samples, 8- or 16-bit codes are needed"):
        open_benchmark("hdrv", root, nexps=2).scenes[0].read_ldr(2)


def test_a_camera_table_that_is_none_is_named(tmp_path: Path) -> None:
    root = fake_tog13(tmp_path)
    path = root / "BaslerCRF.mat"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert "BaslerCRF.mat can't be read as a MATLAB file" in _complaint("tog13", root)
    scipy.io.savemat(path, {"BaslerCRF": np.ones((256, 3))})
    assert "table of 256x3, 65536x3 light values are needed" in _complaint("tog13", root)
    path.write_bytes(whole)
    write(root / "Fire-2Exp-3Stop/img_000.tif", light_of(0))
    scene = open_benchmark("tog13", root, nexps=2).scenes[0]
    with pytest.raises(DatasetError, match=r"img_000\.tif holds float32"):
        scene.read_ldr(0)
    write(root / "Fire-2Exp-3Stop/img_001.tif", (codes_of(1) >> 8).astype(np.uint8))
    write(root / "Fire-2Exp-3Stop/img_000.tif", codes_of(0))
    with pytest.raises(DatasetError, match=r"img_001\.tif has 8 bits, the camera's table has 65,536 codes"):
        scene.read_ldr(1)


def test_estimates_that_lack_in_the_middle_are_missing_files(tmp_path: Path) -> None:
    root = fake_tog13(tmp_path)
    (root / "Fire-2Exp-3Stop/HDR/img_004.hdr").unlink()
    assert "1 of 14 files are missing or empty: Fire-2Exp-3Stop/HDR/img_004.hdr" in _complaint("tog13", root)
