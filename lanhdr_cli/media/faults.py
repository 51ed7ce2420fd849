"""What was wrong with a stream, gathered while it is decoded."""

from dataclasses import dataclass
from fractions import Fraction

LARGEST_STEP = Fraction(3, 2)  # in frame periods; beyond it a frame is missing


@dataclass
class Faults:
    """Counts of what was wrong; filled by the reader, complete when it has finished.

    Args:
        promised: Number of frames that the file's header names, None if it names none.
    """

    promised: int | None = None
    decoded: int = 0
    corrupt: int = 0
    undecodable: int = 0
    gaps: int = 0
    first_gap: int = 0
    broken_off: str = ""
    finished: bool = False
    _last_time: Fraction | None = None

    def note_time(self, time: Fraction, rate: Fraction | None) -> None:
        """Count a gap if a frame comes later than its predecessor promised."""
        if rate and self._last_time is not None and (time - self._last_time) * rate > LARGEST_STEP:
            self.gaps += 1
            self.first_gap = self.first_gap or self.decoded
        self._last_time = time

    def messages(self) -> list[str]:
        """One sentence per kind of fault."""
        found = []
        if self.corrupt:
            found.append(f"{_frames(self.corrupt)} of {self.decoded} are damaged; the decoder filled in what it could")
        if self.undecodable:
            found.append(f"{self.undecodable} packets could not be decoded; frames are missing there")
        if self.gaps:
            found.append(
                f"{self.gaps} gaps in time, the first before frame {self.first_gap}; frames may be missing there"
            )
        if self.broken_off:
            found.append(f"the file breaks off after frame {self.decoded - 1} ({self.broken_off})")
        elif self.finished and self.promised and self.decoded < self.promised:
            found.append(f"the file's header promises {self.promised} frames, {self.decoded} could be decoded")
        return found


def _frames(count: int) -> str:
    return "1 frame" if count == 1 else f"{count} frames"
