"""Windows of a moving scene, and the states that a network streams of them."""

from typing import Any

import torch
from torch import Tensor

from model.exposure import GAMMA_8_BIT, to_ldr
from model.frames import FrameBatch
from model.guided import GuidedLanHdr
from model.lite import LiteNet
from support.moving import shifted, texture

Network = LiteNet | GuidedLanHdr


def window(
    count: int, *, size: tuple[int, int] = (48, 64), cycle: tuple[float, ...] = (1.0, 8.0)
) -> tuple[Tensor, ...]:
    """A dark moving scene with noise: LDR (1, N, 3, H, W), exposures (1, N), radiance (1, N, 3, H, W)."""
    scene = texture(*size).pow(2.2) * 0.05
    radiance = torch.stack([shifted(scene, 1.5 * index, -0.5 * index).clamp(0, 1) for index in range(count)], dim=1)
    exposures = torch.tensor([[cycle[index % len(cycle)] for index in range(count)]])
    stretch = exposures.view(1, -1, 1, 1, 1)
    noise = 0.0015 * torch.randn(radiance.shape, generator=torch.Generator().manual_seed(0))
    ldr = (to_ldr((radiance * stretch + noise) / stretch, stretch) * 255).round() / 255
    return ldr, exposures, radiance


def prepared(network: Network, ldr: Tensor, exposures: Tensor) -> list[Any]:
    """States of all frames, one after the other, each with those that it may see."""
    states: list[Any] = []
    for index in range(ldr.shape[1]):
        frame = FrameBatch(
            image=ldr[:, index],
            exposure=exposures[:, index],
            precision=GAMMA_8_BIT.tensor()[None],
            time=index / 24,
        )
        states.append(network.prepare(frame, recent=states[-network.config.nexps :]))
    return states
