"""What every benchmark is once its files are found: scenes, whose frames and truths are read when asked for."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal, Protocol

from torch import Tensor

from model.exposure import GAMMA_8_BIT, CodePrecision
from model.network import NetworkConfig
from model.response import ResponseCurve, gamma_curve
from train.data.clips import evenly, shortened
from train.errors import DatasetError

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


@dataclass(frozen=True)
class Request:
    """What to open of a benchmark.

    Args:
        nexps: Number of distinct exposures, 2 or 3.
        scene: Name of the only scene, None for all.
        limit: Most scenes, evenly chosen.
        no_truth: Whether truths are left aside, where there are any.
    """

    nexps: int
    scene: str | None = None
    limit: int | None = None
    no_truth: bool = False

    @property
    def window(self) -> int:
        """Frames of a window: 5 for two exposures, 7 for three."""
        return NetworkConfig(self.nexps).window_length

    def centers(self, frames: int) -> range:
        """Return the numbers of the frames of a clip that have a whole window around them."""
        return range(self.window // 2, frames - self.window // 2)

    def choose(self, names: Sequence[str]) -> list[int]:
        """Return the places of the scenes that are asked for.

        Raises:
            DatasetError: If there is no scene of that name.
        """
        if self.scene is None:
            return evenly(len(names), limit=self.limit)
        if self.scene not in names:
            raise DatasetError(f"no scene is called {self.scene}: pass one of {shortened(names)} as --scene")
        return [list(names).index(self.scene)]


class ClipWithTruth(Protocol):
    """Consecutive frames and their truth, as in a `Sample` of training."""

    @property
    def name(self) -> str:
        """Name in tables."""

    @property
    def ldr(self) -> Tensor:
        """Frames encoded with 1/2.2, 0..1, (T, 3, H, W)."""

    @property
    def exposures(self) -> Tensor:
        """Linear exposure of every frame relative to the shortest, (T,)."""

    @property
    def radiance(self) -> Tensor:
        """True radiance of every frame, 1.0 = clip level of the shortest exposure, (T, 3, H, W)."""

    @property
    def precision(self) -> Tensor:
        """Precision of the camera's codes, as `CodePrecision.tensor` lays it out, (6,)."""


def scene_of(clip: ClipWithTruth, nexps: int) -> Scene:
    """Let the frames of a clip that have a whole window be scored.

    Args:
        clip: The clip.
        nexps: Number of exposures in the cycle.
    """
    count = len(clip.ldr)
    truths = {frame: partial(_nth, clip.radiance, frame) for frame in Request(nexps).centers(count)}
    labels = tuple(f"{frame:04d}" for frame in range(count))
    exposures, precision = tuple(clip.exposures.tolist()), CodePrecision.from_tensor(clip.precision)
    return Scene(clip.name, exposures, labels, partial(_nth, clip.ldr), truths, precision)


def _nth(frames: Tensor, number: int) -> Tensor:
    return frames[number]
