"""Bits of the codes in 16-bit pictures: found from their top, given, and what speaks against them."""

import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support.pictures import write_picture
from torch import Tensor

from lanhdr_cli.camera import CameraOptions, FirstLook, find_camera
from lanhdr_cli.media.code_bits import CodeBits, find_code_bits
from lanhdr_cli.media.errors import MediaError
from lanhdr_cli.media.source import Reading, open_source
from model.errors import ResponseError


def picture(top: int, *, step: int = 1, seed: int = 0) -> Tensor:
    """Random multiples of `step` up to `top` and `top` itself, over 65535, (3, 24, 32)."""
    codes = np.random.default_rng(seed).integers(0, top // step + 1, (3, 24, 32)) * step
    codes[:, 0, 0] = top
    return torch.from_numpy(codes.astype(np.float32)) / 65535


@pytest.mark.parametrize("bits", [8, 10, 12, 14])
def test_codes_at_the_bottom_are_scaled_to_white(bits: int) -> None:
    top = 2**bits - 1
    found = find_code_bits([picture(top // 8), picture(top, seed=1)])
    assert (found.bits, found.scales, found.highest) == (bits, True, top)
    assert found.scaled(picture(top)).max().item() == pytest.approx(1.0)
    assert found.scaled(picture(top // 3)).max().item() == pytest.approx(1 / 3, rel=1e-3)


@pytest.mark.parametrize("bits", [10, 12, 14])
@pytest.mark.parametrize("reach", [1.0, 0.2])  # dark clips too: 12 bits at the top never use the lowest four
def test_codes_at_the_top_stay_and_count_as_so_many_bits(bits: int, reach: float) -> None:
    step = 1 << (16 - bits)
    image = picture(int(reach * (2**bits - 1)) // 2 * 2 * step + step * (reach == 1.0), step=step)
    found = find_code_bits([image])
    assert (found.bits, found.scales) == (bits, False)
    assert found.scaled(image) is image


def test_sixteen_bits_stay() -> None:
    for top in (65535, 40001, 16385):
        assert find_code_bits([picture(top)]) == CodeBits()
    assert not find_code_bits([torch.zeros(3, 24, 32)]).scales


def test_only_as_many_pictures_are_read_as_leave_a_doubt() -> None:
    pictures = iter([picture(4000), picture(65535), picture(65535)])
    assert find_code_bits(pictures) == CodeBits()
    assert len(list(pictures)) == 1


def test_given_bits_are_certain() -> None:
    assert find_code_bits([picture(900)], given=14).top == 16383
    assert not find_code_bits([picture(900)], given=16).scales
    shifted = find_code_bits([picture(4095 << 4, step=16)], given=12)
    assert (shifted.bits, shifted.scales) == (12, False)
    with pytest.raises(MediaError, match=r"code 5001 has more than 12 bits: pass --bits 13 or more, up to 16"):
        find_code_bits([picture(5001)], given=12)


def linear_clip(folder: Path, suffix: str, *, gray: bool = False, top: int = 4095, count: int = 6) -> Path:
    """Linear light at exposures 1 and 8 as codes up to `top`, in 16-bit pictures."""
    light = np.random.default_rng(3).uniform(0.02, 1.4, (24, 32, 1 if gray else 3)).clip(0, 1)
    folder.mkdir()
    for number in range(count):
        codes = (top * light * (1 / 8, 1)[number % 2]).round().astype(np.uint16)
        if gray:
            Image.fromarray(codes[..., 0]).save(folder / f"{number}{suffix}")
        else:
            write_picture(folder / f"{number}{suffix}", codes)
    return folder


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("gray", [True, False])
def test_twelve_bits_are_found_in_pictures_and_said(
    tmp_path: Path, suffix: str, gray: bool, caplog: pytest.LogCaptureFixture
) -> None:
    source = linear_clip(tmp_path / "in", suffix, gray=gray)
    with caplog.at_level(logging.WARNING), open_source(source) as clip:
        first, second, *_ = clip.frames()
        assert clip.info.bits == 12
        assert clip.info.of_sensor
    assert second.image.max().item() == pytest.approx(1.0)
    assert first.image.max().item() == pytest.approx(1 / 8, abs=1e-3)
    assert (
        "no code is above 4095, so they are taken as of 12 bits: --bits 12 (or 16) says it for certain" in caplog.text
    )


def test_bits_that_are_given_are_not_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = linear_clip(tmp_path / "in", ".tif")
    with caplog.at_level(logging.WARNING), open_source(source, Reading(bits=14)) as clip:
        assert next(iter(clip.frames(start=1))).image.max().item() == pytest.approx(4095 / 16383)
    assert not caplog.records


def test_a_later_picture_of_more_bits_is_named(tmp_path: Path) -> None:
    source = linear_clip(tmp_path / "in", ".tif", count=80)
    write_picture(source / "5.tif", np.full((24, 32, 3), 9000, np.uint16))
    with (
        open_source(source) as clip,
        pytest.raises(MediaError, match=r"5\.tif: code 9000 has more than 12 bits: pass --bits 14 or more"),
    ):
        list(clip.frames())


def test_sensor_codes_are_linear_unless_a_response_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with open_source(linear_clip(tmp_path / "in", ".tif")) as clip:
        camera = find_camera(clip, CameraOptions(), exposures=None, look=FirstLook(clip))
        assert camera.curve.name == "linear"
        assert "codes are taken as linear, as sensors have them: pass --response if they are not" in caplog.text
        named = find_camera(clip, CameraOptions(response="srgb"), exposures=None, look=FirstLook(clip))
        assert named.curve.name == "srgb"
        with pytest.raises(ResponseError, match=r"--clip-code 0\.0624 is counted over 16 bits, .* over 12: leave it"):
            find_camera(clip, CameraOptions(clip_code=0.0624), exposures=None, look=FirstLook(clip))


def test_bits_are_refused_where_files_say_them(tmp_path: Path) -> None:
    for number in range(2):
        write_picture(tmp_path / f"{number}.png", np.full((24, 32, 3), 9, np.uint8))
    with pytest.raises(MediaError, match=r"--bits is for 16-bit pictures, those of .* have 8: leave it out"):
        open_source(tmp_path, Reading(bits=12)).__enter__()
    with pytest.raises(MediaError, match=r"--bits is for 16-bit pictures, .*a.mp4 says how many it has"):
        open_source(tmp_path / "a.mp4", Reading(bits=12))
