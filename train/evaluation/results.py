"""What an evaluation found, in the form that tables, files and the report are made of."""

import csv
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from torch import Tensor
from torch.nn import functional as F

from train.dataclass_io import read_table
from train.errors import DatasetError, RecipeError
from train.evaluation.benchmarks.scene import Truth
from train.evaluation.metrics import MEASURES


def write_text(path: Path, text: str) -> None:
    """Write a text file.

    Raises:
        DatasetError: If the file cannot be written.
    """
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise DatasetError(f"{path} cannot be written ({error.strerror}): choose another place") from error


SIDE = 160
STEP = 16


@dataclass(frozen=True)
class Crop:
    """Where a frame is worst.

    Args:
        top: First row.
        left: First column.
        side: Rows and columns, at most 160.
        error: Mean absolute error of mu-law values in it.
    """

    top: int
    left: int
    side: int
    error: float

    def cut(self, picture: Tensor) -> Tensor:
        """Cut this place out of a picture, (..., H, W) -> (..., side, side)."""
        return picture[..., self.top : self.top + self.side, self.left : self.left + self.side]


def worst_crop(output: Tensor, wanted: Tensor) -> Crop:
    """Find the square of 160 pixels, of those at every 16th, with the largest mean error of mu-law values.

    Args:
        output: Mu-law values, (1, 3, H, W).
        wanted: What they should be, or are to be compared with, same shape.
    """
    errors = (output - wanted).abs().mean(1, keepdim=True)  # (1, 1, H, W)
    height, width = errors.shape[-2:]
    side = min(SIDE, height, width)
    means = F.avg_pool2d(errors, side, stride=STEP)[0, 0]
    place = int(means.argmax())
    row, column = divmod(place, means.shape[1])
    return Crop(row * STEP, column * STEP, side, float(means.flatten()[place]))


Kind = Literal["baseline", "start", "network"]
Protocol = Literal["lanhdr", "hdrflow"]
Role = Literal["low", "middle", "high"]
Rank = Literal["worst", "best"]


@dataclass(frozen=True)
class Method:
    """One method that was compared, and what it costs.

    Args:
        name: What tables call it.
        kind: `baseline` learns nothing; `start` is what a guided network starts from and learns nothing either.
        weights: Name of the file of weights, None for what has none.
        parameters: Number of the network's parameters, None for what has none.
        seconds_per_frame: What a frame takes; None if it was not measured.
        peak_memory_mib: Most memory in use while it ran; None if it was not measured.
        device: What it ran on.
    """

    name: str
    kind: Kind
    weights: str | None
    parameters: int | None
    seconds_per_frame: float | None
    peak_memory_mib: float | None
    device: str


@dataclass(frozen=True)
class FrameScore:
    """How well a method did on a frame, under a protocol.

    Args:
        scene: Name of the scene.
        frame: Number of the frame in the scene.
        label: What the set calls the frame.
        role: Which exposure the frame has.
        method: Name of the method.
        protocol: `lanhdr`: as predicted; `hdrflow`: well-exposed parts of the reference pasted before scoring.
        values: Figures by the keys of `measures.MEASURES`; those that are not defined for the frame are absent.
        crop: Where it did worst.
    """

    scene: str
    frame: int
    label: str
    role: Role
    method: str
    protocol: Protocol
    values: dict[str, float]
    crop: Crop


@dataclass(frozen=True)
class Published:
    """Figures that others published for the same set.

    Args:
        method: Name of the method.
        nexps: Number of exposures.
        values: Figures by the keys of `measures.MEASURES`.
        protocol_note: How they were measured.
        source: Where they stand.
    """

    method: str
    nexps: int
    values: dict[str, float]
    protocol_note: str
    source: str


@dataclass(frozen=True)
class Example:
    """A place to be shown as a picture.

    Args:
        scene: Name of the scene.
        frame: Number of the frame in the scene.
        label: What the set calls the frame.
        rank: Whether it is one of the worst or of the best.
        crop: Where in the frame.
        reference: The place as captured, encoded with 1/2.2, 0..1, (3, h, w).
        pictures: What each method made of it, by name: linear radiance, 0..1, (3, h, w).
        truth: What it should be, same form; None where there is none.
    """

    scene: str
    frame: int
    label: str
    rank: Rank
    crop: Crop
    reference: Tensor
    pictures: Mapping[str, Tensor]
    truth: Tensor | None


@dataclass(frozen=True)
class Results:
    """All that a run of an evaluation found.

    Args:
        benchmark: Name of the set.
        title: Its name in headings.
        nexps: Number of exposures in the cycle.
        notes: What must be said beside the figures.
        methods: What was compared, in the order of the tables; the last is what it is about.
        scores: Of every frame, method and protocol.
        published: What others published for this set.
        environment: What it ran on, in words.
        command: The command line.
        truth: Whether the truth is one, or another method's estimate, to which all figures of likeness are relative.
    """

    benchmark: str
    title: str
    nexps: int
    notes: tuple[str, ...]
    methods: tuple[Method, ...]
    scores: tuple[FrameScore, ...]
    published: tuple[Published, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    command: str = ""
    truth: Truth = "truth"


def write_results(path: Path, results: Results) -> None:
    """Write all of it as JSON; values that are not finite become Infinity and NaN, as Python's module has it.

    Raises:
        DatasetError: If the file cannot be written.
    """
    write_text(path, json.dumps(asdict(results), indent=1) + "\n")


def read_results(path: Path) -> Results:
    """Read what `write_results` wrote.

    Raises:
        DatasetError: If the file is missing, damaged, or something else.
    """
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(table, dict):
            raise RecipeError(f"{path} holds no table")
        return read_table(Results, table, source=str(path))
    except OSError as error:
        raise DatasetError(f"{path} cannot be read ({error.strerror}): pass results of an earlier run") from error
    except (ValueError, RecipeError) as error:
        raise DatasetError(f"{path} holds no results ({error}): pass a file that --json wrote") from error


def write_csv(path: Path, results: Results) -> None:
    """Write a row per frame, method and protocol; what is not defined is left empty.

    Raises:
        DatasetError: If the file cannot be written.
    """
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(_rows(results))
    write_text(path, text.getvalue())


def _rows(results: Results) -> Iterator[list[object]]:
    keys = [measure.key for measure in MEASURES]
    yield ["benchmark", "scene", "frame", "label", "role", "method", "protocol", *keys]
    for score in results.scores:
        place = [results.benchmark, score.scene, score.frame, score.label, score.role, score.method, score.protocol]
        yield [*place, *(score.values.get(key, "") for key in keys)]
