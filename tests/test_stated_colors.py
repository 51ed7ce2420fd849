"""Primaries and transfer functions that headers of pictures name: read, used, shown, and overruled."""

import json
import logging
import struct
from fractions import Fraction
from pathlib import Path

import colour
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import ImageCms
from support.converting import identity, invoke, read_exr
from support.pictures import write_flat, write_linear, write_picture
from support.profiles import (
    SRGB_CURVE,
    add_chunks,
    icc_profile,
    parametric,
    profile_of,
    sampled_curve,
    write_with_profile,
)
from support.tiff import write_tiff

from lanhdr_cli.camera import CameraOptions, FirstLook, find_camera
from lanhdr_cli.media.exr import ClipRecord, frame_header, write_exr
from lanhdr_cli.media.images import read_header
from lanhdr_cli.media.source import open_source
from lanhdr_cli.media.stated_colors import StatedColors, of_icc
from model.color import (
    ACES2065_1,
    ACESCG,
    ADOBE_RGB,
    P3_D65,
    REC709,
    REC2020,
    Primaries,
    conversion_matrix,
    convert_primaries,
)
from model.exposure import ExposureCycle, FrameExposures

CODES = np.linspace(0, 1, 1024)
SPACES = [
    ("sRGB", REC709, "bt709"),
    ("Display P3", P3_D65, "smpte432"),
    ("Adobe RGB (1998)", ADOBE_RGB, "adobergb"),
    ("ITU-R BT.2020", REC2020, "bt2020"),
    ("ACEScg", ACESCG, "acescg"),
]


@pytest.mark.parametrize(("space", "gamut", "name"), SPACES)
def test_profiles_of_known_spaces_have_their_primaries(space: str, gamut: Primaries, name: str) -> None:
    stated = of_icc(icc_profile(space))
    assert stated.gamut == gamut
    assert stated.names == (name, "srgb")


def test_primaries_of_other_profiles_convert_as_color_management_does() -> None:
    gamut = of_icc(icc_profile("ProPhoto RGB")).gamut
    assert gamut is not None
    spaces = [colour.RGB_COLOURSPACES[name].copy() for name in ("ProPhoto RGB", "ITU-R BT.2020")]
    for space in spaces:
        space.use_derived_transformation_matrices(True)
    expected = torch.from_numpy(colour.matrix_RGB_to_RGB(spaces[0], spaces[1], "Bradford"))
    torch.testing.assert_close(conversion_matrix(gamut, REC2020), expected, rtol=0, atol=3e-4)  # 16 binary places


CURVES = [
    (SRGB_CURVE, "srgb"),
    (sampled_curve(colour.models.eotf_sRGB(CODES)), "srgb"),
    (sampled_curve(2.19921875), "gamma2.2"),
    (sampled_curve(1.8), "gamma1.8"),
    (sampled_curve(None), "linear"),
    (sampled_curve(np.array([0.0, 1.0])), "linear"),
    (sampled_curve(CODES**2.4), "gamma2.4"),
    (sampled_curve(colour.models.oetf_inverse_BT709(CODES)), "bt709"),
    (parametric(0, 2.2), "gamma2.2"),
    (parametric(0, 1.0), "linear"),
    (parametric(1, 2.0, 1.0, 0.0), "gamma2"),
    (parametric(2, 2.0, 1.0, 0.0, 0.0), "gamma2"),
    (parametric(3, 1 / 0.45, 1 / 1.099, 0.099 / 1.099, 1 / 4.5, 0.081), "bt709"),
    (parametric(4, 2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045, 0.0, 0.0), "srgb"),
    (sampled_curve(CODES**2 * (3 - 2 * CODES)), "ICC profile"),
]


@pytest.mark.parametrize(("curve", "name"), CURVES)
def test_curves_of_profiles_are_recognized(curve: bytes, name: str) -> None:
    response = of_icc(icc_profile("sRGB", curve)).response
    assert response is not None
    assert response.name == name


def test_a_curve_of_its_own_is_followed() -> None:
    response = of_icc(icc_profile("sRGB", sampled_curve(CODES**2 * (3 - 2 * CODES)))).response
    assert response is not None
    found = response.linearize(torch.tensor([0.2, 0.6]).expand(3, 1, 2))[1, 0].tolist()
    assert found == pytest.approx([0.2**2 * 2.6, 0.6**2 * 1.8], abs=1e-4)


def test_the_profile_of_a_color_engine_is_srgb() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert of_icc(profile).names == ("bt709", "srgb")


def test_profiles_with_code_points() -> None:
    coded = b"cicp" + bytes(4) + bytes([9, 18, 0, 1])
    assert of_icc(icc_profile("sRGB", cicp=coded)).names == ("bt2020", "hlg")


@pytest.mark.parametrize("length", [0, 100, 131, 140, 300])
def test_damaged_profiles_are_told(length: int) -> None:
    assert of_icc(icc_profile("sRGB")[:length]).trouble == "its ICC profile is damaged"


def test_profiles_of_tables_are_told() -> None:
    assert (
        of_icc(profile_of({b"A2B0": b"mft2" + bytes(60)})).trouble
        == "its ICC profile holds tables, which can't be used"
    )


def chromaticities(gamut: Primaries) -> bytes:
    return struct.pack(">8I", *(round(n * 1e5) for n in (*gamut.white, *gamut.red, *gamut.green, *gamut.blue)))


PNG = [
    ({"sRGB": b"\0"}, ("bt709", "srgb")),
    ({"gAMA": struct.pack(">I", 45455)}, ("", "gamma2.2")),
    ({"gAMA": struct.pack(">I", 100000)}, ("", "linear")),
    ({"gAMA": struct.pack(">I", 100000), "cHRM": chromaticities(P3_D65)}, ("smpte432", "linear")),
    ({"sRGB": b"\0", "gAMA": struct.pack(">I", 100000)}, ("bt709", "srgb")),
    ({"cICP": bytes([9, 16, 0, 1]), "sRGB": b"\0"}, ("bt2020", "pq")),
    ({"cICP": bytes([12, 13, 0, 1])}, ("smpte432", "srgb")),
    ({"cICP": bytes([2, 2, 0, 1])}, ("", "")),
    ({"gAMA": struct.pack(">I", 1)}, ("", "")),
    ({"cHRM": bytes(32)}, ("", "")),
    ({}, ("", "")),
]


@pytest.mark.parametrize(("chunks", "names"), PNG)
def test_chunks_of_png(tmp_path: Path, chunks: dict[str, bytes], names: tuple[str, str]) -> None:
    path = add_chunks(write_flat(tmp_path / "a.png", 100), **chunks)
    assert read_header(path).colors.names == names


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
def test_profiles_in_files(tmp_path: Path, suffix: str) -> None:
    codes = np.full((24, 32, 3), 100, np.uint8)
    tagged = write_with_profile(tmp_path / f"a{suffix}", codes, icc_profile("Display P3"))
    plain = write_with_profile(tmp_path / f"b{suffix}", codes, None)
    assert read_header(tagged).colors.names == ("smpte432", "srgb")
    assert read_header(plain).colors == StatedColors()


def test_tags_of_tiff(tmp_path: Path) -> None:
    """WhitePoint and PrimaryChromaticities, as fractions."""
    page = np.full((24, 32, 3), 0.5, np.float32)
    numbers = (0.64, 0.33, 0.21, 0.71, 0.15, 0.06)

    def fractions(values: tuple[float, ...]) -> list[tuple[int, int]]:
        return [(round(value * 10000), 10000) for value in values]

    fields = {318: fractions((0.3127, 0.329)), 319: fractions(numbers)}
    path = write_tiff(tmp_path / "a.tif", [page], extra=fields)
    assert read_header(path).colors.names == ("adobergb", "linear")


def test_chromaticities_of_exr(tmp_path: Path) -> None:
    pixels = np.full((24, 32, 3), 0.5, np.float16)
    path = write_linear(tmp_path / "a.exr", pixels, chromaticities=ACESCG.chromaticities)
    assert read_header(path).colors.names == ("acescg", "linear")
    assert read_header(write_linear(tmp_path / "b.exr", pixels)).colors.names == ("", "linear")
    bad = write_linear(tmp_path / "c.exr", pixels, chromaticities=(0.3,) * 8)
    assert read_header(bad).colors.trouble == "its chromaticities span no triangle"


def scene() -> NDArray[np.float64]:
    """Colors of Rec.709 light, 0..1, (H, W, 3)."""
    return np.random.default_rng(5).uniform(0.1, 1.0, (24, 32, 3))


@pytest.fixture()
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lanhdr_cli.conversion.run.__kwdefaults__", {"load": identity})


def converted(source: Path, *options: str, told: tuple[str, ...] = ()) -> NDArray[np.float64]:
    """The second frame, which is the long one, in Rec.709; `told` is in the warnings."""
    outcome = invoke("convert", source, "-o", source.parent / "o.exr", "-y", "--exposures", "1,8", *options)
    assert outcome.exit_code == 0, outcome.output
    warnings = [line for line in outcome.stderr.splitlines() if line.startswith("Warning:")]
    assert len(warnings) == len(told)
    assert all(message in line for message, line in zip(told, warnings, strict=True))
    return read_exr(source.parent / "o.0001.exr")[0].astype(np.float64)


@pytest.mark.usefixtures("_no_network")
@pytest.mark.parametrize("colorspace", ["rec709", "rec2020", "acescg", "aces2065-1"])
def test_our_own_frames_are_read_in_the_right_colors(tmp_path: Path, colorspace: str) -> None:
    light = torch.from_numpy(scene()).permute(2, 0, 1).float()
    gamut = {"rec709": REC709, "rec2020": REC2020, "acescg": ACESCG, "aces2065-1": ACES2065_1}[colorspace]
    (tmp_path / "in").mkdir()
    for number in range(4):
        record = ClipRecord(
            scale=1.0, exposures=(1.0, 8.0), weights="none", version="0", colorspace=colorspace, rate=Fraction(24)
        )
        header = frame_header(record, Fraction(number, 24), index=number, number=number, exposure=1.0)
        exposed = convert_primaries(light, REC709, target=gamut) * (1 / 8, 1)[number % 2]
        write_exr(tmp_path / "in" / f"a.{number:04d}.exr", exposed, 1.0, header=header)
    np.testing.assert_allclose(converted(tmp_path / "in"), scene(), rtol=5e-3, atol=2e-3)  # half floats


def p3_clip(folder: Path, *, profile: bytes | None = None) -> Path:
    """The scene by a camera of Display P3 at exposures 1 and 8, in 16-bit pictures with a cICP chunk, or 8-bit JPEG."""
    light = scene() @ conversion_matrix(REC709, P3_D65).numpy().T
    for number in range(4):
        encoded = colour.models.eotf_inverse_sRGB(light * (1 / 8, 1)[number % 2])
        if profile is None:
            path = write_picture(folder / f"{number:04d}.png", (encoded * 65535).round().astype(np.uint16))
            add_chunks(path, cICP=bytes([12, 13, 0, 1]))
        else:
            write_with_profile(folder / f"{number:04d}.png", (encoded * 255).round().astype(np.uint8), profile)
    return folder


@pytest.mark.usefixtures("_no_network")
def test_what_headers_name_is_used(tmp_path: Path) -> None:
    np.testing.assert_allclose(converted(p3_clip(tmp_path / "a" / "in")), scene(), rtol=2e-3)
    by_profile = p3_clip(tmp_path / "b" / "in", profile=icc_profile("Display P3"))
    np.testing.assert_allclose(converted(by_profile), scene(), rtol=0.03, atol=4e-3)  # 8 bits


@pytest.mark.usefixtures("_no_network")
def test_named_options_win_and_the_contradiction_is_said(tmp_path: Path) -> None:
    source = p3_clip(tmp_path / "in")
    told = (
        "--gamut rec709 is taken, cICP says smpte432",
        "--response gamma2.2 is taken, cICP says srgb",
    )
    pixels = converted(source, "--gamut", "rec709", "--response", "gamma2.2", "--no-deflicker", told=told)
    encoded = colour.models.eotf_inverse_sRGB(scene() @ conversion_matrix(REC709, P3_D65).numpy().T)
    np.testing.assert_allclose(pixels, encoded**2.2, rtol=2e-3)
    converted(source, "--gamut", "displayp3", "--response", "srgb")


def linear_noise(folder: Path, **chunks: bytes) -> Path:
    """Eight stops of linear light at exposures 1 and 8, with chunks that may say something else."""
    for number in range(6):
        generator = np.random.default_rng(number)
        light = 0.5 * 2.0 ** (-8 * generator.random((64, 96, 1)) ** 0.8) * np.ones(3)
        codes = (65535 * (light * (1, 8)[number % 2]).clip(0, 1)).round().astype(np.uint16)
        add_chunks(write_picture(folder / f"{number}.png", codes), **chunks)
    return folder


SPEAKS = "says response gamma2.2, frames speak for linear;"


@pytest.mark.parametrize(
    ("chunks", "name", "told"),
    [
        ({"gAMA": struct.pack(">I", 100000)}, "linear", ""),
        ({"cICP": bytes([1, 8, 0, 1])}, "linear", ""),
        ({"cICP": bytes([1, 4, 0, 1])}, "gamma2.2", f"cICP {SPEAKS} --response auto takes that"),
        # FFmpeg writes it for sRGB and others too, so that it is no more than a hint.
        ({"gAMA": struct.pack(">I", 45455)}, "linear", f"gAMA {SPEAKS} which is taken (--response gamma2.2: not)"),
    ],
)
def test_frames_that_contradict_the_header_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, chunks: dict[str, bytes], name: str, told: str
) -> None:
    source, given = linear_noise(tmp_path, **chunks), FrameExposures(ExposureCycle((1.0, 8.0)))
    with caplog.at_level(logging.WARNING), open_source(source) as clip:
        camera = find_camera(clip, CameraOptions(), exposures=given, look=FirstLook(clip))
        assert camera.curve.name == name
        assert told in caplog.text
        assert bool(caplog.records) == bool(told)
        found = find_camera(clip, CameraOptions(response="auto"), exposures=given, look=FirstLook(clip))
    assert found.curve.name == "linear"


def test_inspect_shows_what_headers_name(tmp_path: Path) -> None:
    source = p3_clip(tmp_path / "in")
    outcome = invoke("inspect", source, "--exposures", "1,8", "-q")
    assert "Color        range full (assumed), primaries smpte432, transfer iec61966-2-1" in outcome.stdout
    assert "Response     srgb, by cICP" in outcome.stdout
    colors = json.loads(invoke("inspect", source, "--exposures", "1,8", "--json").stdout)["format"]["colors"]
    assert colors["primaries"] == {"value": "smpte432", "assumed": False}


def test_pictures_of_other_colors_and_damaged_profiles_are_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    codes = np.full((24, 32, 3), 100, np.uint8)
    write_with_profile(tmp_path / "0.png", codes, icc_profile("sRGB")[:140])
    write_with_profile(tmp_path / "1.png", codes, icc_profile("Display P3"))
    with caplog.at_level(logging.WARNING), open_source(tmp_path):
        pass
    assert "0.png: its ICC profile is damaged; it is not used" in caplog.text
    assert "1.png names other colors than 0.png, which count" in caplog.text
