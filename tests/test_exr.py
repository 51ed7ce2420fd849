"""EXR files, read back by OpenEXR and, where it is installed, by OpenImageIO."""

import shutil
import subprocess
from fractions import Fraction
from pathlib import Path
from typing import cast

import colour
import numpy as np
import OpenEXR
import pytest
import torch
from torch import Tensor

from lanhdr_cli.media.errors import MediaError
from lanhdr_cli.media.exr import ClipRecord, ExrWriter, half_pixels
from lanhdr_cli.media.paths import FrameNames, frame_names
from model.frames import HdrFrame

NTSC_FILM = Fraction(24000, 1001)


def record(**changes: object) -> ClipRecord:
    values: dict[str, object] = {
        "rate": NTSC_FILM,
        "timecode": "01:02:03:22",
        "pixel_aspect": Fraction(4, 3),
        "scale": 8.0,
        "exposures": (1.0, 8.0),
        "weights": "lite_2e",
        "version": "1.2.3",
    }
    return ClipRecord(**(values | changes))  # type: ignore[arg-type]


def picture(seed: int = 0, *, size: tuple[int, int] = (7, 5)) -> Tensor:
    return torch.rand(3, size[1], size[0], generator=torch.Generator().manual_seed(seed))


def names_in(folder: Path) -> FrameNames:
    return frame_names(str(folder / "a.1001.exr"), "clip")


def write(folder: Path, images: list[Tensor], settings: ClipRecord) -> list[Path]:
    names = names_in(folder)
    with ExrWriter(names, settings) as writer:
        for index, image in enumerate(images):
            frame = HdrFrame(image, index / NTSC_FILM)
            writer.write(frame, index=index, exposure=settings.exposures[index % len(settings.exposures)])
    assert writer.written == len(images)
    return [names.path(index) for index in range(len(images))]


def read(path: Path) -> tuple[np.ndarray, dict[str, object]]:
    with OpenEXR.File(str(path)) as file:
        return file.channels()["RGB"].pixels.copy(), dict(file.header())


def label(header: dict[str, object]) -> tuple[int, int, int, int]:
    timecode = cast(OpenEXR.TimeCode, header["timeCode"])
    return timecode.hours, timecode.minutes, timecode.seconds, timecode.frame


def test_pixels_are_scaled_halves_in_place(tmp_path: Path) -> None:
    images = [picture(seed) for seed in range(7)]
    for image, path in zip(images, write(tmp_path, images, record()), strict=True):
        pixels, header = read(path)
        assert pixels.dtype == np.float16
        assert header["compression"] == OpenEXR.ZIP_COMPRESSION
        np.testing.assert_array_equal(pixels, (image * 8).half().numpy().transpose(1, 2, 0))


def test_views_are_laid_out_before_they_are_written(tmp_path: Path) -> None:
    """OpenEXR takes strided arrays without complaint and writes other pixels."""
    image = picture(size=(20, 10))[:, ::2, 3:17].flip(2)
    (path,) = write(tmp_path, [image], record(scale=1.0))
    np.testing.assert_array_equal(read(path)[0], image.half().numpy().transpose(1, 2, 0))


def test_header_says_color_time_and_origin(tmp_path: Path) -> None:
    path = write(tmp_path, [picture()] * 4, record())[3]
    header = read(path)[1]
    np.testing.assert_allclose(header["chromaticities"], (0.64, 0.33, 0.3, 0.6, 0.15, 0.06, 0.3127, 0.329), atol=1e-7)  # type: ignore[call-overload]
    assert header["colorInteropID"] == "lin_rec709_scene"
    assert header["framesPerSecond"] == NTSC_FILM
    assert header["pixelAspectRatio"] == pytest.approx(4 / 3)
    assert label(header) == (1, 2, 4, 1)
    assert header["imageCounter"] == 1004
    assert header["lanhdr/exposureScale"] == 8.0
    assert header["lanhdr/exposures"] == "1,8"
    assert header["lanhdr/weights"] == "lite_2e"
    assert header["lanhdr/version"] == "1.2.3"
    assert header["lanhdr/sourceFrame"] == 3
    assert header["lanhdr/sourceExposure"] == 8.0
    assert Fraction(str(header["lanhdr/sourceTime"])) == 3 / NTSC_FILM
    assert OpenEXR.checkColorMetadata(OpenEXR.File(str(path)).header()) == 0


def test_time_code_counts_from_zero_without_one(tmp_path: Path) -> None:
    path = write(tmp_path, [picture()] * 2, record(timecode=None, rate=Fraction(24)))[1]
    assert label(read(path)[1]) == (0, 0, 0, 1)


def test_fast_video_numbers_pairs_of_frames(tmp_path: Path) -> None:
    path = write(tmp_path, [picture()] * 4, record(timecode=None, rate=Fraction(60)))[3]
    header = read(path)[1]
    assert label(header) == (0, 0, 0, 1)
    assert cast(OpenEXR.TimeCode, header["timeCode"]).fieldPhase


@pytest.mark.parametrize("rate", [None, Fraction(240)])
def test_no_time_code_where_none_can_be_had(tmp_path: Path, rate: Fraction | None) -> None:
    header = read(write(tmp_path, [picture()], record(rate=rate))[0])[1]
    assert "timeCode" not in header
    assert ("framesPerSecond" in header) == (rate is not None)


def test_what_half_can_not_hold_is_clamped() -> None:
    image = torch.tensor([float("nan"), float("inf"), -float("inf"), 1e6, -1e6, 0.25]).view(1, 1, 6).repeat(3, 1, 1)
    expected = [0, 65504, -65504, 65504, -65504, 0.5]
    np.testing.assert_array_equal(half_pixels(image, 2.0)[0, :, 0].double().numpy(), expected)


def test_nan_frames_are_counted(tmp_path: Path) -> None:
    bad = picture()
    bad[0, 0, 0] = float("nan")
    with ExrWriter(names_in(tmp_path), record()) as writer:
        for index, image in enumerate([picture(), bad, picture()]):
            writer.write(HdrFrame(image, Fraction(index)), index=index, exposure=1.0)
    assert writer.nan_frames == 1


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_leaves_finished_files_only(tmp_path: Path, error: type[BaseException]) -> None:
    image = picture(size=(300, 200))
    with pytest.raises(error), ExrWriter(names_in(tmp_path), record()) as writer:
        for index in range(4):
            writer.write(HdrFrame(image, Fraction(index)), index=index, exposure=1.0)
        raise error
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == [f"a.{number}.exr" for number in range(1001, 1001 + len(names))]
    assert writer.written == len(names)
    for name in names:
        np.testing.assert_array_equal(read(tmp_path / name)[0], half_pixels(image, 8.0).numpy())


def test_a_folder_that_vanishes_is_told(tmp_path: Path) -> None:
    names = names_in(tmp_path / "gone")
    with pytest.raises(MediaError, match=r"can't write .*gone/a.1001.exr"), ExrWriter(names, record()) as writer:
        writer.write(HdrFrame(picture(), Fraction(0)), index=0, exposure=1.0)
    assert list(tmp_path.iterdir()) == []


def test_errors_surface_while_writing(tmp_path: Path) -> None:
    names = names_in(tmp_path)
    (tmp_path / "a.1001.exr").mkdir()
    with pytest.raises(MediaError, match=r"a.1001.exr"), ExrWriter(names, record()) as writer:
        for index in range(50):
            writer.write(HdrFrame(picture(), Fraction(index)), index=index, exposure=1.0)
        pytest.fail("fifty frames were taken after the first had failed")
    assert not any(path.name.endswith(".tmp") for path in tmp_path.iterdir())


@pytest.mark.skipif(shutil.which("oiiotool") is None, reason="oiiotool is not installed")
def test_openimageio_reads_header_and_pixels(tmp_path: Path) -> None:
    image = torch.full((3, 5, 7), 0.25)
    path = write(tmp_path, [image] * 3, record())[2]
    told = subprocess.run(
        ["oiiotool", "--info", "-v", "--stats", str(path)], capture_output=True, text=True, check=True
    )
    for expected in (
        "7 x    5, 3 channel, half",
        "smpte:TimeCode: 01:02:04:00",
        "24000/1001",
        "lin_rec709_scene",
        "zip",
    ):
        assert expected in told.stdout, told.stdout
    assert "Stats Avg: 2.000000 2.000000 2.000000" in told.stdout


@pytest.mark.parametrize(
    ("colorspace", "space", "interop"),
    [
        ("rec709", "ITU-R BT.709", "lin_rec709_scene"),
        ("rec2020", "ITU-R BT.2020", "lin_rec2020_scene"),
        ("acescg", "ACEScg", "lin_ap1_scene"),
        ("aces2065-1", "ACES2065-1", "lin_ap0_scene"),
    ],
)
def test_colorspace_is_in_pixels_and_header(tmp_path: Path, colorspace: str, space: str, interop: str) -> None:
    image = picture()
    path = write(tmp_path, [image], record(colorspace=colorspace, scale=1.0))[0]
    pixels, header = read(path)
    truth = colour.RGB_COLOURSPACES[space]
    expected_primaries = np.concatenate([truth.primaries.ravel(), truth.whitepoint])
    np.testing.assert_allclose(header["chromaticities"], expected_primaries, atol=1e-6)  # type: ignore[call-overload]
    assert header["colorInteropID"] == interop
    assert OpenEXR.checkColorMetadata(OpenEXR.File(str(path)).header()) == 0
    matrix = colour.matrix_RGB_to_RGB(colour.RGB_COLOURSPACES["ITU-R BT.709"], truth, "Bradford")
    expected = image.permute(1, 2, 0).double().numpy() @ matrix.T
    # half float keeps 11 bits; matrices printed with rounding differ in the fifth digit
    np.testing.assert_allclose(pixels.astype(float), expected, rtol=6e-4, atol=1e-4)


@pytest.mark.skipif(shutil.which("oiiotool") is None, reason="oiiotool is not installed")
def test_openimageio_reads_the_colorspace(tmp_path: Path) -> None:
    path = write(tmp_path, [picture()], record(colorspace="acescg"))[0]
    told = subprocess.run(["oiiotool", "--info", "-v", str(path)], capture_output=True, text=True, check=True).stdout
    assert "lin_ap1_scene" in told
    assert "chromaticities: 0.713, 0.293, 0.165, 0.83, 0.128, 0.044, 0.32168, 0.33767" in told
