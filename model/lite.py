"""The lite network: a correction of the physical merge at half size, for CPUs and real time."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.blocks import conv3x3
from model.color import MU, mu_law, mu_law_inverse
from model.frames import FrameBatch
from model.motion import box_mean
from model.neighbors import AlignedWindow, FrameMotion, align_batch, align_window, candidate_keys, follow_motion
from model.network import NetworkConfig, Prediction
from model.physical_merge import Candidate, MergedStart, NoiseModel, double, halve, merge_by_variance

# Noise, as a part of the mu-law range, at which a frame is blended in by half.
NOISE_TO_TRUST = 0.03
# The start is changed by no more than this many of its standard deviations, whatever the network says.
MOST_DEVIATIONS = 3.0
# The reference alone bounds the correction by this part of its deviation, three times over.
SHOWN_DEVIATIONS = 0.25
# No picture is known better than this, relative to the radiance.
RELATIVE_DEVIATION = 0.003
# Content of a channel, and the frame it comes from: its distance to the reference, 0 for all but neighbors.
Channel = tuple[str, int]


class LiteNet(nn.Module):
    """Correct the physically merged start, seeing it, the reference and all aligned neighbors.

    Args:
        config: Number of exposures and widths: `channels` at half size, each level below adds twice `pyramid_channels`.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        self.stem = conv3x3(len(stem_channels(config)), config.channels)
        self.body = HalfSizeBody(config.channels, config.pyramid_channels)
        self.tail = conv3x3(config.channels, len(tail_channels(config)))
        # A last layer of zeros makes the untrained network return the start itself.
        nn.init.zeros_(self.tail.weight)
        nn.init.zeros_(self.tail.bias)  # type: ignore[arg-type]

    def forward(self, ldr: Tensor, exposures: Tensor, precision: Tensor | None = None) -> Prediction:
        """Reconstruct the frame in the middle of a window.

        Args:
            ldr: Frames in order of time, encoded with 1/2.2, 0..1, (B, N, 3, H, W).
            exposures: Linear exposures relative to the shortest, (B, N).
            precision: `CodePrecision.tensor` per sample, (B, 6); None is 8 bits encoded with 1/2.2.
        """
        return self._correct(align_batch(ldr, exposures, precision))

    def prepare(self, frame: FrameBatch, *, recent: Sequence[FrameMotion]) -> FrameMotion:
        """Search the motion between a frame and those before, as `follow_motion` does."""
        return follow_motion(frame, recent=recent, period=self.config.nexps)

    def combine(self, window: tuple[FrameMotion, ...]) -> Prediction:
        """Reconstruct the frame in the middle of a window of states; borrowed frames may stand in it twice."""
        return self._correct(align_window(window))

    def _correct(self, window: AlignedWindow) -> Prediction:
        reference, frames = window.reference, (window.reference, *window.neighbors)
        start = merge_by_variance(reference, window.neighbors, window.noise)
        compressed = mu_law(start.radiance)
        views = [mu_law(frame.radiance) for frame in frames]
        full = torch.cat((compressed, window.image, *views), dim=1)
        small = halve(start.radiance)
        correction, gates = self._predict(full, _evidence(start, small, reference=reference, noise=window.noise))
        size = (compressed.shape[-2], compressed.shape[-1])
        blur3_gate, blur5_gate, *view_gates = torch.split(gates, 1, dim=1)
        change = correction + blur3_gate * (box_mean(compressed, 3) - compressed)
        change = change + blur5_gate * (box_mean(compressed, 5) - compressed)
        for gate, view, frame in zip(view_gates, views, frames, strict=True):
            change = change + gate * double(_trust(frame, small, noise=window.noise), size) * (view - compressed)
        # Where candidates disagree and the reference shows what is there, its own deviation bounds the correction.
        deviation = torch.minimum(start.deviation, SHOWN_DEVIATIONS * start.reference_deviation)
        deviation = deviation + RELATIVE_DEVIATION * small + 1e-6
        deviation = (deviation * _mu_law_slope(small + deviation)).clamp_max(1)
        bound = double(MOST_DEVIATIONS * deviation, size)
        output = compressed + bound * torch.tanh(change / bound)
        return Prediction(mu_law_inverse(output.clamp(0, 1)), start=start.radiance)

    def _predict(self, full: Tensor, half: Tensor) -> tuple[Tensor, Tensor]:
        height, width = full.shape[-2:]
        features = self.stem(torch.cat((F.pixel_unshuffle(_padded(full, 8), 2), _padded(half, 4)), dim=1))
        output = F.pixel_shuffle(self.tail(self.body(features)), 2)[..., :height, :width]
        return output[:, :3], output[:, 3:]


def stem_channels(config: NetworkConfig) -> tuple[Channel, ...]:
    """List the inputs of the stem in order."""
    candidates = candidate_keys(config.nexps)
    full = [channel for channel in (("start", 0), ("image", 0), ("view", 0), *candidates) for _ in range(3)]
    of_reference = [("deviation", 0), ("level", 0), ("exposure", 0), ("clipped", 0), ("crushed", 0)]
    agreement = [(f"agreement {way}", frame) for way, frame in candidates]
    return (*_four_of_each(full), *of_reference, *agreement)


def tail_channels(config: NetworkConfig) -> tuple[Channel, ...]:
    """List the outputs of the tail in order."""
    gates = [("gate", 0), *((f"gate {way}", frame) for way, frame in candidate_keys(config.nexps))]
    return _four_of_each([("correction", 0)] * 3 + [("blur 3", 0), ("blur 5", 0), *gates])


def _four_of_each(full: list[Channel]) -> tuple[Channel, ...]:
    """Repeat channels as a shuffle between full and half size does."""
    return tuple(channel for channel in full for _ in range(4))


class LiteBlock(nn.Module):
    """Two convolutions beside the identity; begins close to it.

    Its slope below zero keeps channels alive: with none, a high learning rate had silenced nearly all of them.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = conv3x3(width, width)
        self.conv2 = conv3x3(width, width)
        with torch.no_grad():
            self.conv2.weight.mul_(0.1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, width, H, W) to the same shape."""
        change: Tensor = self.conv2(_activate(self.conv1(x)))
        return change.add_(x)


class HalfSizeBody(nn.Module):
    """An encoder and decoder over 1/2, 1/4 and 1/8 of the frame.

    Args:
        width: Channels at half size.
        growth: Channels that a level adds, times two.
    """

    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        middle, coarse = width + 2 * growth, width + 4 * growth
        self.encode_half = LiteBlock(width)
        self.down_quarter = conv3x3(width, middle, stride=2)
        self.encode_quarter = LiteBlock(middle)
        self.down_eighth = conv3x3(middle, coarse, stride=2)
        self.hallucinate = nn.Sequential(*(LiteBlock(coarse) for _ in range(3)))
        self.up_quarter = nn.Conv2d(coarse, 4 * middle, 1)
        self.decode_quarter = LiteBlock(middle)
        self.up_half = nn.Conv2d(middle, 4 * width, 1)
        self.decode_half = LiteBlock(width)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, width, H, W) to the same shape; H and W are multiples of 4."""
        half: Tensor = self.encode_half(x)
        quarter = self.encode_quarter(_activate(self.down_quarter(half)))
        eighth = self.hallucinate(_activate(self.down_eighth(quarter)))
        quarter = self.decode_quarter(quarter + F.pixel_shuffle(self.up_quarter(eighth), 2))
        decoded: Tensor = self.decode_half(half + F.pixel_shuffle(self.up_half(quarter), 2))
        return decoded


def _activate(features: Tensor) -> Tensor:
    return F.leaky_relu(features, 0.1, inplace=True)


def _evidence(start: MergedStart, small: Tensor, *, reference: Candidate, noise: NoiseModel) -> Tensor:
    """Stack the inputs at half size: deviation of the start, constants, clipped and black codes, agreement."""
    deviation = (start.deviation * _mu_law_slope(small)).mean(1, keepdim=True).clamp_max(1)
    constants = torch.cat((noise.level.log10() / 2, reference.exposure.log2() / 4), dim=1)
    clipped = 1 - halve(noise.unclipped(reference.linear)).mean(1, keepdim=True)
    crushed = halve(noise.crushed(reference.linear)).mean(1, keepdim=True)
    constants = constants.expand(-1, -1, *deviation.shape[-2:])
    return torch.cat((deviation, constants, clipped, crushed, *start.agreement), dim=1)


def _trust(frame: Candidate, small: Tensor, *, noise: NoiseModel) -> Tensor:
    """Trust a frame as far as it shows picture and not noise, 0..1, (B, 1, h, w).

    In the darks of a short frame noise is a large part of the mu-law range; the least bit of it blended in would
    spoil a start that long frames have already cleaned. Where the frame is brighter than the start on average,
    the start may be wrong, and the frame's own brightness counts.

    Args:
        small: Radiance of the start at half size, (B, 3, h, w).
    """
    brighter = torch.maximum(small, box_mean(frame.small, 9))
    variance = noise.variance((brighter * frame.exposure).clamp_max(1)) / frame.exposure.square()
    variance = (variance * _mu_law_slope(brighter).square()).mean(1, keepdim=True)
    return NOISE_TO_TRUST**2 / (NOISE_TO_TRUST**2 + variance)


def _mu_law_slope(radiance: Tensor) -> Tensor:
    slope: Tensor = MU / (1 + MU * radiance) / math.log1p(MU)
    return slope


def _padded(pictures: Tensor, multiple: int) -> Tensor:
    height, width = pictures.shape[-2:]
    margins = (0, -width % multiple, 0, -height % multiple)
    return F.pad(pictures, margins, mode="replicate") if any(margins) else pictures
