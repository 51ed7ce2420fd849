"""Stages that run beside each other: order, bounds, errors, and nothing left behind."""

import threading
import weakref
from collections.abc import Iterable, Iterator
from fractions import Fraction

import pytest
import torch
from support.identity import Identity

from lanhdr_cli.media.errors import MediaError
from lanhdr_cli.media.video_reader import DecodedFrame
from lanhdr_cli.pipeline import Prefetch, reconstructed
from model.errors import FrameError
from model.exposure import ExposureCycle, FrameExposures
from model.frames import HdrFrame, LdrFrame

TWO = ExposureCycle((1.0, 8.0))
THREE = ExposureCycle((1.0, 4.0, 16.0))


def decoded(count: int, *, first: int = 0) -> Iterator[DecodedFrame]:
    """Flat frames whose value names them."""
    for index in range(first, first + count):
        yield DecodedFrame(index=index, image=torch.full((3, 2, 2), index / 1000), time=Fraction(index, 24))


def prefetch_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "prefetch"]


def test_prefetch_keeps_order() -> None:
    with Prefetch(iter(range(100)), depth=3) as items:
        assert list(items) == list(range(100))
    assert prefetch_threads() == []


def test_prefetch_runs_ahead_but_not_far() -> None:
    produced: list[int] = []
    enough = threading.Event()

    def source() -> Iterator[int]:
        for number in range(1000):
            produced.append(number)
            if number == 4:
                enough.set()
            yield number

    with Prefetch(source(), depth=3) as items:
        iterator = iter(items)
        assert next(iterator) == 0
        assert enough.wait(timeout=5)  # one consumed, three queued, one in hand
        threading.Event().wait(0.05)
        assert len(produced) == 5
    assert prefetch_threads() == []


def test_errors_surface_where_frames_are_consumed() -> None:
    def source() -> Iterator[int]:
        yield 1
        raise MediaError("the disk is gone")

    seen = []
    with pytest.raises(MediaError, match="the disk is gone"), Prefetch(source(), depth=3) as items:
        for item in items:
            seen.append(item)
    assert seen == [1]
    assert prefetch_threads() == []


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_leaving_early_joins_the_thread(error: type[BaseException]) -> None:
    def source() -> Iterator[int]:
        while True:
            yield 1

    with pytest.raises(error), Prefetch(source(), depth=2) as items:
        next(iter(items))
        raise error
    assert prefetch_threads() == []


@pytest.mark.parametrize(("cycle", "length"), [(TWO, 5), (THREE, 7)])
@pytest.mark.parametrize("count", [3, 4, 7, 20])
def test_frame_k_belongs_to_frame_k(cycle: ExposureCycle, length: int, count: int) -> None:
    results = list(reconstructed(decoded(count), Identity(length), exposures=FrameExposures(cycle)))
    assert [result.index for result in results] == list(range(count))
    for index, result in enumerate(results):
        assert result.hdr.time == result.ldr.time == Fraction(index, 24)
        assert result.ldr.exposure == cycle.ratios[index % cycle.period]
        expected = (index / 1000) ** 2.2 / cycle.ratios[index % cycle.period]
        torch.testing.assert_close(result.hdr.radiance, torch.full((3, 2, 2), expected), rtol=1e-5, atol=1e-9)


def test_exposures_count_from_the_start_of_the_clip() -> None:
    results = list(reconstructed(decoded(6, first=3), Identity(), exposures=FrameExposures(TWO)))
    assert [(result.index, result.ldr.exposure) for result in results][:3] == [(3, 8.0), (4, 1.0), (5, 8.0)]


def test_both_exposures_are_nearby() -> None:
    for result in reconstructed(decoded(9), Identity(), exposures=FrameExposures(TWO)):
        assert {frame.exposure for frame in result.nearby} == {1.0, 8.0}
        assert any(frame is result.ldr for frame in result.nearby)


def test_a_clip_shorter_than_a_period_is_an_error() -> None:
    with pytest.raises(FrameError, match="2 frames, one exposure period is 3"):
        list(reconstructed(decoded(2), Identity(7), exposures=FrameExposures(THREE)))


def test_results_out_of_step_are_our_bug() -> None:
    class Skipping:
        def reconstruct(
            self, frames: Iterable[LdrFrame], *, period: int, cycle: ExposureCycle | None = None
        ) -> Iterator[HdrFrame]:
            for number, frame in enumerate(frames):
                if number != 2:
                    yield HdrFrame(frame.image, frame.time)

    with pytest.raises(RuntimeError, match="frame 2 is of time 1/8"):
        list(reconstructed(decoded(6), Skipping(), exposures=FrameExposures(TWO)))


def test_memory_does_not_grow_with_the_clip() -> None:
    images: list[weakref.ref[torch.Tensor]] = []

    def watched() -> Iterator[DecodedFrame]:
        for frame in decoded(200):
            images.append(weakref.ref(frame.image))
            yield frame

    most = 0
    with Prefetch(watched(), depth=4) as frames:
        for _result in reconstructed(frames, Identity(), exposures=FrameExposures(TWO)):
            most = max(most, sum(reference() is not None for reference in images))
    assert len(images) == 200
    assert most <= 18  # windows of five, one period behind, four queued and what is in hand
