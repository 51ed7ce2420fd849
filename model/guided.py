"""The published network with a guided output, whole or small: it corrects the physical merge."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from model.correction import correct_start
from model.frames import FrameBatch
from model.neighbors import AlignedWindow, FrameMotion, align_batch, align_window, follow_motion
from model.network import FrameState, LanHdr, NetworkConfig, Prediction
from model.physical_merge import merge_by_variance


@dataclass(frozen=True)
class GuidedState:
    """The published network's state of a frame, and the frame's motion."""

    features: FrameState
    motion: FrameMotion


class GuidedLanHdr(nn.Module):
    """LAN-HDR that corrects a start, merged by inverse noise variance, instead of predicting radiance by itself.

    Args:
        config: Number of exposures and widths; its output is `guided`.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        self.network = LanHdr(config)

    def forward(self, ldr: Tensor, exposures: Tensor, precision: Tensor | None = None) -> Prediction:
        """Reconstruct the frame in the middle of a window.

        Args:
            ldr: Frames in order of time, encoded with 1/2.2, 0..1, (B, N, 3, H, W).
            exposures: Linear exposures relative to the shortest, (B, N).
            precision: `CodePrecision.tensor` per sample, (B, 6); None is 8 bits encoded with 1/2.2.
        """
        pairs = zip(ldr.unbind(1), exposures.unbind(1), strict=True)
        features = tuple(self.network.features(image, exposure) for image, exposure in pairs)
        return self._correct(features, align_batch(ldr, exposures, precision))

    def prepare(self, frame: FrameBatch, *, recent: Sequence[GuidedState]) -> GuidedState:
        """Compute the state of a frame from it and the states of those before it, in order of time."""
        motion = follow_motion(frame, recent=[state.motion for state in recent], period=self.config.nexps)
        return GuidedState(self.network.prepare(frame), motion)

    def combine(self, window: tuple[GuidedState, ...]) -> Prediction:
        """Reconstruct the frame in the middle of a window of states."""
        features = tuple(state.features for state in window)
        return self._correct(features, align_window(tuple(state.motion for state in window)))

    def _correct(self, features: tuple[FrameState, ...], aligned: AlignedWindow) -> Prediction:
        start = merge_by_variance(aligned.reference, aligned.neighbors, aligned.noise).radiance
        prediction = self.network.combine(features, start=start)
        return Prediction(prediction.radiance.clamp(0, 1), prediction.gates, start=start)


class SmallLanHdr(GuidedLanHdr):
    """LAN-HDR's parts, narrow, at half size: they see all aligned frames and correct the start within its deviation.

    Four pixels are stacked in the channels of each place; alignment matches at 1/32 of the frame all the same.

    Args:
        config: Number of exposures and widths; its design is `small`, its output `guided`.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__(config)
        # With no slope below zero most of so few channels fall silent within a hundred steps, and learning ends.
        for module in self.network.modules():
            for name, child in module.named_children():
                if isinstance(child, nn.ReLU):
                    setattr(module, name, nn.LeakyReLU(0.1, inplace=True))
        # Blocks that begin close to the identity learn faster.
        with torch.no_grad():
            for name, weight in self.network.merge.body.named_parameters():
                if name.endswith("2.weight"):
                    weight.mul_(0.1)

    def _correct(self, features: tuple[FrameState, ...], aligned: AlignedWindow) -> Prediction:
        total, gates = self.network.blend(features)
        radiance, start = correct_start(aligned, lambda guide: self.network.merge.decode(total, guide=guide))
        return Prediction(radiance, gates, start=start)
