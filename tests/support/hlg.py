"""The EOTF of HLG, to look at what a display shows."""

from torch import Tensor

from model.color import HLG_GAMMA, HLG_PEAK_NITS, LUMINANCE_BT2020, hlg_oetf_inverse


def hlg_decode(signal: Tensor) -> Tensor:
    """EOTF of HLG on the reference display of 1000 cd/m2 (ITU-R BT.2100-2 table 5, black level 0).

    Args:
        signal: 0..1, (3, H, W).

    Returns:
        Light of the display in cd/m2, linear BT.2020, (3, H, W).
    """
    scene = hlg_oetf_inverse(signal)
    luminance = (scene * scene.new_tensor(LUMINANCE_BT2020).view(3, 1, 1)).sum(0, keepdim=True)
    return HLG_PEAK_NITS * scene * luminance.clamp(min=1e-12).pow(HLG_GAMMA - 1)
