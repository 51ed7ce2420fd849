"""Merges that learn nothing: right on still scenes, in the known order on moving ones."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from model.color import mu_law
from model.exposure import to_ldr, to_radiance
from train.evaluation.baselines import READ_NOISE as NOMINAL_READ_NOISE
from train.evaluation.baselines import (
    SHOT_NOISE,
    interpolate,
    interpolate_equal_exposures,
    merge_by_flow,
    merge_by_flow_and_noise,
    merge_unaligned,
    noise_level,
    noise_variance,
    optical_flow,
    reference_alone,
)
from train.evaluation.metrics import psnr

EXPOSURES = torch.tensor([8.0, 1.0, 8.0, 1.0, 8.0])
SHIFT = 3
READ_NOISE = 2e-3


def texture(height: int, width: int, *, seed: int = 0) -> Tensor:
    """Smooth radiance between 0.002 and 0.11, below the clip level of exposure 8, (3, height, width)."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 3, height // 8, width // 8, generator=generator)
    smooth = F.interpolate(coarse, size=(height, width), mode="bicubic").clamp(0, 1)[0]
    return 0.002 + 0.108 * smooth.square()


def capture(scenes: Tensor, exposures: Tensor, *, noise: float = 0.0, seed: int = 1) -> Tensor:
    """Take noisy pictures of (N, 3, H, W) scenes, in 8 bits if there is noise."""
    generator = torch.Generator().manual_seed(seed)
    signal = scenes * exposures.view(-1, 1, 1, 1) + noise * torch.randn(scenes.shape, generator=generator)
    ldr = to_ldr(signal, 1.0)
    return (ldr * 255).round() / 255 if noise else ldr


def moving_scene(*, frames: int = 5, seed: int = 0) -> Tensor:
    """A texture that moves to the left by SHIFT pixels per frame."""
    wide = texture(96, 128 + SHIFT * frames, seed=seed)
    return torch.stack([wide[:, :, SHIFT * frame : SHIFT * frame + 128] for frame in range(frames)])


MergeFunction = Callable[[Tensor, Tensor], Tensor]


def score(method: MergeFunction, ldr: Tensor, truth: Tensor, *, exposures: Tensor = EXPOSURES) -> float:
    return psnr(mu_law(method(ldr, exposures).clamp(0, 1))[None], mu_law(truth)[None]).item()


@pytest.mark.parametrize(
    "method",
    [reference_alone, merge_unaligned, merge_by_flow, interpolate_equal_exposures, merge_by_flow_and_noise],
)
def test_a_still_scene_without_noise_comes_back(method: MergeFunction) -> None:
    scenes = texture(96, 128).expand(5, -1, -1, -1)
    radiance = method(capture(scenes, EXPOSURES), EXPOSURES)
    # Flow between equal pictures that are rounded differently is a few hundredths of a pixel, not zero.
    assert (mu_law(radiance) - mu_law(scenes[2])).abs().mean() < 2e-3


def test_the_reference_alone_is_the_linearised_middle() -> None:
    ldr = torch.rand(5, 3, 16, 16)
    assert torch.equal(reference_alone(ldr, EXPOSURES), to_radiance(ldr[2], 8.0))


@pytest.mark.parametrize("first", [0, 1], ids=["long reference", "short reference"])
def test_a_moving_scene_ranks_the_methods_as_known(first: int) -> None:
    exposures = torch.tensor([8.0, 1.0] * 3)[first : first + 5]
    scenes = moving_scene()
    ldr = capture(scenes, exposures, noise=READ_NOISE)
    by_flow, aware, unaligned = (
        score(method, ldr, scenes[2], exposures=exposures)
        for method in (merge_by_flow, merge_by_flow_and_noise, merge_unaligned)
    )
    assert by_flow > unaligned + 3
    assert aware > by_flow


def test_noise_aware_merge_of_a_short_reference_takes_the_darks_from_long_neighbors() -> None:
    exposures = torch.tensor([1.0, 8.0, 1.0, 8.0, 1.0])
    scenes = moving_scene()
    ldr = capture(scenes, exposures, noise=READ_NOISE)
    gain = score(merge_by_flow_and_noise, ldr, scenes[2], exposures=exposures) - score(
        reference_alone, ldr, scenes[2], exposures=exposures
    )
    assert gain > 6  # two frames of exposure 8 could bring 20 log10(8 sqrt(2)) = 21 dB were the alignment perfect


def test_clipped_pixels_of_the_reference_come_from_short_neighbors() -> None:
    scenes = moving_scene() * 5  # up to 0.55: clipped at exposure 8, not at 1
    ldr = capture(scenes, EXPOSURES)
    clipped = (ldr[2] >= 1).all(0)
    assert clipped.float().mean() > 0.1
    for method in (merge_by_flow, merge_by_flow_and_noise):
        error = (method(ldr, EXPOSURES) - scenes[2])[:, clipped].abs().mean()
        assert error < 0.2 * (reference_alone(ldr, EXPOSURES) - scenes[2])[:, clipped].abs().mean()


def crushed(ldr: Tensor) -> Tensor:
    """Make code 40 of 255 and all below it black, as a contrasty camera does."""
    return torch.where(ldr.amax(1, keepdim=True) < 40 / 255, torch.zeros_like(ldr), ldr)


def test_blacks_of_a_short_reference_are_interpolated_between_the_long_frames() -> None:
    exposures = torch.tensor([1.0, 32.0, 1.0, 32.0, 1.0])
    scenes = 0.3 * moving_scene()
    ldr = crushed(capture(scenes, exposures, noise=READ_NOISE))
    black = ldr[2].amax(0) == 0
    assert black.float().mean() > 0.3
    errors = {
        method: (mu_law(method(ldr, exposures)) - mu_law(scenes[2]))[:, black].square().mean().sqrt().item()
        for method in (interpolate_equal_exposures, merge_by_flow, merge_by_flow_and_noise)
    }
    # flow from black to a long frame finds nothing to follow; 10 dB less error
    assert errors[interpolate_equal_exposures] < 0.3 * min(errors[merge_by_flow], errors[merge_by_flow_and_noise])


@pytest.mark.parametrize("first", [0, 1], ids=["long reference", "short reference"])
def test_interpolation_leaves_alone_what_the_reference_shows_well(first: int) -> None:
    exposures = torch.tensor([8.0, 1.0] * 3)[first : first + 5]
    scenes = moving_scene() * (2 if first == 0 else 5)
    ldr = capture(scenes, exposures)
    level = ldr[2].amax(0)
    shown = (level > 0.2) & (level < 0.94)
    kept = interpolate_equal_exposures(ldr, exposures) - reference_alone(ldr, exposures)
    assert shown.float().mean() > 0.3
    assert kept[:, shown].abs().max() < 1e-7


@pytest.mark.parametrize("first", [0, 1, 2])
def test_three_exposures_are_interpolated_at_the_reference_s_time(first: int) -> None:
    exposures = torch.tensor([1.0, 4.0, 16.0] * 4)[first : first + 7]
    scenes = moving_scene(frames=7) * {1.0: 0.5, 4.0: 0.1, 16.0: 4.0}[float(exposures[3])]
    ldr = crushed(capture(scenes, exposures))
    missing = (ldr[3].amax(0) == 0) if exposures[3] < 16 else (ldr[3] >= 1).any(0)
    assert missing.float().mean() > 0.1
    found, seen = interpolate_equal_exposures(ldr, exposures), reference_alone(ldr, exposures)
    error, missed = ((mu_law(value) - mu_law(scenes[3]))[:, missing].abs().mean() for value in (found, seen))
    assert error < 0.15 * missed


@pytest.mark.parametrize("moment", [1 / 3, 0.5, 2 / 3])
def test_a_picture_between_two_lies_where_its_moment_says(moment: float) -> None:
    wide = texture(96, 160)
    shift = 12
    before, after = to_ldr(wide[:, :, :128], 8.0), to_ldr(wide[:, :, shift : shift + 128], 8.0)
    place = round(shift * moment)
    wanted = to_ldr(wide[:, :, place : place + 128], 8.0)
    found = interpolate(before, after, moment=moment)
    inner = (slice(None), slice(16, -16), slice(16, -16))
    assert (found.picture - wanted)[inner].abs().mean() < 0.02 * (after - before)[inner].abs().mean() * shift
    assert found.contradiction[inner].median() < 0.2 and found.difference[inner].median() < 0.01
    assert found.inside[inner].all() and not found.inside.all()


def test_neighbors_that_contradict_the_reference_are_left_out() -> None:
    scenes = torch.stack([texture(96, 128, seed=9), texture(96, 128, seed=8)] * 2 + [texture(96, 128, seed=9)])
    scenes[2] = texture(96, 128, seed=1)
    ldr = capture(scenes, EXPOSURES, noise=1e-3)
    aware, by_flow = (score(method, ldr, scenes[2]) for method in (merge_by_flow_and_noise, merge_by_flow))
    assert aware > score(reference_alone, ldr, scenes[2]) - 1
    assert aware > by_flow + 5


def test_a_given_noise_level_decides_what_counts_as_a_contradiction() -> None:
    scenes = texture(96, 128).repeat(5, 1, 1, 1)
    scenes[[0, 1, 3, 4]] *= 1.15  # brighter by more than small errors of alignment explain
    ldr = capture(scenes, EXPOSURES)
    strict, lenient = (merge_by_flow_and_noise(ldr, EXPOSURES, level=level) for level in (0.05, 30.0))
    assert (strict - scenes[2]).abs().mean() < 0.5 * (lenient - scenes[2]).abs().mean()


def test_flow_sees_a_shift_across_exposures_and_clipping() -> None:
    scenes = moving_scene() * 3
    ldr = capture(scenes, EXPOSURES)
    flow = optical_flow(ldr[2], ldr[3], exposures=(EXPOSURES[2], EXPOSURES[3]))
    assert flow.shape == (96, 128, 2)
    inner = flow[16:-16, 16:-16]
    assert np.median(inner[..., 0]) == pytest.approx(-SHIFT, abs=0.2)
    assert np.median(inner[..., 1]) == pytest.approx(0, abs=0.2)


@pytest.mark.parametrize("level", [0.5, 1.0, 4.0])
def test_noise_level_is_that_of_the_camera(level: float) -> None:
    generator = torch.Generator().manual_seed(2)
    signal = 5 * texture(160, 160).expand(3, -1, -1, -1)
    deviation = (level * (SHOT_NOISE * signal + NOMINAL_READ_NOISE**2)).sqrt()
    ldr = to_ldr(signal + deviation * torch.randn(signal.shape, generator=generator), 1.0)
    assert noise_level((ldr * 255).round() / 255).item() == pytest.approx(level, rel=0.35)


def test_noise_variance_is_that_of_simulated_frames() -> None:
    generator = torch.Generator().manual_seed(2)
    signal = torch.tensor([0.01, 0.1, 0.5]).view(3, 1).expand(3, 100_000)
    deviation = (SHOT_NOISE * signal + NOMINAL_READ_NOISE**2).sqrt()
    ldr = to_ldr(signal + deviation * torch.randn(signal.shape, generator=generator), 1.0)
    ldr = (ldr * 255).round() / 255
    measured = (to_radiance(ldr, 1.0) - signal).square().mean(1)
    # Rounding is not quite noise where noise spans few codes; the model takes it as such.
    assert noise_variance(to_ldr(signal[:, 0], 1.0), 1.0).tolist() == pytest.approx(measured.tolist(), rel=0.15)
