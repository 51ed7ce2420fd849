from pathlib import Path

import numpy as np
import pytest
import torch
from fake_benchmarks import (
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
