"""Image sequences read as clips: order, times, gaps, sizes, exposures that cameras note."""

import logging
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from support.clips import counting_clip
from support.pictures import add_exif, exif, write_flat, write_linear

from lanhdr_cli.media.errors import MediaError
from lanhdr_cli.media.faults import describe_numbers
from lanhdr_cli.media.image_sequence import OnMissing, SequenceFiles, find_pictures, names_sequence
from lanhdr_cli.media.source import Reading, Source, open_source
from lanhdr_cli.media.video_reader import DecodedFrame


def counting(folder: Path, *numbers: int) -> Path:
    """A sequence whose picture k is of gray k."""
    for number in numbers:
        write_flat(folder / f"shot.{number:04d}.png", number % 256)
    return folder / "shot.####.png"


def levels(frames: list[DecodedFrame]) -> list[int]:
    return [round(float(frame.image.mean()) * 255) for frame in frames]


def opened(path: Path, **wishes: object) -> Source:
    return open_source(path, Reading(**wishes))  # type: ignore[arg-type]


def test_pictures_come_in_order_at_the_rate(tmp_path: Path) -> None:
    path = counting(tmp_path, 9, 10, 11, 12)
    with opened(path, fps=Fraction(24000, 1001)) as source:
        frames = list(source.frames())
        assert source.info.frames == 4
        assert source.info.description == "png rgb24 32x24"
        assert (source.name, source.folder, source.numbers) == ("shot", tmp_path, (9, 10, 11, 12))
        assert source.exposures is None
        assert source.faults.messages() == []
    assert levels(frames) == [9, 10, 11, 12]
    assert [frame.index for frame in frames] == [0, 1, 2, 3]
    assert [frame.time for frame in frames] == [Fraction(1001 * index, 24000) for index in range(4)]


def test_a_range_of_pictures(tmp_path: Path) -> None:
    with opened(counting(tmp_path, *range(1, 9))) as source:
        assert levels(list(source.frames(start=2, stop=5))) == [3, 4, 5]
        with pytest.raises(MediaError, match=r"only 8 frames, 8 is behind"):
            list(source.frames(start=8))


def test_the_rate_is_told_where_it_is_assumed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = counting(tmp_path, 1, 2)
    with caplog.at_level(logging.INFO):
        with opened(path, fps=Fraction(25)):
            pass
        assert not caplog.records
        with opened(path):
            pass
    assert "taken as 24 frames per second: --fps says otherwise" in caplog.text


def test_missing_numbers_are_named(tmp_path: Path) -> None:
    path = counting(tmp_path, 1, 2, 4, 5, 9)
    with (
        pytest.raises(MediaError, match=r"4 of its numbers missing \(3, 6-8\): find them, or pass --on-missing"),
        opened(path),
    ):
        pass


@pytest.mark.parametrize(
    ("on_missing", "shown", "numbers", "times"),
    [
        ("skip", [1, 2, 5, 6], (1, 2, 5, 6), [0, 1, 4, 5]),
        ("repeat", [1, 2, 2, 2, 5, 6], (1, 2, 3, 4, 5, 6), [0, 1, 2, 3, 4, 5]),
    ],
)
def test_missing_numbers_are_skipped_or_the_picture_before_is_repeated(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    on_missing: OnMissing,
    shown: list[int],
    numbers: tuple[int, ...],
    times: list[int],
) -> None:
    path = counting(tmp_path, 1, 2, 5, 6)
    with opened(path, on_missing=on_missing, fps=Fraction(10)) as source:
        frames = list(source.frames())
        assert source.numbers == numbers
    assert levels(frames) == shown
    assert [frame.index for frame in frames] == list(range(len(shown)))
    assert [frame.time * 10 for frame in frames] == times
    assert "2 of its numbers missing (3-4)" in caplog.text


def test_the_first_odd_size_is_named_before_anything_is_decoded(tmp_path: Path) -> None:
    path = counting(tmp_path, 1, 2, 3, 4)
    for number in (3, 4):
        write_flat(tmp_path / f"shot.000{number}.png", 9, size=(16, 24))
    with pytest.raises(MediaError, match=r"shot.0003.png is 16x24, .*shot.0001.png is 32x24: all"), opened(path):
        pass


def test_an_unreadable_picture_is_named(tmp_path: Path) -> None:
    path = counting(tmp_path, 1, 2, 3)
    bad = tmp_path / "shot.0002.png"
    bad.write_bytes(bad.read_bytes()[:-40])
    with opened(path) as source, pytest.raises(MediaError, match=r"shot.0002.png is damaged .*: replace it"):
        list(source.frames())
    bad.write_bytes(b"")
    with pytest.raises(MediaError, match=r"shot.0002.png can't be read as a picture \(it is empty\)"), opened(path):
        pass


def test_exposures_that_the_camera_noted(tmp_path: Path) -> None:
    for number in range(4):
        path = write_flat(tmp_path / f"{number}.jpg", 100)
        add_exif(path, exif(time=(1, 800 if number % 2 else 100), iso=200))
    with opened(tmp_path) as source:
        assert source.exposures == pytest.approx([8, 1, 8, 1])
        assert source.name == tmp_path.name


def test_linear_values_above_one_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for number in range(3):
        write_linear(tmp_path / f"a.{number}.exr", np.full((24, 32, 3), 0.6 * number, np.float16))
    with caplog.at_level(logging.WARNING), opened(tmp_path / "a.*.exr") as source:
        list(source.frames())
    assert "1 picture holds linear values above 1.0, which is taken as the clip level" in caplog.text


def test_options_of_the_other_kind_are_refused(tmp_path: Path) -> None:
    clip = counting_clip(tmp_path / "a.mp4", count=2)
    with pytest.raises(MediaError, match=r"--fps is for image sequences, .*a.mp4 has times of its own"):
        opened(clip, fps=Fraction(24))
    with opened(clip) as source:
        assert (source.name, source.folder, source.numbers, source.exposures) == ("a", tmp_path, None, None)


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def names(found: SequenceFiles) -> list[str]:
    return [path.name for path in found.paths]


@pytest.mark.parametrize("pattern", ["f", "f/*.png", "f/a%d.png", "f/a#.png", "*/a*.png"])
def test_two_comes_before_ten(tmp_path: Path, pattern: str) -> None:
    touch(tmp_path, "f/a10.png", "f/a2.png", "f/a1.png", "f/.a3.png", "f/notes.txt")
    found = find_pictures(tmp_path / pattern)
    assert names(found) == ["a1.png", "a2.png", "a10.png"]
    assert found.numbers == (1, 2, 10)
    assert found.missing == [range(3, 10)]
    assert (found.name, found.folder) == ("a", tmp_path / "f")


@pytest.mark.parametrize("pattern", ["shot.%04d.tif", "shot.####.tif"])
def test_a_place_for_the_number_takes_its_digits_or_more(tmp_path: Path, pattern: str) -> None:
    touch(tmp_path, "shot.9999.tif", "shot.10000.tif", "shot.001.tif", "shot.9998.tiff", "other.9998.tif")
    found = find_pictures(tmp_path / pattern)
    assert names(found) == ["shot.9999.tif", "shot.10000.tif"]
    assert found.name == "shot"


def test_names_that_are_numbers_alone_are_called_after_their_folder(tmp_path: Path) -> None:
    touch(tmp_path, "scene/0001.png", "scene/0002.png")
    assert find_pictures(tmp_path / "scene").name == "scene"


def test_times_in_names_are_no_numbers_of_frames(tmp_path: Path) -> None:
    touch(tmp_path, "c_1700000000123.png", "c_1700000000164.png", "c_1700000000206.png")
    found = find_pictures(tmp_path)
    assert found.numbers is None
    assert found.missing == []


def test_names_may_take_turns(tmp_path: Path) -> None:
    touch(tmp_path, "001_short.png", "002_long.png", "003_short.png", "004_long.png")
    found = find_pictures(tmp_path)
    assert names(found) == ["001_short.png", "002_long.png", "003_short.png", "004_long.png"]
    assert found.numbers == (1, 2, 3, 4)


def test_numbers_in_words() -> None:
    assert describe_numbers([3]) == "3"
    assert describe_numbers([3, 4, 5, 9]) == "3-5, 9"
    assert describe_numbers(range(0, 40, 2)) == "0, 2, 4, 6, 8 and 15 more ranges"


@pytest.mark.parametrize(
    ("files", "source", "message"),
    [
        ([], "nothing.png", "no such file: .*nothing.png"),
        ([], "nothing.####.png", "no pictures match .*nothing.####.png: check the name and the number of digits"),
        ([], "*.png", "finds no pictures: PNG, TIFF, JPEG, OpenEXR, BMP and camera raw are read"),
        (["a.txt"], ".", "folder .* holds no pictures"),
        (["a.0007.png", "a.0008.png"], "a.0007.png", "a.0007.png is a single picture: .*'.*a.####.png'"),
        (["still.png"], "still.png", "still.png is a single picture: exposures need two frames or more"),
        (["x.png", "y.png"], "x.png", r"x.png is a single picture: pass its sequence, e.g. '.*/\*.png'"),
        (["a.0007.png"], "a.####.png", "finds a single picture, a.0007.png"),
        (["a.1.png", "a.1.tif"], ".", "holds .png and .tif pictures: say which"),
        (["a.1.png", "a.2.png", "b.1.png"], ".", r"pictures of 2 names \(a.1.png, b.1.png\): pass one"),
        (["a.1.png", "a.01.png", "a.2.png"], "a.#.png", "both have number 1"),
        (["a.1.png", "a.01.png", "a.2.png"], ".", "both have number 1"),
        (["a.1.b.1.png"], "a.#.b.#.png", "no pictures match .*: check the name"),
        (["a.1.b.#.png", "a.#.b.1.png"], "a.#.b.#.png", "2 places for a number: keep one"),
        (["a.1.dpx", "a.2.dpx"], "a.#.dpx", ".dpx is not read as a sequence: make PNG of .dpx first"),
    ],
)
def test_what_is_no_sequence(tmp_path: Path, files: list[str], source: str, message: str) -> None:
    touch(tmp_path, *files)
    with pytest.raises(MediaError, match=message):
        find_pictures(tmp_path / source)


def test_a_file_with_an_odd_name_is_a_file(tmp_path: Path) -> None:
    touch(tmp_path, "take#1.mp4", "50%d.mov", "a[1].mkv", "a.png")
    for name in ("take#1.mp4", "50%d.mov", "a[1].mkv", "missing.mp4"):
        assert not names_sequence(tmp_path / name)
    for name in ("a.png", "take#2.png", "*.mp4", "."):
        assert names_sequence(tmp_path / name)
