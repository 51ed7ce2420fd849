"""Responses and gamuts by name and from files."""

from fractions import Fraction
from pathlib import Path

import colour
import numpy as np
import pytest
import scipy.io
import torch
from torch import Tensor

from lanhdr_cli.camera import encoded_for_network, named_gamut, named_response
from lanhdr_cli.media.video_reader import DecodedFrame
from model.color import ACESCG, REC709, conversion_matrix
from model.errors import ResponseError
from model.response import srgb_curve
from train.data.response_curve import read_curve

LOGS = ["S-Log3", "ARRI LogC3", "ARRI LogC4", "V-Log", "Canon Log 3", "F-Log2", "N-Log"]


def signal(*levels: float) -> Tensor:
    return torch.tensor(levels).expand(3, 1, len(levels))


@pytest.mark.parametrize("name", LOGS)
@pytest.mark.parametrize("full_range", [True, False])
def test_named_curves_give_scene_light_up_to_scale(name: str, full_range: bool) -> None:
    light = np.array([0.02, 0.09, 0.18, 0.9, 2.0])
    with np.errstate(all="ignore"):
        codes = colour.log_encoding(light, function=name)  # code values over 1023 where makers define them so
    if name not in ("ARRI LogC3", "ARRI LogC4") and not full_range:
        codes = (1023 * codes - 64) / 876
    found = named_response(name, full_range=full_range).linearize(signal(*codes))[0, 0]
    # 16384 samples of a logarithm, float32
    np.testing.assert_allclose((found / found[2]).numpy(), light / 0.18, rtol=2e-5)


def test_sony_s_log3_by_its_code_values() -> None:
    """Sony's white paper: black, 18 % gray and 90 % white lie at 95, 420 and 598 of 1023."""
    levels = [(code - 64) / 876 for code in (95, 420, 598)]
    black, gray, white = named_response("S-Log3", full_range=False).linearize(signal(*levels))[0, 0].tolist()
    assert black == pytest.approx(0, abs=1e-6)
    assert white / gray == pytest.approx(0.9 / 0.18, rel=5e-3)  # codes are rounded


def test_davinci_intermediate_is_known() -> None:
    found = named_response("DaVinci Intermediate", full_range=False).linearize(signal(0.336043, 0.5))[0, 0]
    expected = colour.models.oetf_inverse_DaVinciIntermediate(np.array([0.336043, 0.5]))
    assert (found[1] / found[0]).item() == pytest.approx(expected[1] / expected[0], rel=1e-4)


@pytest.mark.parametrize(
    ("typed", "name"),
    [("slog3", "S-Log3"), ("LogC4", "ARRI LogC4"), ("v-log", "V-Log"), ("sRGB", "srgb"), ("REC709", "bt709")],
)
def test_case_punctuation_and_maker_do_not_matter(typed: str, name: str) -> None:
    assert named_response(typed, full_range=False).name == name


@pytest.mark.parametrize(
    ("typed", "name", "power"),
    [
        *((typed, "linear", 1.0) for typed in ("linear", "Linear", "none", "RAW", "identity", "scene-linear")),
        *((typed, "linear", 1.0) for typed in ("gamma1", "gamma1.0", "Gamma 1", "1.0", "1")),
        *((typed, "gamma2.4", 2.4) for typed in ("gamma2.4", "gamma24", "GAMMA-2.4", "gamma_2_4", "2.4")),
        *((typed, "gamma2.2", 2.2) for typed in ("gamma2.2", "gamma22", "Gamma 2.2")),
        ("gamma2.6", "gamma2.6", 2.6),
        ("gamma1.95", "gamma1.95", 1.95),
        ("gamma3", "gamma3", 3.0),
    ],
)
def test_powers_go_by_the_names_that_people_type(typed: str, name: str, power: float) -> None:
    curve = named_response(typed, full_range=True)
    assert curve.name == name
    assert curve.linearize(signal(0.25, 0.5))[1, 0].tolist() == pytest.approx([0.25**power, 0.5**power], rel=1e-5)


@pytest.mark.parametrize("typed", ["rec709", "BT.709", "Rec. 709", "bt-709", "709"])
def test_rec709_goes_by_the_names_that_people_type(typed: str) -> None:
    assert named_response(typed, full_range=True).name == "bt709"


@pytest.mark.parametrize("typed", ["gamma0.45", "gamma7", "gamma0", "0.45"])
def test_a_power_that_is_no_camera_is_refused(typed: str) -> None:
    with pytest.raises(ResponseError, match=r"a power leads from codes to light and is 1 \(linear\) to 3; pass"):
        named_response(typed, full_range=True)


def test_a_quotient_is_no_power() -> None:
    with pytest.raises(ResponseError, match=r"gamma1/2\.2: no such file"):
        named_response("gamma1/2.2", full_range=True)


def test_an_unknown_curve_lists_near_names() -> None:
    with pytest.raises(ResponseError, match=r"--response S-Log4 is unknown: names near to it are .*S-Log3"):
        named_response("S-Log4", full_range=False)
    with pytest.raises(ResponseError, match=r"--gamut S-Gamut9 is unknown: names near to it are .*S-Gamut3"):
        named_gamut("S-Gamut9")
    with pytest.raises(ResponseError, match="no such file"):
        named_response("curves/none.csv", full_range=False)


@pytest.mark.parametrize("name", ["S-Gamut3.Cine", "ARRI Wide Gamut 4", "V-Gamut", "Cinema Gamut"])
def test_gamuts_are_those_of_colour_science(name: str) -> None:
    space = colour.RGB_COLOURSPACES[name].copy()
    target = colour.RGB_COLOURSPACES["ACEScg"].copy()
    for used in (space, target):
        used.use_derived_transformation_matrices(True)
    expected = torch.from_numpy(colour.matrix_RGB_to_RGB(space, target, "Bradford"))
    torch.testing.assert_close(conversion_matrix(named_gamut(name), ACESCG), expected, rtol=0, atol=1e-9)


def test_gamuts_of_standards_need_no_colour_science() -> None:
    assert named_gamut("Rec709") == REC709
    assert named_gamut("ACEScg") == ACESCG


def test_frames_are_encoded_as_they_pass() -> None:
    image = torch.rand(3, 4, 5, generator=torch.Generator().manual_seed(0))
    (frame,) = encoded_for_network([DecodedFrame(index=7, image=image, time=Fraction(1, 3))], srgb_curve())
    assert (frame.index, frame.time) == (7, Fraction(1, 3))
    torch.testing.assert_close(frame.image, srgb_curve().to_ldr(image))


def test_a_matlab_table_is_read_per_channel(tmp_path: Path) -> None:
    codes = np.linspace(0, 1, 65536)
    table = np.stack([codes**2.0, codes**2.2, codes**2.4], axis=1)
    scipy.io.savemat(tmp_path / "a.mat", {"BaslerCRF": table, "other": np.eye(2)}, do_compression=True)
    found = named_response(str(tmp_path / "a.mat"), full_range=True).linearize(torch.full((3, 1, 1), 0.5))
    assert found.flatten().tolist() == pytest.approx([0.5**2.0, 0.5**2.2, 0.5**2.4], rel=1e-5)


CODES = np.linspace(0, 255, 256)
LIGHT = (CODES / 255) ** 2 * 40


def cube(domain: str, *, codes: np.ndarray) -> str:
    rows = "".join(f"{value:.7f} {value:.7f} {value:.7f}\n" for value in codes**2)
    return f'TITLE "a"\nLUT_1D_SIZE {len(codes)}\n{domain}\n# light\n{rows}'


@pytest.mark.parametrize(
    "text",
    [
        "".join(f"{light}\n" for light in LIGHT),
        "light\n" + "".join(f"{light}\n" for light in LIGHT),
        "".join(f"{light},{light},{light}\n" for light in LIGHT),
        "code;light\n" + "".join(f"{code:.0f};{light}\n" for code, light in zip(CODES, LIGHT, strict=True)),
        "".join(f"{code / 255} {light}\n" for code, light in zip(CODES, LIGHT, strict=True)),
        "\n".join(f"{code:.0f}, {light}, {light}, {light}" for code, light in zip(CODES, LIGHT, strict=True)),
        cube("DOMAIN_MIN 0 0 0\nDOMAIN_MAX 1 1 1", codes=np.linspace(0, 1, 256)),
        cube("LUT_1D_INPUT_RANGE 0.0 2.0", codes=np.linspace(0, 2, 511)),
    ],
    ids=["1 column", "heading", "3 columns", "8-bit codes", "unit codes", "4 columns", "cube", "cube with range"],
)
def test_text_files_give_the_same_curve(tmp_path: Path, text: str) -> None:
    (tmp_path / "curve.csv").write_text(text)
    levels = (0.1, 0.5, 0.9)
    found = named_response(str(tmp_path / "curve.csv"), full_range=True).linearize(signal(*levels))
    assert found.shape == (3, 1, 3)
    # linear interpolation between 256 samples of a square: 1 / (2 * 255)^2
    np.testing.assert_allclose(found[0, 0].numpy(), np.square(levels), atol=4e-6)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "0 rows"),
        (b"1\n2\nthree\n", "line 3 holds 'three'"),
        (b"1,2\n3\n", "line 2 has 1 columns"),
        (b"1,2,3,4,5\n1,2,3,4,5\n", "has 5 columns"),
        (b"5,1\n4,2\n", "must grow"),
        (b"0,1\n70000,2\n", "greatest code is 70000"),
        (b"LUT_3D_SIZE 2\n" + b"0 0 0\n" * 8, "three dimensions"),
        (b"LUT_1D_SIZE 3\n0 0 0\n1 1 1\n", "names 3 entries"),
        (b"LUT_1D_SIZE 2\nDOMAIN_MIN null\n0 0 0\n1 1 1\n", "from null to 1: two numbers"),
        (b"LUT_1D_SIZE 2\nDOMAIN_MAX -1 -1 -1\n0 0 0\n1 1 1\n", "from 0 to -1: two numbers"),
        (b"LUT_1D_SIZE 2\nLUT_1D_INPUT_RANGE 2\n0 0 0\n1 1 1\n", "from 2: two numbers"),
        (b"LUT_1D_SIZE 2\nLUT_1D_INPUT_RANGE 0 inf\n0 0 0\n1 1 1\n", "from 0 to inf: two numbers"),
        (b"LUT_1D_SIZE " + b"9" * 5000 + b"\n0 0 0\n1 1 1\n", "names 999999999 entries"),
        (b"MATLAB 5.0 MAT-file, but no more", "can't be read as a MATLAB file"),
    ],
)
def test_files_that_hold_no_curve_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "curve"
    path.write_bytes(content)
    with pytest.raises(ResponseError, match=message):
        read_curve(path)


def test_a_matlab_file_without_a_table_is_refused(tmp_path: Path) -> None:
    scipy.io.savemat(tmp_path / "a.mat", {"x": np.eye(2), "y": np.eye(3)})
    with pytest.raises(ResponseError, match="x 2x2, y 3x3: a table BaslerCRF"):
        read_curve(tmp_path / "a.mat")
