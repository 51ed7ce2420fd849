"""Recorded functions compute what they compute without, from tensors that are not those of the recording."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from model.graphs import MOST_RECORDINGS, Recorded
from model.motion import _search_motion


class StandIn:
    """Does on the CPU what graphs do: works in place on the tensors of the recording, and nowhere else."""

    def __init__(self) -> None:
        self.recorded = 0
        self.replayed = 0

    def record(self, compute: Callable[..., Tensor], inputs: tuple[Tensor, ...]) -> tuple[Tensor, Callable[[], None]]:
        self.recorded += 1
        output = torch.full_like(compute(*inputs), torch.nan)  # a recording has computed nothing yet

        def replay() -> None:
            self.replayed += 1
            output.copy_(compute(*inputs))

        return output, replay


def textured(*shape: int, seed: int) -> Tensor:
    coarse = torch.rand(shape[0], 1, shape[2] // 4, shape[3] // 4, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(coarse, size=shape[2:], mode="bicubic").clamp(0, 1)


def test_a_recorded_search_finds_what_the_search_finds() -> None:
    recorder = StandIn()
    search = Recorded(_search_motion, recorder=recorder, device_type="cpu")
    with torch.inference_mode():
        found = []
        for seed, batch in enumerate((2, 4, 4, 4, 2)):
            reference = textured(batch, 1, 48, 64, seed=seed)
            moved = torch.roll(reference, (1, -2), dims=(-2, -1))
            certainty = torch.rand(batch, 1, 24, 32)
            found.append((search(reference, moved, certainty), _search_motion(reference, moved, certainty)))
    # Results of earlier calls stay what they were: they do not lie in the recording.
    assert all(torch.equal(*pair) for pair in found)
    assert (recorder.recorded, recorder.replayed) == (2, 5)


def test_recordings_are_bounded_and_can_be_given_back() -> None:
    recorder = StandIn()
    double = Recorded(lambda x: 2 * x, recorder=recorder, device_type="cpu")
    with torch.inference_mode():
        for length in range(1, MOST_RECORDINGS + 3):
            double(torch.ones(length))
        assert len(double._recordings) == MOST_RECORDINGS
        Recorded.forget_all()
        assert not double._recordings
        assert double(torch.ones(3)).tolist() == [2, 2, 2]
    assert recorder.recorded == MOST_RECORDINGS + 3


def test_with_gradients_and_elsewhere_nothing_is_recorded() -> None:
    recorder = StandIn()
    x = torch.ones(3, requires_grad=True)
    assert Recorded(lambda x: 2 * x, recorder=recorder, device_type="cpu")(x).requires_grad
    with torch.inference_mode():
        Recorded(lambda x: 2 * x, recorder=recorder)(torch.ones(3))
    assert not recorder.recorded


class Failing:
    def __init__(self, message: str) -> None:
        self.message = message

    def record(self, compute: Callable[..., Tensor], inputs: tuple[Tensor, ...]) -> tuple[Tensor, Callable[[], None]]:
        raise RuntimeError(self.message)


def test_where_nothing_can_be_recorded_it_is_computed_and_said_once(caplog: pytest.LogCaptureFixture) -> None:
    double = Recorded(lambda x: 2 * x, recorder=Failing("operation not permitted\nmore"), device_type="cpu")
    with torch.inference_mode():
        assert [double(torch.ones(1)).item() for _ in range(3)] == [2, 2, 2]
    assert [record.message for record in caplog.records] == ["CUDA graphs are not used: operation not permitted"]


def test_out_of_memory_is_left_to_those_who_make_tiles() -> None:
    double = Recorded(lambda x: 2 * x, recorder=Failing("can't allocate memory"), device_type="cpu")
    with torch.inference_mode(), pytest.raises(RuntimeError, match="allocate"):
        double(torch.ones(1))
