"""Frames in tiles: seamless where a network is local, and taken up in the middle of a clip when memory runs out."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from support.reference import tiny_network
from torch import Tensor

from model import tiles
from model.errors import DeviceError
from model.exposure import ExposureCycle
from model.frames import FrameBatch, LdrFrame
from model.network import NetworkConfig, Prediction, StreamingNetwork
from model.pretrained import build_network
from model.reconstruct import Reconstructor
from model.tiles import TiledNetwork, Tiling

CPU_ERROR = "[enforce fail at alloc_cpu.cpp:119] . DefaultCPUAllocator: can't allocate memory: you tried to allocate 9"


@pytest.fixture(autouse=True)
def _small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """A quarter of the real sizes, for speed."""
    for name, pixels in {"OVERLAP": 32, "MARGIN": 8, "MULTIPLE": 8, "SMALLEST": 64}.items():
        assert getattr(tiles, name) == 4 * pixels
        monkeypatch.setattr(tiles, name, pixels)


@dataclass
class Local:
    """A network whose results depend on pixels nearby, of the frames of the window and of the two before each."""

    config = NetworkConfig()
    memory: int = 10**9  # pixels of a frame that fit from `until` on
    until: int = 0
    fails_in: str = "combine"
    error: type[RuntimeError] = RuntimeError
    done: int = 0

    def prepare(self, frame: FrameBatch, *, recent: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
        """Keep the picture and what it has in common with those before."""
        self._allocate("prepare", frame.image)
        return frame.image, sum((image for image, _ in recent), start=0.5 * frame.image)

    def combine(self, window: tuple[tuple[Tensor, Tensor], ...]) -> Prediction:
        """Average pictures and pixels."""
        self._allocate("combine", window[0][0])
        total = sum((number + 1) * own + past for number, (own, past) in enumerate(window)) / 40
        assert isinstance(total, Tensor)
        return Prediction(F.avg_pool2d(total, 9, stride=1, padding=4, count_include_pad=False), start=total)

    def _allocate(self, step: str, image: Tensor) -> None:
        if step == self.fails_in and image[0, 0].numel() > self.memory:
            self.done += 1
            if self.done > self.until:
                raise self.error(CPU_ERROR)

    def to(self, device: torch.device) -> "Local":
        """Stay."""
        return self

    def eval(self) -> "Local":
        """Stay."""
        return self


def clip(count: int = 9, *, size: tuple[int, int] = (75, 175)) -> list[LdrFrame]:
    """Smooth noise at two exposures."""
    small = torch.rand(count, 3, size[0] // 5, size[1] // 5, generator=torch.Generator().manual_seed(2))
    images = F.interpolate(small, size=size, mode="bilinear")
    return [LdrFrame(image, (1.0, 8.0)[number % 2], Fraction(number, 24)) for number, image in enumerate(images)]


def radiances(network: StreamingNetwork[Any], frames: list[LdrFrame], cycle: ExposureCycle | None = None) -> Tensor:
    return torch.stack([f.radiance for f in Reconstructor(network).reconstruct(frames, period=2, cycle=cycle)])


@pytest.mark.parametrize("size", [(75, 175), (258, 129), (65, 161)])
@pytest.mark.parametrize("times", [1, 2, 3])
def test_tiles_cover_a_frame_and_their_weights_add_up_to_one(size: tuple[int, int], times: int) -> None:
    tiling = Tiling(height=size[0], width=size[1])
    for _ in range(times):
        if max(tiling.height / tiling.rows, tiling.width / tiling.columns) >= 128:
            tiling = tiling.finer()
    assert len(tiling.places) == len(tiling) > 1
    assert all(rows.start % 8 == 0 and columns.start % 8 == 0 for rows, columns in tiling.places)
    picture = torch.rand(2, 3, *size)
    joined = tiling.joined([picture[..., rows, columns] for rows, columns in tiling.places])
    torch.testing.assert_close(joined, picture, rtol=0, atol=1e-6)


def test_the_longer_side_is_divided_until_tiles_would_be_too_small() -> None:
    tiling = Tiling(height=270, width=480)
    divided = [(tiling := tiling.finer()) and (tiling.rows, tiling.columns) for _ in range(3)]
    assert divided == [(1, 2), (2, 2), (2, 4)]
    with pytest.raises(DeviceError, match=r"too little memory even for tiles of a frame of 100x75: pass --size lite"):
        Tiling(height=75, width=100).finer()


def test_tiles_of_a_local_network_leave_no_seams() -> None:
    frames = clip()
    tiled = TiledNetwork(Local(), Tiling(height=75, width=175, columns=2))
    torch.testing.assert_close(radiances(tiled, frames), radiances(Local(), frames), rtol=0, atol=1e-6)
    window = tuple(tiled.prepare(batch(frame), recent=()) for frame in frames[:5])
    start = tiled.combine(window).start
    assert start is not None and start.shape == (1, 3, 75, 175)


def batch(frame: LdrFrame) -> FrameBatch:
    precision = frame.precision.tensor()[None]
    return FrameBatch(image=frame.image[None], exposure=torch.tensor([frame.exposure]), precision=precision, time=0.0)


@pytest.mark.parametrize("error", [RuntimeError, torch.cuda.OutOfMemoryError])
@pytest.mark.parametrize("step", ["prepare", "combine"])
@pytest.mark.parametrize("until", [0, 1, 5, 8])
@pytest.mark.parametrize("by_exposure", [False, True])
def test_no_frame_is_lost_when_memory_runs_out(
    error: type[RuntimeError], step: str, until: int, by_exposure: bool, caplog: pytest.LogCaptureFixture
) -> None:
    frames = clip()
    cycle = ExposureCycle((1.0, 8.0)) if by_exposure else None
    short = Local(memory=10_000, until=until, fails_in=step, error=error)
    with caplog.at_level(logging.WARNING, logger="model"):
        found = radiances(short, frames, cycle)
    # States that are made again see fewer frames before them, which this network's results show a little.
    whole = radiances(Local(), frames, cycle)
    assert found.shape == whole.shape
    assert (found - whole).abs().amax() < 0.1
    assert (found - whole).abs().amax((1, 2, 3))[: max(0, until - 3)].sum() == 0
    message = "cpu has too little memory for whole frames of 175x75: from "
    assert len(caplog.messages) == 1 and caplog.messages[0].startswith(message)
    assert caplog.messages[0].endswith("they are computed in 2 tiles")


def test_tiles_become_smaller_while_memory_is_short_and_then_there_is_an_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    frames = clip(5, size=(150, 300))
    with caplog.at_level(logging.WARNING, logger="model"):
        found = radiances(Local(memory=20_000), frames)
    torch.testing.assert_close(found, radiances(Local(), frames), rtol=0, atol=1e-6)
    assert [message.rsplit(" in ")[1] for message in caplog.messages] == ["2 tiles", "4 tiles"]
    with pytest.raises(DeviceError, match="even for tiles of a frame of 300x150"):
        radiances(Local(memory=60), frames)


def test_other_errors_pass() -> None:
    network = Local(memory=100)
    network._allocate = lambda step, image: (_ for _ in ()).throw(RuntimeError("shape"))  # type: ignore[method-assign]
    with pytest.raises(RuntimeError, match="shape"):
        radiances(network, clip(3))


@pytest.mark.parametrize("design", ["published", "lite"])
def test_real_networks_go_on_in_tiles(design: str, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    lite = build_network(NetworkConfig(design="lite", output="guided", channels=16, pyramid_channels=16))
    network = tiny_network(2) if design == "published" else lite
    frames, size = clip(7, size=(64, 136)), 64 * 136
    whole = radiances(network, frames)
    combine, calls = network.combine, 0

    def short_of_memory(window: tuple[Any, ...]) -> Prediction:
        nonlocal calls
        calls += 1
        prediction: Prediction = combine(window)
        if prediction.radiance[0, 0].numel() == size and calls > 3:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory.")
        return prediction

    monkeypatch.setattr(network, "combine", short_of_memory)
    found = radiances(network, frames)
    assert torch.equal(found[:3], whole[:3])
    assert calls == 3 + 1 + 2 * 4
    assert (found - whole).abs().amax() > 0
    assert (found - whole).square().mean().sqrt() < 0.02
