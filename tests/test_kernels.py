"""The fused passes compute what torch computes, with any number of threads, and only where they may."""

import importlib.util
import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from functools import partial

import pytest
import torch
from support.streamed import prepared, window
from torch import Tensor

from model import kernels
from model.exposure import GAMMA_8_BIT, CodePrecision
from model.frames import FrameBatch
from model.lite import LiteNet
from model.motion import _compare_finely, _propagate, _refine_finely, box_mean, matched_lumas, search_motion
from model.neighbors import _interpolated, follow_motion
from model.network import NetworkConfig
from model.physical_merge import Candidate, MergedStart, NoiseModel, align, merge_by_variance, noise_level

SIZES = [(64, 96), (37, 45), (41, 30)]
# Clips at 1, black and steps of its own: unlike that of 8 bits.
LINEAR_CODES = CodePrecision(black=0.002, most=0.003, clip_begins=0.95, clip_ends=0.95, floor=1e-7, slope=0.0)

needs_kernels = pytest.mark.skipif(
    importlib.util.find_spec("model._kernels") is None, reason="the kernels are not built"
)


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Callable[[], Tensor]], Tensor]]:
    """Computes something without the kernels."""

    def compute(what: Callable[[], Tensor]) -> Tensor:
        with monkeypatch.context() as only_here:
            only_here.setenv(kernels.OFF, "1")
            return what()

    with torch.inference_mode():
        yield compute


def smooth(*shape: int, seed: int = 0) -> Tensor:
    """Blurred noise that reaches 0 and 1."""
    values = torch.rand(shape, generator=torch.Generator().manual_seed(seed))
    return (box_mean(values, 5) * 3 - 1).clamp(0, 1)


def flow(*shape: int, seed: int = 0) -> Tensor:
    """A flow that leaves the picture here and there."""
    return (smooth(*shape, seed=seed) - 0.5) * 30


def one(value: float) -> Tensor:
    return torch.tensor(value).view(1, 1, 1, 1)


def halved(size: tuple[int, int]) -> tuple[int, int]:
    return -(-size[0] // 2), -(-size[1] // 2)


@pytest.mark.skipif(shutil.which("cc") is None and shutil.which("gcc") is None, reason="no compiler")
def test_where_a_compiler_is_the_kernels_are_built() -> None:
    with torch.inference_mode():
        assert kernels.usable(torch.zeros(1))


def test_training_and_other_numbers_are_left_to_torch() -> None:
    assert not kernels.usable(torch.zeros(1))
    with torch.inference_mode():
        assert not kernels.usable(torch.zeros(1, dtype=torch.bfloat16))
        assert not kernels.usable(torch.zeros(1), torch.zeros(1, device="meta"))


@needs_kernels
@pytest.mark.parametrize("side", [3, 5, 7, 9, 11])
@pytest.mark.parametrize("size", [*SIZES, (4, 3)])
def test_box_mean(plain: Callable[..., Tensor], size: tuple[int, int], side: int) -> None:
    values = smooth(2, 3, *size)
    found = box_mean(values, side)
    assert torch.allclose(found, plain(lambda: box_mean(values, side)), atol=1e-6)
    constant = torch.full_like(values, 0.3)
    assert torch.allclose(box_mean(constant, side), constant)


@needs_kernels
@pytest.mark.parametrize("size", SIZES)
def test_search(plain: Callable[..., Tensor], size: tuple[int, int]) -> None:
    reference, certainty = smooth(2, 1, *size), smooth(2, 1, *halved(size), seed=1)
    moved = torch.roll(reference, (2, -3), dims=(-2, -1))
    found = search_motion(reference, moved, certainty=certainty)
    expected = plain(lambda: search_motion(reference, moved, certainty=certainty))
    off = (found - expected).abs().amax(1)
    # Where two steps cost the same to the last bit, rounding chooses.
    assert off.median() < 1e-4 and (off < 0.01).float().mean() > 0.97


@needs_kernels
@pytest.mark.parametrize("step", [_compare_finely, _refine_finely, partial(_propagate, block=3)])
@pytest.mark.parametrize("size", [*SIZES, (9, 7)])
def test_steps_at_full_size(plain: Callable[..., Tensor], size: tuple[int, int], step: Callable[..., Tensor]) -> None:
    reference, certainty = smooth(2, 1, *size), smooth(2, 1, *halved(size), seed=1)
    moved, start = torch.roll(reference, (2, -3), dims=(-2, -1)), 0.1 * flow(2, 2, *halved(size))
    assert_same_step(plain, partial(step, reference, moved, start, certainty=certainty), start)


@needs_kernels
@pytest.mark.parametrize("size", [*SIZES, (9, 7)])
def test_flows_spread_in_pictures_of_their_own_size(plain: Callable[..., Tensor], size: tuple[int, int]) -> None:
    reference, certainty = smooth(2, 1, *size), smooth(2, 1, *size, seed=1)
    moved, start = torch.roll(reference, (2, -3), dims=(-2, -1)), 0.1 * flow(2, 2, *size)
    assert_same_step(plain, partial(_propagate, reference, moved, start, certainty=certainty, block=5), start)


def assert_same_step(plain: Callable[..., Tensor], step: Callable[[], Tensor], start: Tensor) -> None:
    found, expected = step(), plain(step)
    off = (found - expected).abs()
    assert off.median() < 1e-5 and (off < 1e-4).float().mean() > 0.99
    assert (expected - start).abs().mean() > 0.05


@needs_kernels
@pytest.mark.parametrize("size", SIZES)
def test_matched_lumas(plain: Callable[..., Tensor], size: tuple[int, int]) -> None:
    first, second = 1.2 * smooth(2, 3, *size) - 0.1, smooth(2, 3, *size, seed=1)  # codes below black and above white
    first[..., :2, :2], second[..., :2, :2] = 0, 0
    exposures = torch.tensor([1.0, 8.0]).view(2, 1, 1, 1), torch.tensor([4.0, 1.0]).view(2, 1, 1, 1)
    found = matched_lumas(first, second, exposures)
    for place in (0, 1):
        expected = plain(lambda place=place: matched_lumas(first, second, exposures)[place])
        assert torch.allclose(found[place], expected, atol=2e-6), place
        assert abs(expected.min()) < 1e-6 and expected.std() > 0.1


@needs_kernels
@pytest.mark.parametrize("precision", [GAMMA_8_BIT, LINEAR_CODES])
@pytest.mark.parametrize("size", SIZES)
def test_noise_level(plain: Callable[..., Tensor], size: tuple[int, int], precision: CodePrecision) -> None:
    noise = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(1))
    linear = (smooth(1, 3, *size) ** 2 + 3e-3 * noise).clamp(0, 1)
    linear[0, 1, 8:16, 8:16] = 1.0
    linear[0, 1, 20:22, 20:22] = torch.nan
    limits = precision.tensor()[None]
    found, expected = noise_level(linear, limits), plain(lambda: noise_level(linear, limits))
    assert torch.allclose(found, expected, rtol=1e-4)
    assert 0.05 < expected.item() < 30  # not at a bound


@needs_kernels
@pytest.mark.parametrize("size", SIZES)
def test_interpolated_flow(plain: Callable[..., Tensor], size: tuple[int, int]) -> None:
    there = flow(1, 2, *size)
    back = 1 - there
    for place in (0, 1):
        found = _interpolated(there, back, part=0.4)[place]
        assert torch.allclose(found, plain(lambda place=place: _interpolated(there, back, part=0.4)[place]), atol=1e-3)


@needs_kernels
@pytest.mark.parametrize("precision", [GAMMA_8_BIT, LINEAR_CODES])
@pytest.mark.parametrize("size", SIZES)
def test_measured_frame(plain: Callable[..., Tensor], size: tuple[int, int], precision: CodePrecision) -> None:
    image = smooth(1, 3, *size)
    frame = FrameBatch(image=image, exposure=torch.tensor([8.0]), precision=precision.tensor()[None], time=0.0)
    found = follow_motion(frame, recent=(), period=2)
    for name in ("linear", "small_linear", "clipped", "certainty"):
        expected = plain(lambda name=name: getattr(follow_motion(frame, recent=(), period=2), name))
        assert torch.allclose(getattr(found, name), expected, atol=2e-6, rtol=2e-5), name
    assert found.linear[image == 0].abs().max() == 0


@needs_kernels
@pytest.mark.parametrize("steepness", [1.0, 0.03])  # pixels from anywhere, and mostly from beside each other
@pytest.mark.parametrize("size", [*SIZES, (70, 200)])
def test_aligned_frame(plain: Callable[..., Tensor], size: tuple[int, int], steepness: float) -> None:
    linear, path = smooth(1, 3, *size), steepness * flow(1, 2, *halved(size)) + 2.0
    trust = smooth(1, 1, *halved(size), seed=2)
    found = align(linear, one(8.0), path, trust=trust)
    assert torch.allclose(found.linear, plain(lambda: align(linear, one(8.0), path, trust=trust).linear), atol=1e-4)
    assert torch.equal(found.trust, plain(lambda: align(linear, one(8.0), path, trust=trust).trust))
    assert (found.trust == 0).any() and (found.trust > 0).any()


def merged(size: tuple[int, int], exposure: float, precision: CodePrecision) -> MergedStart:
    scene = smooth(1, 3, *size) ** 3
    ratios = (exposure, 1.0, 16.0, 16.0)
    frames = [
        Candidate(
            linear=((scene + 0.02 * smooth(1, 3, *size, seed=seed)) * ratio).clamp(0, 1),
            exposure=one(ratio),
            trust=smooth(1, 1, *halved(size), seed=seed),
        )
        for seed, ratio in enumerate(ratios)
    ]
    noise = NoiseModel(level=one(1.7), precision=precision.tensor()[None])
    return merge_by_variance(frames[0], tuple(frames[1:]), noise)


@needs_kernels
@pytest.mark.parametrize("precision", [GAMMA_8_BIT, LINEAR_CODES])
@pytest.mark.parametrize("exposure", [1.0, 16.0])
@pytest.mark.parametrize("size", SIZES)
def test_physical_merge(
    plain: Callable[..., Tensor], size: tuple[int, int], exposure: float, precision: CodePrecision
) -> None:
    found = merged(size, exposure, precision)
    for name, value in vars(found).items():
        expected = plain(lambda name=name: getattr(merged(size, exposure, precision), name))
        for ours, theirs in zip(value, expected, strict=True):
            assert ours.shape == theirs.shape
            # Of a nearly clipped place the last bits of what is shown are left, and of a hardly clipped one those of
            # what is not.
            rtol = {"reference_deviation": 5e-3, "deviation": 1e-3}.get(name, 2e-4)
            assert torch.allclose(ours, theirs, atol=2e-6, rtol=rtol), name
    assert found.clipped.max() > 0.5 or exposure == 1


def awake(nexps: int) -> LiteNet:
    torch.manual_seed(0)
    lite = LiteNet(NetworkConfig(nexps=nexps, design="lite", output="guided", channels=8, pyramid_channels=4)).eval()
    torch.nn.init.normal_(lite.tail.weight, std=0.1)
    torch.nn.init.normal_(lite.tail.bias, std=0.1)  # type: ignore[arg-type]
    return lite


@needs_kernels
@pytest.mark.parametrize(("nexps", "cycle"), [(2, (1.0, 8.0)), (3, (1.0, 4.0, 16.0))])
@pytest.mark.parametrize("size", SIZES)
def test_whole_network(
    plain: Callable[..., Tensor], nexps: int, cycle: tuple[float, ...], size: tuple[int, int]
) -> None:
    ldr, exposures, _ = window(2 * nexps + 1, size=size, cycle=cycle)
    lite = awake(nexps)

    def streamed() -> Tensor:
        return lite.combine(tuple(prepared(lite, ldr, exposures))).radiance

    found, expected = streamed(), plain(streamed)
    off = (found - expected).abs()
    # Where two flows cost the same to the last bit, rounding chooses.
    assert off.max() < 1e-4 and off.mean() < 1e-7
    assert not torch.equal(found, expected)  # the kernels have computed it


@needs_kernels
@pytest.mark.parametrize("pool", ["of OpenMP", "of Python"])
def test_threads_change_no_bit(pool: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if pool == "of Python":
        monkeypatch.setattr(kernels, "_openmp", lambda: None)
    elif sys.platform == "linux":
        assert kernels._openmp(), "torch's threads are not found"
    ldr, exposures, _ = window(5, size=(70, 64))
    lite, threads = awake(2), torch.get_num_threads()
    results = []
    try:
        with torch.inference_mode():
            for count in (1, 2, 3):
                torch.set_num_threads(count)
                results.append(lite(ldr, exposures).start)
    finally:
        torch.set_num_threads(threads)
    first, *others = results
    assert all(torch.equal(first, other) for other in others)


@needs_kernels
def test_the_widest_vectors_of_the_processor_are_used() -> None:
    widest = {"AVX512": 512, "AVX2": 256, "DEFAULT": 128, "NO AVX": 128}
    capability = torch.backends.cpu.get_cpu_capability()
    if platform.machine() not in ("x86_64", "AMD64") or capability not in widest:
        pytest.skip("only x86-64 has kernels of several widths")
    if os.environ.get("ATEN_CPU_CAPABILITY"):
        pytest.skip("torch is told to use less than the processor has")
    assert kernels.vector_bits() == widest[capability]


@needs_kernels
def test_nan_stays_where_it_is_seen() -> None:
    ldr, exposures, _ = window(5, size=(64, 96))
    ldr[:, 1, :, 20:24, 30:34] = torch.nan
    with torch.inference_mode():
        radiance = awake(2)(ldr, exposures).radiance
    assert radiance.shape == (1, 3, 64, 96)
    assert radiance[..., 50:, 70:].isfinite().all()
