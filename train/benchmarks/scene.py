"""What every benchmark is once its files are found: scenes, whose frames and truths are read when asked for."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from torch import Tensor

from model.exposure import GAMMA_8_BIT, CodePrecision
from model.response import ResponseCurve, gamma_curve

Truth = Literal["truth", "estimate", "none"]


@dataclass(frozen=True)
class Scene:
    """One clip; nothing of it is in memory.

    Args:
        name: Name as the set has it.
        exposures: Linear, relative to the shortest, one per frame.
        labels: What each frame is called, mostly the stem of its file.
        read_ldr: Reads a frame by number: encoded with 1/2.2, 0..1, (3, H, W).
        truths: By frame number what reads its truth: linear radiance, 1.0 = clip level of the shortest exposure,
            0..1, (3, H, W). Only frames that may be scored are in it; each has a whole window around it.
        precision: How precisely the camera's codes state light.
        response: Of the camera; what `read_ldr` returns is linear in it once decoded with 2.2.
    """

    name: str
    exposures: tuple[float, ...]
    labels: tuple[str, ...]
    read_ldr: Callable[[int], Tensor]
    truths: Mapping[int, Callable[[], Tensor]]
    precision: CodePrecision = GAMMA_8_BIT
    response: ResponseCurve = field(default_factory=gamma_curve)


NO_TRUTH = (
    "No truth is known. `own` (PSNR_T) compares with the reference frame where that is well exposed; `fill`, where it "
    "is black or clipped, with the picture between the two nearest frames of a longer or shorter exposure, only where "
    "their motion is sure.",
    "Noise of the reference counts as right in `own`, so the true light itself has some 30 to 45 dB there. Places of "
    "unsure motion are not judged. Equal-exposure interpolation fills as `fill` measures, and is flattered by it.",
)


@dataclass(frozen=True)
class Benchmark:
    """Scenes of a set, and what must be said about it.

    Args:
        name: Its name among `catalog.NAMES`.
        title: Its name in headings.
        nexps: Number of distinct exposures.
        scenes: The scenes, of one kind all.
        truth: Whether the truth is one, or another method's estimate, or there is none.
        notes: What must be said beside the numbers.
        source: Page where the set is published, empty if it is not.
    """

    name: str
    title: str
    nexps: int
    scenes: tuple[Scene, ...]
    truth: Truth
    notes: tuple[str, ...]
    source: str

    @property
    def samples(self) -> int:
        """Number of frames that have a truth."""
        return sum(len(scene.truths) for scene in self.scenes)


def without_truth(benchmark: Benchmark) -> Benchmark:
    """Leave all truths aside, so that scenes are scored by what they say themselves."""
    scenes = tuple(replace(scene, truths={}) for scene in benchmark.scenes)
    return replace(benchmark, scenes=scenes, truth="none", notes=(*benchmark.notes, *NO_TRUTH))
