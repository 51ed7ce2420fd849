"""Messages between the processes that share a conversion."""

from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Hello:
    """The first word of a process: who it is."""

    rank: int
    name: str


@dataclass(frozen=True)
class Value(Generic[T]):
    """Something for all, or for rank 0."""

    value: T


@dataclass(frozen=True)
class FrameDone:
    """One more is done."""


@dataclass(frozen=True)
class Said:
    """A warning, for rank 0 to say."""

    logger: str
    message: str


@dataclass(frozen=True)
class Failed:
    """A process can't go on."""

    message: str
    exit_code: int


@dataclass(frozen=True)
class Interrupted:
    """By the user, or by the system."""

    terminated: bool


@dataclass(frozen=True)
class Stop:
    """Another one has failed."""


@dataclass(frozen=True)
class Done:
    """All is well, and nothing follows."""
