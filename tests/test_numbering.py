"""Which files make up a sequence: order, gaps, and what is not clear."""

from pathlib import Path

import pytest

from lanhdr_cli.media.errors import MediaError
from lanhdr_cli.media.image_sequence import Numbered, describe_numbers, find_pictures, names_sequence


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def names(found: Numbered) -> list[str]:
    return [path.name for path in found.paths]


@pytest.mark.parametrize("pattern", ["f", "f/*.png", "f/a%d.png", "f/a#.png", "*/a*.png"])
def test_two_comes_before_ten(tmp_path: Path, pattern: str) -> None:
    touch(tmp_path, "f/a10.png", "f/a2.png", "f/a1.png", "f/.a3.png", "f/notes.txt")
    found = find_pictures(tmp_path / pattern)
    assert names(found) == ["a1.png", "a2.png", "a10.png"]
    assert found.numbers == (1, 2, 10)
    assert found.missing == [3, 4, 5, 6, 7, 8, 9]
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
        ([], "*.png", "finds no pictures: PNG, TIFF, JPEG and OpenEXR are read"),
        (["a.txt"], ".", "folder .* holds no pictures"),
        (["a.0007.png", "a.0008.png"], "a.0007.png", "a.0007.png is a single picture: .*'.*a.####.png'"),
        (["still.png"], "still.png", r"still.png is a single picture: pass its sequence, e.g. '.*\*.png'"),
        (["a.0007.png"], "a.####.png", "finds a single picture, a.0007.png"),
        (["a.1.png", "a.1.tif"], ".", "holds .png and .tif pictures: say which"),
        (["a.1.png", "a.2.png", "b.1.png"], ".", r"pictures of 2 names \(a.1.png, b.1.png\): pass one"),
        (["a.1.png", "a.01.png", "a.2.png"], "a.#.png", "both have number 1"),
        (["a.1.png", "a.01.png", "a.2.png"], ".", "both have number 1"),
        (["a.1.b.1.png"], "a.#.b.#.png", "two places for a number"),
        (["a.1.dpx", "a.2.dpx"], "a.#.dpx", "are read as a sequence, not .dpx"),
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
