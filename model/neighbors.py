"""Alignment of neighbors by motion, for a streaming clip or for batches of windows.

Motion has two witnesses. Where the reference frame shows something, it is matched with each neighbor. Where it is
black or clipped, the two nearest frames of another exposure around it, which see the same things, are matched with
each other, and the flow between them is brought to the reference's time.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from model import kernels
from model.exposure import GAMMA, GAMMA_8_BIT
from model.frames import FrameBatch
from model.motion import box_mean, halve, matched_lumas, search_motion, warp
from model.physical_merge import Candidate, NoiseModel, align, noise_level

# Pixels at half size by which the way there and back may miss its start, and a flow the one that it should equal.
CONSISTENT = 1.0
# Where nothing speaks for a candidate it still counts so much: what it shows is better than black or the clip level.
LEAST_TRUST = 0.02

# How a candidate is aligned, and its distance to the reference in frames.
CandidateKey = tuple[str, int]
Flows = Mapping[tuple[int, int], Tensor]


@dataclass(frozen=True, kw_only=True)
class FrameMotion:
    """A frame, and its motion from frames before it.

    Args:
        image: Encoded with 1/2.2, 0..1, (B, 3, H, W).
        linear: Linearised, 0..1, (B, 3, H, W).
        small_linear: The linearised picture at half size, (B, 3, h, w).
        exposure: Linear exposure relative to the shortest, (B, 1, 1, 1).
        precision: `CodePrecision.tensor` per sample, (B, 6).
        level: Noise level of the frame, (B, 1, 1, 1).
        clipped: Share at the clip level, 0..1, at half size, (B, 1, h, w).
        certainty: Share that is picture and not black or clip level, 0..1, at half size, (B, 1, h, w).
        time: In any unit.
        number: Position in the clip, from 0.
        flows: From one frame to another by their numbers, one of them this frame's, at half size, (B, 2, h, w).
    """

    image: Tensor
    linear: Tensor
    small_linear: Tensor
    exposure: Tensor
    precision: Tensor
    level: Tensor
    clipped: Tensor
    certainty: Tensor
    time: float
    number: int
    flows: Flows


@dataclass(frozen=True, kw_only=True)
class AlignedWindow:
    """A window whose frames are aligned to its reference.

    Args:
        image: The reference, encoded with 1/2.2, 0..1, (B, 3, H, W).
        reference: The same, linearised.
        neighbors: The other frames, aligned, as `candidate_keys` lists them.
    """

    image: Tensor
    reference: Candidate
    neighbors: list[Candidate]
    noise: NoiseModel


def candidate_keys(nexps: int) -> tuple[CandidateKey, ...]:
    """List the candidates of a window, in order of time: frames of another exposure are aligned in two ways.

    `matched` frames are searched from the reference, `between` frames are interpolated between two frames around it.

    Args:
        nexps: Number of exposures in the cycle; the window reaches as many frames to either side.
    """
    frames = [frame for frame in range(-nexps, nexps + 1) if frame]
    ways = {frame: ("matched",) if abs(frame) == nexps else ("matched", "between") for frame in frames}
    return tuple((way, frame) for frame in frames for way in ways[frame])


def follow_motion(frame: FrameBatch, *, recent: Sequence[FrameMotion], period: int) -> FrameMotion:
    """Search the motion between a frame, the one before, and the one a period before, both ways.

    Args:
        recent: Frames before it in order of time, `period` of them as far as the clip has as many.
        period: Number of frames after which the exposures repeat.
    """
    new = _measured(frame, number=recent[-1].number + 1 if recent else 0)
    earlier = [recent[-lag] for lag in dict.fromkeys((1, period)) if lag <= len(recent)]
    pairs = [pair for other in earlier for pair in ((other, new), (new, other))]
    return replace(new, flows=_search(pairs))


def align_window(window: Sequence[FrameMotion]) -> AlignedWindow:
    """Align the frames of a streamed window to the middle one; borrowed frames may stand in it twice."""
    flows: dict[tuple[int, int], Tensor] = {}
    for frame in window:
        flows.update(frame.flows)
    return _align(window, flows)


@torch.no_grad()  # so that the kernels serve the search of training, too
def align_batch(ldr: Tensor, exposures: Tensor, precision: Tensor | None = None) -> AlignedWindow:
    """Align the frames of whole windows to the middle one, as training needs it.

    Args:
        ldr: Frames in order of time, one apart, encoded with 1/2.2, 0..1, (B, N, 3, H, W).
        exposures: Linear exposures relative to the shortest, (B, N).
        precision: `CodePrecision.tensor` per sample, (B, 6); None is 8 bits encoded with 1/2.2.
    """
    if precision is None:
        precision = GAMMA_8_BIT.tensor().to(ldr).expand(len(ldr), -1)
    window = [
        _measured(FrameBatch(image=image, exposure=exposure, precision=precision, time=float(number)), number=number)
        for number, (image, exposure) in enumerate(zip(ldr.unbind(1), exposures.unbind(1), strict=True))
    ]
    middle = len(window) // 2
    steps = [(middle, 0), (middle, 2 * middle)]
    for distance in range(1, middle):
        steps += [(middle + side * (distance - 1), middle + side * distance) for side in (1, -1)]
        steps += [(distance, distance + middle), (distance + middle, distance)]
    return _align(window, _search([(window[start], window[end]) for start, end in steps]))


def _measured(frame: FrameBatch, *, number: int) -> FrameMotion:
    nominal = NoiseModel(level=frame.image.new_ones(1, 1, 1, 1), precision=frame.precision)
    if kernels.usable_for_one(frame.image):
        shown = kernels.measure_frame(frame.image, noise=nominal.numbers, gamma=GAMMA)
        linear, small_linear, clipped, certainty = shown
    else:
        linear = frame.image.clamp(0, 1).pow(GAMMA)
        small_linear, unclipped = halve(linear), nominal.unclipped(linear)
        clipped = halve(1 - unclipped).mean(1, keepdim=True)
        certainty = halve((unclipped - nominal.crushed(linear)).clamp_min(0)).mean(1, keepdim=True)
    return FrameMotion(
        image=frame.image,
        linear=linear,
        small_linear=small_linear,
        exposure=frame.exposure.to(linear).view(-1, 1, 1, 1),
        precision=frame.precision,
        level=noise_level(linear, frame.precision),
        clipped=clipped,
        certainty=certainty,
        time=frame.time,
        number=number,
        flows={},
    )


def _search(pairs: Sequence[tuple[FrameMotion, FrameMotion]]) -> dict[tuple[int, int], Tensor]:
    """Search the flows from the first to the second frame of all pairs at once."""
    if not pairs:
        return {}
    lumas: dict[tuple[int, int], tuple[Tensor, Tensor]] = {}
    for first, second in pairs:
        if (first.number, second.number) not in lumas:
            ours, theirs = matched_lumas(first.image, second.image, (first.exposure, second.exposure))
            lumas |= {(second.number, first.number): (theirs, ours), (first.number, second.number): (ours, theirs)}
    stacked = [torch.cat([lumas[first.number, second.number][side] for first, second in pairs]) for side in (0, 1)]
    del lumas  # at full size, memory that counts
    not_black = torch.cat([first.certainty + first.clipped for first, _ in pairs])
    flows = search_motion(stacked[0], stacked[1], certainty=not_black)
    numbers = [(first.number, second.number) for first, second in pairs]
    return dict(zip(numbers, flows.chunk(len(pairs)), strict=True))


def _align(window: Sequence[FrameMotion], flows: Flows) -> AlignedWindow:
    middle = len(window) // 2
    reference = window[middle]
    level = torch.cat([frame.level for frame in window], dim=1).median(1, keepdim=True).values
    noise = NoiseModel(level=level, precision=reference.precision)
    search = _WindowSearch(window, flows)
    trust_alike, trust_others = _matching_trust(reference, noise)
    candidates: list[Candidate] = []
    for way, distance in candidate_keys(middle):
        frame = window[middle + distance]
        partner = window[distance + 2 * middle] if distance < 0 else window[distance]
        if way == "between" and (pair := search.between(frame, partner)):
            candidates.append(align(frame.linear, frame.exposure, pair[0], trust=pair[1]))
        elif frame.number == reference.number:
            # The reference borrowed as its own neighbor adds nothing: its noise is the same.
            nothing = torch.zeros_like(frame.certainty)
            candidates.append(Candidate(linear=frame.linear, exposure=frame.exposure, trust=nothing))
        else:
            trust = torch.where(frame.exposure == reference.exposure, trust_alike, trust_others)
            candidates.append(align(frame.linear, frame.exposure, search.flow(frame.number), trust=trust))
    ones = torch.ones_like(reference.certainty)
    still = Candidate(linear=reference.linear, exposure=reference.exposure, trust=ones)
    return AlignedWindow(image=reference.image, reference=still, neighbors=candidates, noise=noise)


class _WindowSearch:
    """The flows of a window from its reference to other frames, searched when asked for.

    Args:
        window: The frames; the reference is in the middle.
        flows: Flows that are known already.
    """

    def __init__(self, window: Sequence[FrameMotion], flows: Flows) -> None:
        self._reference = window[len(window) // 2]
        self._frames = {frame.number: frame for frame in window}
        self._steps = dict(flows)
        self._flows: dict[int, Tensor] = {}

    def between(self, frame: FrameMotion, partner: FrameMotion) -> tuple[Tensor, Tensor] | None:
        """Interpolate the flow to a frame, and its trust, from that between it and a partner at the other side.

        Returns:
            None if the reference does not lie between them.
        """
        span = partner.time - frame.time
        part = (self._reference.time - frame.time) / span if span else 0.0
        if not 0 < part < 1:
            return None
        there, back = self._step(frame.number, partner.number), self._step(partner.number, frame.number)
        return _interpolated(there, back, part=part)

    def flow(self, number: int) -> Tensor:
        """Return the flow to a frame, searched from the reference or followed through the frames between them."""
        if number not in self._flows:
            start = self._reference.number
            before = number - 1 if number > start else number + 1
            if (start, number) in self._steps or before == start or before not in self._frames:
                self._flows[number] = self._step(start, number)
            else:
                flow = self.flow(before)
                self._flows[number] = flow + warp(self._step(before, number), flow)
        return self._flows[number]

    def _step(self, start: int, end: int) -> Tensor:
        if (start, end) not in self._steps:
            self._steps |= _search([(self._frames[start], self._frames[end])])
        return self._steps[start, end]


def _interpolated(there: Tensor, back: Tensor, *, part: float) -> tuple[Tensor, Tensor]:
    """Interpolate the flow from a moment between two frames to the first of them, and the trust in it.

    What one of the frames does not see, the other one does: a flow that does not lead back to its start, or is not
    the one that the moment has, belongs to something else.

    Args:
        there: Flow from the first frame to the other one, (B, 2, h, w).
        back: Flow from the other one to the first.
        part: The moment's distance from the first frame, as a part of that between both frames.
    """
    if kernels.usable_for_one(there, back):
        return kernels.interpolated(there, back, part=part, consistent=CONSISTENT, least_trust=LEAST_TRUST)
    ahead = torch.cat((there, _miss(there, back)), dim=1)
    behind = torch.cat((-back, _miss(back, there)), dim=1)
    whole = there.lerp(-back, part)
    for _ in range(2):
        here, beyond = warp(ahead, -part * whole), warp(behind, (1 - part) * whole)
        sure_here, sure_beyond = 1 / (1 + here[:, 2:]), 1 / (1 + beyond[:, 2:])
        whole = (sure_here * here[:, :2] + sure_beyond * beyond[:, :2]) / (sure_here + sure_beyond)
    difference = (here[:, :2] - whole).square().sum(1, keepdim=True) / CONSISTENT**2
    return -part * whole, (sure_here / (1 + difference)).clamp_min(LEAST_TRUST)


def _miss(flow: Tensor, back: Tensor) -> Tensor:
    """Squared distance between start and end of the way there and back, in units of `CONSISTENT`, (B, 1, h, w)."""
    return (flow + warp(back, flow)).square().sum(1, keepdim=True) / CONSISTENT**2


def _matching_trust(reference: FrameMotion, noise: NoiseModel) -> tuple[Tensor, Tensor]:
    """Trust in matches of the reference by what is black, clipped or noise around it, 0..1, (B, 1, h, w) each.

    The first is for frames of its own exposure, which are black and clipped where it is; the second for frames of
    another exposure, which may show more: edges of what is clipped show how it moves.
    """
    alike = box_mean(reference.certainty, 5)
    small = box_mean(reference.small_linear, 5)
    signal = small.square() / (small.square() + noise.variance(small))
    others = torch.maximum(alike * signal.mean(1, keepdim=True), box_mean(reference.clipped, 5))
    return alike.clamp_min(LEAST_TRUST), others.clamp_min(LEAST_TRUST)
