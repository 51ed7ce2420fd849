"""Time codes: known labels of SMPTE ST 12-1, and the law that they count every frame once."""

from fractions import Fraction

import pytest

from lanhdr_cli.media.timecode import TimeCode, advance, parse_timecode

NTSC = Fraction(30000, 1001)
START = TimeCode(0, 0, 0, 0)
DROP = TimeCode(0, 0, 0, 0, drop=True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("01:02:03:04", TimeCode(1, 2, 3, 4)),
        ("10:00:00;02", TimeCode(10, 0, 0, 2, drop=True)),
        ("25:00:00:00", None),
        ("1:2:3:4", None),
        ("yesterday", None),
    ],
)
def test_labels_are_read(text: str, expected: TimeCode | None) -> None:
    assert parse_timecode(text) == expected


@pytest.mark.parametrize(
    ("start", "frames", "rate", "expected"),
    [
        (START, 23, Fraction(24000, 1001), TimeCode(0, 0, 0, 23)),
        (START, 24, Fraction(24), TimeCode(0, 0, 1, 0)),
        (TimeCode(23, 59, 59, 24), 1, Fraction(25), START),
        (DROP, 1799, NTSC, TimeCode(0, 0, 59, 29, drop=True)),
        (DROP, 1800, NTSC, TimeCode(0, 1, 0, 2, drop=True)),
        (DROP, 17982, NTSC, TimeCode(0, 10, 0, 0, drop=True)),  # no number is dropped in each tenth minute
        (DROP, 107892, NTSC, TimeCode(1, 0, 0, 0, drop=True)),  # an hour of 29.97 frames per second
        (DROP, 3600, Fraction(60000, 1001), TimeCode(0, 1, 0, 4, drop=True)),
    ],
)
def test_known_labels(start: TimeCode, frames: int, rate: Fraction, expected: TimeCode) -> None:
    assert advance(start, frames, rate=rate) == expected


def test_steps_add_up_and_no_label_comes_twice() -> None:
    labels = [advance(DROP, index, rate=NTSC) for index in range(40_000)]
    assert len(set(labels)) == len(labels)
    assert all(advance(labels[index], 1, rate=NTSC) == labels[index + 1] for index in range(1700, 1900))
    assert advance(labels[17_000], 3_000, rate=NTSC) == labels[20_000]
