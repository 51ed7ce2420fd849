"""Scores without truth: what stands in for it is right, and each part notices what is wrong in it and nothing else."""

from dataclasses import replace

import pytest
import torch
from scored import TinyClip
from test_baselines import moving_scene

from model.analysis.camera_curves import CameraCurve
from model.color import mu_law
from model.exposure import to_ldr
from model.response import table_curve
from train.evaluation.baselines import interpolate_equal_exposures
from train.evaluation.benchmarks.catalog import open_benchmark
from train.evaluation.benchmarks.scene import Scene, scene_of
from train.evaluation.methods import contender
from train.evaluation.metrics import evidence_of
from train.evaluation.scoring import Rules, evaluate

CYCLES = {2: (1.0, 64.0), 3: (1.0, 8.0, 64.0)}


def moving_clip(nexps: int, *, first: int = 0) -> TinyClip:
    """A texture over many stops that moves by three pixels a frame; what no channel has above code 10 is black."""
    frames = 2 * nexps + 3
    stops = {2: 16, 3: 18}[nexps]
    light = 2.0 ** (stops * ((moving_scene(frames=frames) - 0.002) / 0.108).sqrt() - stops)
    exposures = torch.tensor([CYCLES[nexps][(first + frame) % nexps] for frame in range(frames)])
    ldr = to_ldr(light, exposures.view(-1, 1, 1, 1))
    codes = (ldr * 255).round() / 255
    return TinyClip("moving", torch.where(codes.amax(1, keepdim=True) < 11 / 255, 0 * codes, codes), exposures, light)


def scene_without_truth(clip: TinyClip, nexps: int) -> Scene:
    return replace(scene_of(clip, nexps), truths={})


@pytest.mark.parametrize("nexps", [2, 3])
@pytest.mark.parametrize("first", [0, 1, 2])
def test_what_stands_in_for_the_truth_is_true(nexps: int, first: int) -> None:
    clip = moving_clip(nexps, first=first)
    scene = scene_without_truth(clip, nexps)
    frame = nexps
    exposure, codes = scene.exposures[frame], clip.ldr[frame] * 255
    evidence = evidence_of(scene, frame)
    brightest, darkest = codes.amax(0, keepdim=True), codes.amin(0, keepdim=True)
    assert torch.equal(evidence.own.where, (brightest > 40) & (brightest < 235))
    black, clipped = brightest < 12, darkest > 250
    if exposure == 1:
        assert not (evidence.fill.where & ~black).any()
    elif exposure == 64:
        assert not (evidence.fill.where & ~clipped).any()
    else:
        assert (evidence.fill.where & black).any() and not (evidence.fill.where & ~black & ~clipped).any()
    assert evidence.fill.where.float().mean() > 0.005
    for part, tolerance in ((evidence.own, 0.01), (evidence.fill, 0.02)):
        error = (mu_law(part.wanted) - mu_law(clip.radiance[frame])).abs()
        assert error[part.where.expand_as(error)].mean() < tolerance


@pytest.mark.parametrize("first", [0, 1], ids=["short reference", "long reference"])
def test_each_part_notices_what_is_wrong_in_it_alone(first: int) -> None:
    clip = moving_clip(2, first=first)
    evidence = evidence_of(scene_without_truth(clip, 2), 2)
    truth = clip.radiance[2]
    own, fill = evidence.own.psnr_t(truth), evidence.fill.psnr_t(truth)
    assert own is not None and fill is not None and own > 35 and fill > 30
    smeared = torch.roll(truth, 7, dims=2)
    for part, other in ((evidence.own, evidence.fill), (evidence.fill, evidence.own)):
        wrong = torch.where(part.where, smeared, truth)
        found, kept = part.psnr_t(wrong), other.psnr_t(wrong)
        assert found is not None and found < 30
        assert kept is not None and kept == other.psnr_t(truth)


def test_what_the_reference_shows_scores_best_as_it_is() -> None:
    clip = moving_clip(2)
    evidence = evidence_of(scene_without_truth(clip, 2), 2)
    kept = evidence.own.psnr_t(evidence.own.wanted)
    assert kept is not None and kept == 120


def test_nothing_is_asked_of_neighbors_that_contradict_each_other() -> None:
    clip = moving_clip(2)
    generator = torch.Generator().manual_seed(4)
    noise = torch.rand(clip.ldr.shape, generator=generator)
    contradicting = replace(clip, ldr=torch.where(clip.exposures.view(-1, 1, 1, 1) > 1, 0.2 + 0.6 * noise, clip.ldr))
    evidence = evidence_of(scene_without_truth(contradicting, 2), 2)
    assert evidence.fill.psnr_t(clip.radiance[2]) is None
    assert evidence.own.psnr_t(clip.radiance[2]) is not None


def test_codes_are_the_camera_s() -> None:
    """What a contrasty camera stores as code 20 is not black, though encoded with 1/2.2 it may lie anywhere."""
    curve = table_curve("contrasty", CameraCurve(gamma=1.6, contrast=5, pivot=0.3, crush=0.03).table())
    clip = moving_clip(2)
    stored = curve.encode(clip.radiance * clip.exposures.view(-1, 1, 1, 1))
    scene = scene_without_truth(replace(clip, ldr=curve.to_ldr(stored)), 2)
    evidence = evidence_of(replace(scene, response=curve), 2)
    brightest = 255 * stored[2].amax(0, keepdim=True)
    shown = (brightest > 40.5) & (brightest < 234.5)
    assert (evidence.own.where & ~((brightest > 39.5) & (brightest < 235.5))).sum() == 0
    assert (shown & ~evidence.own.where).sum() == 0
    assert (evidence_of(scene, 2).own.where != evidence.own.where).float().mean() > 0.02


def test_parts_are_scored_where_there_is_no_truth_and_only_there() -> None:
    clip = moving_clip(2)
    method = contender("interpolation", interpolate_equal_exposures)
    blind, seeing = scene_without_truth(clip, 2), scene_of(clip, 2)
    (scored,) = evaluate([method], [blind], rules=Rules(2))
    assert {score.role for score in scored.scores} == {"low", "high"}
    for score in scored.scores:
        assert score.values["own"] > 60 and score.values["fill"] > 30 and "psnr_t" not in score.values
    (scored,) = evaluate([method], [seeing], rules=Rules(2))
    assert all("psnr_t" in score.values and "own" not in score.values for score in scored.scores)


def test_truths_can_be_left_aside() -> None:
    benchmark = open_benchmark("selftest", None, nexps=2, no_truth=True)
    assert benchmark.truth == "none" and benchmark.samples == 0
    assert any("`own`" in note for note in benchmark.notes)
