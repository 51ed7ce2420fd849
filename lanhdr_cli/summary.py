"""The outcome of a conversion: what became of every frame, in words and as a record."""

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from fractions import Fraction
from typing import Any

from lanhdr_cli.destination import HdrWriter
from lanhdr_cli.frame_ranges import Dropped, result_frames
from lanhdr_cli.media.errors import MediaError
from lanhdr_cli.media.exr import ClipRecord
from lanhdr_cli.media.faults import Faults, describe_numbers
from lanhdr_cli.media.segments import Part
from lanhdr_cli.options import FrameRange
from lanhdr_cli.profile import Profile
from lanhdr_cli.resume import Kept
from model.exposure import FrameExposures

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Summary:
    """The outcome of a conversion.

    Args:
        frames: Number of frames of the result.
        seconds: Time from the first frame's decoding to the last file.
        outcome: The files made, in words.
        exposures: Linear exposures of one cycle from the first frame on, the shortest 1.
        response: Name of the camera response.
        weights: Name of the weights.
        doubled: Frames that show the frame before them again.
        dropped: Number of these that were left out.
        unmerged: Frames that were converted from themselves alone.
        slips: Frames before which the order of exposures breaks.
        decoded: Number of frames read for the result, those beside it included.
        concealed: Number of them that were damaged.
        undecodable: Number of packets that held no frame that could be decoded.
        gaps: Number of gaps in the clip's times.
        nan_frames: Number of frames written in which NaN became 0.
        max_cll: Brightest pixel of an HDR10 video in cd/m2, as measured; None for others.
        max_fall: Highest mean of one of its frames, likewise.
        verified: Number of frames that were read again and found as written; None if the job does not ask for it.
        rate: Frames per second of the result.
        profile: Where the time went, if the job asks for it.
        kept: Number of frames that an interrupted run had finished.
    """

    frames: int
    seconds: float
    outcome: str
    exposures: tuple[float, ...]
    response: str
    weights: str
    doubled: tuple[int, ...] = ()
    dropped: int = 0
    unmerged: tuple[int, ...] = ()
    slips: tuple[int, ...] = ()
    decoded: int = 0
    concealed: int = 0
    undecodable: int = 0
    gaps: int = 0
    nan_frames: int = 0
    max_cll: int | None = None
    max_fall: int | None = None
    verified: int | None = None
    rate: Fraction | None = None
    profile: Profile | None = None
    kept: int = 0

    @classmethod
    def of(
        cls,
        whole: "Made",
        exposures: FrameExposures,
        *,
        wanted: FrameRange,
        writer: HdrWriter,
        record: ClipRecord,
        seconds: float,
        profile: Profile | None,
        kept: int,
    ) -> "Summary":
        """Sum up what all processes have made."""
        light = writer.light
        return cls(
            frames=writer.written,
            seconds=seconds,
            outcome=writer.outcome,
            exposures=exposures.ratios,
            response=record.response,
            weights=record.weights,
            doubled=tuple(index for index in sorted(exposures.doubled) if wanted.holds(index)),
            dropped=whole.left_out,
            unmerged=whole.unmerged,
            slips=tuple(index for index in exposures.breaks if wanted.holds(index)),
            decoded=whole.faults.decoded,
            concealed=whole.faults.corrupt,
            undecodable=whole.faults.undecodable,
            gaps=whole.faults.gaps,
            nan_frames=whole.part.nan_frames,
            max_cll=light.max_cll if light else None,
            max_fall=light.max_fall if light else None,
            verified=writer.verified,
            rate=record.rate,
            profile=profile,
            kept=kept,
        )

    def record(self) -> dict[str, Any]:
        """Return the whole outcome as values that JSON knows."""
        return asdict(self) | {"rate": str(self.rate) if self.rate else None}

    @property
    def account(self) -> str:
        """What became of the frames, in one line."""
        counts = {
            "concealed": self.concealed,
            "undecodable": self.undecodable,
            "repeated": len(self.doubled) - self.dropped,
            "left out": self.dropped,
            "converted alone": len(self.unmerged),
            "breaks in the order of exposures": len(self.slips),
        }
        listed = ", ".join(f"{count} {name}" for name, count in counts.items())
        checked = "" if self.verified is None else f"; {self.verified} read again and found as written"
        kept = f", {self.kept} kept" if self.kept else ""
        return f"{self.decoded} frames read, {self.frames - self.kept} written{kept}: {listed}{checked}"

    def __str__(self) -> str:
        fps = (self.frames - self.kept) / max(self.seconds, 1e-9)
        kept = f", {self.kept} of them kept," if self.kept else ""
        return f"{self.frames} frames{kept} in {self.seconds:.1f} s ({fps:.2f} fps): {self.outcome}"


@dataclass(kw_only=True)
class Tally:
    """Frames that are dropped, and what has become of all so far."""

    dropped: Dropped
    left_out: int = 0
    unmerged: list[int] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Made:
    """What one process has made, and what has become of the frames that it read; nothing by default."""

    part: Part = field(default_factory=Part)
    left_out: int = 0
    unmerged: tuple[int, ...] = ()
    faults: Faults = field(default_factory=Faults)

    @classmethod
    def of(cls, tally: Tally, part: Part, faults: Faults) -> "Made":
        """Take stock of one process."""
        return cls(part=part, left_out=tally.left_out, unmerged=tuple(tally.unmerged), faults=faults)

    @classmethod
    def together(cls, made: Sequence["Made"], *, faults: Faults | None) -> "Made":
        """Sum up all processes; faults are those of a whole pass, or else of the process that came to the end."""
        return cls(
            part=Part.together([one.part for one in made]),
            left_out=sum(one.left_out for one in made),
            unmerged=tuple(index for one in made for index in one.unmerged),
            faults=faults or ([one.faults for one in made if one.part.frames or one.left_out] or [made[0].faults])[-1],
        )

    def beside(self, kept: Kept, *, wanted: FrameRange, total: int | None, dropped: Dropped) -> "Made":
        """Add what an interrupted run has made of the frames wanted."""
        if not kept.steps or total is None:
            return self
        frames, first = result_frames(wanted, total=total, dropped=dropped), dropped.moved_index(wanted.first)
        alone = (frames[index - first] for index in kept.alone)
        return replace(
            self,
            part=Part.together([self.part, kept.part]),
            left_out=total - len(frames),
            unmerged=tuple(sorted((*self.unmerged, *alone))),
        )

    def refuse_none(self) -> None:
        """Refuse a conversion that came upon no frame.

        Raises:
            MediaError: If the clip is shorter than its header says, and ends before the frames that are wanted.
        """
        if not (self.part.frames or self.left_out):
            raise MediaError(f"the clip has only {self.faults.decoded} frames, all before those of --frames")

    def warn(self, name: str, wanted: FrameRange) -> None:
        """Say what was off.

        Args:
            name: Of the clip.
            wanted: Frames that were asked for.
        """
        for message in self.faults.messages():
            logger.warning("%s: %s", name, message)
        if self.part.nan_frames:
            logger.warning("%d frames contained NaN, which is written as 0", self.part.nan_frames)
        if self.left_out:
            logger.warning("%d frames that show the frame before them again are left out", self.left_out)
        if self.unmerged:
            where = f"frame{'s' if len(self.unmerged) > 1 else ''} {describe_numbers(self.unmerged)}"
            logger.warning("%s: converted alone, no frame of another exposure is near", where)
        last = wanted.first + self.part.frames + self.left_out - 1
        if wanted.last is not None and last < wanted.last:
            logger.warning("--frames asks for frames up to %d, the clip ends with %d", wanted.last, last)
