"""SMPTE ST 12-1 time codes: labels of frames, with and without dropped numbers."""

import re
from dataclasses import dataclass
from fractions import Fraction

_LABEL = re.compile(r"(\d{2}):(\d{2}):(\d{2})([:;.,])(\d{2,3})")
_DROP_MARKS = ";.,"


@dataclass(frozen=True)
class TimeCode:
    """Label of one frame; with `drop`, numbers are left out to follow the clock at 29.97 and 59.94 frames/s."""

    hours: int
    minutes: int
    seconds: int
    frame: int
    drop: bool = False

    def __str__(self) -> str:
        mark = ";" if self.drop else ":"
        return f"{self.hours:02d}:{self.minutes:02d}:{self.seconds:02d}{mark}{self.frame:02d}"


def parse_timecode(text: str) -> TimeCode | None:
    """Read `HH:MM:SS:FF`, with `;` before the frame for dropped numbers; None if it is no time code."""
    match = _LABEL.fullmatch(text.strip())
    if match is None:
        return None
    hours, minutes, seconds, frame = (int(match[group]) for group in (1, 2, 3, 5))
    if hours > 23 or minutes > 59 or seconds > 59:
        return None
    return TimeCode(hours, minutes, seconds, frame, match[4] in _DROP_MARKS)


def advance(start: TimeCode, frames: int, *, rate: Fraction) -> TimeCode:
    """Compute the label of the frame `frames` after `start`; it begins anew after 24 hours.

    Args:
        rate: Frames per second; labels count with the whole number next to it.
    """
    nominal = max(1, round(rate))
    dropped = nominal // 15 if start.drop else 0  # 2 of 30 and 4 of 60 in every minute but each tenth
    per_ten_minutes = 600 * nominal - 9 * dropped
    minutes = 60 * start.hours + start.minutes
    count = (60 * minutes + start.seconds) * nominal + start.frame - dropped * (minutes - minutes // 10)
    total = (count + frames) % (144 * per_ten_minutes)
    tens, rest = divmod(total, per_ten_minutes)
    total += 9 * dropped * tens
    if rest >= dropped:
        total += dropped * ((rest - dropped) // (60 * nominal - dropped))
    seconds, frame = divmod(total, nominal)
    return TimeCode(seconds // 3600, seconds // 60 % 60, seconds % 60, frame, start.drop)
