"""Turns 8-bit pictures of unknown cameras into plausible radiance."""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from train.datasets.pictures import Pixels


@dataclass(frozen=True)
class InverseCurve:
    """Inverse of the camera curve y = (1 + s) x^n / (x^n + s), with highlights raised beyond it.

    Source: the training recipe of LAN-HDR (ICCV 2023), after Eilertsen et al. 2017.

    Args:
        n: Exponent.
        s: Shoulder.
        boost: Factor on radiance at code 255; it fades to 1 at 85 % of it, as what clipped was brighter.
    """

    n: float = 0.65
    s: float = 0.6
    boost: float = 1.0

    def table(self) -> Pixels:
        """Return the linear radiance of each 8-bit code, 0..boost, (256,)."""
        y = np.arange(256) / 255
        linear = (self.s * y / (1 + self.s - y)) ** (1 / self.n)
        ramp = np.clip((y - 0.85) / 0.15, 0, 1)
        smooth = ramp * ramp * (3 - 2 * ramp)
        return np.asarray(linear * (1 + (self.boost - 1) * smooth), np.float32)


def draw_curve(rng: Generator) -> InverseCurve:
    """Draw n ~ N(0.65, 0.1) in [0.4, 0.9], s ~ N(0.6, 0.1) in [0.4, 0.8], and a boost of 1 to 12."""
    n = float(np.clip(rng.normal(0.65, 0.1), 0.4, 0.9))
    s = float(np.clip(rng.normal(0.6, 0.1), 0.4, 0.8))
    return InverseCurve(n, s, float(np.exp(rng.uniform(0, np.log(12)))))
