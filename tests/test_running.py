"""Methods over scenes: networks as a stream give what a window gives, and only what is needed is computed and kept."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from converting import save_lite, save_tiny
from scored import tiny_clip
from torch import Tensor

from model.exposure import CodePrecision
from model.frames import LdrFrame
from train.evaluation.benchmarks.scene import Scene, scene_of
from train.evaluation.cost import Meter
from train.evaluation.methods import contender, trained
from train.evaluation.scoring import remembering, run_over, scored_frames, window


def noisy_scene(nexps: int, *, frames: int) -> Scene:
    """A scene of the right exposures whose frames all differ."""
    clip = tiny_clip("a", {2: [1.0, 8.0], 3: [1.0, 4.0, 16.0]}[nexps], frames=frames)
    noise = torch.rand(clip.ldr.shape, generator=torch.Generator().manual_seed(1))
    return scene_of(replace(clip, ldr=(0.7 * clip.ldr + 0.3 * noise)), nexps)


@pytest.mark.parametrize(("design", "nexps"), [("lite", 2), ("direct", 2), ("direct", 3)])
def test_a_stream_gives_what_a_window_gives(design: str, nexps: int, tmp_path: Path) -> None:
    path = (
        save_lite(tmp_path / "w.safetensors")
        if design == "lite"
        else save_tiny(tmp_path / "w.safetensors", nexps=nexps)
    )
    (network,) = trained([path], nexps=nexps)
    scene, length = noisy_scene(nexps, frames=2 * nexps + 4), 2 * nexps + 1
    found = dict(run_over(network, scene, window_length=length, period=nexps, meter=Meter(network.device)))
    assert tuple(found) == tuple(scene.truths)
    for frame, outputs in found.items():
        with torch.no_grad():
            anew = network.run(*window(scene, frame, length=length))
        assert len(outputs) == len(anew) == len(network.names)
        for output, wanted in zip(outputs, anew, strict=True):
            assert (output - wanted).abs().max() < 1e-5  # sums in another order


def test_a_scene_s_precision_reaches_the_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (network,) = trained([save_tiny(tmp_path / "w.safetensors")], nexps=2)
    coarse = CodePrecision(black=0.01)
    seen: list[CodePrecision] = []

    def noting(frames: Iterable[LdrFrame], *, period: int) -> Iterator[tuple[LdrFrame, ...]]:
        seen.extend(frame.precision for frame in frames)
        return iter(())

    assert network.trained
    monkeypatch.setattr(network.trained.reconstructor, "windows", noting)
    with pytest.raises((RuntimeError, StopIteration)):  # no window comes
        list(run_over(network, replace(noisy_scene(2, frames=6), precision=coarse), window_length=5, period=2,
                      meter=Meter(network.device)))  # fmt: skip
    assert seen == [coarse] * 6


def test_frames_that_nobody_scores_are_prepared_at_most(tmp_path: Path) -> None:
    (network,) = trained([save_tiny(tmp_path / "w.safetensors")], nexps=2)
    scene = noisy_scene(2, frames=8)
    meter = Meter(network.device)
    one = replace(scene, truths={3: scene.truths[3]})
    assert [frame for frame, _ in run_over(network, one, window_length=5, period=2, meter=meter)] == [3]
    assert meter.combined == 1
    assert 6 <= meter.prepared < 8


def test_windows_share_the_frames_that_they_read() -> None:
    read: list[int] = []
    scene = noisy_scene(2, frames=9)

    def counted(number: int) -> Tensor:
        read.append(number)
        return scene.read_ldr(number)

    middle = contender("middle", lambda ldr, exposures: ldr[2])
    near = remembering(replace(scene, read_ldr=counted), 5)
    list(run_over(middle, near, window_length=5, period=2, meter=Meter(middle.device)))
    assert read == list(range(9))


def test_without_any_truth_frames_with_a_whole_window_are_looked_at() -> None:
    scene = noisy_scene(2, frames=7)
    assert scored_frames(replace(scene, truths={}), 5) == (2, 3, 4)
    assert scored_frames(replace(scene, truths={4: scene.truths[4]}), 5) == (4,)
