"""The merge is the textbook's inverse-variance mean where frames agree, and the reference where they do not."""

import pytest
import torch
from torch import Tensor

from model.guide import Candidate, align, double, halve, merge, noise_level, noise_variance


def constant(value: float, exposure: float, *, size: int = 32) -> Candidate:
    """A frame that shows one radiance everywhere."""
    linear = torch.full((1, 3, size, size), min(1.0, value * exposure))
    return Candidate(linear, one(exposure), torch.ones(1, 1, size // 2, size // 2))


def one(value: float) -> Tensor:
    return torch.tensor(value).view(1, 1, 1, 1)


def noisy(signal: Tensor, generator: torch.Generator, *, level: float = 1.0) -> Tensor:
    """Add the nominal noise times a level; no quantization."""
    variance = level * (8e-5 * signal + 1.44e-6)
    return signal + variance.sqrt() * torch.randn(signal.shape, generator=generator)


def test_agreeing_frames_are_averaged_by_inverse_variance() -> None:
    generator = torch.Generator().manual_seed(0)
    scene = torch.full((1, 3, 256, 256), 0.05)
    frames = [
        Candidate(noisy(scene * exposure, generator), one(exposure), torch.ones(1, 1, 128, 128))
        for exposure in (1.0, 8.0, 8.0)
    ]
    start = merge(frames[0], tuple(frames[1:]), one(1.0))
    errors = [(frame.linear / frame.exposure - scene).std().item() for frame in frames]
    best = (1 / sum(1 / error**2 for error in errors)) ** 0.5
    merged = (start.radiance - scene).std().item()
    # Agreement is tested with the noise itself, so good pixels are doubted: 1.25 times the least noise.
    assert best <= merged * 1.05 and merged < 1.3 * best
    assert merged < 0.3 * errors[0]


def test_deviation_tells_the_error() -> None:
    generator = torch.Generator().manual_seed(0)
    scene = torch.full((1, 3, 256, 256), 0.05)
    reference = Candidate(noisy(scene, generator), one(1.0), torch.ones(1, 1, 128, 128))
    start = merge(reference, (), one(1.0))
    # Quantization is expected besides, and this picture has none: its deviation lies above the error, by a fifth here.
    assert (start.radiance - scene).std() == pytest.approx(start.deviation.mean().item(), rel=0.3)


def test_a_moved_object_does_not_ghost() -> None:
    reference, neighbor = constant(0.05, 1.0), constant(0.05, 8.0)
    ghost = neighbor.linear.clone()
    ghost[..., 8:24, 8:24] = 0.9
    start = merge(reference, (Candidate(ghost, neighbor.exposure, neighbor.inside),), one(1.0))
    assert (start.radiance - 0.05).abs().max() < 0.002
    assert start.agreement[0][..., 6:10, 6:10].max() < 0.01
    assert start.agreement[0][..., :2, :].min() > 0.9


def test_a_dark_channel_gains_from_a_neighbor_that_is_a_little_off() -> None:
    generator = torch.Generator().manual_seed(0)
    scene = torch.tensor([0.05, 0.05, 1e-5]).view(1, 3, 1, 1).expand(1, 3, 128, 128)
    off = scene * 1.2  # as where neighboring structure is fetched by mistake
    reference = Candidate(noisy(scene, generator).clamp_min(0), one(1.0), torch.ones(1, 1, 64, 64))
    neighbor = Candidate(noisy(off * 8, generator).clamp_min(0), one(8.0), reference.inside)
    start = merge(reference, (neighbor,), one(1.0))
    error = (start.radiance - scene).square().mean((0, 2, 3)).sqrt()
    alone = (reference.linear - scene).square().mean((0, 2, 3)).sqrt()
    # Red and green keep to the reference, whose noise is a fourth of the difference; blue is noise alone there.
    assert error[0] < 1.1 * alone[0]
    assert error[2] < 0.5 * alone[2]


def test_clipped_reference_takes_what_a_shorter_frame_saw() -> None:
    reference, neighbor = constant(0.5, 8.0), constant(0.5, 1.0)
    start = merge(reference, (neighbor,), one(1.0))
    # The clipped reference keeps a ten-thousandth of its weight, for places that no other frame has seen.
    assert torch.allclose(start.radiance, torch.tensor(0.5), atol=2e-3)


def test_clipped_reference_is_never_darker_than_its_clip_level() -> None:
    reference, neighbor = constant(0.5, 8.0), constant(0.02, 1.0)
    start = merge(reference, (neighbor,), one(1.0))
    assert (start.radiance - 1 / 8).abs().max() < 1e-3


def test_pixels_outside_the_neighbor_do_not_count() -> None:
    scene = torch.rand(1, 3, 20, 31, generator=torch.Generator().manual_seed(0))
    flow = torch.zeros(1, 2, 10, 16)
    flow[:, 0] = 5.0
    candidate = align(scene, one(1.0), flow)
    assert candidate.inside[..., :10].min() == 1 and candidate.inside[..., 11:].max() == 0
    assert torch.allclose(candidate.linear[..., :21], scene[..., 10:], atol=1e-5)


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
    black = noise_variance(torch.zeros(1), 2.0).item()
    assert black == pytest.approx(2 * 1.44e-6)
    white = noise_variance(torch.ones(1), 0.0).item()
    assert white == pytest.approx((2.2 / 255) ** 2 / 12)
