"""Neighbors brought to the reference's place: by frame while a clip streams, or for whole batches of windows."""

from dataclasses import dataclass

import torch
from torch import Tensor

from model.exposure import GAMMA
from model.guide import Candidate, align, halve, noise_level
from model.motion import matched_lumas, search_motion, warp


@dataclass(frozen=True)
class FrameMotion:
    """What is known of one frame and the one before it.

    Args:
        image: Encoded with 1/2.2, 0..1, (B, 3, H, W).
        linear: Linearised, 0..1, (B, 3, H, W).
        small: The encoded picture at half size, (B, 3, h, w).
        exposure: Linear exposure relative to the shortest, (B, 1, 1, 1).
        level: Noise level of the frame, (B, 1, 1, 1).
        number: Place in the clip, counted from 0.
        arriving: Flow from the previous frame to this one at half size, (B, 2, h, w); None for the first.
        leaving: Flow from this frame to the previous one, likewise.
    """

    image: Tensor
    linear: Tensor
    small: Tensor
    exposure: Tensor
    level: Tensor
    number: int
    arriving: Tensor | None
    leaving: Tensor | None


@dataclass(frozen=True)
class AlignedWindow:
    """A window as seen from its reference's place.

    Args:
        image: The reference, encoded with 1/2.2, 0..1, (B, 3, H, W).
        reference: The same, linearised.
        neighbors: The other frames in order of time, aligned.
        level: Noise level of the window, (B, 1, 1, 1).
    """

    image: Tensor
    reference: Candidate
    neighbors: tuple[Candidate, ...]
    level: Tensor


def follow_motion(image: Tensor, exposure: Tensor, *, previous: FrameMotion | None) -> FrameMotion:
    """Search the motion between a frame and the one before, both ways, and estimate its noise.

    Args:
        image: Encoded with 1/2.2, 0..1, (B, 3, H, W).
        exposure: Linear exposure relative to the shortest, (B,).
        previous: The frame before, None at the start of a clip.
    """
    exposure = exposure.to(image).view(-1, 1, 1, 1)
    linear, small = image.clamp(0, 1).pow(GAMMA), halve(image)
    level = noise_level(linear)
    if previous is None:
        return FrameMotion(image, linear, small, exposure, level, 0, None, None)
    pictures = torch.cat((previous.small, small)), torch.cat((small, previous.small))
    exposures = torch.cat((previous.exposure, exposure)), torch.cat((exposure, previous.exposure))
    arriving, leaving = _flows(pictures, exposures).chunk(2)
    return FrameMotion(image, linear, small, exposure, level, previous.number + 1, arriving, leaving)


def align_window(window: tuple[FrameMotion, ...]) -> AlignedWindow:
    """Align the frames of a streamed window to the middle one; borrowed frames may stand in it twice."""
    middle = len(window) // 2
    reference = window[middle]
    flows = _flows_from(reference, {frame.number: frame for frame in window})
    neighbors = tuple(
        _candidate(frame.linear, frame.exposure, flows[frame.number], twin=frame is reference)
        for place, frame in enumerate(window)
        if place != middle
    )
    level = torch.cat([frame.level for frame in window], dim=1).median(1, keepdim=True).values
    return AlignedWindow(reference.image, _candidate(reference.linear, reference.exposure, None), neighbors, level)


def align_batch(ldr: Tensor, exposures: Tensor) -> AlignedWindow:
    """Align the frames of whole windows to the middle one, as training needs it.

    Args:
        ldr: Frames in order of time, encoded with 1/2.2, 0..1, (B, N, 3, H, W).
        exposures: Linear exposures relative to the shortest, (B, N).
    """
    count = ldr.shape[1]
    middle = count // 2
    linear = ldr.clamp(0, 1).pow(GAMMA)
    flows = _flows_of_batch(ldr, exposures)
    candidates = [
        _candidate(linear[:, index], exposures[:, index].view(-1, 1, 1, 1), flows[index]) for index in range(count)
    ]
    reference = candidates.pop(middle)
    levels = noise_level(linear.flatten(0, 1)).view(-1, count)
    return AlignedWindow(ldr[:, middle], reference, tuple(candidates), levels.median(1).values.view(-1, 1, 1, 1))


def _flows_of_batch(ldr: Tensor, exposures: Tensor) -> dict[int, Tensor | None]:
    batch, count = ldr.shape[:2]
    middle = count // 2
    firsts = [*range(middle, count - 1), *range(middle, 0, -1)]
    seconds = [*range(middle + 1, count), *range(middle - 1, -1, -1)]
    small = halve(ldr.flatten(0, 1))
    small = small.view(batch, count, *small.shape[1:])
    steps = _flows(
        (small[:, firsts].flatten(0, 1), small[:, seconds].flatten(0, 1)),
        (exposures[:, firsts].reshape(-1, 1, 1, 1), exposures[:, seconds].reshape(-1, 1, 1, 1)),
    )
    steps = steps.view(batch, -1, *steps.shape[1:])
    flows: dict[int, Tensor | None] = {middle: None}
    for place, (first, second) in enumerate(zip(firsts, seconds, strict=True)):
        flows[second] = _chain(flows[first], steps[:, place])
    return flows


def _flows_from(reference: FrameMotion, known: dict[int, FrameMotion]) -> dict[int, Tensor | None]:
    """Flows from the reference to every known frame: followed step by step, searched anew across a gap."""
    flows: dict[int, Tensor | None] = {reference.number: None}
    for direction in (1, -1):
        side = (number for number in known if (number - reference.number) * direction > 0)
        for number in sorted(side, key=lambda number: abs(number - reference.number)):
            before = number - direction
            if before in flows:
                step = known[number].arriving if direction == 1 else known[before].leaving
                flows[number] = _chain(flows[before], step)
            else:
                flows[number] = _search(reference, known[number])
    return flows


def _search(first: FrameMotion, second: FrameMotion) -> Tensor:
    return _flows((first.small, second.small), (first.exposure, second.exposure))


def _flows(pictures: tuple[Tensor, Tensor], exposures: tuple[Tensor, Tensor]) -> Tensor:
    return search_motion(*matched_lumas(*pictures, exposures))


def _chain(flow: Tensor | None, step: Tensor | None) -> Tensor | None:
    """Follow `flow` to a frame and `step` from there on; None is no motion."""
    if flow is None or step is None:
        return step
    return flow + warp(step, flow)


def _candidate(linear: Tensor, exposure: Tensor, flow: Tensor | None, *, twin: bool = False) -> Candidate:
    if flow is None:
        # The reference borrowed as its own neighbor adds nothing: its noise is the same.
        counts = 0.0 if twin else 1.0
        return Candidate(linear, exposure, linear.new_full((len(linear), 1, 1, 1), counts))
    return align(linear, exposure, flow)
