import logging
import sys
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from av.video.stream import VideoStream
from support.fake_sets import fake_bracket, fake_hdr_frames, fake_patches, fake_vimeo90k, moving_codes
from support.recipes import guided_samples

from train.data.clips import draw_indices, mirrored
from train.data.folder import find_sources
from train.errors import DatasetError
from train.synthesis.dataset import TrainingSet


def test_septuplets_are_listed_by_split_and_read_in_order(tmp_path: Path) -> None:
    fake_vimeo90k(tmp_path)
    training, held_out = find_sources(tmp_path), find_sources(tmp_path, "validation")
    assert [clip.name for clip in training.vimeo90k] == ["00001/0001", "00001/0002"]
    assert [clip.name for clip in held_out.vimeo90k] == ["00002/0001"]
    frames = training.vimeo90k[1].load([6, 0])
    np.testing.assert_array_equal(frames[0], moving_codes(6, seed=1))
    np.testing.assert_array_equal(frames[1], moving_codes(0, seed=1))
    assert training.offered == {"vimeo90k", "procedural"}


def test_septuplets_without_a_list_are_all_taken(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    fake_vimeo90k(tmp_path)
    (tmp_path / "sep_trainlist.txt").unlink()
    (tmp_path / "sep_testlist.txt").unlink()
    with caplog.at_level(logging.INFO, "train"):
        assert len(find_sources(tmp_path).vimeo90k) == 3
    assert "3 clips, by all folders, for there is no sep_trainlist.txt" in caplog.text


def test_what_a_list_names_and_the_disk_lacks_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    fake_vimeo90k(tmp_path)
    (tmp_path / "sequences/00001/0001/im3.png").unlink()
    with (tmp_path / "sep_trainlist.txt").open("a") as file:
        file.writelines(f"00009/{number:04d}\n" for number in range(5))
    with caplog.at_level(logging.INFO, "train"):
        found = find_sources(tmp_path)
    assert [clip.name for clip in found.vimeo90k] == ["00001/0002"]
    assert "6 of 7 clips of sep_trainlist.txt are absent or incomplete and left out" in caplog.text
    assert "00001/0001 (no im3.png), 00009/0000 (no folder), 00009/0001 (no folder) and 3 more" in caplog.text


def test_a_set_without_one_whole_clip_is_an_error(tmp_path: Path) -> None:
    fake_vimeo90k(tmp_path)
    (tmp_path / "sep_trainlist.txt").write_text("00003/0001\n")
    with pytest.raises(DatasetError, match=r"none of 1 clips is complete, e\.g\. 00003/0001 \(no folder\)"):
        find_sources(tmp_path)
    (tmp_path / "sep_trainlist.txt").write_text("\n")
    with pytest.raises(DatasetError, match=r"sep_trainlist\.txt is empty"):
        find_sources(tmp_path)


def test_a_picture_cut_short_is_named_when_it_is_met(tmp_path: Path) -> None:
    fake_vimeo90k(tmp_path)
    path = tmp_path / "sequences/00001/0001/im4.png"
    path.write_bytes(path.read_bytes()[:-500])
    clip = find_sources(tmp_path).vimeo90k[0]
    assert len(clip.load([0, 1])) == 2
    with pytest.raises(DatasetError, match=r"im4\.png is cut short \(\d+ bytes\): fetch it again"):
        clip.load([3])
    cv2.imwrite(str(path), np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(DatasetError, match=r"im4\.png has 8x8 pixels, im1\.png beside it has 112x64"):
        clip.load([0, 3])


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".hdr", ".exr"])
def test_a_still_cut_short_is_named_at_the_start(suffix: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    path = tmp_path / f"photo{suffix}"
    if suffix == ".exr":
        import OpenEXR

        with OpenEXR.File(
            {"compression": OpenEXR.ZIP_COMPRESSION}, {"RGB": rng.random((64, 64, 3), np.float32)}
        ) as file:
            file.write(str(path))
    else:
        pixels = rng.random((64, 64, 3), np.float32)
        cv2.imwrite(str(path), pixels if suffix == ".hdr" else (255 * pixels).astype(np.uint8))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DatasetError, match=f"photo{suffix}"):
        find_sources(tmp_path)


def test_patches_are_read_by_their_own_list_of_frames(tmp_path: Path) -> None:
    fake_patches(tmp_path)
    (first, second) = find_sources(tmp_path).hdr_patches
    assert (first.name, second.name) == ("bistro_01/patch_0", "bistro_01/patch_1")
    wanted = ((moving_codes(2, seed=1) / 255) ** 4).astype(np.float16)
    np.testing.assert_array_equal(second.load([2])[0], wanted)


def test_patches_that_are_damaged_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    fake_patches(tmp_path)
    clip = tmp_path / "Images/bistro_01/patch_0"
    frame = clip / "frame_3.npy"
    frame.write_bytes(frame.read_bytes()[:1000])
    first = find_sources(tmp_path).hdr_patches[0]
    with pytest.raises(DatasetError, match=r"frame_3\.npy is missing or cut short"):
        first.load([3])
    frame.unlink()
    assert len(find_sources(tmp_path).hdr_patches) == 1
    assert "bistro_01/patch_0 (6 of 7 frames)" in caplog.text
    (tmp_path / "train_list.txt").rename(tmp_path / "val_list.txt")
    with pytest.raises(DatasetError, match=r"none of train_list\.txt, list\.txt"):
        find_sources(tmp_path)


def test_numbered_hdr_frames_are_clips_and_gaps_part_them(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    fake_hdr_frames(tmp_path / "whole")
    fake_hdr_frames(tmp_path / "gap", numbers=[*range(1, 9), *range(10, 13)])
    fake_hdr_frames(tmp_path / "few", numbers=range(1, 4))
    found = find_sources(tmp_path)
    assert sorted((clip.name, clip.count) for clip in found.hdr_clips) == [
        ("gap/shot_0001.hdr", 8),
        ("whole/shot_0001.hdr", 9),
    ]
    assert len(found.hdr_photos) == 3  # the few
    assert "parted into 2, 3 frames left out" in caplog.text
    frames = next(clip for clip in found.hdr_clips if clip.count == 9).load([0, 2])
    wanted = 20 * (moving_codes(3, seed=5) / 255.0) ** 4
    np.testing.assert_allclose(
        frames[1], wanted, rtol=0.02, atol=0.16
    )  # .hdr has 8 bits of the largest channel, which is up to 20


def test_brackets_are_merged_to_hdr_photos(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    radiance = fake_bracket(tmp_path / "room")
    cv2.imwrite(str(tmp_path / "photo.png"), moving_codes(0))
    with caplog.at_level(logging.INFO, "train"):
        found = find_sources(tmp_path)
    (merged,), (photo,) = found.hdr_photos, found.ldr_photos
    assert (merged.name, photo.name) == ("room", "photo")
    assert "HDR photos: 1" in caplog.text and "merged exposure brackets: 1" in caplog.text
    seen = (radiance > 0.02) & (radiance < 0.8)
    stops = np.log2(merged.levels[0].astype(np.float32)[seen] / radiance[seen])
    # as good as a curve from three small pictures can be
    assert np.std(stops) < 0.15 and np.log2(radiance[seen]).std() > 1


def test_a_bracket_that_moved_is_ldr_photos(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    fake_bracket(tmp_path / "crowd", moved=True)
    with caplog.at_level(logging.WARNING, "train"):
        found = find_sources(tmp_path)
    assert len(found.ldr_photos) == 3 and not found.hdr_photos
    assert "taken for LDR photos, not for a bracket" in caplog.text and "crowd" in caplog.text


def test_panoramas_stay_panoramas_when_they_are_numbered(tmp_path: Path) -> None:
    for number in range(8):
        cv2.imwrite(
            str(tmp_path / f"around_{number}.hdr"), np.random.default_rng(number).random((32, 64, 3), np.float32)
        )
    found = find_sources(tmp_path)
    assert len(found.panoramas) == 8 and not found.hdr_clips


def test_sets_lie_side_by_side_and_empty_folders_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    fake_vimeo90k(tmp_path / "vimeo_septuplet")
    fake_patches(tmp_path / "Synthetic_Train_Data_HdM-HDR-2014")
    fake_patches(tmp_path / "Synthetic_Train_Data_LiU_HDRv")
    fake_hdr_frames(tmp_path / "frames")
    cv2.imwrite(str(tmp_path / "photo.png"), moving_codes(0))
    (tmp_path / "nothing here").mkdir()
    (tmp_path / "more.zip.part").write_text("")
    with caplog.at_level(logging.INFO, "train"):
        found = find_sources(tmp_path)
    assert found.offered == {"vimeo90k", "hdr_patch", "hdr_clip", "ldr_photo", "procedural"}
    assert len(found.hdr_patches) == 4
    for words in (
        "LDR photos: 1", "sequences of HDR frames: 1", "2 clips, by sep_trainlist.txt", "empty folders (1): ",
        "nothing here", "files not downloaded to the end", "more.zip.part",
    ):  # fmt: skip
        assert words in caplog.text


@pytest.mark.parametrize("nexps", [2, 3])
def test_every_kind_of_clip_gives_guided_samples(nexps: int, tmp_path: Path) -> None:
    fake_vimeo90k(tmp_path / "vimeo")
    fake_patches(tmp_path / "patches")
    fake_hdr_frames(tmp_path / "frames")
    training = TrainingSet(find_sources(tmp_path), guided_samples(nexps), patch=32, frames=2 * nexps + 2, seed=0)
    for index in range(12):
        sample = training.sample(0, index)
        assert sample.ldr.shape == (2 * nexps + 2, 3, 32, 32)
        assert sample.radiance.std() > 0 and sample.radiance.max() <= 1


PQ, HLG, REC709 = 16, 18, 1


def _write_gray(path: Path, *, transfer: int, frames: int = 9) -> None:
    """A 10-bit clip whose whole luma is a signal of 0.5; of BT.2020 unless the transfer is that of Rec.709."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=24)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p10le"
        context = stream.codec_context
        context.color_trc, context.color_range = transfer, 1
        context.color_primaries = context.colorspace = 1 if transfer == REC709 else 9
        planes = np.concatenate([np.full((48, 64), 502), np.full((24, 64), 512)]).astype(np.uint16)
        for _ in range(frames):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(planes, format="yuv420p10le")))
        container.mux(stream.encode(None))


def test_hdr_video_files_are_told_by_their_tags_and_become_linear(tmp_path: Path) -> None:
    _write_gray(tmp_path / "pq.mkv", transfer=PQ)
    _write_gray(tmp_path / "hlg.mkv", transfer=HLG)
    _write_gray(tmp_path / "sdr.mkv", transfer=REC709)
    _write_gray(tmp_path / "short.mkv", transfer=PQ, frames=3)
    found = find_sources(tmp_path)
    assert [video.name for video in found.videos] == ["sdr"]
    assert found.videos[0].frames.dtype == np.uint8
    hlg, pq = found.hdr_videos
    assert (hlg.name, pq.name, hlg.count, pq.count) == ("hlg", "pq", 9, 9)
    # BT.2100: HLG's 0.5 is a twelfth of the scene's peak, PQ's is 92.2 cd/m2; half floats and a code are 0.5 %
    np.testing.assert_allclose(hlg.load([4])[0].astype(np.float32), 1 / 12, rtol=0.01)
    np.testing.assert_allclose(pq.load([4])[0].astype(np.float32), 92.2e-4, rtol=0.01)


def test_without_pyav_video_is_ldr_and_a_line_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    _write_gray(tmp_path / "any.mkv", transfer=REC709)  # of PQ, OpenCV makes a second's work per frame
    monkeypatch.setitem(sys.modules, "av", None)
    assert len(find_sources(tmp_path).videos) == 1
    assert "PQ and HLG video is taken for LDR: pip install av" in caplog.text


def test_time_turns_around_at_the_ends() -> None:
    assert [mirrored(index, 7) for index in range(-2, 10)] == [2, 1, 0, 1, 2, 3, 4, 5, 6, 5, 4, 3]
    assert mirrored(5, 1) == 0
    rng = np.random.default_rng(0)
    assert {tuple(draw_indices(rng, 7, frames=8)) for _ in range(20)} == {(0, 1, 2, 3, 4, 5, 6, 5)}
    starts = [draw_indices(rng, 7, frames=6) for _ in range(40)]
    assert {tuple(indices) for indices in starts} == {(0, 1, 2, 3, 4, 5), (1, 2, 3, 4, 5, 6)}
    strides = [np.diff(draw_indices(rng, 30, frames=6, longest_stride=3)) for _ in range(60)]
    assert {int(steps[0]) for steps in strides} == {1, 2, 3} and all(len(set(steps.tolist())) == 1 for steps in strides)
