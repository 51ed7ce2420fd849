"""Faults of a clip that are met while it is read."""

from dataclasses import dataclass
from fractions import Fraction


@dataclass(kw_only=True)
class Faults:
    """Counts of faults in a clip; filled while it is read, complete when it has been read to its end.

    Args:
        promised: Number of frames that the file's header names and shows, None if it names none.
        interlaced: Number of frames that are flagged as interlaced.
        combed: Number of those whose fields differ.
        cut_off: How it shows that the end of the file is missing, empty if it does not.
    """

    promised: int | None = None
    decoded: int = 0
    corrupt: int = 0
    interlaced: int = 0
    combed: int = 0
    undecodable: int = 0
    gaps: int = 0
    first_gap: int = 0
    last_time: Fraction | None = None
    broken_off: str = ""
    cut_off: str = ""
    finished: bool = False

    def messages(self) -> list[str]:
        """Describe each kind of fault in one sentence."""
        messages = []
        if self.corrupt:
            frames = "1 frame" if self.corrupt == 1 else f"{self.corrupt} frames"
            messages.append(f"{frames} of {self.decoded} are damaged; the decoder filled in what it could")
        if self.undecodable:
            messages.append(f"{self.undecodable} packets could not be decoded; frames are missing there")
        if self.gaps:
            where = f"the first before frame {self.first_gap}"
            messages.append(f"{self.gaps} gaps in time, {where}; frames may be missing there")
        if self.cut_off:
            messages.append(f"{self.cut_off}: it was cut off, and frames at its end are missing")
        if self.broken_off:
            messages.append(f"the file breaks off after frame {self.decoded - 1} ({self.broken_off})")
        elif self.finished and self.promised and self.decoded < self.promised:
            messages.append(f"the file's header promises {self.promised} frames, {self.decoded} could be decoded")
        return messages
