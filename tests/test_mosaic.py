"""Mosaics of color filters: told from gray pictures, refused with advice, and demosaiced."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from support.clips import frame_of, write_clip
from support.converting import invoke

from lanhdr_cli.media.errors import MediaError
from lanhdr_cli.media.mosaic import Pattern, demosaiced, is_gray, shows_mosaic
from lanhdr_cli.media.source import Reading, open_source
from lanhdr_cli.options import BAYER_PATTERNS

Pixels = NDArray[np.float64]
SIZE = (96, 64)
ROWS, COLUMNS = np.mgrid[: SIZE[1], : SIZE[0]]


def colors(*, saturation: float = 0.5, seed: int = 0) -> Pixels:
    """Soft patches of color with a fine texture of brightness, 0..1, (H, W, 3)."""
    generator = np.random.default_rng(seed)
    coarse = generator.uniform(0.15, 0.8, (5, 7, 3))
    coarse = coarse.mean(-1, keepdims=True) * (1 - saturation) + coarse * saturation
    soft = np.kron(coarse, np.ones((13, 14, 1)))[: SIZE[1], : SIZE[0]]
    return soft * generator.uniform(0.8, 1.2, (SIZE[1], SIZE[0], 1))


def mosaic(picture: Pixels, pattern: str = "RGGB") -> Pixels:
    """Keep one color of each sample, (H, W)."""
    kept = np.empty(picture.shape[:2])
    for color, (row, column) in zip(pattern, ((0, 0), (0, 1), (1, 0), (1, 1)), strict=True):
        kept[row::2, column::2] = picture[row::2, column::2, "RGB".index(color)]
    return kept


def shown(picture: Pixels) -> bool:
    return shows_mosaic(torch.from_numpy(picture).float())


@pytest.mark.parametrize("pattern", BAYER_PATTERNS)
@pytest.mark.parametrize("noise", [0.0, 0.02])
def test_a_mosaic_shows_by_its_lattice(pattern: str, noise: float) -> None:
    generator = np.random.default_rng(1)
    assert shown((mosaic(colors(), pattern) + generator.normal(0, noise, SIZE[::-1])).clip(0, 1))


@pytest.mark.parametrize("balance", [(0.5, 1.0, 0.6), (0.4, 1.0, 0.8)])
def test_a_gray_scene_shows_it_by_the_color_of_its_light(balance: tuple[float, float, float]) -> None:
    assert shown(mosaic(colors(saturation=0.0) * balance))


GENERATOR = np.random.default_rng(2)
TEXTURES: dict[str, Pixels] = {
    "scene": colors()[..., 1],
    "flat": np.full(SIZE[::-1], 0.5),
    "black": np.zeros(SIZE[::-1]),
    "slope": (ROWS + COLUMNS) / sum(SIZE),
    "noise": GENERATOR.random(SIZE[::-1]),
    "few codes": np.rint(20 + GENERATOR.normal(0, 1, SIZE[::-1])) / 255,
    "checkerboard": (ROWS + COLUMNS) % 2 * 0.6 + 0.2,
    "stripes": COLUMNS % 2 * 0.6 + 0.2,
    "lines": ROWS % 2 * 0.6 + 0.2,
    "weave": ((ROWS % 4 < 2) ^ (COLUMNS % 4 < 2)) * 0.6 + 0.2,
    "dots": ((ROWS % 3 == 0) & (COLUMNS % 3 == 0)) * 0.8 + 0.1,
    "zone plate": 0.5 + 0.4 * np.cos((ROWS**2 + COLUMNS**2) / 60),
    "diagonals": 0.5 + 0.4 * np.cos(2.9 * (ROWS + COLUMNS)),
}


@pytest.mark.parametrize("name", TEXTURES)
def test_gray_textures_are_no_mosaic(name: str) -> None:
    for shift in (0, 1):
        assert not shown(TEXTURES[name][shift:, : SIZE[0] - shift])


@pytest.mark.parametrize("pattern", BAYER_PATTERNS)
def test_colors_come_back(pattern: Pattern) -> None:
    smooth = np.stack([0.2 + 0.5 * ROWS / SIZE[1], 0.3 + 0.5 * COLUMNS / SIZE[0], 0.8 - 0.5 * ROWS / SIZE[1]], -1)
    image = torch.from_numpy(mosaic(smooth, pattern)).float().expand(3, -1, -1)
    found = demosaiced(image, pattern).permute(1, 2, 0).numpy()[2:-2, 2:-2]
    np.testing.assert_allclose(found, smooth[2:-2, 2:-2], atol=6e-3)


def test_pictures_in_color_are_not_demosaiced() -> None:
    image = torch.from_numpy(colors()).permute(2, 0, 1).float()
    assert not is_gray(image)
    with pytest.raises(MediaError, match="--bayer RGGB is for gray pictures, these are in color: leave it out"):
        demosaiced(image, "RGGB")


def mosaic_pictures(folder: Path, *, bits: int, count: int = 4) -> Path:
    folder.mkdir()
    top, kind = 2**bits - 1, np.uint8 if bits == 8 else np.uint16
    for number in range(count):
        codes = (top * (mosaic(colors() * (1 / 8, 1)[number % 2])).clip(0, 1)).round().astype(kind)
        Image.fromarray(codes).save(folder / f"{number}.png")
    return folder


def mosaic_video(path: Path, *, count: int = 4) -> Path:
    planes = [(255 * mosaic(colors() * (1 / 8, 1)[number % 2]).clip(0, 1)).round() for number in range(count)]
    return write_clip(path, [frame_of([plane.astype(np.uint8)], "gray", size=SIZE) for plane in planes])


@pytest.mark.parametrize("kind", ["8", "12", "16", "video"])
def test_mosaics_are_refused_with_advice_and_read_with_their_pattern(tmp_path: Path, kind: str) -> None:
    source = mosaic_video(tmp_path / "a.mkv") if kind == "video" else mosaic_pictures(tmp_path / "in", bits=int(kind))
    told = invoke("convert", source, "-o", tmp_path / "o.exr", "--exposures", "1,8", "--no-progress")
    assert told.exit_code == 1
    advice = "is a mosaic of color filters: pass --bayer RGGB, BGGR, GRBG or GBRG, as the camera's manual has it, or"
    assert advice in told.stderr
    assert not list(tmp_path.glob("o*.exr"))
    with open_source(source, Reading(bayer="RGGB")) as clip:
        image = list(clip.frames())[1].image.numpy().transpose(1, 2, 0)
        assert clip.info.of_sensor
    softened = np.abs(image - colors().clip(0, 1))[4:-4, 4:-4]
    assert np.median(softened) < 0.05
    gray = image.mean(-1, keepdims=True)
    assert np.abs(image - colors()).mean() < 0.6 * np.abs(gray - colors()).mean()


def test_no_mosaic_is_an_answer(tmp_path: Path) -> None:
    source = mosaic_pictures(tmp_path / "in", bits=8)
    told = invoke("inspect", source, "--bayer", "none", "--exposures", "1,8", "--response", "linear")
    assert told.exit_code == 0, told.output


def test_opencv_is_asked_for_before_anything_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(MediaError, match=r"--bayer needs OpenCV, .*: pip install opencv-python-headless"):
        open_source(tmp_path / "none", Reading(bayer="RGGB"))
