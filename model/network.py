"""The LAN-HDR network (Chung and Cho, ICCV 2023) and the configuration of its sizes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, Self, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.alignment import AlignedDecoder, LuminanceAttention, Values
from model.blocks import GatedConv, PyramidEncoder, resize_like
from model.color import luma
from model.correction import FULL_SIZE_MULTIPLE, correction_channels, guide_channels, padded
from model.errors import WeightsError
from model.exposure import match_exposure, to_radiance
from model.frames import FrameBatch
from model.hallucination import Hallucination
from model.merge import GUIDE_CHANNELS, Merge

State = TypeVar("State")


@dataclass(frozen=True)
class NetworkConfig:
    """The configuration of a network; two and three exposures are values, never files.

    Args:
        nexps: Number of exposures in the cycle, 2 or 3.
        design: `lanhdr` is the published network, `small` its parts at half size, `lite` the one for real time.
        output: `direct` predicts radiance by itself, `guided` corrects a physically merged start.
        channels: Width of full-size features (C of the paper's code).
        pyramid_channels: Width of the finest pyramid level (T of the paper's code).
    """

    nexps: int = 2
    design: Literal["lanhdr", "small", "lite"] = "lanhdr"
    output: Literal["direct", "guided"] = "direct"
    channels: int = 64
    pyramid_channels: int = 16

    def __post_init__(self) -> None:
        if self.nexps not in (2, 3):
            raise WeightsError(f"networks exist for 2 and 3 exposures, not for {self.nexps}")

    @property
    def window_length(self) -> int:
        """Frames per window: 5 for two exposures, 7 for three."""
        return 2 * self.nexps + 1

    @property
    def neighbors(self) -> tuple[int, ...]:
        """Distances of the other frames from the reference, in order of time: -2, -1, 1, 2 in a window of 5."""
        return tuple(frame for frame in range(-self.nexps, self.nexps + 1) if frame)


@dataclass(frozen=True)
class Prediction:
    """The prediction for one window.

    Args:
        radiance: Linear radiance at the time of the reference, 1.0 = clip of the shortest exposure, (B, 3, H, W).
        gates: For each frame of the window the use of aligned (1) or hallucinated features (0), (B, 1, h, w), h and w
            a fraction of H and W; none where features are not aligned.
        start: The start that a guided network corrected, like `radiance`; None for others.
    """

    radiance: Tensor
    gates: tuple[Tensor, ...] = ()
    start: Tensor | None = None


class StreamingNetwork(Protocol[State]):
    """A network that prepares each frame once and then combines windows of states."""

    @property
    def config(self) -> NetworkConfig:
        """The configuration."""

    def prepare(self, frame: FrameBatch, *, recent: Sequence[State]) -> State:
        """Compute the state of a frame, from it and the states of the `config.nexps` frames before it, in order."""

    def combine(self, window: tuple[State, ...]) -> Prediction:
        """Reconstruct the frame in the middle of `config.window_length` states in order of time."""

    def to(self, device: torch.device) -> Self:
        """Move the weights."""

    def eval(self) -> Self:
        """Switch to evaluation."""


@dataclass(frozen=True)
class FrameState:
    """LanHdr's state of one frame before it meets the others.

    Args:
        image: Encoded with 1/2.2, 0..1, (B, 3, H, W).
        exposures: Linear exposure of each picture of the batch, relative to the shortest.
        pyramid: Features at 1/1, 1/2, 1/4 and 1/8 of the frame, T to 8T wide.
        values: Keys and values of the alignment.
    """

    image: Tensor
    exposures: tuple[float, ...]
    pyramid: tuple[Tensor, ...]
    values: Values

    @property
    def exposure(self) -> Tensor:
        """The exposures beside the image, (B, 1, 1, 1)."""
        return self.image.new_tensor(self.exposures).view(-1, 1, 1, 1)


def frame_input(image: Tensor, exposure: Tensor) -> Tensor:
    """Stack the encoded picture, its radiance and its luma, (B, 7, H, W)."""
    return torch.cat([image, to_radiance(image, exposure), luma(image)], dim=1)


def luminance_input(image: Tensor, exposure: Tensor) -> Tensor:
    """Stack the luma of the encoded picture and its radiance, (B, 4, H, W)."""
    return torch.cat([luma(image), to_radiance(image, exposure)], dim=1)


class LanHdr(nn.Module):
    """LAN-HDR (Chung and Cho, ICCV 2023): align by luminance, hallucinate, blend, merge.

    Args:
        config: Number of exposures, widths and kind of output.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        channels, width = config.channels, config.pyramid_channels
        self.shrink = 2 if config.design == "small" else 1
        inputs = 7 * self.shrink**2
        self.neighbor_encoder = PyramidEncoder(inputs, width, conv=GatedConv)
        self.reference_encoder = PyramidEncoder(inputs, width, conv=GatedConv)
        self.attention = LuminanceAttention(width)
        self.aligned_decoder = AlignedDecoder(width, channels)
        self.hallucination = Hallucination(width, channels)
        guide, outputs = {"direct": 0, "guided": GUIDE_CHANNELS}[config.output], 3
        if config.design == "small":
            guide, outputs = len(guide_channels(config.nexps)), len(correction_channels(config.nexps))
        self.merge = Merge(channels, frames=config.window_length, guide=guide, outputs=outputs)

    def forward(
        self, ldr: Tensor, exposures: Tensor, precision: Tensor | None = None, *, start: Tensor | None = None
    ) -> Prediction:
        """Reconstruct the frame in the middle of a window.

        Args:
            ldr: Frames in order of time, encoded with 1/2.2, 0..1, (B, N, 3, H, W).
            exposures: Linear exposures relative to the shortest, (B, N).
            precision: Not used; designs that weigh codes by their precision take it.
            start: For a guided network the physically merged radiance, (B, 3, H, W).

        Returns:
            The radiance and the gates of the N frames.

        Raises:
            ValueError: If a guided network gets no start, or N is not the window's length.
        """
        pairs = zip(ldr.unbind(1), exposures.unbind(1), strict=True)
        return self.combine(tuple(self.features(image, exposure) for image, exposure in pairs), start=start)

    def prepare(self, frame: FrameBatch, *, recent: Sequence[FrameState] = ()) -> FrameState:
        """Compute the features of one frame; those before it are not used."""
        return self.features(frame.image, frame.exposure)

    def features(self, image: Tensor, exposure: Tensor) -> FrameState:
        """Compute the features, keys and values of one frame.

        Args:
            image: Encoded with 1/2.2, 0..1, (B, 3, H, W).
            exposure: Linear exposure relative to the shortest, (B,).
        """
        stacked = self._padded(frame_input(image, exposure.to(image).view(-1, 1, 1, 1)))
        pyramid = self.neighbor_encoder(self._shrunk(stacked))
        small = resize_like(stacked, self._quarter(pyramid)).detach()  # (B, 7, H / 4, W / 4)
        luminance = torch.cat([small[:, 6:], small[:, 3:6]], dim=1)
        values = self.attention.offer(luminance, small[:, :6])
        return FrameState(image, tuple(exposure.tolist()), pyramid, values)

    def combine(self, window: tuple[FrameState, ...], *, start: Tensor | None = None) -> Prediction:
        """Align every frame of the window to the middle one, hallucinate, blend and merge.

        Args:
            window: States in order of time, as many as the window is long.
            start: For a guided network the physically merged radiance, (B, 3, H, W).

        Returns:
            The radiance and the gates of the window's frames.

        Raises:
            ValueError: If a guided network gets no start, or the window has another length.
        """
        total, gates = self.blend(window)
        return Prediction(self._merge(total, window[len(window) // 2], start=start), gates)

    def blend(self, window: tuple[FrameState, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Align every frame to the middle one, hallucinate and blend.

        Args:
            window: States in order of time, as many as the window is long.

        Returns:
            The sum that the merge's `head` makes of all features, (B, C, H, W), and the gates of the window's frames.

        Raises:
            ValueError: If the window has another length.
        """
        if len(window) != self.config.window_length:
            raise ValueError(f"the window has {len(window)} frames, the network takes {self.config.window_length}")
        reference = window[len(window) // 2]
        stacked = self._padded(frame_input(reference.image, reference.exposure))
        features = self.reference_encoder(self._shrunk(stacked))
        queries = self._queries(window, reference, size_like=self._quarter(features))
        total: Tensor | None = None
        gates = []
        for place, state in enumerate(window):
            aligned = self.align(queries[state.exposures], state.values)
            blended, gate = self.hallucination(state.pyramid, features, aligned=aligned)
            total = self.merge.head.add(blended, total, place=place)
            gates.append(gate)
        assert total is not None
        return total, tuple(gates)

    def align(self, query: Tensor, values: Values) -> Tensor:
        """Align a frame's features to the reference's query, (B, C, H / 4, W / 4)."""
        transferred, score = self.attention(query, values)
        aligned: Tensor = self.aligned_decoder(transferred, score, pyramid=values.pyramid)
        return aligned

    def _queries(
        self, window: tuple[FrameState, ...], reference: FrameState, *, size_like: Tensor
    ) -> dict[tuple[float, ...], Tensor]:
        # Re-exposed to its own exposure the reference is itself, so its query is the key it already has.
        queries = {reference.exposures: reference.values.key}
        for state in window:
            if state.exposures not in queries:
                image = match_exposure(reference.image, reference.exposure, target=state.exposure)
                small = resize_like(self._padded(luminance_input(image, state.exposure)), size_like).detach()
                queries[state.exposures] = self.attention.embed(small)
        return queries

    def _padded(self, full: Tensor) -> Tensor:
        return padded(full, FULL_SIZE_MULTIPLE) if self.shrink > 1 else full

    def _shrunk(self, full: Tensor) -> Tensor:
        return F.pixel_unshuffle(full, self.shrink) if self.shrink > 1 else full

    def _quarter(self, pyramid: tuple[Tensor, ...]) -> Tensor:
        return pyramid[1 if self.shrink > 1 else 2]

    def _merge(self, total: Tensor, reference: FrameState, *, start: Tensor | None) -> Tensor:
        if self.config.output == "direct":
            radiance: Tensor = self.merge(total)
            return radiance
        if start is None:
            raise ValueError("a guided network corrects a start: pass start")
        return self.merge.correct(total, start=start, reference=to_radiance(reference.image, reference.exposure))
