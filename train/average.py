"""Averaged weights: an exponential moving average that forgets the first steps quickly."""

import copy

import torch
from torch import Tensor, nn


class WeightAverage:
    """A copy of a network whose weights follow it slowly.

    Args:
        network: The network that is trained.
        decay: Share of the old average kept per step, in [0, 1), reached gradually.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self._decay = decay

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Move the average towards `network`; early steps move it more: decay = min(decay, (1 + n) / (10 + n)).

        Args:
            network: The network after its step.
            step: Number n of finished steps.
        """
        decay = min(self._decay, (1 + step) / (10 + step))
        averages: list[Tensor] = list(self.network.parameters())
        torch._foreach_lerp_(averages, list(network.parameters()), 1 - decay)
        for average, current in zip(self.network.buffers(), network.buffers(), strict=True):
            average.copy_(current)
