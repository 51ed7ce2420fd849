"""The merge is the textbook's inverse-variance mean where frames agree, and the reference where they do not."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from model.exposure import GAMMA_8_BIT, CodePrecision
from model.motion import double, halve
from model.physical_merge import (
    Candidate,
    MergedStart,
    NoiseModel,
    align,
    merge_by_variance,
    noise_level,
)
from model.response import table_curve


def constant(value: float, exposure: float, *, size: int = 32) -> Candidate:
    """A frame that shows one radiance everywhere."""
    linear = torch.full((1, 3, size, size), min(1.0, value * exposure))
    return Candidate(linear=linear, exposure=one(exposure), trust=torch.ones(1, 1, size // 2, size // 2))


def one(value: float) -> Tensor:
    return torch.tensor(value).view(1, 1, 1, 1)


def noise(level: float = 1.0, precision: CodePrecision = GAMMA_8_BIT) -> NoiseModel:
    return NoiseModel(level=one(level), precision=precision.tensor()[None])


def merged(reference: Candidate, *neighbors: Candidate, precision: CodePrecision = GAMMA_8_BIT) -> MergedStart:
    return merge_by_variance(reference, neighbors, noise(precision=precision))


def noisy(signal: Tensor, generator: torch.Generator, *, level: float = 1.0) -> Tensor:
    """Add the nominal noise times a level; no quantization."""
    variance = level * (8e-5 * signal + 1.44e-6)
    return signal + variance.sqrt() * torch.randn(signal.shape, generator=generator)


def test_agreeing_frames_are_averaged_by_inverse_variance() -> None:
    generator = torch.Generator().manual_seed(0)
    scene = torch.full((1, 3, 256, 256), 0.05)
    frames = [
        Candidate(linear=noisy(scene * exposure, generator), exposure=one(exposure), trust=torch.ones(1, 1, 128, 128))
        for exposure in (1.0, 8.0, 8.0)
    ]
    start = merged(*frames)
    errors = [(frame.linear / frame.exposure - scene).std().item() for frame in frames]
    best = (1 / sum(1 / error**2 for error in errors)) ** 0.5
    left = (start.radiance - scene).std().item()
    # Agreement is tested with the noise itself, so good pixels are doubted: 1.25 times the least noise.
    assert best <= left * 1.05 and left < 1.3 * best
    assert left < 0.3 * errors[0]


def test_deviation_tells_the_error() -> None:
    generator = torch.Generator().manual_seed(0)
    scene = torch.full((1, 3, 256, 256), 0.05)
    reference = Candidate(linear=noisy(scene, generator), exposure=one(1.0), trust=torch.ones(1, 1, 128, 128))
    start = merged(reference)
    # Quantization is expected besides, and this picture has none: its deviation lies above the error, by a fifth here.
    assert (start.radiance - scene).std() == pytest.approx(start.deviation.mean().item(), rel=0.3)


def test_a_moved_object_does_not_ghost() -> None:
    reference, neighbor = constant(0.05, 1.0), constant(0.05, 8.0)
    ghost = neighbor.linear.clone()
    ghost[..., 8:24, 8:24] = 0.9
    start = merged(reference, Candidate(linear=ghost, exposure=neighbor.exposure, trust=neighbor.trust))
    assert (start.radiance - 0.05).abs().max() < 0.002
    assert start.agreement[0][..., 6:10, 6:10].max() < 0.01
    assert start.agreement[0][..., :2, :].min() > 0.9


def test_a_dark_channel_gains_from_a_neighbor_that_is_a_little_off() -> None:
    generator = torch.Generator().manual_seed(0)
    scene = torch.tensor([0.05, 0.05, 1e-5]).view(1, 3, 1, 1).expand(1, 3, 128, 128)
    off = scene * 1.2  # as where neighboring structure is fetched by mistake
    reference = Candidate(
        linear=noisy(scene, generator).clamp_min(0), exposure=one(1.0), trust=torch.ones(1, 1, 64, 64)
    )
    neighbor = Candidate(linear=noisy(off * 8, generator).clamp_min(0), exposure=one(8.0), trust=reference.trust)
    start = merged(reference, neighbor)
    error = (start.radiance - scene).square().mean((0, 2, 3)).sqrt()
    alone = (reference.linear - scene).square().mean((0, 2, 3)).sqrt()
    # Red and green keep to the reference, whose noise is a fourth of the difference; blue is noise alone there.
    assert error[0] < 1.1 * alone[0]
    assert error[2] < 0.5 * alone[2]


def test_clipped_reference_takes_what_a_shorter_frame_saw() -> None:
    reference, neighbor = constant(0.5, 8.0), constant(0.5, 1.0)
    start = merged(reference, neighbor)
    # The clipped reference keeps a trace of its weight, for places that no other frame has seen.
    assert torch.allclose(start.radiance, torch.tensor(0.5), atol=2e-3)


def test_codes_that_may_be_clipped_do_not_outweigh_a_shorter_frame() -> None:
    # A long frame's noise is a thousandth of a short one's; half clipped, it still knows less.
    found = merged(constant(1.0, 32.0), constant(0.3, 1.0), constant(0.93 / 32, 32.0))
    assert found.radiance.sub(0.3).abs().max() < 0.02 * 0.3


def test_a_reference_that_may_be_clipped_is_corrected_by_a_shorter_frame() -> None:
    found = merged(constant(0.93 / 16, 16.0), constant(0.064, 1.0))
    assert found.radiance.sub(0.064).abs().max() < 0.001


def test_clipped_reference_is_never_darker_than_its_clip_level() -> None:
    reference, neighbor = constant(0.5, 8.0), constant(0.02, 1.0)
    start = merged(reference, neighbor)
    assert (start.radiance - 1 / 8).abs().max() < 1e-3


def test_pixels_outside_the_neighbor_do_not_count() -> None:
    scene = torch.rand(1, 3, 20, 31, generator=torch.Generator().manual_seed(0))
    flow = torch.zeros(1, 2, 10, 16)
    flow[:, 0] = 5.0
    candidate = align(scene, one(1.0), flow)
    assert candidate.trust[..., :10].min() == 1 and candidate.trust[..., 11:].max() == 0
    assert torch.allclose(candidate.linear[..., :21], scene[..., 10:], atol=1e-5)


def test_aligned_edges_stay_in_range() -> None:
    edge = (torch.arange(32) >= 16).float().expand(1, 3, 20, 32)
    aligned = align(edge, one(1.0), torch.full((1, 2, 10, 16), 0.25)).linear
    assert aligned.min() == 0 and aligned.max() == 1 and ((aligned > 0) & (aligned < 1)).any()


@pytest.mark.parametrize("size", [(20, 30), (21, 31), (20, 31)])
def test_halve_is_average_pooling(size: tuple[int, int]) -> None:
    picture = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(halve(picture), F.avg_pool2d(picture, 2, ceil_mode=True), atol=1e-6)


@pytest.mark.parametrize("size", [(20, 30), (21, 31)])
def test_double_puts_a_plane_back_to_its_place(size: tuple[int, int]) -> None:
    rows, columns = torch.meshgrid(torch.arange(size[0]), torch.arange(size[1]), indexing="ij")
    plane = (0.3 * rows + 0.7 * columns).view(1, 1, *size)
    back = double(halve(plane), size)
    assert torch.allclose(back[..., 1:-3, 1:-3], plane[..., 1:-3, 1:-3], atol=1e-4)


@pytest.mark.parametrize("level", [0.3, 1.0, 8.0])
def test_noise_level_is_found(level: float) -> None:
    generator = torch.Generator().manual_seed(0)
    ramp = torch.linspace(0.05, 0.6, 256).expand(1, 3, 256, 256)
    found = noise_level(noisy(ramp, generator, level=level).clamp(0, 1)).item()
    # Quantization is taken for granted, and part of the 8x8 blocks must be quiet by chance: within a third.
    assert found == pytest.approx(level, rel=0.35)


def test_noise_level_without_usable_blocks_is_nominal() -> None:
    assert noise_level(torch.ones(1, 3, 32, 32)).item() == pytest.approx(1.2)


def test_noise_variance_has_its_terms() -> None:
    signal = torch.tensor([0.01, 1.0]).view(1, 1, 1, 2)
    dark, white = noise(2.0).variance(signal).flatten().tolist()
    assert dark == pytest.approx(2 * 1.44e-6 + 0.01 * (2 * 8e-5 + (2.2 / 255) ** 2 / 12))
    assert white - dark == pytest.approx(0.99 * (2 * 8e-5 + (2.2 / 255) ** 2 / 12), rel=1e-3)


CRUSHED = CodePrecision(black=0.004, most=0.01)  # light up to 0.01 may have become black


def test_a_black_reference_is_filled_from_what_its_black_can_have_been() -> None:
    reference, neighbor = constant(0.0, 1.0), constant(0.006, 16.0)
    assert merged(reference, neighbor, precision=CRUSHED).radiance.mean().item() == pytest.approx(0.006, rel=0.02)
    # Where black is black, the neighbor contradicts it, and little of it is taken.
    assert merged(reference, neighbor).radiance.mean().item() < 0.002


def test_a_black_reference_contradicts_what_is_too_bright_for_black() -> None:
    start = merged(constant(0.0, 1.0), constant(0.05, 16.0), precision=CRUSHED)
    assert start.agreement[0].max() < 0.05
    assert merged(constant(0.0, 1.0), constant(0.006, 16.0), precision=CRUSHED).agreement[0].min() > 0.9


def test_a_dark_channel_of_a_bright_pixel_is_a_color() -> None:
    red = torch.tensor([0.3, 0.0, 0.0]).view(1, 3, 1, 1).expand(1, 3, 4, 4)
    assert noise(precision=CRUSHED).crushed(red).max() == 0
    assert noise(precision=CRUSHED).crushed(0.01 * red).min() == 1


def test_a_curve_without_light_at_its_black_is_no_trouble() -> None:
    start = merged(constant(0.0, 1.0), constant(0.2, 8.0), precision=CodePrecision(black=0.0, most=0.01))
    assert start.radiance.isfinite().all() and start.deviation.isfinite().all()


def test_clipped_codes_of_the_shortest_exposure_say_all_that_is_asked() -> None:
    # All frames are clipped: the truth is at least the top of the scale, and gray would be wrong.
    start = merged(constant(2.0, 8.0), constant(2.0, 1.0))
    assert start.radiance.min() > 0.95


def test_deviation_counts_what_candidates_disagree_in() -> None:
    reference, first, second = constant(0.5, 8.0), constant(0.3, 1.0), constant(0.4, 1.0)
    alike = merged(reference, first, first).deviation.mean().item()
    assert merged(reference, first, second).deviation.mean().item() == pytest.approx(0.05, rel=0.2)
    assert alike < 0.02


def test_what_the_reference_knows_is_little_where_it_is_censored() -> None:
    shown, clipped = (
        merged(constant(0.05, 1.0)).reference_deviation.mean(),
        merged(constant(0.5, 8.0)).reference_deviation.mean(),
    )
    assert shown < 0.003 and clipped > 0.3


def test_a_curve_that_is_flat_at_the_top_leaves_no_nan() -> None:
    codes = torch.linspace(0, 1, 256, dtype=torch.float64)
    curve = table_curve("flat", (codes / 0.9).clamp(max=1) ** 2.2)
    precision = curve.precision()
    assert precision.clip_begins == precision.clip_ends == 1
    noise = NoiseModel(level=torch.ones(1, 1, 1, 1), precision=precision.tensor()[None])
    assert noise.unclipped(torch.tensor([0.5, 0.999, 1.0]).view(1, 3, 1, 1)).flatten().tolist() == [1, 1, 0]
