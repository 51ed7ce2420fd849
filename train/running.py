"""Methods run over scenes: networks as a stream, as `lanhdr convert` runs them, others window by window."""

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from functools import lru_cache

import torch
from torch import Tensor

from model.frames import LdrFrame
from train.benchmarks.scene import Scene
from train.contenders import Contender, Trained
from train.cost import Meter

Outputs = tuple[Tensor, ...]


def scored_frames(scene: Scene, window_length: int) -> tuple[int, ...]:
    """Frames to look at: those that have a truth; where the scene has none at all, those with a whole window.

    Args:
        scene: The clip.
        window_length: Frames N per window.
    """
    radius = window_length // 2
    return tuple(sorted(scene.truths)) or tuple(range(radius, len(scene.exposures) - radius))


def window(scene: Scene, frame: int, *, length: int) -> tuple[Tensor, Tensor]:
    """Read the frames around one: encoded, (N, 3, H, W), and their exposures, (N)."""
    numbers = range(frame - length // 2, frame + length // 2 + 1)
    ldr = torch.stack([scene.read_ldr(number) for number in numbers])
    return ldr, torch.tensor([scene.exposures[number] for number in numbers])


def run_over(
    contender: Contender, scene: Scene, *, window_length: int, period: int, meter: Meter
) -> Iterator[tuple[int, Outputs]]:
    """Reconstruct the frames of a scene that are to be scored.

    Args:
        contender: The method.
        scene: The clip.
        window_length: Frames N per window.
        period: Number of frames after which the exposures repeat.
        meter: Takes the time.

    Yields:
        Number of the frame and, per name of the method, linear radiance as the method returns it, (3, H, W).
    """
    if contender.trained:
        yield from _streamed(contender.trained, scene, scored_frames(scene, window_length), period=period, meter=meter)
        return
    for frame in scored_frames(scene, window_length):
        ldr, exposures = window(scene, frame, length=window_length)
        with meter.combining(), torch.no_grad():
            outputs = contender.run(ldr, exposures)
        yield frame, outputs


def remembering(scene: Scene, count: int) -> Scene:
    """Keep the frames read last: windows overlap, and their middle frame is looked at again."""
    return replace(scene, read_ldr=lru_cache(maxsize=count)(scene.read_ldr))


def _streamed(
    trained: Trained, scene: Scene, wanted: tuple[int, ...], *, period: int, meter: Meter
) -> Iterator[tuple[int, Outputs]]:
    windows = trained.reconstructor.windows(_frames(scene, meter), period=period)
    for number in range(max(wanted, default=-1) + 1):
        with meter.preparing():
            around = next(windows)
        if number in wanted:
            with meter.combining():
                outputs = trained.outputs(trained.reconstructor.predict(around))
            yield number, outputs


def _frames(scene: Scene, meter: Meter) -> Iterator[LdrFrame]:
    for number, exposure in enumerate(scene.exposures):
        with meter.reading():
            image = scene.read_ldr(number)
        yield LdrFrame(image, exposure, Fraction(number), scene.precision)
