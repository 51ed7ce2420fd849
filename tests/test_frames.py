"""Frames stay as they were made."""

from dataclasses import FrozenInstanceError
from fractions import Fraction

import pytest
import torch

from model.frames import HdrFrame, LdrFrame

FRAMES = [
    LdrFrame(torch.zeros(3, 2, 2), exposure=8.0, time=Fraction(1001, 24000)),
    HdrFrame(torch.zeros(3, 2, 2), time=Fraction(1001, 24000)),
]


@pytest.mark.parametrize("frame", FRAMES, ids=["ldr", "hdr"])
def test_a_frame_cannot_be_changed(frame: LdrFrame | HdrFrame) -> None:
    with pytest.raises(FrozenInstanceError):
        frame.time = Fraction(0)  # type: ignore[misc]
    assert frame.time == Fraction(1001, 24000)
