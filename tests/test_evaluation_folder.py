from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from support.fake_benchmarks import as_tensor, codes_of, fake_folder, light_of, write, write_exr

from model.exposure import GAMMA_8_BIT, to_ldr
from train.errors import DatasetError
from train.evaluation.benchmarks.catalog import open_benchmark
from train.evaluation.benchmarks.synthetic import make_test_clips

TEST_DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "test"


@pytest.mark.parametrize("nexps", [2, 3])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_ones_own_scenes_are_read_as_written(nexps: int, suffix: str, tmp_path: Path) -> None:
    benchmark = open_benchmark("folder", fake_folder(tmp_path, nexps=nexps, suffix=suffix), nexps=nexps)
    assert [scene.name for scene in benchmark.scenes] == ["street", "yard"] and benchmark.samples == 4
    street = benchmark.scenes[0]  # written second, truths as .exr
    assert street.labels[0] == "frame_0007" and list(street.truths) == [nexps, nexps + 1]
    assert street.exposures[:3] == ((1, 8, 1), (1, 4, 16))[nexps - 2]
    assert torch.equal(street.read_ldr(4), as_tensor(codes_of(1004)))
    assert torch.equal(street.truths[nexps + 1](), as_tensor(light_of(1000 + nexps + 1)))
    assert torch.equal(benchmark.scenes[1].truths[nexps](), as_tensor(light_of(nexps)))


def test_a_scene_itself_may_be_passed_and_linear_frames_are_encoded(tmp_path: Path) -> None:
    scene = fake_folder(tmp_path, scenes=["yard"]) / "yard"
    (scene / "exposures.txt").rename(scene / "Exposures.txt")
    (scene / "frame_0009.png").unlink()
    light = light_of(5, scale=2)
    write_exr(scene / "frame_0009.exr", light)
    (only,) = open_benchmark("folder", scene, nexps=2).scenes
    assert (only.name, only.exposures) == ("yard", (1, 8, 1, 8, 1, 8))
    assert torch.equal(only.read_ldr(2), to_ldr(as_tensor(light), 1.0)) and only.read_ldr(2).max() == 1


def test_jpegs_are_read_and_truths_clipped(tmp_path: Path) -> None:
    scene = fake_folder(tmp_path, scenes=["yard"]) / "yard"
    (scene / "frame_0009.png").unlink()
    flat = np.full((16, 24, 3), (200, 100, 50), np.uint8)
    write(scene / "frame_0009.jpg", flat)
    write(scene / "truth/frame_0009.hdr", light_of(0, scale=4))
    (only,) = open_benchmark("folder", scene, nexps=2).scenes
    np.testing.assert_allclose(only.read_ldr(2).mean((1, 2)) * 255, [200, 100, 50], atol=2)  # JPEG's rounding
    assert only.truths[2]().min() == 1  # 2 and more everywhere: clipped, not divided


def test_frames_beside_a_camera_curve_are_linearised_by_it(tmp_path: Path) -> None:
    root = fake_folder(tmp_path)
    scene = root / "yard"
    (scene / "response.csv").write_text(
        "code,light\n" + "".join(f"{code},{(code / 255) ** 3}\n" for code in range(256))
    )
    street, yard = open_benchmark("folder", root, nexps=2).scenes
    codes = as_tensor(codes_of(2))
    # linear interpolation between 256 samples of a cube: 6 / 8 / 255^2
    np.testing.assert_allclose(yard.read_ldr(2) ** 2.2, codes**3, atol=2e-5)
    assert street.precision == GAMMA_8_BIT and yard.precision == yard.response.precision(bits=16)
    assert torch.allclose(yard.response.encode(yard.read_ldr(2) ** 2.2), codes, atol=2e-3)
    flat = np.full((16, 24, 3), 51, np.uint8)
    (scene / "frame_0007.png").unlink()
    write(scene / "frame_0007.png", flat)
    coarse = open_benchmark("folder", root, nexps=2).scenes[1].precision
    assert coarse.slope > 1000 * yard.precision.slope  # steps of 8 bits, not of 16


def test_codes_of_jpegs_are_stated_less_precisely(tmp_path: Path) -> None:
    scene = fake_folder(tmp_path, scenes=["yard"]) / "yard"
    for path in scene.glob("frame_*.png"):
        path.unlink()
        write(path.with_suffix(".jpg"), np.full((16, 24, 3), 100, np.uint8))
    (only,) = open_benchmark("folder", scene, nexps=2).scenes
    assert only.precision.slope > 3 * GAMMA_8_BIT.slope and only.precision.black > 3 * GAMMA_8_BIT.black


def test_a_camera_curve_beside_linear_frames_is_refused(tmp_path: Path) -> None:
    scene = fake_folder(tmp_path, scenes=["yard"]) / "yard"
    (scene / "frame_0007.png").unlink()
    write_exr(scene / "frame_0007.exr", light_of(5))
    (scene / "response.csv").write_text("0,0\n1,1\n")
    with pytest.raises(DatasetError, match=r"frame_0007\.exr is linear already: take response\.csv out"):
        open_benchmark("folder", scene, nexps=2)


def test_frames_without_truth_are_counted_and_not_scored(tmp_path: Path) -> None:
    root = fake_folder(tmp_path)
    (root / "yard/truth/frame_0009.hdr").unlink()
    benchmark = open_benchmark("folder", root, nexps=2)
    assert (
        benchmark.samples == 3
        and "1 of 4 frames with a whole window have no truth and are not scored." in benchmark.notes
    )
    assert list(benchmark.scenes[1].truths) == [3]


def test_scenes_without_any_truth_are_compared_with_nothing(tmp_path: Path) -> None:
    root = fake_folder(tmp_path)
    for path in (root / "yard/truth").iterdir():
        path.unlink()
    with pytest.raises(DatasetError, match="scenes without a truth to score: yard; take them out, or pass --no-truth"):
        open_benchmark("folder", root, nexps=2)
    benchmark = open_benchmark("folder", root, nexps=2, scene="yard")
    assert (benchmark.truth, benchmark.samples) == ("none", 0)


def _rename_truth(root: Path) -> None:
    (root / "yard/truth/frame_0009.hdr").rename(root / "yard/truth/truth_0009.hdr")


def _empty_frame(root: Path) -> None:
    (root / "yard/frame_0009.png").write_bytes(b"")


def _drop_frames(root: Path) -> None:
    for number in (8, 9):
        (root / f"yard/frame_{number:04d}.png").unlink()


def _double_number(root: Path) -> None:
    write(root / "yard/other_9.png", codes_of(0))


def _unnumbered(root: Path) -> None:
    write(root / "yard/cover.png", codes_of(0))


def _no_frames(root: Path) -> None:
    for path in (root / "yard").glob("*.png"):
        path.unlink()


def _no_exposures(root: Path) -> None:
    (root / "yard/exposures.txt").unlink()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (_rename_truth, "no frame is called truth_0009: truths must have the stems of their frames"),
        (
            _empty_frame,
            r"1 of 16 files are missing or empty: yard/frame_0009\.png; unpack or copy the whole set again$",
        ),
        (_drop_frames, "yard: 2 numbers have no frame: 8, 9; copy all frames"),
        (_double_number, r"other_9\.png and frame_0009\.png have the same number"),
        (_unnumbered, r"cover\.png has no number at the end of its name"),
        (_no_frames, r"yard holds no frames \(\.png, \.tif, \.jpg, \.exr\)"),
        (_no_exposures, r"yard/exposures\.txt cannot be read"),
    ],
)
def test_what_is_wrong_with_a_folder_is_named(spoil: object, words: str, tmp_path: Path) -> None:
    root = fake_folder(tmp_path)
    assert callable(spoil)
    spoil(root)
    with pytest.raises(DatasetError, match=words):
        open_benchmark("folder", root, nexps=2)


def test_a_folder_of_nothing_says_what_is_wanted(tmp_path: Path) -> None:
    for data_dir, found in ((None, "no folder is given"), (tmp_path / "absent", "is no folder"), (tmp_path, "neither")):
        with pytest.raises(DatasetError, match=rf"{found}.*one folder per scene with numbered frames"):
            open_benchmark("folder", data_dir, nexps=2)


@pytest.mark.parametrize("nexps", [2, 3])
def test_hdr_pictures_become_the_clips_that_measuring_makes_of_them(nexps: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name in ("one", "two"):
        small = rng.lognormal(0, 1.5, (20, 40, 3)).astype(np.float32)
        cv2.imwrite(str(tmp_path / f"{name}.hdr"), cv2.resize(small, (256, 128), interpolation=cv2.INTER_CUBIC).clip(0))
    benchmark = open_benchmark("folder", tmp_path, nexps=nexps)
    assert [scene.name for scene in benchmark.scenes] == ["one", "two"] and benchmark.samples == 8
    for scene, clip in zip(benchmark.scenes, make_test_clips(tmp_path, nexps), strict=True):
        assert list(scene.exposures) == clip.exposures.tolist()
        for number in (0, nexps, len(clip.ldr) - 1):
            assert torch.equal(scene.read_ldr(number), clip.ldr[number])
        assert torch.equal(scene.truths[nexps](), clip.radiance[nexps])


@pytest.mark.skipif(not TEST_DATA.is_dir(), reason="the test pictures are not beside the checkout")
def test_test_pictures_are_named_without_being_read() -> None:
    benchmark = open_benchmark("folder", TEST_DATA, nexps=2)
    assert len(benchmark.scenes) == 17 and benchmark.samples == 68
    assert {"fireplace_1k", "Desk", "hdr10-av1"} <= {scene.name for scene in benchmark.scenes}


@pytest.mark.parametrize(("nexps", "frames", "samples"), [(2, 8, 16), (3, 9, 12)])
def test_the_self_test_needs_no_files_and_repeats(nexps: int, frames: int, samples: int) -> None:
    benchmark = open_benchmark("selftest", None, nexps=nexps)
    assert benchmark.samples == samples and len(benchmark.scenes) == 4
    for scene, again in zip(benchmark.scenes, open_benchmark("selftest", None, nexps=nexps).scenes, strict=True):
        ldr, exposure = scene.read_ldr(nexps), scene.exposures[nexps]
        truth, following = scene.truths[nexps](), scene.truths[nexps + 1]()
        assert len(scene.exposures) == frames and ldr.shape == truth.shape == (3, 192, 320)
        assert torch.equal(ldr, again.read_ldr(nexps))
        assert (truth - following).abs().mean() > 2e-3  # it moves
        noise = (ldr - to_ldr(truth, exposure)).abs()
        assert 5e-4 < noise.mean() < 0.03  # a code value and noise, or another frame's truth would be paired with it
