"""Clips with truth from real brackets of still scenes: curve, noise, crushed blacks and JPEG are the camera's own.

A window moves by whole pixels over the pictures of the chosen exposures, alternated, and an ellipse of the same scene,
mirrored, moves in front; nothing is resampled. The truth is the merge of all exposures, moved alike. What is not real:
noise moves with the scene, and pictures of one exposure have the same noise.
"""

import itertools
import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.response import ResponseCurve, table_curve
from train.data.brackets import Bracket, Codes
from train.data.images import Pixels
from train.synthesis.camera import Size
from train.synthesis.dataset import to_tensor

Mask = NDArray[np.bool_]
Places = NDArray[np.int64]

SIZE = (320, 512)
STEPS = {2: 16.0, 3: 4.0}  # wanted ratio of neighboring exposures, by their number
CLIPPED, CLIPPED_SHARE = 250, 0.12  # wanted of the longest picture
SPEED = 12.0
ELLIPSE = (0.28, 0.12)  # half axes, of height and width


@dataclass(frozen=True)
class BracketClip:
    """A clip as a camera would have stored it, and its truth.

    Args:
        name: Name of the bracket.
        codes: R, G, B as stored, (T, H, W, 3).
        exposures: Linear, relative to the shortest, (T,).
        radiance: Linear radiance, 1.0 = clip level of the shortest exposure, 0..1, (T, 3, H, W).
        curve: The camera's response.
    """

    name: str
    codes: Codes
    exposures: Tensor
    radiance: Tensor
    curve: ResponseCurve

    @cached_property
    def ldr(self) -> Tensor:
        """Encoded anew with 1/2.2, 0..1, (T, 3, H, W)."""
        return self.curve.to_ldr(to_tensor(self.codes.astype(np.float32) / np.float32(255)))

    @property
    def precision(self) -> Tensor:
        """How precisely the codes state light, as `CodePrecision.tensor` lays it out, (6,)."""
        return self.curve.precision().tensor()


@dataclass(frozen=True)
class Choice:
    """Pictures of a bracket that a clip alternates between.

    Args:
        bracket: The bracket.
        numbers: Of the pictures, the shortest exposure first.
    """

    bracket: Bracket
    numbers: tuple[int, ...]

    @property
    def exposures(self) -> tuple[float, ...]:
        """Linear, relative to the shortest."""
        chosen = [self.bracket.exposures[number] for number in self.numbers]
        return tuple(float(f"{exposure / chosen[0]:.6g}") for exposure in chosen)


def choose_exposures(bracket: Bracket, nexps: int) -> Choice | None:
    """Choose the pictures whose ratios, and whose longest one's clipped share, are nearest to those of usual footage.

    Args:
        bracket: The bracket.
        nexps: Number of exposures.

    Returns:
        None if the bracket has fewer.
    """
    choices = itertools.combinations(range(len(bracket.pictures)), nexps)
    return min((Choice(bracket, numbers) for numbers in choices), key=_oddity, default=None)


def _oddity(choice: Choice) -> float:
    steps = [
        math.log2(long / short / STEPS[len(choice.numbers)]) for short, long in itertools.pairwise(choice.exposures)
    ]
    clipped = float((choice.bracket.pictures[choice.numbers[-1]].max(2) > CLIPPED).mean())
    return 4 * max(map(abs, steps)) + abs(math.log2((clipped + 0.005) / (CLIPPED_SHARE + 0.005)))


def clip_of_bracket(
    choice: Choice, *, frames: int, phase: int = 0, size: Size = SIZE, speed: float = SPEED
) -> BracketClip:
    """Make a clip of a bracket.

    Args:
        choice: Its pictures.
        frames: Length.
        phase: Place in the cycle of the first frame, 0 for the shortest exposure.
        size: Height and width; reduced to what leaves the window room to move.
        speed: Most pixels that the window moves a frame, on an average, down and across.
    """
    bracket, count = choice.bracket, len(choice.numbers)
    pictures = [bracket.pictures[number] for number in choice.numbers]
    truth = np.clip(bracket.radiance(shortest=choice.numbers[0]), 0, 1)
    height, width = truth.shape[:2]
    size = (min(size[0], int(0.8 * height)), min(size[1], int(0.8 * width)))
    places = [(frame + phase) % count for frame in range(frames)]
    corners = _path(frames, room=(height - size[0], width - size[1]), speed=speed)
    codes: list[Codes] = []
    radiance: list[Pixels] = []
    for frame, (place, corner) in enumerate(zip(places, corners, strict=True)):
        shown, rows, columns = _ellipse(frame / max(1, frames - 1), size, whole=(height, width))
        window = (slice(corner[0], corner[0] + size[0]), slice(corner[1], corner[1] + size[1]))
        codes.append(pictures[place][window].copy())
        codes[-1][shown] = pictures[place][rows, columns]
        radiance.append(truth[window].copy())
        radiance[-1][shown] = truth[rows, columns]
    exposures = torch.tensor([choice.exposures[place] for place in places])
    curve = table_curve(bracket.name, torch.from_numpy(bracket.light))
    return BracketClip(bracket.name, np.stack(codes), exposures, to_tensor(np.stack(radiance)), curve)


def _path(frames: int, *, room: Size, speed: float) -> list[tuple[int, int]]:
    """Upper left corners of a window on a curved path."""
    along = np.arange(frames) / max(1, frames - 1)
    down, across = (min(share * free, speed * (frames - 1)) for share, free in zip((0.45, 0.8), room, strict=True))
    rows = room[0] / 2 + down * np.sin(2.2 * along)
    columns = (room[1] - across) / 2 + across * along * (0.4 + 0.6 * along)
    return [(int(row), int(column)) for row, column in zip(np.rint(rows), np.rint(columns), strict=True)]


def _ellipse(time: float, size: Size, *, whole: Size) -> tuple[Mask, Places, Places]:
    """Where an ellipse is seen at a time of 0..1, (h, w), and which row and column of the whole picture it shows."""
    height, width = size
    middle = (round(height * (0.62 - 0.12 * math.sin(5 * time))), round(width * (0.85 - 0.75 * time)))
    rows, columns = np.mgrid[:height, :width]
    down, right = rows - middle[0], columns - middle[1]
    shown = (down / (ELLIPSE[0] * height)) ** 2 + (right / (ELLIPSE[1] * width)) ** 2 < 1
    return shown, down[shown] + whole[0] // 2, whole[1] // 2 - right[shown]
