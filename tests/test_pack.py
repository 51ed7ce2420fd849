"""Packed data is the data: the same kinds and numbers, in small parts that OpenCV alone reads."""

import re
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import av
import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray
from support.clips import Tags, counting_clip, frame_of, write_clip
from support.fake_sets import CLIPS, fake_bracket, fake_hdr_frames, fake_patches, fake_vimeo90k, moving_codes
from support.pictures import write_linear

from tools import pack as packing
from tools.pack_images import MIB, Unit, deal_out, write_radiance
from tools.pack_videos import AS_FRAMES, CUT, ENCODED_ANEW, decoded_alike, pack_video
from train.data.clips import Clip
from train.data.folder import Sources, find_sources
from train.data.images import read_codes, read_radiance
from train.data.videos import read_ldr_video
from train.dry_run import count_sources
from train.errors import DatasetError

BIG = 64 * MIB


def light(*, size: tuple[int, int], seed: int = 0) -> NDArray[np.float16]:
    """Smooth light over many stops, (H, W, 3)."""
    codes = moving_codes(0, seed=seed, size=size)
    return np.asarray(2.0 ** (codes / 255 * 16 - 8), np.float16)


def moving_clip(path: Path, *, frames: int, rotation: int = 0) -> Path:
    """H.264 with frames out of order, each a shifted texture."""
    pictures = [gray_of(moving_codes(number % 16)) for number in range(frames)]
    return write_clip(path, pictures, codec="libx264", options={"crf": "10", "bf": "3"}, tags=Tags(1, 1, rotation))


def gray_of(codes: NDArray[np.uint8]) -> av.VideoFrame:
    height, width = codes.shape[:2]
    chroma = np.full((height // 2, width // 2), 128, np.uint8)
    return frame_of([codes[..., 0] // 2 + 64, chroma, chroma], "yuv420p", size=(width, height))


def pq_clip(path: Path, *, frames: int) -> Path:
    """A flat PQ video, twice as wide as high."""
    flat = [np.full((48, 96), 500, np.uint16), *[np.full((24, 48), 512, np.uint16)] * 2]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=24)
        stream.width, stream.height, stream.pix_fmt = 96, 48, "yuv420p10le"
        stream.codec_context.color_trc, stream.codec_context.color_primaries = 16, 9
        for number in range(frames):
            picture = frame_of(flat, "yuv420p10le", size=(96, 48))
            picture.pts, picture.color_trc, picture.color_primaries = number, 16, 9
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return path


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """One or more of everything."""
    folder = tmp_path / "data"
    (folder / "deep").mkdir(parents=True)
    write_linear(folder / "around.exr", light(size=(64, 128)))
    write_linear(folder / "photo.exr", light(size=(64, 96)))
    cv2.imwrite(str(folder / "photo.hdr"), light(size=(64, 96), seed=1).astype(np.float32))
    cv2.imwrite(str(folder / "deep" / "snapshot.png"), moving_codes(0))
    moving_clip(folder / "deep" / "clip.mp4", frames=12)
    counting_clip(folder / "short.mkv", count=3)
    fake_hdr_frames(folder / "shot")
    fake_bracket(folder / "room")
    fake_bracket(folder / "crowd", moved=True)
    fake_vimeo90k(folder / "vimeo")
    fake_patches(folder / "patches")
    return folder


def packed(data: Path, *, most_bytes: int = BIG, **wishes: object) -> tuple[Path, list[str]]:
    output = data.parent / "packed"
    done = packing.pack(data, output, packing.PackOptions(most_bytes=most_bytes, **wishes))  # type: ignore[arg-type]
    return output, packing.report(done, output)


def sizes(output: Path) -> list[int]:
    return [sum(path.stat().st_size for path in part.rglob("*") if path.is_file()) for part in sorted(output.iterdir())]


def kinds(sources: Sources) -> dict[str, int]:
    return count_sources(SimpleNamespace(sources=sources))


def names(sources: Sources) -> list[str]:
    clips: list[Clip] = [*sources.videos, *sources.hdr_clips, *sources.hdr_patches, *sources.vimeo90k]
    return sorted([*(picture.name for picture in sources.pictures), *(clip.name for clip in clips)])


def test_packed_data_has_the_same_kinds_and_numbers(data: Path) -> None:
    most = 400_000
    output, lines = packed(data, most_bytes=most)
    whole, parts = find_sources(data), find_sources(output)
    assert kinds(parts) == kinds(whole) == {
        "panoramas": 1, "hdr_photos": 3, "ldr_photos": 4, "videos": 1, "hdr_clips": 1, "hdr_patches": 2, "vimeo90k": 2
    }  # fmt: skip
    assert len(sizes(output)) > 1
    assert max(sizes(output)) <= most
    assert not list(output.rglob("*.exr"))
    assert "left out, too short: 1 (short.mkv)" in lines
    assert [name.replace("photo_2", "photo") for name in names(parts)] == names(whole)


def test_held_out_data_takes_the_test_lists(data: Path) -> None:
    (data / "patches" / "val_list.txt").write_text("bistro_01/patch_1\n")
    output, _ = packed(data, split="validation")
    found = find_sources(output, "validation")
    assert [clip.name for clip in (*found.vimeo90k, *found.hdr_patches)] == [CLIPS[-1], "bistro_01/patch_1"]


def test_of_large_sets_some_are_taken(data: Path) -> None:
    output, _ = packed(data, clips=1)
    found = kinds(find_sources(output))
    assert (found["vimeo90k"], found["hdr_patches"], found["hdr_clips"]) == (1, 1, 1)


def test_light_survives_to_eight_bits_of_the_brightest_channel(tmp_path: Path) -> None:
    truth = light(size=(64, 96)).astype(np.float32) * np.array([1, 0.5, 0], np.float32)
    truth[0, 0] = 0
    write_radiance(tmp_path / "light.hdr", truth)
    error = (read_radiance(tmp_path / "light.hdr") - truth) / np.maximum(truth.max(-1, keepdims=True), 1e-9)
    assert 1 / 512 < np.abs(error).max() <= 1 / 256
    assert abs(error.mean()) < 5e-4  # rounded, not cut off, which would be 2e-3


def test_light_that_is_none_is_written_as_none(tmp_path: Path) -> None:
    write_radiance(tmp_path / "odd.hdr", np.array([[[np.nan, -1, 0], [np.inf, 1, 1]]] * 8, np.float16))
    assert read_radiance(tmp_path / "odd.hdr")[0].tolist()[0] == [0, 0, 0]
    assert np.isfinite(read_radiance(tmp_path / "odd.hdr")).all()


@pytest.mark.parametrize(("size", "halved"), [((128, 256), (64, 128)), ((130, 201), (65, 100))])
def test_pictures_that_are_too_large_are_halved(tmp_path: Path, size: tuple[int, int], halved: tuple[int, int]) -> None:
    (tmp_path / "data").mkdir()
    noise = np.random.default_rng(0).random((*size, 3))
    write_linear(tmp_path / "data" / "a.exr", noise.astype(np.float16))
    cv2.imwrite(str(tmp_path / "data" / "b.png"), (255 * noise).astype(np.uint8))
    output, lines = packed(tmp_path / "data", most_bytes=50_000)
    assert [read_radiance(path).shape[:2] for path in output.rglob("a.hdr")] == [halved]
    assert [read_codes(path).shape[:2] for path in output.rglob("b.png")] == [halved]
    assert any(line.startswith("reduced to fit into a part: 2") for line in lines)


def test_long_videos_lose_what_training_does_not_read(tmp_path: Path) -> None:
    clip = moving_clip(tmp_path / "long.mp4", frames=120)
    unit = pack_video(clip, tmp_path / "packed" / "long.mp4", most_bytes=BIG)
    assert unit is not None
    assert unit.changes == (CUT,)
    assert unit.size < 0.8 * clip.stat().st_size
    assert np.array_equal(read_ldr_video(unit.files[0]).frames, read_ldr_video(clip).frames)


@pytest.mark.parametrize("rotation", [90, 180])
def test_turned_videos_stay_as_they_are(tmp_path: Path, rotation: int) -> None:
    clip = moving_clip(tmp_path / "turned.mp4", frames=10, rotation=rotation)
    unit = pack_video(clip, tmp_path / "packed" / "turned.mp4", most_bytes=BIG)
    assert unit is not None
    assert unit.changes == ()
    assert unit.files[0].read_bytes() == clip.read_bytes()


def test_videos_that_opencv_cannot_decode_are_encoded_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = moving_clip(tmp_path / "odd.mp4", frames=10)
    asked: list[Path] = []

    def refused_once(path: Path, frames: Sequence[NDArray[np.uint8]]) -> bool:
        asked.append(path)
        return len(asked) > 1 and decoded_alike(path, list(frames))

    monkeypatch.setattr("tools.pack_videos.decoded_alike", refused_once)
    unit = pack_video(clip, tmp_path / "packed" / "odd.mp4", most_bytes=BIG)
    assert unit is not None
    assert unit.changes == (ENCODED_ANEW,)
    difference = read_ldr_video(unit.files[0]).frames.astype(int) - read_ldr_video(clip).frames
    assert np.abs(difference).mean() < 2.5


def test_videos_that_are_too_large_are_cut_shorter(tmp_path: Path) -> None:
    clip = moving_clip(tmp_path / "large.mp4", frames=64)
    unit = pack_video(clip, tmp_path / "packed" / "large.mp4", most_bytes=clip.stat().st_size // 3)
    assert unit is not None
    assert unit.size <= clip.stat().st_size // 3
    assert 8 <= read_ldr_video(unit.files[0]).count < 64


def test_other_frames_are_noticed(tmp_path: Path) -> None:
    clip = moving_clip(tmp_path / "clip.mp4", frames=10)
    frames = list(read_ldr_video(clip).frames)
    assert decoded_alike(clip, frames)
    assert decoded_alike(clip, frames[:8])
    assert not decoded_alike(clip, frames[1:])
    assert not decoded_alike(clip, [*frames[:4], frames[5], frames[4], *frames[6:]])
    assert not decoded_alike(clip, [*frames, frames[-1]])
    assert not decoded_alike(clip, [np.rot90(frame) for frame in frames])
    assert not decoded_alike(tmp_path / "nothing.mp4", frames)


def test_hdr_videos_become_sequences_of_frames(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    pq_clip(tmp_path / "data" / "sun.mkv", frames=9)
    output, lines = packed(tmp_path / "data")
    found = find_sources(output)
    assert kinds(found) == {"hdr_clips": 1}
    assert found.hdr_clips[0].count == 9
    assert found.hdr_clips[0].load([0])[0].shape == (48, 94, 3)  # else it would pass for a panorama
    assert f"{AS_FRAMES}: 1 (frame_0000.hdr)" in lines


def test_units_go_into_few_parts(tmp_path: Path) -> None:
    units = []
    for number, size in enumerate([50, 20, 60, 40, 30]):
        path = tmp_path / f"file{number}"
        path.write_bytes(bytes(size))
        units.append(Unit(kind="files", files=(path,)))
    bins = deal_out(units, most_bytes=100)
    assert sorted(part.size for part in bins) == [100, 100]
    with pytest.raises(DatasetError, match=r"file2 takes .* pass a larger --part-mib"):
        deal_out(units, most_bytes=55)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda data: None, "data is not a folder"),
        (lambda data: data.mkdir(), "data holds no usable picture or video"),
        (lambda data: (data.mkdir(), (data.parent / "packed").mkdir()), "packed exists: remove it"),
        (lambda data: (data.mkdir(), (data / "cut.exr").write_bytes(b"v/1")), r"cut\.exr cannot be read as OpenEXR"),
        (lambda data: (data.mkdir(), (data / "cut.mp4").write_bytes(b"no video")), r"cut\.mp4 cannot be opened"),
        (lambda data: fake_hdr_frames(data, numbers=range(1, 8)), "a clip needs 7: pass a larger --part-mib"),
    ],
)
def test_what_cannot_be_packed_is_one_line(tmp_path: Path, make: object, words: str) -> None:
    assert callable(make)
    make(tmp_path / "data")
    result = CliRunner().invoke(
        packing.main, [str(tmp_path / "data"), "-o", str(tmp_path / "packed"), "--part-mib=0.05"]
    )
    assert result.exit_code == 1
    assert re.search(words, " ".join(result.output.split()))
    assert not list(tmp_path.glob(".packed*"))


def test_the_command_reports(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    write_linear(tmp_path / "data" / "around.exr", light(size=(64, 128)))
    (tmp_path / "data" / "film.mp4.part").write_bytes(b"half of it")
    result = CliRunner().invoke(packing.main, [str(tmp_path / "data"), "-o", str(tmp_path / "packed")])
    assert result.exit_code == 0, result.output
    assert "part1: 0.0 MiB, 1 HDR pictures" in result.output
    assert "written as Radiance .hdr" in result.output
    assert "not downloaded to the end" in result.output
