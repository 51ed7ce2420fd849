"""Names that `-o` stands for, and files that are complete or absent."""

from pathlib import Path

import pytest

from lanhdr_cli.media.errors import MediaError
from lanhdr_cli.media.paths import (
    check_output,
    check_preview,
    complete_file,
    frame_names,
    prepare_folder,
    refuse_existing,
)


@pytest.mark.parametrize(
    ("target", "first_two"),
    [
        ("out/", ("out/clip.0001.exr", "out/clip.0002.exr")),
        ("out.exr", ("out.0001.exr", "out.0002.exr")),
        ("out.####.exr", ("out.0001.exr", "out.0002.exr")),
        ("out_#.exr", ("out_0001.exr", "out_0002.exr")),
        ("out.######.exr", ("out.000001.exr", "out.000002.exr")),
        ("out.%05d.exr", ("out.00001.exr", "out.00002.exr")),
        ("out%d.exr", ("out1.exr", "out2.exr")),
        ("out.1001.exr", ("out.1001.exr", "out.1002.exr")),
        ("MVI_0042.exr", ("MVI_0042.0001.exr", "MVI_0042.0002.exr")),
        ("shot-1001.exr", ("shot-1001.0001.exr", "shot-1001.0002.exr")),
        ("a.v02.exr", ("a.v02.0001.exr", "a.v02.0002.exr")),
        ("MVI_0042.1001.exr", ("MVI_0042.1001.exr", "MVI_0042.1002.exr")),
        ("take12.exr", ("take12.0001.exr", "take12.0002.exr")),
        ("a.1001/b.exr", ("a.1001/b.0001.exr", "a.1001/b.0002.exr")),
    ],
)
def test_names(target: str, first_two: tuple[str, str]) -> None:
    names = frame_names(target, "clip")
    assert (str(names.path(0)), str(names.path(1))) == first_two


def test_an_existing_folder_needs_no_slash(tmp_path: Path) -> None:
    assert frame_names(str(tmp_path), "clip").path(0) == tmp_path / "clip.0001.exr"


def test_ranges_done_apart_fit_together() -> None:
    whole, part = frame_names("o.exr", "clip"), frame_names("o.exr", "clip", first=24)
    assert whole.path(24) == part.path(24) == Path("o.0025.exr")


def test_a_number_that_is_given_belongs_to_the_first_frame_of_the_range() -> None:
    assert frame_names("o.1001.exr", "clip", first=24).path(24) == Path("o.1001.exr")
    assert frame_names("o.exr", "clip", first=24, start_number=7).path(25) == Path("o.0008.exr")
    assert frame_names("o.exr", "clip", start_number=0).path(0) == Path("o.0000.exr")


def test_a_single_frame_keeps_its_plain_name() -> None:
    assert frame_names("o.exr", "clip", first=5, single=True).path(5) == Path("o.exr")
    assert frame_names("o.####.exr", "clip", first=5, single=True).path(5) == Path("o.0006.exr")


@pytest.mark.parametrize("target", ["a.##.b.##.exr", "a%d.####.exr"])
def test_two_places_for_a_number_are_refused(target: str) -> None:
    with pytest.raises(MediaError, match="2 places for a number: keep one"):
        frame_names(target, "clip")


def test_two_start_numbers_are_refused() -> None:
    with pytest.raises(MediaError, match="already starts at 1001: leave out --start-number 5"):
        frame_names("a.1001.exr", "clip", start_number=5)


def test_existing_files_are_those_that_would_be_replaced(tmp_path: Path) -> None:
    for name in ("o.0001.exr", "o.0012.exr", "o.12345.exr", "o.012.exr", "o.00012.exr", "o.0001.exr.bak", "p.0001.exr"):
        (tmp_path / name).touch()
    names = frame_names(str(tmp_path / "o.exr"), "clip")
    assert [path.name for path in names.existing(0, None)] == ["o.0001.exr", "o.0012.exr", "o.12345.exr"]
    assert [path.name for path in names.existing(1, 20)] == ["o.0012.exr"]
    assert names.existing(12, 20) == []
    assert frame_names(str(tmp_path / "new" / "o.exr"), "clip").existing(0, None) == []


def test_existing_single_file(tmp_path: Path) -> None:
    (tmp_path / "o.exr").touch()
    names = frame_names(str(tmp_path / "o.exr"), "clip", first=3, single=True)
    assert names.existing(3, 3) == [tmp_path / "o.exr"]


def test_existing_files_are_refused_by_name() -> None:
    refuse_existing([])
    with pytest.raises(MediaError, match=r"a.exr and 2 more exist already: pass -y"):
        refuse_existing([Path("a.exr"), Path("b.exr"), Path("c.exr")])


def test_output_must_be_exr_or_video() -> None:
    for target in ("out.exr", "OUT.EXR", "dir/", "a.####.exr", "out.mp4", "a.MOV", "a.mkv"):
        check_output(target)
    for target in ("out.tiff", "out", "out.webm"):
        with pytest.raises(MediaError, match=f"-o {target}: can't write .* pass out.mp4, .* out.exr, or out/"):
            check_output(target)
    check_preview(Path("a.png"))
    check_preview(Path("a.mp4"))
    with pytest.raises(MediaError, match=r"a.jpg: can only write PNG and video"):
        check_preview(Path("a.jpg"))


def test_folders_are_made_and_tried(tmp_path: Path) -> None:
    prepare_folder(tmp_path / "a" / "b")
    assert list((tmp_path / "a" / "b").iterdir()) == []
    (tmp_path / "file").touch()
    with pytest.raises(MediaError, match=r"can't write to folder .*file/x \(Not a directory\): choose another"):
        prepare_folder(tmp_path / "file" / "x")


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_file_is_complete_or_absent(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "a.bin"
    with complete_file(path) as unfinished:
        unfinished.write_text("all of it")
        assert not path.exists()
        assert unfinished.name.startswith(".")
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.bin"]
    with pytest.raises(error), complete_file(path) as unfinished:
        unfinished.write_text("half")
        raise error
    assert path.read_text() == "all of it"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.bin"]


def test_a_vanished_folder_is_told(tmp_path: Path) -> None:
    message = r"can't write .*gone/a.bin \(No such file or directory\)"
    with pytest.raises(MediaError, match=message), complete_file(tmp_path / "gone" / "a.bin") as unfinished:
        unfinished.write_text("x")
