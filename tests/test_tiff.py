"""TIFF files: pages are frames, BigTIFF, floats, and what is refused before the first frame."""

import logging
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from support.converting import identity, invoke, read_exr
from support.pictures import write_picture
from support.tiff import write_tiff

from lanhdr_cli.camera import CameraOptions, FirstLook, find_camera
from lanhdr_cli.media.errors import MediaError
from lanhdr_cli.media.images import read_header, read_picture
from lanhdr_cli.media.source import Reading, open_source

SHAPE = (24, 32, 3)


def random_page(kind: type[np.generic], *, seed: int = 0, shape: tuple[int, ...] = SHAPE) -> NDArray[np.generic]:
    generator = np.random.default_rng(seed)
    if issubclass(kind, np.floating):
        return generator.random(shape).astype(kind)
    return generator.integers(0, 2 ** (8 * np.dtype(kind).itemsize) - 1, shape, endpoint=True).astype(kind)


def unit(page: NDArray[np.generic]) -> NDArray[np.float64]:
    """As R, G, B, 0..1, (H, W, 3)."""
    top = 1.0 if page.dtype.kind == "f" else float(2 ** (8 * page.itemsize) - 1)
    return np.broadcast_to(page.reshape(*page.shape[:2], -1).astype(np.float64) / top, SHAPE)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("deflate", [False, True])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float16, np.float32, np.float64])
@pytest.mark.parametrize("shape", [SHAPE, SHAPE[:2]])
def test_every_page_is_exact(
    tmp_path: Path, order: Literal["<", ">"], big: bool, deflate: bool, kind: type[np.generic], shape: tuple[int, ...]
) -> None:
    pages = [random_page(kind, seed=seed, shape=shape) for seed in range(3)]
    path = write_tiff(tmp_path / "a.tif", pages, order=order, big=big, deflate=deflate)
    header = read_header(path)
    assert header.size == (32, 24)
    assert len(header.pages) == 3
    for page, expected in zip(header.pages, pages, strict=True):
        picture = read_picture(path, page)
        assert picture.is_float == (expected.dtype.kind == "f")
        np.testing.assert_allclose(picture.image.numpy().transpose(1, 2, 0), unit(expected), atol=2e-7)


@pytest.mark.parametrize("kind", [np.float16, np.float32])
@pytest.mark.parametrize("shape", [SHAPE, SHAPE[:2]])
def test_floats_by_differences_of_their_bytes(tmp_path: Path, kind: type[np.generic], shape: tuple[int, ...]) -> None:
    page = random_page(kind, shape=shape)
    path = write_tiff(tmp_path / "a.tif", [page], deflate=True, float_predictor=True)
    np.testing.assert_allclose(read_picture(path).image.numpy().transpose(1, 2, 0), unit(page), atol=2e-7)


def test_pages_by_pillow(tmp_path: Path) -> None:
    pages = [random_page(np.uint8, seed=seed) for seed in range(4)]
    first, *rest = (Image.fromarray(page) for page in pages)
    first.save(tmp_path / "a.tif", save_all=True, append_images=rest, compression="tiff_lzw")
    with open_source(tmp_path / "a.tif") as clip:
        for frame, page in zip(clip.frames(), pages, strict=True):
            np.testing.assert_allclose(frame.image.numpy().transpose(1, 2, 0), unit(page), atol=2e-7)


def codes(number: int) -> NDArray[np.generic]:
    return np.full(SHAPE, 10 * number, np.uint8)


def levels(path: Path, **wishes: object) -> list[int]:
    with open_source(path, Reading(**wishes)) as clip:  # type: ignore[arg-type]
        frames = list(clip.frames())
        assert clip.info.frames == len(frames)
        assert [frame.time * 24 for frame in frames] == list(range(len(frames)))
        return [round(float(frame.image.mean()) * 25.5) for frame in frames]


def test_one_file_is_a_clip(tmp_path: Path) -> None:
    stack = write_tiff(tmp_path / "in" / "stack.tif", [codes(number) for number in range(1, 7)])
    assert levels(stack) == levels(stack.parent) == [1, 2, 3, 4, 5, 6]


def test_pages_of_all_files_come_in_order(tmp_path: Path) -> None:
    for number in range(3):
        write_tiff(tmp_path / f"p_{number}.tif", [codes(2 * number + 1), codes(2 * number + 2)])
    write_tiff(tmp_path / "p_3.tif", [codes(7)])
    assert levels(tmp_path) == levels(tmp_path / "p_#.tif") == [1, 2, 3, 4, 5, 6, 7]
    with open_source(tmp_path) as clip:
        assert clip.numbers is None
        assert len(clip.paths) == 4


def test_a_missing_file_of_pages(tmp_path: Path) -> None:
    for number in (1, 2, 4):
        write_tiff(tmp_path / f"p_{number}.tif", [codes(number), codes(number + 1)])
    with pytest.raises(MediaError, match=r"1 of its numbers missing \(3\): find them, or pass"):
        levels(tmp_path)
    with pytest.raises(MediaError, match="each holds several frames: find them, or pass --on-missing skip"):
        levels(tmp_path, on_missing="repeat")
    assert levels(tmp_path, on_missing="skip") == [1, 2, 2, 3, 4, 5]


def test_a_stack_of_imagej_has_one_directory(tmp_path: Path) -> None:
    pages = [random_page(np.uint16, seed=seed) for seed in range(3)]
    note = "ImageJ=1.54f\nimages=3\nslices=3\n"
    # The directory comes first, then the samples of all slices.
    length = len(write_tiff(tmp_path / "a.tif", pages[:1], strips=1, extra={270: note}).read_bytes())
    moved = write_tiff(tmp_path / "b.tif", pages[:1], strips=1, extra={270: note, 273: [length]})
    moved.write_bytes(moved.read_bytes() + b"".join(page.tobytes() for page in pages))
    with open_source(moved) as clip:
        for frame, page in zip(clip.frames(), pages, strict=True):
            np.testing.assert_allclose(frame.image.numpy().transpose(1, 2, 0), unit(page), atol=2e-7)


def test_pages_of_another_size_are_named(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "a.tif", [codes(1), codes(9)[:8, :8]])
    with pytest.raises(MediaError, match=r"a\.tif: page 2 is 8x8, the first is 32x24: write the pages of one size"):
        read_header(path)


@pytest.mark.parametrize("kind", [1, 4])
def test_previews_and_masks_are_no_frames(tmp_path: Path, kind: int) -> None:
    path = write_tiff(tmp_path / "a.tif", [codes(1), codes(9)[:8, :8], codes(2)], kinds=(0, kind, 0))
    assert levels(path) == [1, 2]


@pytest.mark.parametrize(
    ("pages", "extra", "message"),
    [
        ([random_page(np.uint8)], {270: '{"shape": [5, 24, 32, 3], "truncated": true}'}, "describes its first page"),
        ([random_page(np.float32)], {284: 2}, "holds floats of an unusual layout: write R, G and B"),
        ([random_page(np.uint32)], {}, "has samples of 32 bits, .*: write 8 or 16 bits, or floats"),
        ([random_page(np.uint16)], {339: 2}, "has signed or complex samples, .*: write unsigned ones, or floats"),
        ([random_page(np.uint8)], {322: 16}, "is a TIFF in tiles, which can't be read: write it in strips"),
    ],
)
def test_what_can_not_be_read_is_refused_before_the_first_frame(
    tmp_path: Path, pages: list[NDArray[np.generic]], extra: dict[int, object], message: str
) -> None:
    for number in range(2):
        write_tiff(tmp_path / "in" / f"{number}.tif", pages, extra=extra)  # type: ignore[arg-type]
    told = invoke("convert", tmp_path / "in", "-o", tmp_path / "o.exr", "--exposures", "1,8")
    assert told.exit_code == 1
    assert told.stderr.count("\n") == 1
    with pytest.raises(MediaError, match=rf"0\.tif {message}"):
        open_source(tmp_path / "in").__enter__()


@pytest.mark.parametrize("big", [False, True])
def test_a_stack_that_was_cut_off_is_named(tmp_path: Path, big: bool) -> None:
    path = write_tiff(tmp_path / "a.tif", [codes(number) for number in range(4)], big=big)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(MediaError, match=r"a\.tif can't be read as a picture \(its header is damaged\)"):
        read_header(path)


def float_clip(folder: Path, *, power: float) -> NDArray[np.float64]:
    light = np.random.default_rng(0).uniform(0.05, 1.0, SHAPE)
    for number in range(4):
        exposed = (light * (1 / 8, 1)[number % 2]) ** (1 / power)
        write_tiff(folder / f"{number}.tif", [exposed.astype(np.float32)])
    return light


@pytest.mark.parametrize(("response", "power"), [(None, 1.0), ("linear", 1.0), ("gamma2.2", 2.2)])
def test_floats_are_linear_unless_a_response_is_named(
    tmp_path: Path, response: str | None, power: float, caplog: pytest.LogCaptureFixture
) -> None:
    light = float_clip(tmp_path, power=power)
    with caplog.at_level(logging.WARNING), open_source(tmp_path) as clip:
        assert clip.info.description == "tiff float32 32x24"
        curve = find_camera(clip, CameraOptions(response=response), exposures=None, look=FirstLook(clip)).curve
        frames = [frame.image for frame in clip.frames()]
    assert ("floats are taken as linear, --response says otherwise" in caplog.text) == (response is None)
    found = curve.linearize(frames[1]).numpy().transpose(1, 2, 0)
    np.testing.assert_allclose(found, light, rtol=1e-5)


def test_floats_become_exr(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lanhdr_cli.conversion.run.__kwdefaults__", {"load": identity})
    light = float_clip(tmp_path / "in", power=1.0)
    told = invoke("convert", tmp_path / "in", "-o", tmp_path / "o.exr", "--exposures", "1,8")
    assert told.exit_code == 0, told.output
    for number in range(4):
        np.testing.assert_allclose(read_exr(tmp_path / f"o.{number:04d}.exr")[0], light, rtol=3e-3)


def test_pages_and_pictures_of_sixteen_bits_are_the_same(tmp_path: Path) -> None:
    page = random_page(np.uint16).astype(np.uint16)
    one, two = write_picture(tmp_path / "a.tif", page), write_tiff(tmp_path / "b.tif", [page, page])
    assert read_picture(one).image.equal(read_picture(two).image)
    assert read_picture(one).format == read_picture(two).format == "tiff rgb48le"
