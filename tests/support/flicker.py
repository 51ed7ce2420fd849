"""A measure of the flicker of results between exposures."""

from collections import defaultdict

import torch
from torch import Tensor

from model.color import mu_law

SAMPLES = 300_000


class FlickerMeter:
    """Measures how much the brightness of a result follows the exposures; one number per frame is kept."""

    def __init__(self) -> None:
        self._brightness: list[float] = []
        self._exposures: list[float] = []

    def add(self, radiance: Tensor, exposure: float) -> None:
        """Take in the next frame.

        Args:
            radiance: Linear, 1.0 = clip level of the shortest exposure, (3, H, W).
            exposure: Exposure of the LDR frame at its place.
        """
        height, width = radiance.shape[-2:]
        stride = max(1, round((height * width / SAMPLES) ** 0.5))
        self._brightness.append(float(mu_law(radiance[:, ::stride, ::stride].clamp(0, 1)).mean()))
        self._exposures.append(exposure)

    def jump(self, period: int) -> float:
        """Mean jump of brightness between exposures, mu-law compressed, 0..1.

        Each frame is compared with the mean over one period around it, so that drift and motion average out.

        Args:
            period: Number of frames after which the exposures repeat.
        """
        brightness = torch.tensor(self._brightness, dtype=torch.float64)
        reach = period // 2
        window = torch.ones(2 * reach + 1, dtype=torch.float64)
        if period % 2 == 0:
            window[0] = window[-1] = 0.5
        if len(brightness) < len(window) + period:
            return 0.0
        around = (brightness.unfold(0, len(window), 1) * window).sum(1) / period
        deviations: dict[float, list[float]] = defaultdict(list)
        for exposure, deviation in zip(
            self._exposures[reach:], (brightness[reach:-reach] - around).tolist(), strict=False
        ):
            deviations[exposure].append(deviation)
        means = [sum(group) / len(group) for group in deviations.values()]
        return max(means) - min(means)
