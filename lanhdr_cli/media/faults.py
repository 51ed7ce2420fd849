"""Faults of a clip that are met while it is read."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import groupby

MOST_NOTED = 1000  # numbers of damaged frames
MOST_NAMED = 5  # ranges of numbers in a message


def describe_numbers(numbers: Iterable[int]) -> str:
    """Name numbers in ranges, e.g. `1003, 1007-1010`."""
    runs = (list(run) for _, run in groupby(enumerate(numbers), lambda pair: pair[1] - pair[0]))
    return describe_ranges([range(run[0][1], run[-1][1] + 1) for run in runs])


def describe_ranges(ranges: Sequence[range]) -> str:
    """Name ranges of numbers, e.g. `1003, 1007-1010`."""
    named = [str(run.start) if run.stop == run.start + 1 else f"{run.start}-{run.stop - 1}" for run in ranges]
    more = len(named) - MOST_NAMED
    return ", ".join(named[:MOST_NAMED]) + (f" and {more} more ranges" if more > 0 else "")


@dataclass(kw_only=True)
class Faults:
    """Counts of faults in a clip; filled while it is read, complete when it has been read to its end.

    Args:
        promised: Number of frames that the file's header names and shows, None if it names none.
        interlaced: Number of frames that are flagged as interlaced.
        combed: Number of those whose fields differ.
        corrupt: Number of frames that the decoder flags as damaged; `corrupt_frames` are the first of them.
        headless: Number of packets at the beginning whose pictures refer to others before the clip.
        stated_end: Time in seconds that its pictures last to, as the file says, None if it does not.
        last_period: Time in seconds that the last picture lasts.
        cut_off: How it shows that the end of the file is missing, empty if it does not.
    """

    promised: int | None = None
    decoded: int = 0
    corrupt: int = 0
    corrupt_frames: list[int] = field(default_factory=list)
    interlaced: int = 0
    combed: int = 0
    headless: int = 0
    undecodable: int = 0
    corrupt_packets: int = 0
    gaps: int = 0
    first_gap: int = 0
    last_time: Fraction | None = None
    stated_end: Fraction | None = None
    last_period: Fraction = Fraction(0)
    broken_off: str = ""
    cut_off: str = ""
    finished: bool = False

    def note_corrupt(self, number: int) -> None:
        """Note that a frame is damaged."""
        self.corrupt += 1
        if len(self.corrupt_frames) < MOST_NOTED:
            self.corrupt_frames.append(number)

    def messages(self) -> list[str]:
        """Describe each kind of fault in one sentence."""
        messages = []
        if self.corrupt:
            frames = "1 frame" if self.corrupt == 1 else f"{self.corrupt} frames"
            places = describe_numbers(self.corrupt_frames)
            messages.append(f"{frames} of {self.decoded} are damaged; the decoder filled in what it could ({places})")
        if self.headless:
            pictures = "picture" if self.headless == 1 else f"{self.headless} pictures"
            messages.append(f"the first {pictures} refer to others that are not there, and are left out")
        if self.undecodable:
            messages.append(f"{self.undecodable} packets could not be decoded; frames are missing there")
        if self.corrupt_packets:
            messages.append(f"{self.corrupt_packets} packets are incomplete, or others before them are lost")
        if self.gaps:
            where = f"the first before frame {self.first_gap}"
            messages.append(f"{self.gaps} gaps in time, {where}; frames may be missing there")
        if self.cut_off:
            messages.append(f"{self.cut_off}: it was cut off, and frames at its end are missing")
        if self.broken_off:
            messages.append(f"the file breaks off after frame {self.decoded - 1} ({self.broken_off})")
        elif self.finished and self.promised and self.decoded < self.promised:
            messages.append(f"the file's header promises {self.promised} frames, {self.decoded} could be decoded")
        elif self.finished and self.ends_early():
            messages.append(f"the file states {float(self.stated_end or 0):.3f} s of pictures, they end before that")
        return messages

    def ends_early(self) -> bool:
        """Whether pictures end before the time that the file states, by half of one's duration: times are rounded."""
        if self.stated_end is None or self.last_time is None:
            return False
        return self.stated_end - self.last_time > self.last_period * Fraction(3, 2)
