"""The search finds known motions, across exposures, noise and clipping."""

import pytest
import torch
import torch.nn.functional as F
from support.moving import shifted, texture
from torch import Tensor

from model.exposure import to_ldr
from model.motion import (
    _propagate,
    box_mean,
    common_shift,
    double,
    halve,
    matched_lumas,
    resize_flow,
    search_motion,
    warp,
    warp_cubic,
)


def found_flow(reference: Tensor, moved: Tensor, *, certainty: Tensor | None = None) -> Tensor:
    """The flow that the search finds, at the size of the pictures and in their pixels."""
    flow = search_motion(reference, moved, certainty=None if certainty is None else halve(certainty))
    return 2 * double(flow, (reference.shape[-2], reference.shape[-1]))


def test_warp_fetches_from_where_the_flow_points() -> None:
    picture = texture(20, 30)
    flow = torch.tensor([3.0, -2.0]).view(1, 2, 1, 1).expand(1, 2, 20, 30)
    assert torch.allclose(warp(picture, flow)[..., 2:, :-3], picture[..., :-2, 3:], atol=1e-5)


def test_warp_cubic_keeps_fine_detail() -> None:
    rows, columns = torch.arange(20.0).unsqueeze(1), torch.arange(30.0)

    def wave(right: float, down: float) -> Tensor:
        return (0.5 + 0.4 * torch.sin(1.2 * (columns + right) - 0.5 * (rows + down))).expand(2, 3, 20, 30)

    flow = torch.tensor([[2.5, -1.25], [-0.5, 3.0]]).view(2, 2, 1, 1).expand(2, 2, 20, 30)
    truth = torch.stack((wave(2.5, -1.25)[0], wave(-0.5, 3.0)[0]))
    inner = (..., slice(5, -5), slice(5, -5))
    cubic, linear = ((how(wave(0, 0), flow) - truth)[inner].abs().mean() for how in (warp_cubic, warp))
    assert cubic < 0.3 * linear


def test_warp_cubic_is_exact_on_pixels_and_slopes_and_repeats_the_border() -> None:
    picture = texture(20, 30)
    whole = torch.tensor([3.0, -2.0]).view(1, 2, 1, 1).expand(1, 2, 20, 30)
    assert torch.allclose(warp_cubic(picture, whole)[..., 2:, :-3], picture[..., :-2, 3:], atol=1e-5)
    assert torch.allclose(warp_cubic(picture, 100 + 0 * whole), picture[..., -1:, -1:].expand_as(picture), atol=1e-5)
    slope = (0.01 * torch.arange(30.0) + 0.02 * torch.arange(20.0).unsqueeze(1)).expand(1, 1, 20, 30)
    moved = warp_cubic(slope, torch.tensor([0.3, 0.6]).view(1, 2, 1, 1).expand(1, 2, 20, 30)) - slope
    assert torch.allclose(moved[..., 2:-3, 2:-3], torch.tensor(0.01 * 0.3 + 0.02 * 0.6), atol=1e-5)


def test_resize_flow_scales_displacements_with_the_frame() -> None:
    flow = torch.tensor([1.0, 2.0]).view(1, 2, 1, 1).expand(1, 2, 8, 10)
    larger = resize_flow(flow, (16, 40))
    assert torch.allclose(larger[:, 0], torch.tensor(4.0)) and torch.allclose(larger[:, 1], torch.tensor(4.0))


@pytest.mark.parametrize("motion", [(0.0, 0.0), (1.5, -0.75), (6.0, 4.0), (-17.0, 9.0)])
def test_search_finds_a_shift(motion: tuple[float, float]) -> None:
    scene = texture(120, 160)[:, :1]
    flow = found_flow(scene, shifted(scene, *motion))
    inner = flow[..., 24:-24, 24:-24]
    expected = torch.tensor(motion).view(1, 2, 1, 1)
    # A fifth of a pixel is what noise-free bicubic texture allows a search by gradients over 7x7 windows.
    assert (inner - expected).norm(dim=1).median() < 0.2


def test_detail_that_half_size_shows_little_of_is_searched_as_well() -> None:
    scene = torch.rand(1, 1, 120, 160, generator=torch.Generator().manual_seed(3)) / 2 + 0.25
    flow = found_flow(scene, shifted(scene, 0.5, -0.5))[..., 16:-16, 16:-16]
    # By half size alone, 0.2 pixels are missed.
    assert (flow - torch.tensor([0.5, -0.5]).view(1, 2, 1, 1)).norm(dim=1).median() < 0.12


def test_search_finds_a_shift_across_exposures_and_noise() -> None:
    scene = texture(120, 160).pow(2.2)
    exposures = torch.tensor(1.0).view(1, 1, 1, 1), torch.tensor(8.0).view(1, 1, 1, 1)
    generator = torch.Generator().manual_seed(1)
    noise = 0.002 * torch.randn(scene.shape, generator=generator)
    short, long = to_ldr(scene * 0.3 + noise, 1.0), to_ldr(shifted(scene, 5.0, -3.0) * 0.3, 8.0)
    flow = found_flow(*matched_lumas(short, long, exposures))
    inner = flow[..., 16:-16, 16:-16] - torch.tensor([5.0, -3.0]).view(1, 2, 1, 1)
    # Half of this scene is clipped in the long frame; there the flow comes from its surroundings.
    assert inner.norm(dim=1).median() < 0.5


def test_noise_in_the_dark_is_no_motion() -> None:
    scene = texture(120, 160)[:, :1].expand(-1, 3, -1, -1).pow(2.2)
    sky = (torch.arange(160.0) + 0.5 * torch.arange(120.0).unsqueeze(1) > 110).float()
    radiance = 0.004 * scene * (1 - sky) + (0.03 + 0.02 * scene) * sky  # a black rock before a bright sky
    generator = torch.Generator().manual_seed(1)
    exposures = torch.tensor(1.0).view(1, 1, 1, 1), torch.tensor(16.0).view(1, 1, 1, 1)
    frames = []
    for exposure in exposures:
        noise = 0.002 / exposure * torch.randn(radiance.shape, generator=generator)
        frames.append((to_ldr(radiance + noise, exposure) * 255).round() / 255)
    flow = found_flow(*matched_lumas(frames[0], frames[1], exposures))
    # Nothing moves. Black cuts the noise off below, so the rock looks brighter in the short frame: without a toe, the
    # search moves it by 0.7 pixels.
    assert flow.norm(dim=1)[0][sky < 1].mean() < 0.55


def test_two_motions_keep_their_borders() -> None:
    scene, object_ = texture(128, 128)[:, :1], texture(128, 128, seed=5)[:, :1]
    mask = torch.zeros(1, 1, 128, 128)
    mask[..., 44:84, 44:84] = 1
    first = scene * (1 - mask) + object_ * mask
    moved_mask = shifted(mask, 8.0, 0.0).round()
    second = shifted(scene, -2.0, 0.0) * (1 - moved_mask) + shifted(object_, 8.0, 0.0) * moved_mask
    flow = found_flow(first, second)
    # The search is smooth, the object a third of the picture: its border is soft, its middle moves, and alone.
    assert (flow[0, 0, 58:70, 58:70].median() - 8).abs() < 4
    assert (flow[0, 0, 100:120, 20:108].median() + 2).abs() < 0.1


def test_matched_lumas_look_alike() -> None:
    scene = texture(32, 32).pow(2.2)
    exposures = torch.tensor(1.0).view(1, 1, 1, 1), torch.tensor(4.0).view(1, 1, 1, 1)
    first, second = matched_lumas(to_ldr(scene, 1.0), to_ldr(scene, 4.0), exposures)
    assert torch.allclose(first, second, atol=1e-5)


@pytest.mark.parametrize("size", [(37, 53), (12, 90), (8, 8)])
def test_any_size_works(size: tuple[int, int]) -> None:
    scene = texture(*size)[:, :1]
    flow = search_motion(scene, scene)
    assert flow.shape == halve(scene).expand(-1, 2, -1, -1).shape and flow.abs().max() < 0.1


@pytest.mark.parametrize("side", [3, 5, 7])
def test_box_mean_is_average_pooling(side: int) -> None:
    values = texture(23, 37)
    pooled = F.avg_pool2d(values, side, stride=1, padding=side // 2, count_include_pad=False)
    assert torch.allclose(box_mean(values, side), pooled, atol=1e-6)  # sums in another order


def test_box_mean_of_a_picture_smaller_than_the_box() -> None:
    assert torch.allclose(box_mean(torch.ones(1, 1, 2, 3), 7), torch.ones(1, 1, 2, 3))


@pytest.mark.parametrize("motion", [(24.0, -16.0), (-40.0, 8.0)])
def test_a_shift_of_the_whole_picture_is_found_however_far(motion: tuple[float, float]) -> None:
    scene = texture(96, 128)[:, :1]
    moved = shifted(scene, *motion)
    found = common_shift(scene, moved)
    assert found.flatten().tolist() == pytest.approx(motion, abs=1.0)
    flow = found_flow(scene, moved)[..., 44:52, 48:80]
    assert (flow - torch.tensor(motion).view(1, 2, 1, 1)).norm(dim=1).median() < 0.3


def test_no_shift_is_found_where_there_is_none() -> None:
    scene = texture(96, 128)[:, :1]
    other = texture(96, 128)[:, 1:2].flip(-1)
    assert common_shift(scene, scene).abs().max() == 0
    assert common_shift(scene, other).abs().max() == 0


def test_uncertain_places_take_the_motion_around_them() -> None:
    scene = texture(96, 128)[:, :1]
    generator = torch.Generator().manual_seed(0)
    moved, reference, certainty = shifted(scene, 4.0, 2.0), scene.clone(), torch.ones_like(scene)
    reference[..., 36:60, 52:76] = 0.05 * torch.rand(24, 24, generator=generator)
    certainty[..., 36:60, 52:76] = 0
    error = found_flow(reference, moved, certainty=certainty) - torch.tensor([4.0, 2.0]).view(1, 2, 1, 1)
    misled = found_flow(reference, moved) - torch.tensor([4.0, 2.0]).view(1, 2, 1, 1)
    inside = (..., slice(40, 56), slice(56, 72))
    assert error[inside].norm(dim=1).mean() < 0.7 < misled[inside].norm(dim=1).mean()


@pytest.mark.parametrize("scale", [1, 2])
def test_flows_spread_where_they_fit_better_and_stay_elsewhere(scale: int) -> None:
    scene = texture(48 * scale, 64 * scale)[:, :1]
    moved = shifted(scene, 4.0 * scale, -2.0 * scale)
    right = torch.tensor([4.0, -2.0]).view(1, 2, 1, 1).expand(1, 2, 48, 64)
    wrong = right.clone()
    wrong[..., 20:24, :] = 0
    wrong[..., 32:, 40:42] = torch.tensor([-3.0, 3.0]).view(2, 1, 1)
    inner = (..., slice(8, -8), slice(8, -8))
    ones = torch.ones_like(right[:, :1])
    assert torch.equal(_propagate(scene, moved, wrong, certainty=ones, block=3)[inner], right[inner])
    assert torch.equal(_propagate(scene, moved, right, certainty=ones, block=3), right)
    assert torch.equal(_propagate(scene, moved, wrong, certainty=0 * ones, block=3), wrong)
