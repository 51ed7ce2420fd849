"""Which frames are scored, by whom, and whether scores are those of the error that was made."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from support.converting import save_lite, save_tiny
from support.scored import TinyClip, tiny_clip, two_methods
from torch import Tensor

from model.exposure import CodePrecision
from model.frames import LdrFrame
from train.evaluation.baselines import reference_alone
from train.evaluation.benchmarks.scene import Scene, scene_of
from train.evaluation.cost import Meter
from train.evaluation.methods import Method, WindowMethod, baseline, load_methods
from train.evaluation.results import FrameScore
from train.evaluation.scoring import Rules, ScoredScene, evaluate, scored_frames


def run(clips: list[TinyClip], *, nexps: int = 2, amount: float = -0.01) -> list[FrameScore]:
    scenes = [scene_of(clip, nexps) for clip in clips]
    return [
        score for scored in evaluate(two_methods(amount), scenes, rules=Rules(nexps=nexps)) for score in scored.scores
    ]


def run_one(method: Method, clip: TinyClip) -> ScoredScene:
    (scored,) = evaluate([method], [scene_of(clip, 2)], rules=Rules(nexps=2))
    return scored


def test_every_frame_with_a_whole_window_is_scored_by_every_method() -> None:
    scores = run([tiny_clip("a", [1.0, 8.0], frames=7), tiny_clip("b", [8.0, 1.0], frames=5)])
    assert [(score.scene, score.method, score.frame, score.role) for score in scores] == [
        ("a", "worse", 2, "low"), ("a", "worse", 3, "high"), ("a", "worse", 4, "low"),
        ("a", "better", 2, "low"), ("a", "better", 3, "high"), ("a", "better", 4, "low"),
        ("b", "worse", 2, "high"), ("b", "better", 2, "high"),
    ]  # fmt: skip


def test_three_exposures_have_a_middle_role() -> None:
    scores = run([tiny_clip("a", [1.0, 4.0, 16.0], frames=9)], nexps=3)
    assert [score.role for score in scores[:3]] == ["low", "middle", "high"]


def test_scores_are_those_of_the_error_that_was_made() -> None:
    clip = tiny_clip("a", [1.0, 8.0], frames=5, darkest=0.1)  # room to subtract from
    worse, better = (score.values for score in run([clip]))
    assert better["psnr_t"] == pytest.approx(40, abs=0.01)
    assert worse["psnr_t"] == pytest.approx(20 * np.log10(1 / 0.02), abs=0.01)
    assert worse["ssim_t"] < better["ssim_t"] < 1
    assert worse["psnr_l"] < better["psnr_l"]


def test_frames_are_compared_with_the_one_before_of_the_same_method_and_clip() -> None:
    clips = [tiny_clip(name, [1.0, 8.0], frames=6, darkest=0.1) for name in "ab"]
    scores = run(clips)
    assert ["flicker" in score.values for score in scores] == [False, True] * 4
    assert all(score.values.get("flicker", 0) < 1e-3 for score in scores)  # each method's error lasts


@pytest.mark.parametrize("kind", ["network", "window by window"])
def test_a_contender_reads_every_frame_once(kind: str, tmp_path: Path) -> None:
    read: list[int] = []
    scene = scene_of(tiny_clip("a", [1.0, 8.0], frames=9), 2)

    def counted(number: int) -> Tensor:
        read.append(number)
        return scene.read_ldr(number)

    networks = load_methods([save_tiny(tmp_path / "w.safetensors")], nexps=2)
    method = networks[0] if kind == "network" else baseline("reference", reference_alone)
    (scored,) = evaluate([method], [replace(scene, read_ldr=counted)], rules=Rules(nexps=2))
    assert len(scored.scores) == 5
    assert read == list(range(9))


def test_predictions_beyond_the_clip_level_count_as_clipped() -> None:
    clip = tiny_clip("a", [1.0, 8.0], frames=5)
    white = TinyClip(clip.name, torch.ones_like(clip.ldr), clip.exposures, torch.ones_like(clip.radiance))
    bright = baseline("bright", lambda ldr, exposures: torch.full_like(ldr[0], 3.0))
    assert run_one(bright, white).scores[0].values["psnr_t"] == float("inf")


def test_all_results_of_a_method_are_scored_and_its_time_is_taken() -> None:
    both = WindowMethod(names=("on the way", "result"), run=lambda ldr, exposures: (ldr[0], ldr[1]))
    found = run_one(both, tiny_clip("a", [1.0, 8.0], frames=5))
    assert [score.method for score in found.scores] == ["on the way", "result"]
    assert (seconds := found.costs[0].seconds) is not None and 0 < seconds < 10


def test_a_gap_between_scored_frames_is_no_change() -> None:
    scene = scene_of(tiny_clip("a", [1.0, 8.0], frames=8, darkest=0.1), 2)
    gap = replace(scene, truths={frame: scene.truths[frame] for frame in (2, 4, 5)})
    (scored,) = evaluate(two_methods()[:1], [gap], rules=Rules(nexps=2))
    assert [(score.frame, "flicker" in score.values) for score in scored.scores] == [(2, False), (4, False), (5, True)]


def test_without_a_truth_only_what_needs_none_is_measured() -> None:
    scene = replace(scene_of(tiny_clip("a", [1.0, 8.0], frames=7), 2), truths={})
    reference = baseline("reference", reference_alone)
    (scored,) = evaluate([reference], [scene], rules=Rules(nexps=2))
    assert [(score.frame, score.values.keys() - {"own", "fill"}) for score in scored.scores] == [
        (2, set()), (3, {"warping_error"}), (4, {"warping_error"})
    ]  # fmt: skip
    assert all("own" in score.values for score in scored.scores)
    assert all(score.crop.error == 0 for score in scored.scores)  # it departs nowhere from the reference frame


def test_a_sink_takes_what_methods_return_unclipped() -> None:
    taken: list[tuple[str, str, int, float]] = []
    bright = baseline("bright", lambda ldr, exposures: torch.full_like(ldr[0], 3.0))

    def sink(method: str, scene: Scene, frame: int, output: torch.Tensor) -> None:
        taken.append((method, scene.name, frame, output.max().item()))

    list(evaluate([bright], [scene_of(tiny_clip("a", [1.0, 8.0], frames=5), 2)], rules=Rules(nexps=2), sink=sink))
    assert taken == [("bright", "a", 2, 3.0)]


def test_both_protocols_are_scored_in_one_run() -> None:
    scene = scene_of(tiny_clip("a", [1.0, 8.0], frames=6), 2)
    black = baseline("black", lambda ldr, exposures: torch.zeros_like(ldr[0]))
    (scored,) = evaluate([black], [scene], rules=Rules(nexps=2, protocols=("lanhdr", "hdrflow")))
    assert [(score.protocol, score.frame) for score in scored.scores] == [
        ("lanhdr", 2), ("lanhdr", 3), ("hdrflow", 2), ("hdrflow", 3)
    ]  # fmt: skip
    predicted, _, pasted, _ = (score.values["psnr_t"] for score in scored.scores)
    assert pasted > predicted + 1


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
    (network,) = load_methods([path], nexps=nexps)
    scene = noisy_scene(nexps, frames=2 * nexps + 4)
    found = dict(network.stream(scene, tuple(scene.truths), nexps=nexps, meter=Meter(network.device)))
    assert tuple(found) == tuple(scene.truths)
    for frame, outputs in found.items():
        anew = network.reconstruct(scene, frame, nexps=nexps)
        assert len(outputs) == len(anew) == len(network.names)
        for output, wanted in zip(outputs, anew, strict=True):
            assert (output - wanted).abs().max() < 1e-5  # sums in another order


def test_a_scene_s_precision_reaches_the_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (network,) = load_methods([save_tiny(tmp_path / "w.safetensors")], nexps=2)
    coarse = CodePrecision(black=0.01)
    seen: list[CodePrecision] = []

    def noting(frames: Iterable[LdrFrame], *, period: int) -> Iterator[tuple[LdrFrame, ...]]:
        seen.extend(frame.precision for frame in frames)
        return iter(())

    monkeypatch.setattr(network.reconstructor, "windows", noting)
    scene = replace(noisy_scene(2, frames=6), precision=coarse)
    with pytest.raises((RuntimeError, StopIteration)):  # no window comes
        list(network.stream(scene, (2, 3), nexps=2, meter=Meter(network.device)))
    assert seen == [coarse] * 6


def test_frames_that_nobody_scores_are_prepared_at_most(tmp_path: Path) -> None:
    (network,) = load_methods([save_tiny(tmp_path / "w.safetensors")], nexps=2)
    scene = noisy_scene(2, frames=8)
    meter = Meter(network.device)
    one = replace(scene, truths={3: scene.truths[3]})
    assert [frame for frame, _ in network.stream(one, (3,), nexps=2, meter=meter)] == [3]
    assert meter.counts["combine"] == 1
    assert 6 <= meter.counts["read"] < 8


def test_windows_share_the_frames_that_they_read() -> None:
    read: list[int] = []
    scene = noisy_scene(2, frames=9)

    def counted(number: int) -> Tensor:
        read.append(number)
        return scene.read_ldr(number)

    middle = baseline("middle", lambda ldr, exposures: ldr[2])
    list(evaluate([middle], [replace(scene, read_ldr=counted)], rules=Rules(nexps=2)))
    assert read == list(range(9))


def test_without_any_truth_frames_with_a_whole_window_are_looked_at() -> None:
    scene = noisy_scene(2, frames=7)
    assert scored_frames(replace(scene, truths={}), nexps=2) == (2, 3, 4)
    assert scored_frames(replace(scene, truths={4: scene.truths[4]}), nexps=2) == (4,)
