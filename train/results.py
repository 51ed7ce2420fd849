"""What an evaluation found, in the form that tables, files and the report are made of."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor

from train.benchmarks.scene import Truth
from train.crops import Crop

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
