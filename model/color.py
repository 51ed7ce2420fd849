"""Color conversions: primaries, transfer functions, mu-law, PU21, roll-off."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

MU = 5000.0
LUMA_BT601 = (0.299, 0.587, 0.114)
# Cone responses of the Bradford chromatic adaptation (K. M. Lam 1985; ICC.1 annex E).
BRADFORD = ((0.8951, 0.2664, -0.1614), (-0.7502, 1.7135, 0.0367), (0.0389, -0.0685, 1.0296))
D65 = (0.3127, 0.3290)
ACES_WHITE = (0.32168, 0.33767)
# SMPTE ST 2084:2014 clause 5.2, as in ITU-R BT.2100-2 table 4.
PQ_M1 = 2610 / 16384
PQ_M2 = 2523 / 4096 * 128
PQ_C1 = 3424 / 4096
PQ_C2 = 2413 / 4096 * 32
PQ_C3 = 2392 / 4096 * 32
PQ_PEAK_NITS = 10000.0
# ITU-R BT.2100-2 table 5.
HLG_A = 0.17883277
HLG_B = 0.28466892  # 1 - 4a
HLG_C = 0.55991073  # 0.5 - a ln(4a)
HLG_PEAK_NITS = 1000.0
HLG_GAMMA = 1.2  # of the display with this peak
LUMINANCE_BT2020 = (0.2627, 0.6780, 0.0593)
# Mantiuk and Azimi, PU21, Picture Coding Symposium 2021: the fit that the authors recommend, `banding_glare`.
PU21_P = (0.353487901, 0.3734658629, 8.277049286e-05, 0.9062562627, 0.09150303166, 0.9099517204, 596.3148142)
PU21_RANGE_NITS = (0.005, 10000.0)


@dataclass(frozen=True)
class Primaries:
    """Primaries and white point of linear R, G and B, as CIE 1931 x and y."""

    red: tuple[float, float]
    green: tuple[float, float]
    blue: tuple[float, float]
    white: tuple[float, float]

    @property
    def chromaticities(self) -> tuple[float, ...]:
        """The eight numbers in the order of OpenEXR's `chromaticities`."""
        return (*self.red, *self.green, *self.blue, *self.white)


REC709 = Primaries((0.64, 0.33), (0.30, 0.60), (0.15, 0.06), D65)  # ITU-R BT.709-6 items 1.3, 1.4
REC2020 = Primaries((0.708, 0.292), (0.170, 0.797), (0.131, 0.046), D65)  # ITU-R BT.2020-2 table 3
P3_D65 = Primaries((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), D65)  # SMPTE EG 432-1
P3_DCI = Primaries(P3_D65.red, P3_D65.green, P3_D65.blue, (0.314, 0.351))  # SMPTE RP 431-2
ADOBE_RGB = Primaries((0.64, 0.33), (0.21, 0.71), (0.15, 0.06), D65)  # Adobe RGB (1998) 4.3.1
ACESCG = Primaries((0.713, 0.293), (0.165, 0.830), (0.128, 0.044), ACES_WHITE)  # AP1, Academy S-2014-004
ACES2065_1 = Primaries((0.7347, 0.2653), (0.0, 1.0), (0.0001, -0.0770), ACES_WHITE)  # AP0, SMPTE ST 2065-1


def mu_law(radiance: Tensor) -> Tensor:
    """Compress linear values: log(1 + mu x) / log(1 + mu), mu = 5000 (Kalantari and Ramamoorthi 2017).

    Args:
        radiance: Linear values, 0..1 expected, any shape.

    Returns:
        Compressed values, 0..1, same shape.
    """
    return torch.log1p(MU * radiance) / math.log1p(MU)


def mu_law_inverse(compressed: Tensor) -> Tensor:
    """Expand values that `mu_law` compressed."""
    return torch.expm1(compressed * math.log1p(MU)) / MU


def luma(encoded: Tensor) -> Tensor:
    """Weigh gamma-encoded R, G, B to luma, ITU-R BT.601: 0.299 R + 0.587 G + 0.114 B.

    Args:
        encoded: Encoded pictures, (..., 3, H, W).

    Returns:
        Luma, (..., 1, H, W).
    """
    weights = encoded.new_tensor(LUMA_BT601).view(3, 1, 1)
    return (encoded * weights).sum(-3, keepdim=True)


def rgb_to_xyz(primaries: Primaries) -> Tensor:
    """Matrix from linear R, G, B to CIE XYZ, white at Y = 1 (SMPTE RP 177), float64, (3, 3)."""
    ends = torch.stack([_xyz(xy) for xy in (primaries.red, primaries.green, primaries.blue)], dim=1)
    gains: Tensor = torch.linalg.solve(ends, _xyz(primaries.white))
    return ends * gains


def conversion_matrix(source: Primaries, target: Primaries) -> Tensor:
    """Matrix from one set of primaries to another; white stays white, adapted by Bradford's method.

    Returns:
        For columns of linear R, G, B; float64, (3, 3); exactly the identity between equal primaries.
    """
    if source == target:
        return torch.eye(3, dtype=torch.float64)
    adapted = _adaptation(source.white, target.white) @ rgb_to_xyz(source)
    matrix: Tensor = torch.linalg.solve(rgb_to_xyz(target), adapted)
    return matrix


def convert_primaries(picture: Tensor, source: Primaries, *, target: Primaries) -> Tensor:
    """Convert a linear picture, (..., 3, H, W), to other primaries; colors outside of the target's become negative.

    Returns:
        Same shape; the very same tensor between equal primaries.
    """
    if source == target:
        return picture
    matrix = conversion_matrix(source, target).to(picture)
    return torch.einsum("ij,...jhw->...ihw", matrix, picture)


def _xyz(xy: tuple[float, float]) -> Tensor:
    x, y = xy
    return torch.tensor([x / y, 1.0, (1 - x - y) / y], dtype=torch.float64)


def _adaptation(source: tuple[float, float], target: tuple[float, float]) -> Tensor:
    """Von Kries adaptation in Bradford's cone space, XYZ to XYZ."""
    cones = torch.tensor(BRADFORD, dtype=torch.float64)
    gains = (cones @ _xyz(target)) / (cones @ _xyz(source))
    adaptation: Tensor = torch.linalg.solve(cones, gains[:, None] * cones)
    return adaptation


def srgb_encode(linear: Tensor) -> Tensor:
    """Encode linear light, 0..1, as sRGB (IEC 61966-2-1)."""
    return torch.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear.pow(1 / 2.4) - 0.055)


def srgb_decode(signal: Tensor) -> Tensor:
    """Decode sRGB (IEC 61966-2-1) to linear light, 0..1."""
    return torch.where(signal <= 0.04045, signal / 12.92, ((signal + 0.055) / 1.055).pow(2.4))


def bt709_oetf(scene: Tensor) -> Tensor:
    """OETF of ITU-R BT.709-6 item 1.2, which BT.601 and BT.2020 share, 0..1."""
    return torch.where(scene < 0.018, 4.5 * scene, 1.099 * scene.pow(0.45) - 0.099)


def bt709_oetf_inverse(signal: Tensor) -> Tensor:
    """Undo `bt709_oetf`, 0..1."""
    return torch.where(signal < 0.081, signal / 4.5, ((signal + 0.099) / 1.099).pow(1 / 0.45))


def pq_encode(nits: Tensor) -> Tensor:
    """Inverse EOTF of PQ (SMPTE ST 2084 clause 5.3).

    Args:
        nits: Light of the display in cd/m2, not negative, any shape; above 10000 the formula is continued.

    Returns:
        Signal, 0..1 for 0..10000 cd/m2, same shape.
    """
    power = (nits / PQ_PEAK_NITS).pow(PQ_M1)
    return ((PQ_C1 + PQ_C2 * power) / (1 + PQ_C3 * power)).pow(PQ_M2)


def pq_decode(signal: Tensor) -> Tensor:
    """EOTF of PQ (SMPTE ST 2084 clause 5.2).

    Args:
        signal: Not negative, any shape.

    Returns:
        Light of the display in cd/m2, 0..10000 for 0..1, same shape.
    """
    power = signal.pow(1 / PQ_M2)
    return PQ_PEAK_NITS * ((power - PQ_C1).clamp(min=0) / (PQ_C2 - PQ_C3 * power)).pow(1 / PQ_M1)


def hlg_oetf(scene: Tensor) -> Tensor:
    """OETF of HLG (ITU-R BT.2100-2 table 5).

    Args:
        scene: Linear light of the scene, 0..1, any shape.

    Returns:
        Signal, 0..1, same shape; 1/12 becomes 0.5.
    """
    upper = HLG_A * (12 * scene - HLG_B).clamp(min=1e-6).log() + HLG_C
    return torch.where(scene <= 1 / 12, (3 * scene.clamp(min=0)).sqrt(), upper)


def hlg_oetf_inverse(signal: Tensor) -> Tensor:
    """Undo `hlg_oetf`: signal 0..1 to linear light of the scene 0..1, any shape."""
    upper = (((signal - HLG_C) / HLG_A).exp() + HLG_B) / 12
    return torch.where(signal <= 0.5, signal.square() / 3, upper)


def hlg_encode(nits: Tensor) -> Tensor:
    """Signal that makes the HLG reference display show this light (BT.2100-2 table 5: inverse OOTF, then OETF).

    Args:
        nits: Light of the display in cd/m2, linear BT.2020, 0..1000, (3, H, W).

    Returns:
        Signal, 0..1, (3, H, W); 203 cd/m2 of gray become 0.75. Pure colors brighter than HLG can say are dimmed.
    """
    shown = (nits / HLG_PEAK_NITS).clamp(0, 1)
    scene = shown * _luminance_bt2020(shown).clamp(min=1e-9).pow(1 / HLG_GAMMA - 1)
    return hlg_oetf((scene / scene.amax(0, keepdim=True).clamp(min=1)).clamp(max=1))


def pu21_encode(nits: Tensor) -> Tensor:
    """Encode light so that equal steps are about equally visible (PU21 `banding_glare`, Mantiuk and Azimi 2021).

    V = p7 (((p1 + p2 Y^p4) / (1 + p3 Y^p4))^p5 - p6)

    Args:
        nits: Light of the display in cd/m2, any shape; counted as 0.005 below that, as 10000 above.

    Returns:
        Values from 0 at 0.005 cd/m2 over 256.4 at 100 to 595.4 at 10000, same shape.
    """
    p1, p2, p3, p4, p5, p6, p7 = PU21_P
    power = nits.clamp(*PU21_RANGE_NITS).pow(p4)
    return (p7 * (((p1 + p2 * power) / (1 + p3 * power)).pow(p5) - p6)).clamp(min=0)


def roll_off(nits: Tensor, *, source_peak_nits: float, peak_nits: float) -> Tensor:
    """Bring highlights below a peak with the EETF of ITU-R BT.2390-11 clause 5.4.1, black level 0.

    The curve acts on max(R, G, B) in PQ, and R, G, B are scaled by one factor, so that chromaticity stays.

    Args:
        nits: Linear light in cd/m2, not negative, (3, H, W).
        source_peak_nits: Light that becomes `peak_nits`, as does any light above it.
        peak_nits: Peak of the display.

    Returns:
        Linear light in cd/m2, at most `peak_nits`, (3, H, W).
    """
    brightest = nits.amax(0, keepdim=True)  # (1, H, W)
    if source_peak_nits > peak_nits:
        mapped = _eetf(brightest, source_peak_nits=source_peak_nits, peak_nits=peak_nits)
    else:
        mapped = brightest
    return nits * (mapped.clamp(max=peak_nits) / brightest.clamp(min=1e-9)).clamp(max=1)


def _eetf(nits: Tensor, *, source_peak_nits: float, peak_nits: float) -> Tensor:
    top, target = pq_encode(torch.tensor([source_peak_nits, peak_nits], dtype=torch.float64)).tolist()
    max_lum = target / top
    knee = max(0.0, 1.5 * max_lum - 0.5)
    signal = (pq_encode(nits) / top).clamp(max=1)  # E1
    t = (signal - knee) / (1 - knee)
    t2, t3 = t.square(), t.pow(3)
    spline = (2 * t3 - 3 * t2 + 1) * knee + (t3 - 2 * t2 + t) * (1 - knee) + (3 * t2 - 2 * t3) * max_lum
    return torch.where(signal < knee, nits, pq_decode(spline * top))


def _luminance_bt2020(linear: Tensor) -> Tensor:
    return (linear * linear.new_tensor(LUMINANCE_BT2020).view(3, 1, 1)).sum(0, keepdim=True)  # (1, H, W)
