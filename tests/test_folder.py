from pathlib import Path

import cv2
import numpy as np
import OpenEXR
import pytest

from train.data.folder import Sources, find_sources
from train.data.images import hdr_picture, read_hdr_picture
from train.data.videos import hdr_transfer, pq_to_linear, read_hdr_video
from train.errors import DatasetError
from train.synthesis.procedural import InverseCurve, dead_leaves

HDR_VIDEOS = Path(__file__).resolve().parents[2] / "shared" / "data" / "test" / "hdr_video"


def _write_exr(path: Path, pixels: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> None:
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    with OpenEXR.File(header, {"RGB": pixels}) as file:
        file.write(str(path))


def _write_video(path: Path, *, frames: int) -> None:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25, (64, 48))
    for index in range(frames):
        writer.write(np.full((48, 64, 3), 10 * index, np.uint8))
    writer.release()


def test_folder_is_sorted_by_what_files_hold(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    (tmp_path / "deep").mkdir()
    cv2.imwrite(str(tmp_path / "deep" / "around.HDR"), rng.random((32, 64, 3), np.float32))
    _write_exr(tmp_path / "photo.exr", rng.random((32, 48, 3), np.float32))
    cv2.imwrite(str(tmp_path / "snapshot.png"), rng.integers(0, 255, (32, 64, 3), np.uint8))
    _write_video(tmp_path / "long.avi", frames=9)
    _write_video(tmp_path / "short.avi", frames=3)
    (tmp_path / "notes.txt").write_text("not a picture")
    found = find_sources(tmp_path)
    assert [picture.name for picture in found.pictures] == ["around", "photo", "snapshot"]
    assert [picture.panorama for picture in found.pictures] == [True, False, False]
    assert [video.name for video in found.videos] == ["long"]
    assert found.videos[0].frames.shape == (9, 48, 64, 3)


def test_no_folder_means_no_sources() -> None:
    assert find_sources(None) == Sources()


def test_unusable_folders_and_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="nowhere"):
        find_sources(tmp_path / "nowhere")
    with pytest.raises(DatasetError, match=r"no usable picture.*\.hdr"):
        find_sources(tmp_path)
    for name in ("broken.hdr", "broken.exr", "broken.jpg", "broken.mp4"):
        (tmp_path / name).write_text("this is text")
        with pytest.raises(DatasetError, match=name):
            find_sources(tmp_path)
        (tmp_path / name).unlink()


def test_picture_colors_come_in_order_and_negatives_go(tmp_path: Path) -> None:
    pixels = np.zeros((16, 24, 3), np.float32) + np.array([4.0, 2.0, 1.0], np.float32)
    pixels[0, 0] = -1
    _write_exr(tmp_path / "color.exr", pixels)
    cv2.imwrite(str(tmp_path / "color.hdr"), pixels[..., ::-1].clip(0))
    for name in ("color.exr", "color.hdr"):
        level = read_hdr_picture(tmp_path / name).levels[0].astype(np.float32)
        np.testing.assert_allclose(level[5, 5], [2, 1, 0.5], rtol=0.01)  # median 1; .hdr has 8 bits of mantissa
        assert (level[0, 0] == 0).all()


def test_smaller_copies_keep_the_mean_and_are_chosen_by_scale() -> None:
    picture = hdr_picture("noise", np.random.default_rng(0).random((400, 600, 3)))
    means = [float(level.astype(np.float32).mean()) for level in picture.levels]
    np.testing.assert_allclose(means, means[0], rtol=0.01)
    for scale, wanted in ((0.5, 1.0), (1.3, 1.0), (1.5, 0.5**0.5), (2.1, 0.5), (100.0, 0.5)):
        assert picture.level_for(scale)[1] == pytest.approx(wanted, abs=0.01)


def test_inverse_curve_undoes_the_camera_curve() -> None:
    x = InverseCurve(n=0.7, s=0.5).table().astype(np.float64)
    np.testing.assert_allclose(1.5 * x**0.7 / (x**0.7 + 0.5), np.arange(256) / 255, atol=1e-6)
    boosted = InverseCurve(n=0.7, s=0.5, boost=4).table()
    assert boosted[255] == pytest.approx(4) and (np.diff(boosted) > 0).all()
    np.testing.assert_array_equal(boosted[:216], InverseCurve(n=0.7, s=0.5).table()[:216])


def test_dead_leaves_have_high_dynamic_range_and_edges() -> None:
    picture = dead_leaves(np.random.default_rng(3))
    luminance = picture.levels[0].astype(np.float32).mean(2)
    low, high = np.quantile(luminance, [0.01, 0.999])
    assert high / low > 100
    assert np.abs(np.diff(np.log(luminance + 1e-4), axis=1)).max() > 1


def test_pq_has_the_values_of_the_standard() -> None:
    # ITU-R BT.2408: 203 cd/m2 at 58 % ; SMPTE ST 2084: 100 cd/m2 at 0.508078, 10,000 at 1
    nits = 10_000 * pq_to_linear(np.array([0.0, 0.508078, 0.580689, 0.751827, 1.0], np.float32))
    np.testing.assert_allclose(nits, [0, 100, 203, 1000, 10_000], rtol=1e-3, atol=1e-3)


@pytest.mark.skipif(not HDR_VIDEOS.is_dir(), reason="the test pictures are not beside the checkout")
def test_hdr10_video_is_read_as_linear_light() -> None:
    path = HDR_VIDEOS / "hdr10-av1.mp4"
    assert hdr_transfer(path) == "pq"
    video = read_hdr_video(path, first=2, most_frames=2, longest_side=320)
    assert video.frames.shape == (2, 320, 180, 3) and video.frames.dtype == np.float32
    nits = 10_000 * video.frames
    assert nits.min() >= 0 and 1 < np.median(nits) < 500 and 200 < nits.max() < 10_000


@pytest.mark.skipif(not HDR_VIDEOS.is_dir(), reason="the test pictures are not beside the checkout")
def test_sdr_video_is_not_taken_for_pq() -> None:
    assert hdr_transfer(HDR_VIDEOS.parent / "ldr_video" / "mdn_stream-of-water.mp4") is None
