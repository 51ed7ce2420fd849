"""The record of an evaluation, and its files."""

import csv
import io
import json
from collections.abc import Mapping
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
    """A square of a frame, at most 160 pixels wide, and the mean absolute error of its mu-law values."""

    top: int
    left: int
    side: int
    error: float

    def cut(self, picture: Tensor) -> Tensor:
        """Crop a picture, (..., H, W) -> (..., side, side)."""
        return picture[..., self.top : self.top + self.side, self.left : self.left + self.side]


def worst_crop(output: Tensor, target: Tensor) -> Crop:
    """Find the square of 160 pixels, of those at every 16th, with the largest mean error of mu-law values.

    Args:
        output: Mu-law values, (1, 3, H, W).
        target: The truth, or another picture to compare with, same shape.
    """
    errors = (output - target).abs().mean(1, keepdim=True)  # (1, 1, H, W)
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


@dataclass(frozen=True, kw_only=True)
class MethodRecord:
    """A method under evaluation, and its cost.

    Args:
        kind: `baseline` learns nothing; `start` is the start of a guided network and learns nothing either.
        weights: Name of the file of weights, None if there is none.
        parameters: Number of the network's parameters, None if it is no network.
        seconds_per_frame: Time of a frame; None if it was not measured.
        peak_memory_mib: Most memory in use while it ran; None if it was not measured.
        device: The device in words.
    """

    name: str
    kind: Kind
    weights: str | None
    parameters: int | None
    seconds_per_frame: float | None
    peak_memory_mib: float | None
    device: str


@dataclass(frozen=True, kw_only=True)
class FrameScore:
    """The scores of a method on a frame, under a protocol.

    Args:
        frame: Number of the frame in the scene.
        label: Name of the frame in the set.
        role: Exposure of the frame in the cycle.
        protocol: `lanhdr`: as predicted; `hdrflow`: well-exposed parts of the reference pasted before scoring.
        values: Figures by the keys of `metrics.MEASURES`; those that are not defined for the frame are absent.
        crop: The worst place.
    """

    scene: str
    frame: int
    label: str
    role: Role
    method: str
    protocol: Protocol
    values: dict[str, float]
    crop: Crop


@dataclass(frozen=True, kw_only=True)
class Published:
    """Published figures of a method for the same set.

    Args:
        values: Figures by the keys of `metrics.MEASURES`.
        protocol_note: Protocol and remarks.
        source: Address of the publication.
    """

    method: str
    nexps: int
    values: dict[str, float]
    protocol_note: str
    source: str


@dataclass(frozen=True, kw_only=True)
class Example:
    """A crop of a frame, one of the worst or of the best, to be shown as pictures.

    Args:
        label: Name of the frame in the set.
        reference: The crop as captured, encoded with 1/2.2, 0..1, (3, h, w).
        pictures: Results by method: linear radiance, 0..1, (3, h, w).
        truth: The truth in the same form; None where there is none.
    """

    scene: str
    frame: int
    label: str
    rank: Rank
    crop: Crop
    reference: Tensor
    pictures: Mapping[str, Tensor]
    truth: Tensor | None


@dataclass(frozen=True, kw_only=True)
class Results:
    """The record of an evaluation.

    Args:
        title: Name of the set in headings.
        notes: Remarks that belong beside the figures.
        methods: Methods in the order of the tables; the last is the one under evaluation.
        scores: Scores of every frame, method and protocol.
        environment: Versions and hardware, in words.
        truth: Whether there is a truth, or another method's estimate, to which all figures of likeness are relative.
    """

    benchmark: str
    title: str
    nexps: int
    notes: tuple[str, ...]
    methods: tuple[MethodRecord, ...]
    scores: tuple[FrameScore, ...]
    published: tuple[Published, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    command: str = ""
    truth: Truth = "truth"


def write_results(path: Path, results: Results) -> None:
    """Write results as JSON; values that are not finite become Infinity and NaN, as Python's module has it.

    Raises:
        DatasetError: If the file cannot be written.
    """
    write_text(path, json.dumps(asdict(results), indent=1) + "\n")


def read_results(path: Path) -> Results:
    """Read a file of `write_results`.

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
    """Write a row per frame, method and protocol; measures that are not defined are left empty.

    Raises:
        DatasetError: If the file cannot be written.
    """
    text = io.StringIO(newline="")
    rows = csv.writer(text, lineterminator="\n")
    keys = [measure.key for measure in MEASURES]
    rows.writerow(["benchmark", "scene", "frame", "label", "role", "method", "protocol", *keys])
    for score in results.scores:
        place = [results.benchmark, score.scene, score.frame, score.label, score.role, score.method, score.protocol]
        rows.writerow([*place, *(score.values.get(key, "") for key in keys)])
    write_text(path, text.getvalue())
