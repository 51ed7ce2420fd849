"""PSNR and SSIM: the reference's numbers, scikit-image's on other pictures, and literature values."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from support.scored import TinyClip
from test_baselines import moving_scene
from torch import Tensor

from model.analysis.camera_curves import CameraCurve
from model.color import mu_law, pu21_encode
from model.exposure import to_ldr
from model.response import table_curve
from train.evaluation.baselines import interpolate_equal_exposures
from train.evaluation.benchmarks.catalog import open_benchmark
from train.evaluation.benchmarks.scene import Scene, scene_of
from train.evaluation.methods import baseline
from train.evaluation.metrics import (
    BY_KEY,
    MEASURES,
    Pair,
    area_flicker,
    evidence_of,
    flicker,
    measure,
    psnr,
    pu21_psnr,
    pu21_ssim,
    ssim,
    temporal_error,
    warping_error,
)
from train.evaluation.scoring import Rules, evaluate

RELATIVE = 1e-5


@pytest.fixture(scope="module")
def pictures(shared: Path) -> dict[str, Tensor]:
    return load_file(shared / "reference" / "metrics_and_losses.safetensors")


@pytest.fixture(scope="module")
def expected(shared: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads((shared / "reference" / "metrics_and_losses.json").read_text())
    return values


def test_scores_on_mu_law_equal_the_reference(pictures: dict[str, Tensor], expected: dict[str, Any]) -> None:
    output, truth = mu_law(pictures["output"]), mu_law(pictures["gt"])
    assert psnr(output, truth).item() == pytest.approx(expected["tonemapped"]["psnr"], rel=RELATIVE)
    assert ssim(output, truth).item() == pytest.approx(expected["tonemapped"]["ssim"], rel=RELATIVE)


def test_scores_on_linear_values_equal_the_reference(pictures: dict[str, Tensor], expected: dict[str, Any]) -> None:
    output, truth = pictures["output"], pictures["gt"]
    assert psnr(output, truth).item() == pytest.approx(expected["linear"]["psnr"], rel=RELATIVE)
    assert ssim(output, truth).item() == pytest.approx(expected["linear"]["ssim"], rel=RELATIVE)


@pytest.mark.parametrize("size", [(7, 7), (20, 33)])
def test_scores_equal_scikit_image_sample_by_sample(size: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(5)
    truth = 0.2 + 0.5 * torch.rand(2, 3, *size, generator=generator)
    output = truth + 0.1 * torch.randn(2, 3, *size, generator=generator)
    for index in range(2):
        a, b = truth[index].double().numpy(), output[index].double().numpy()
        theirs = structural_similarity(a, b, channel_axis=0, data_range=a.max() - a.min())  # type: ignore[no-untyped-call]
        assert ssim(output, truth)[index].item() == pytest.approx(theirs, rel=RELATIVE)
        theirs = peak_signal_noise_ratio(a, b, data_range=1)  # type: ignore[no-untyped-call]
        assert psnr(output, truth)[index].item() == pytest.approx(theirs, rel=RELATIVE)


def test_a_constant_error_of_a_tenth_is_twenty_decibels() -> None:
    truth = torch.rand(1, 3, 9, 9)
    assert psnr(truth + 0.1, truth).item() == pytest.approx(20, rel=1e-5)


def test_equal_pictures_score_best() -> None:
    truth = torch.rand(1, 3, 9, 9)
    assert psnr(truth, truth).item() == math.inf
    assert ssim(truth, truth).item() == pytest.approx(1, abs=1e-6)


def test_a_given_peak_and_span_are_those_of_scikit_image() -> None:
    truth = 100 + 20 * torch.rand(1, 1, 16, 24)
    output = truth + torch.randn(truth.shape)
    a, b = truth[0, 0].double().numpy(), output[0, 0].double().numpy()
    theirs = structural_similarity(a, b, data_range=256)  # type: ignore[no-untyped-call]
    assert ssim(output, truth, span=256).item() == pytest.approx(theirs, rel=RELATIVE)
    theirs = peak_signal_noise_ratio(a, b, data_range=256)  # type: ignore[no-untyped-call]
    assert psnr(output, truth, peak=256).item() == pytest.approx(theirs, rel=RELATIVE)


# The others are tested where evidence is made: test_no_truth.
OF_TRUTH = [entry.key for entry in MEASURES if not entry.needs_evidence]


def pair(error: float, *, seed: int) -> Pair:
    truth = torch.rand(3, 24, 24, generator=torch.Generator().manual_seed(1)) ** 3
    noise = torch.randn(truth.shape, generator=torch.Generator().manual_seed(seed))
    return Pair((truth + error * noise).clamp(0, 1), truth)


@pytest.mark.parametrize("key", OF_TRUTH)
def test_a_better_picture_scores_better(key: str) -> None:
    good, bad = (measure(pair(error, seed=2), pair(error, seed=3))[key] for error in (0.005, 0.05))
    assert (good > bad) == BY_KEY[key].higher_is_better


@pytest.mark.parametrize("key", OF_TRUTH)
def test_a_perfect_picture_scores_best(key: str) -> None:
    best = {"dB": float("inf"), "": 1.0, "%": 0.0}[BY_KEY[key].unit]
    assert measure(pair(0, seed=2), pair(0, seed=3))[key] == pytest.approx(best, abs=1e-6)


def test_the_first_frame_of_a_clip_has_no_scores_over_time() -> None:
    missing = set(OF_TRUTH) - measure(pair(0.1, seed=2), None).keys()
    assert missing == {"flicker", "area_flicker", "temporal_error", "warping_error"}


def test_scores_over_time_are_in_per_cent_of_the_mu_law_range() -> None:
    truth = torch.full((3, 24, 24), 0.0)
    bright = torch.full((3, 24, 24), 1.0)
    scores = measure(Pair(bright, truth), Pair(truth, truth))
    assert [scores[key] for key in ("flicker", "area_flicker", "temporal_error")] == pytest.approx([100] * 3)


def test_values_are_shown_with_unit_and_digits() -> None:
    assert len(BY_KEY) == len(MEASURES)
    assert BY_KEY["psnr_t"].title == "PSNR_T, dB"
    assert BY_KEY["ssim_t"].title == "SSIM_T"
    assert BY_KEY["ssim_t"].shown(0.98765) == "0.9877"
    assert BY_KEY["flicker"].shown(None) == "–"  # noqa: RUF001


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
        error = (mu_law(part.target) - mu_law(clip.radiance[frame])).abs()
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
    kept = evidence.own.psnr_t(evidence.own.target)
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
    method = baseline("interpolation", interpolate_equal_exposures)
    blind, seeing = scene_without_truth(clip, 2), scene_of(clip, 2)
    (scored,) = evaluate([method], [blind], rules=Rules(nexps=2))
    assert {score.role for score in scored.scores} == {"low", "high"}
    for score in scored.scores:
        assert score.values["own"] > 60 and score.values["fill"] > 30 and "psnr_t" not in score.values
    (scored,) = evaluate([method], [seeing], rules=Rules(nexps=2))
    assert all("psnr_t" in score.values and "own" not in score.values for score in scored.scores)


def test_truths_can_be_left_aside() -> None:
    benchmark = open_benchmark("selftest", None, nexps=2, no_truth=True)
    assert benchmark.truth == "none" and benchmark.samples == 0
    assert any("`own`" in note for note in benchmark.notes)


def test_white_against_black_is_known() -> None:
    black, white = torch.zeros(1, 3, 8, 8), torch.ones(1, 3, 8, 8)
    # 100 cd/m2 are 256.38, 0 are 0
    expected = 20 * math.log10(256 / 256.3838973)
    assert pu21_psnr(white, black, peak_nits=100).item() == pytest.approx(expected, abs=1e-3)


def test_one_percent_more_light_is_seen_alike_in_bright_places() -> None:
    gray = torch.tensor([0.2, 0.8]).view(2, 1, 1, 1).expand(2, 3, 8, 8)
    low, high = pu21_psnr(1.01 * gray, gray).tolist()
    assert low == pytest.approx(high, abs=1)
    dark = torch.full((1, 3, 8, 8), 2e-5)
    assert pu21_psnr(1.01 * dark, dark).item() > high + 15


def test_scores_are_those_of_scikit_image_on_encoded_pictures() -> None:
    truth = torch.rand(1, 3, 16, 24)
    output = (truth * (1 + 0.05 * torch.randn(truth.shape))).clamp(0, 1)
    encoded = [pu21_encode(4000 * picture)[0].double().numpy() for picture in (truth, output)]
    theirs = peak_signal_noise_ratio(*encoded, data_range=256)  # type: ignore[no-untyped-call]
    assert pu21_psnr(output, truth, peak_nits=4000).item() == pytest.approx(theirs, rel=1e-5)
    weights = torch.tensor([0.2126, 0.7152, 0.0722]).view(3, 1, 1)  # ITU-R BT.709
    encoded = [pu21_encode(1000 * (picture[0] * weights).sum(0)).double().numpy() for picture in (truth, output)]
    theirs = structural_similarity(*encoded, data_range=256)  # type: ignore[no-untyped-call]
    assert pu21_ssim(output, truth).item() == pytest.approx(theirs, abs=1e-4)


def frames(*levels: float, size: tuple[int, int] = (40, 48)) -> Tensor:
    """Random pictures that stand still, plus a level each."""
    picture = 0.3 + 0.3 * torch.rand(3, *size, generator=torch.Generator().manual_seed(0))
    return torch.stack([picture + level for level in levels])


def test_a_perfect_result_and_a_lasting_error_score_zero() -> None:
    truths = frames(0, 0.2)  # the scene itself gets brighter
    for outputs in (truths, truths + 0.1):
        assert temporal_error(outputs, truths).item() == pytest.approx(0, abs=1e-7)
        assert area_flicker(outputs, truths).item() == pytest.approx(0, abs=1e-7)
    still = frames(0, 0)
    assert flicker(still + 0.1, still) == pytest.approx(0, abs=1e-7)


def test_alternating_brightness_scores_its_amplitude_from_every_pair() -> None:
    truths = frames(0, 0, 0)
    outputs = frames(0.01, -0.01, 0.01)  # period two
    for pair in (slice(0, 2), slice(1, 3)):
        for score in (temporal_error, flicker, area_flicker):
            assert score(outputs[pair], truths[pair]) == pytest.approx(0.02, rel=1e-4)


def test_a_period_of_three_scores_at_its_jumps_only() -> None:
    truths, outputs = frames(0, 0, 0, 0), frames(0.03, 0, 0, 0.03)
    found = [area_flicker(outputs[at : at + 2], truths[at : at + 2]).item() for at in range(3)]
    assert found == pytest.approx([0.03, 0, 0.03], abs=1e-6)


def test_noise_hardly_counts_as_flicker_of_areas() -> None:
    truths = frames(0, 0, size=(64, 64))
    outputs = truths + 0.01 * torch.randn(truths.shape, generator=torch.Generator().manual_seed(1))
    assert flicker(outputs, truths) == pytest.approx(0.01 * 2**0.5, rel=0.02)
    assert area_flicker(outputs, truths).item() == pytest.approx(0.01 * 2**0.5 / 16, rel=0.2)


def test_flicker_looks_only_where_the_scene_is_still() -> None:
    truths = frames(0, 0)
    truths[1, 0, :, 24:] += 0.1  # one channel of the right half changes
    outputs = truths.clone()
    outputs[1, :, :, 24:] += 0.5
    assert flicker(outputs, truths) == pytest.approx(0, abs=1e-7)
    outputs[1, :, :, :24] += 0.02
    assert flicker(outputs, truths) == pytest.approx(0.02, rel=1e-4)
    assert temporal_error(outputs, truths).item() == pytest.approx((0.5 + 0.02) / 2, rel=1e-4)


def test_without_still_places_flicker_is_undefined() -> None:
    truths = frames(0, 0.1)
    assert flicker(truths, truths) is None


def test_areas_at_the_edge_count_whole() -> None:
    truths = frames(0, 0, size=(17, 20))  # blocks of 16x16, 16x4, 1x16, 1x4
    outputs = truths.clone()
    outputs[1, :, 16:, 16:] += 0.1
    assert area_flicker(outputs, truths).item() == pytest.approx(0.1 / 2, rel=1e-3)


def texture(shift: int) -> Tensor:
    """A smooth picture moved to the left, (3, 96, 128)."""
    coarse = np.random.default_rng(0).random((12, 24, 3)).astype(np.float32)
    wide = cv2.resize(coarse, (192, 96), interpolation=cv2.INTER_CUBIC).clip(0, 1)
    return torch.from_numpy(wide[:, shift : shift + 128].transpose(2, 0, 1).copy()) * 0.5 + 0.25


def test_motion_is_no_error() -> None:
    moved = warping_error(torch.stack([texture(0), texture(3)]))
    assert moved is not None and moved < 0.01
    plain = (texture(3) - texture(0)).square().mean().sqrt()
    assert plain > 3 * moved


def test_a_jump_of_brightness_is_its_size() -> None:
    jumped = warping_error(torch.stack([texture(0), texture(0) + 0.02]))
    assert jumped is not None and jumped.item() == pytest.approx(0.02, rel=0.1)


def test_it_is_measured_without_a_truth_in_per_cent() -> None:
    before, now = (Pair(torch.full((3, 32, 40), value), None) for value in (0.5, 0.5))
    assert measure(now, before) == {"warping_error": 0.0}
    assert not BY_KEY["warping_error"].needs_truth
