"""Brightness steps between frames: their size, what they are blind to, and when they say that they don't know."""

import math
from fractions import Fraction

import pytest
import torch
from torch import Tensor

from model.analysis.brightness import LAGS, LightMeter, Step, find_shift, glance, measure_step

HEIGHT, WIDTH = 96, 160


def scene(*, seed: int = 0, width: int = WIDTH) -> Tensor:
    """Smooth linear light over six stops, (3, H, W)."""
    noise = torch.randn(3, HEIGHT // 8, width // 8, generator=torch.Generator().manual_seed(seed))
    smooth = torch.nn.functional.interpolate(noise[None], (HEIGHT, width), mode="bicubic")[0]
    return 0.1 * 2.0 ** (1.5 * smooth)


def step(first: Tensor, second: Tensor) -> Step:
    """Measure between two pictures of linear light."""
    small = [glance(linear.clamp(0, 1).pow(1 / 2.2)) for linear in (first, second)]
    return measure_step(*small)


@pytest.mark.parametrize("ratio", [2.0, 8.0, 0.25, 64.0])
def test_the_step_is_the_ratio_although_much_clips(ratio: float) -> None:
    linear = scene() / max(1.0, ratio**0.5)
    found = step(linear, linear * ratio)
    assert found.stops == pytest.approx(torch.tensor(ratio).log2().item(), abs=0.02)
    assert found.spread < 0.05
    assert max(map(abs, found.parts)) < 0.05


def test_there_and_back_cancel() -> None:
    linear = scene()
    there, back = step(linear, linear * 5), step(linear * 5, linear)
    assert there.stops == pytest.approx(-back.stops, abs=1e-4)


def test_a_pan_is_followed() -> None:
    wide = scene(width=WIDTH + 40)
    first, second = wide[..., 20 : 20 + WIDTH], 4 * wide[..., :WIDTH]  # moves right by 20 pixels, 8 cells
    small = [glance(linear.clamp(0, 1).pow(1 / 2.2)) for linear in (first, second)]
    assert find_shift(*small) == (0, 8)
    found = step(first, second)
    assert found.stops == pytest.approx(2.0, abs=0.02)
    assert found.spread < 0.1


def test_another_scene_is_seen_by_its_spread() -> None:
    assert step(scene(seed=1), scene(seed=2)).spread > 0.5


def test_a_wrong_response_makes_parts_differ() -> None:
    linear = scene() / 4

    def srgb_as_gamma(light: Tensor) -> Tensor:
        light = light.clamp(0, 1)
        encoded = torch.where(light <= 0.0031308, 12.92 * light, 1.055 * light.clamp(min=1e-9) ** (1 / 2.4) - 0.055)
        return encoded**2.2

    right, wrong = step(linear, 8 * linear), step(srgb_as_gamma(linear), srgb_as_gamma(8 * linear))
    assert max(right.parts) - min(right.parts) < 0.1
    assert max(wrong.parts) - min(wrong.parts) > 0.3


def test_nothing_in_common_is_no_measurement() -> None:
    found = step(torch.full((3, 24, 32), 1e-5), torch.ones(3, 24, 32))
    assert not found.measured
    assert found.share == 0


def test_the_meter_looks_a_few_frames_back() -> None:
    meter = LightMeter()
    linear = scene() / 10
    found = [meter.measure((linear * gain).pow(1 / 2.2), Fraction(k, 24)) for k, gain in enumerate((1, 4, 2, 8, 1))]
    assert [len(light.steps) for light in found] == [0, 1, 2, LAGS, LAGS]
    assert [other.stops for other in found[4].steps] == pytest.approx([-3, -1, -2], abs=0.02)
    assert found[3].mean == pytest.approx(float((8 * linear).clamp(0, 1).mean()), rel=1e-3)
    assert found[3].clipped < 0.05


def test_large_pictures_are_sampled_but_flat_ones_stay_exact() -> None:
    light = LightMeter().measure(torch.full((3, 720, 1280), 0.5), Fraction(0))
    assert light.mean == pytest.approx(0.5**2.2, rel=1e-5)
    assert light.clipped == 0


@pytest.mark.parametrize("ratio", [8, 32, 64, 100])
def test_noise_near_black_does_not_make_steps_smaller(ratio: int) -> None:
    generator = torch.Generator().manual_seed(0)
    light = (0.5 * torch.rand(3, 28, 48, generator=generator) ** 2).repeat_interleave(4, 1).repeat_interleave(4, 2)

    def filmed(exposure: float) -> Tensor:
        noisy = light * exposure + 0.002 * torch.randn(light.shape, generator=generator)
        return (noisy.clamp(0, 1) ** (1 / 2.2) * 255).round() / 255

    step = measure_step(glance(filmed(1 / ratio)), glance(filmed(1.0)))
    assert step.stops == pytest.approx(math.log2(ratio), abs=0.03)
