from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torch
from support.fake_benchmarks import (
    as_tensor,
    basler_table,
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
from train.evaluation.benchmarks.catalog import NAMES, open_benchmark
from train.evaluation.benchmarks.scene import Benchmark


@pytest.mark.parametrize(("nexps", "samples", "first"), [(2, 112, 2), (3, 108, 3)])
def test_cinematic_scores_the_inner_frames_of_both_scenes(nexps: int, samples: int, first: int, tmp_path: Path) -> None:
    fake_cinematic(tmp_path / "HDR_Synthetic_Test_Dataset", nexps=nexps)
    benchmark = open_benchmark("synthetic_dataset", tmp_path, nexps=nexps)
    assert (benchmark.name, benchmark.nexps, benchmark.truth, benchmark.samples) == (
        "cinematic",
        nexps,
        "truth",
        samples,
    )
    scene = benchmark.scenes[1]
    assert scene.name == f"CAROUSEL_{nexps}expo" and list(scene.truths) == list(range(first, 60 - first))
    assert scene.exposures[:4] == ((1, 8, 1, 8), (1, 4, 16, 1))[nexps - 2] and len(scene.exposures) == 60
    assert scene.labels[5] == f"CAROUSEL_{nexps}expo_000005"
    assert torch.equal(scene.read_ldr(59), as_tensor(codes_of(1059)))
    assert torch.equal(scene.truths[7](), as_tensor(light_of(1007)))


def test_cinematic_scores_only_frames_that_the_list_of_truths_names(tmp_path: Path) -> None:
    root = fake_cinematic(tmp_path, scenes=["POKER"], frames=8)
    path = root / "Images/POKER_2expo/hdr_expos.txt"
    path.write_text("\n".join(path.read_text().splitlines()[1:3]))
    benchmark = open_benchmark("cinematic", root, nexps=2)
    assert list(benchmark.scenes[0].truths) == [3, 4]
    assert benchmark.notes[-1] == "2 of 4 frames with a whole window have no truth and are not scored."
    path.write_text(path.read_text().replace("8.000000", "4.000000"))
    with pytest.raises(DatasetError, match=r"hdr_expos\.txt gives POKER_2expo_000003 the exposure 4, .* beside it 8"):
        open_benchmark("cinematic", root, nexps=2)


@pytest.mark.parametrize("nexps", [2, 3])
def test_dynamic_scores_the_middle_frame_alone_over_its_own_maximum(nexps: int, tmp_path: Path) -> None:
    root = fake_dynamic(tmp_path / f"dynamic_RGB_data_{nexps}exp_release", nexps=nexps)
    benchmark = open_benchmark("dynamic_dataset", root, nexps=nexps)
    assert benchmark.samples == 3 and [list(scene.truths) for scene in benchmark.scenes] == [[nexps]] * 3
    light = as_tensor(light_of(2, scale=2))
    assert light.max() > 1 and torch.equal(benchmark.scenes[2].truths[nexps](), light / light.max())
    assert torch.equal(benchmark.scenes[1].read_ldr(3), as_tensor(codes_of(1003)))


def test_dynamic_compares_the_exposure_of_the_middle_frame(tmp_path: Path) -> None:
    root = fake_dynamic(tmp_path)
    path = root / "hdr_expos.txt"
    path.write_text(path.read_text().replace("scene_001.hdr 1.00", "scene_001.hdr 8.00"))
    with pytest.raises(DatasetError, match=r"middle frame of scene_001 the exposure 8, Exposures\.txt beside it 1"):
        open_benchmark("dynamic", root, nexps=2)
    assert open_benchmark("dynamic", root, nexps=2, scene="scene_000").samples == 1


@pytest.mark.parametrize(("nexps", "samples"), [(2, 2), (3, 3)])
def test_static_scores_two_or_three_frames_of_a_scene(nexps: int, samples: int, tmp_path: Path) -> None:
    fake_static(tmp_path / f"static_RGB_data_{nexps}exp_rand_motion_release", nexps=nexps)
    benchmark = open_benchmark("static", tmp_path, nexps=nexps)
    assert [len(scene.truths) for scene in benchmark.scenes] == [samples, samples]
    scene = benchmark.scenes[1]
    assert min(scene.exposures) == 1 and scene.exposures[: nexps + 1] == ((1, 8, 1), (1, 4, 16, 1))[nexps - 2]
    number = next(iter(scene.truths))
    assert torch.equal(scene.truths[number](), as_tensor(light_of(1000 + number)))  # below 1, so as stored


@pytest.mark.parametrize("nexps", [2, 3])
def test_tog13_is_linearised_by_its_camera_and_called_an_estimate(nexps: int, tmp_path: Path) -> None:
    root = fake_tog13(tmp_path, nexps=nexps)
    benchmark = open_benchmark("tog13_online_align_dataset", root, nexps=nexps)
    assert benchmark.truth == "estimate" and "no truth" in benchmark.notes[0]
    scene = benchmark.scenes[0]
    assert list(scene.truths) == list(range(nexps, 9 - nexps))
    table, codes = basler_table(), codes_of(4)
    wanted = np.stack([(table[codes[..., channel], channel] / 4) ** (1 / 2.2) for channel in range(3)])
    np.testing.assert_allclose(scene.read_ldr(4).numpy(), wanted, atol=1e-6)  # float32
    light = as_tensor(light_of(4, scale=8))
    assert torch.equal(scene.truths[4](), light / light.max())


def test_tog13_without_estimates_has_nothing_to_compare(tmp_path: Path) -> None:
    benchmark = open_benchmark("tog13", fake_tog13(tmp_path, estimates=False), nexps=2)
    assert (benchmark.truth, benchmark.samples) == ("none", 0)
    assert len(benchmark.scenes[0].exposures) == 9


@pytest.mark.parametrize(("name", "long_first"), [("hdrv", True), ("hdrv_short_first", False)])
def test_hdrv_alternates_its_two_streams(name: str, long_first: bool, tmp_path: Path) -> None:
    fake_hdrv(tmp_path / "Test_Compack_8frames_50scenes")
    benchmark = open_benchmark(name, tmp_path, nexps=2)
    assert benchmark.samples == 8 and "2 scenes, the published set 50" in benchmark.notes[-1]
    scene = benchmark.scenes[1]
    assert list(scene.truths) == [2, 3, 4, 5]
    for number in range(8):
        is_long = (number % 2 == 0) == long_first
        assert scene.exposures[number] == (8 if is_long else 1)
        assert torch.equal(scene.read_ldr(number), as_tensor(codes_of(1000 + number + 100 * is_long)))
    assert torch.equal(scene.truths[3](), as_tensor(light_of(1003)))
    with pytest.raises(DatasetError, match="two exposures, 3 are asked for: pass --nexps 2"):
        open_benchmark(name, tmp_path, nexps=3)


def _all(folder: Path) -> list[Benchmark]:
    roots = {
        "cinematic": fake_cinematic(folder / "a", frames=7),
        "dynamic": fake_dynamic(folder / "b"),
        "static": fake_static(folder / "c"),
        "tog13": fake_tog13(folder / "d"),
        "hdrv": fake_hdrv(folder / "e"),
        "hdrv_short_first": folder / "e",
        "folder": fake_folder(folder / "f"),
    }
    return [open_benchmark(name, roots.get(name), nexps=2) for name in NAMES]


def test_all_benchmarks_keep_one_contract(tmp_path: Path) -> None:
    for benchmark in _all(tmp_path):
        assert benchmark.name in NAMES and benchmark.title and benchmark.scenes and benchmark.samples
        for scene in benchmark.scenes:
            assert len(scene.exposures) == len(scene.labels) and set(scene.exposures) >= {1.0}
            assert all(2 <= number < len(scene.labels) - 2 for number in scene.truths)
        number, read = next(iter(benchmark.scenes[0].truths.items()))
        frame, truth = benchmark.scenes[0].read_ldr(number), read()
        assert frame.dtype == truth.dtype == torch.float32 and frame.shape == truth.shape and frame.shape[0] == 3
        assert all(picture.min() >= 0 and picture.max() <= 1 for picture in (frame, truth))


def test_a_scene_or_a_few_are_chosen(tmp_path: Path) -> None:
    root = fake_dynamic(tmp_path, scenes=6)
    chosen = open_benchmark("dynamic", root, nexps=2, limit=3)
    assert [scene.name for scene in chosen.scenes] == ["scene_000", "scene_002", "scene_004"]
    assert [scene.name for scene in open_benchmark("dynamic", root, nexps=2, scene="scene_003").scenes] == ["scene_003"]
    with pytest.raises(DatasetError, match=r"no scene is called yard: pass one of scene_000, scene_001, .* and 3 more"):
        open_benchmark("dynamic", root, nexps=2, scene="yard")
    with pytest.raises(DatasetError, match="no benchmark is called imagenet: pass one of cinematic, dynamic"):
        open_benchmark("imagenet", root, nexps=2)


def test_no_alias_stands_for_two() -> None:
    names = [word for name, aliases in NAMES.items() for word in (name, *aliases)]
    assert len(names) == len(set(names))


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
