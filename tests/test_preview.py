"""The preview: frames picked, tone curve, and a PNG that others can read."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from lanhdr_cli.media.images import write_png
from lanhdr_cli.pipeline import ResultFrame
from lanhdr_cli.preview import GAP, PicturePreview, tone_map
from model.color import srgb_encode
from model.frames import HdrFrame, LdrFrame


def result(index: int, *, size: tuple[int, int] = (40, 30)) -> ResultFrame:
    frames = [
        LdrFrame(torch.full((3, size[1], size[0]), 0.1 + 0.01 * number), (1.0, 8.0)[number % 2], Fraction(number, 24))
        for number in range(max(0, index - 1), index + 3)
    ]
    own = next(frame for frame in frames if frame.time == Fraction(index, 24))
    hdr = HdrFrame(torch.rand(3, size[1], size[0]), own.time)
    return ResultFrame(index=index, ldr=own, hdr=hdr, nearby=tuple(frames))


def test_png_is_read_back_exactly(tmp_path: Path) -> None:
    codes = torch.randint(0, 256, (3, 23, 37), generator=torch.Generator().manual_seed(0))
    write_png(tmp_path / "a.png", codes / 255)
    with av.open(str(tmp_path / "a.png")) as container:
        read = next(container.decode(video=0)).to_ndarray(format="rgb24")
    np.testing.assert_array_equal(read, codes.permute(1, 2, 0).numpy())
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_srgb_known_values() -> None:
    linear = torch.tensor([0.0, 0.0031308, 0.18, 0.5, 1.0])
    expected = torch.tensor([0.0, 0.04045, 0.46136, 0.73536, 1.0])  # IEC 61966-2-1
    torch.testing.assert_close(srgb_encode(linear), expected, atol=2e-5, rtol=0)


def test_tone_map_keeps_order_hue_and_middle_gray() -> None:
    ramp = torch.logspace(-3, 1, 401).expand(3, 1, 401)
    mapped = tone_map(ramp)
    assert (mapped.diff(dim=2) >= 0).all()
    assert mapped.min() >= 0
    assert mapped.max().item() == pytest.approx(1.0, abs=1e-5)
    # The log-average (here 0.1) goes to 0.18 / 1.18, plus next to nothing.
    torch.testing.assert_close(mapped[0, 0, 200], srgb_encode(torch.tensor(0.18 / 1.18)), atol=5e-3, rtol=0)
    torch.testing.assert_close(tone_map(ramp * 37), mapped, atol=1e-4, rtol=0)
    red = torch.stack([ramp[0], ramp[0] * 0.5, ramp[0] * 0.25])
    mapped_red = tone_map(red)[:, 0, 100]
    assert mapped_red[0] > mapped_red[1] > mapped_red[2]


def test_tone_map_takes_black() -> None:
    assert tone_map(torch.zeros(3, 4, 4)).max() == 0


def test_short_long_and_result_are_side_by_side() -> None:
    preview = PicturePreview(Path("unused.png"), target=4)
    for index in range(8):
        preview.consider(result(index))
    picture = preview.picture()
    assert picture is not None
    assert picture.shape == (3, 30, 3 * 40 + 2 * GAP)
    torch.testing.assert_close(picture[:, :, :40], torch.full((3, 30, 40), 0.14))  # frame 4, short
    assert (picture[:, :, 40 : 40 + GAP] == 1).all()
    long = picture[0, 0, 40 + GAP].item()
    assert min(abs(long - value) for value in (0.13, 0.15)) < 1e-6  # frame 3 or 5


def test_a_clip_that_ends_early_shows_its_last_frame() -> None:
    preview = PicturePreview(Path("unused.png"), target=100)
    assert preview.picture() is None
    for index in range(3):
        preview.consider(result(index))
    picture = preview.picture()
    assert picture is not None
    torch.testing.assert_close(picture[:, :, :40], torch.full((3, 30, 40), 0.12))


@pytest.mark.parametrize(
    ("size", "shown"), [((960, 540), (540, 960)), ((1920, 1080), (540, 960)), ((2001, 3), (1, 960))]
)
def test_large_pictures_are_made_smaller(size: tuple[int, int], shown: tuple[int, int]) -> None:
    preview = PicturePreview(Path("unused.png"), target=0)
    preview.consider(result(0, size=size))
    picture = preview.picture()
    assert picture is not None
    assert picture.shape[1:] == (shown[0], 3 * shown[1] + 2 * GAP)
