"""Exposures that are slightly wrong: found, corrected, and the flicker they make, before and after."""

import dataclasses
from collections.abc import Sequence
from fractions import Fraction

import pytest
import torch
from support.flicker import FlickerMeter
from support.identity import Identity

from model.analysis.brightness import FrameLight, LightMeter
from model.analysis.flicker import ExposureCorrection, measure_correction
from model.exposure import to_ldr
from model.frames import LdrFrame
from model.network import NetworkConfig
from model.pretrained import build_network
from model.reconstruct import Reconstructor

SIZE = (48, 80)
COUNT = 24


def filmed(
    true: Sequence[float], told: Sequence[float], *, drift: float = 0.0, cut: int = COUNT, gamma: float = 2.2
) -> list[LdrFrame]:
    """A noisy, panning scene of six stops; `drift` in stops per frame."""
    scenes = [
        2.0 ** (-6 * torch.rand(3, 12, 40, generator=torch.Generator().manual_seed(seed))).repeat_interleave(4, 1)
        for seed in (0, 1)
    ]
    noise = torch.Generator().manual_seed(2)
    frames = []
    for index in range(COUNT):
        scene = scenes[index >= cut].repeat_interleave(4, 2) * 0.25 * 2.0 ** (drift * index)
        light = scene[:, :, index : index + SIZE[1]] * true[index % len(true)]
        light = (light + 0.004 * torch.randn(light.shape, generator=noise)).clamp(0, 1)
        image = to_ldr(light, 1.0) if gamma == 2.2 else light.pow(1 / gamma)
        frames.append(LdrFrame(image, told[index % len(told)], Fraction(index, 24)))
    return frames


def light_of(frames: Sequence[LdrFrame]) -> list[FrameLight]:
    meter = LightMeter()
    return [meter.measure(frame.image, frame.time) for frame in frames]


def correction_of(frames: Sequence[LdrFrame]) -> ExposureCorrection:
    return measure_correction(light_of(frames), [frame.exposure for frame in frames])


def corrected(frames: Sequence[LdrFrame]) -> list[LdrFrame]:
    found = correction_of(frames)
    assert found.plausible
    return [dataclasses.replace(frame, exposure=found.corrected(frame.exposure)) for frame in frames]


def jump_of(frames: Sequence[LdrFrame], reconstructor: Identity | Reconstructor, *, period: int) -> float:
    meter = FlickerMeter()
    for frame, result in zip(frames, reconstructor.reconstruct(frames, period=period), strict=True):
        meter.add(result.radiance, frame.exposure)
    return meter.jump(period)


@pytest.mark.parametrize("wrong", [1.1, 1 / 1.1, 1.03])
def test_the_true_ratio_of_two_exposures_is_found(wrong: float) -> None:
    found = correction_of(filmed((1, 8 * wrong), (1, 8)))
    assert found.plausible
    assert found.corrected(1) == 1
    assert found.corrected(8) == pytest.approx(8 * wrong, rel=0.01)


def test_each_of_three_exposures_is_corrected_by_itself() -> None:
    found = correction_of(filmed((1, 4.3, 14.6), (1, 4, 16)))
    assert [found.corrected(exposure) for exposure in (1, 4, 16)] == pytest.approx([1, 4.3, 14.6], rel=0.015)


def test_an_exposure_that_comes_twice_in_a_cycle() -> None:
    found = correction_of(filmed((1, 4.3, 1, 16), (1, 4, 1, 16)))
    assert [found.corrected(exposure) for exposure in (1, 4, 16)] == pytest.approx([1, 4.3, 16], rel=0.02)


def test_fading_light_and_a_cut_are_not_taken_for_exposures() -> None:
    found = correction_of(filmed((1, 8), (1, 8), drift=-0.05, cut=11))
    assert found.corrected(8) == pytest.approx(8, rel=0.015)


@pytest.mark.parametrize("told", [(1, 2), (1, 32)])
def test_exposures_that_are_altogether_wrong_are_left(told: tuple[float, float]) -> None:
    assert not correction_of(filmed((1, 8), told)).plausible


def test_without_anything_to_compare_nothing_is_corrected() -> None:
    black = [LdrFrame(torch.zeros(3, *SIZE), (1, 8)[index % 2], Fraction(index)) for index in range(8)]
    found = correction_of(black)
    assert not found.plausible
    assert found.corrected(8) == 8
    assert not correction_of(filmed((1, 8.8), (1, 8))[:3]).plausible


def lite() -> Reconstructor:
    torch.manual_seed(0)
    return Reconstructor(build_network(NetworkConfig(design="lite", output="guided", channels=16, pyramid_channels=16)))


def test_correction_takes_the_flicker_out() -> None:
    """The ratio is 10 % above what was told; the rest is what noise and motion leave with the true ratio."""
    frames = filmed((1, 8.8), (1, 8))
    before, after = (jump_of(clip, Identity(), period=2) for clip in (frames, corrected(frames)))
    unavoidable = jump_of(filmed((1, 8.8), (1, 8.8)), Identity(), period=2)
    assert before > 2.5 * unavoidable
    assert abs(after - unavoidable) < 0.1 * before


def test_a_wrong_ratio_makes_a_merged_clip_flicker_little_and_a_corrected_one_not() -> None:
    """What neighbors disagree in counts as variance, so that all frames lean on the same ones where they may."""
    frames = filmed((1, 8.8), (1, 8))
    unavoidable = jump_of(filmed((1, 8.8), (1, 8.8)), lite(), period=2)
    assert jump_of(corrected(frames), lite(), period=2) < 1.2 * unavoidable
    # A reference is not led away from what it shows itself, so some of the difference stays: 0.45 of it, of which 0.16
    # would be there with the true ratio. Neighbors that are blurred or aligned less well leave less of it.
    assert jump_of(frames, lite(), period=2) < 0.5 * jump_of(frames, Identity(), period=2)


def test_correction_reduces_the_flicker_of_a_wrong_response() -> None:
    """Filmed with gamma 2.0 and taken for 2.2, a ratio of 8 looks like one of 9.8."""
    frames = filmed((1, 8), (1, 8), gamma=2.0)
    before, after = (jump_of(clip, Identity(), period=2) for clip in (frames, corrected(frames)))
    assert after < 0.5 * before


def test_the_meter_measures_the_jump_between_exposures() -> None:
    meter = FlickerMeter()
    for index in range(12):  # brightness rises steadily; every third frame is brighter
        compressed = 0.3 + 0.01 * index + (0.03 if index % 3 == 1 else 0.0)
        radiance = torch.expm1(torch.tensor(compressed) * torch.log1p(torch.tensor(5000.0))) / 5000
        meter.add(radiance.expand(3, 4, 4), (1.0, 4.0, 16.0)[index % 3])
    assert meter.jump(3) == pytest.approx(0.03, abs=1e-5)


def test_too_short_a_clip_has_no_flicker() -> None:
    meter = FlickerMeter()
    meter.add(torch.ones(3, 2, 2), 1.0)
    assert meter.jump(2) == 0.0


if __name__ == "__main__":
    for make in (Identity, lite):
        frames = filmed((1, 8.8), (1, 8))
        print(
            make.__name__,
            *(
                f"{jump_of(clip, make(), period=2):.5f}"
                for clip in (frames, corrected(frames), filmed((1, 8.8), (1, 8.8)))
            ),
        )
