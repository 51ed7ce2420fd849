"""LiteNet begins at the start, streams as it computes windows, and can learn."""

import math

import pytest
import torch
from support.streamed import prepared, window
from torch import nn

from model.color import MU, mu_law
from model.guided import GuidedLanHdr
from model.lite import LiteNet, _add_enlarged
from model.network import NetworkConfig


def network(nexps: int = 2) -> LiteNet:
    torch.manual_seed(0)
    return LiteNet(NetworkConfig(nexps=nexps, design="lite", output="guided", channels=8, pyramid_channels=4)).eval()


def awake(nexps: int = 2) -> LiteNet:
    """A network whose last layer is not zero."""
    lite = network(nexps)
    torch.nn.init.normal_(lite.tail.weight, std=0.02)
    return lite


def test_untrained_network_returns_the_start() -> None:
    ldr, exposures, _ = window(5)
    with torch.inference_mode():
        prediction = network()(ldr, exposures)
    assert prediction.start is not None
    # Through mu-law and back in float32.
    assert torch.allclose(prediction.radiance, prediction.start, atol=1e-6)


def test_channels_of_a_place_are_spread_as_by_a_shuffle() -> None:
    """Without gradients and with channels last they are added by another way."""
    torch.manual_seed(0)
    conv, coarse, fine = nn.Conv2d(12, 20, 1), torch.randn(2, 12, 6, 8), torch.randn(2, 5, 12, 16)
    expected = fine + nn.functional.pixel_shuffle(conv(coarse), 2)
    with torch.inference_mode():
        last = torch.channels_last
        found = _add_enlarged(fine.contiguous(memory_format=last), coarse.contiguous(memory_format=last), conv)
    assert found.is_contiguous(memory_format=last)
    assert torch.allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize(("nexps", "cycle"), [(2, (1.0, 8.0)), (3, (1.0, 4.0, 16.0))])
@pytest.mark.parametrize("size", [(48, 64), (41, 55)])
def test_streaming_equals_the_plain_window(nexps: int, cycle: tuple[float, ...], size: tuple[int, int]) -> None:
    count = 2 * nexps + 1
    ldr, exposures, _ = window(count + 1, size=size, cycle=cycle)
    lite = awake(nexps)
    with torch.inference_mode():
        states = prepared(lite, ldr, exposures)
        streamed = lite.combine(tuple(states[1:])).radiance
        plain = lite(ldr[:, 1:], exposures[:, 1:]).radiance
    assert streamed.shape == (1, 3, *size)
    assert (streamed - plain).abs().max() < 1e-5


def test_borrowed_frames_at_the_ends_work() -> None:
    ldr, exposures, radiance = window(3)
    lite = network()
    with torch.inference_mode():
        states = prepared(lite, ldr, exposures)
        borrowed = lite.combine((states[0], states[1], states[0], states[1], states[2])).radiance
    error = (mu_law(borrowed) - mu_law(radiance[:, 0])).square().mean()
    alone = (mu_law((ldr[:, 0]).pow(2.2)) - mu_law(radiance[:, 0])).square().mean()
    # The first frame is short: its neighbors' darks are finer quantized, borrowed ones too.
    assert error < alone


def test_a_window_with_a_gap_is_aligned_all_the_same() -> None:
    ldr, exposures, radiance = window(8)
    lite = network()
    with torch.inference_mode():
        states = prepared(lite, ldr, exposures)
        merged = lite.combine(tuple(states[index] for index in (2, 3, 4, 7, 6))).radiance
    truth = mu_law(radiance[:, 4])
    alone = (mu_law(ldr[:, 4].pow(2.2)) - truth).square().mean()
    assert (mu_law(merged) - truth).square().mean() < alone


def test_whatever_the_weights_what_the_reference_shows_stays() -> None:
    ldr, exposures, _ = window(5)
    mad = network()
    torch.nn.init.normal_(mad.tail.weight, std=100.0)
    with torch.inference_mode():
        prediction = mad(ldr, exposures)
    assert prediction.start is not None
    shown = (ldr[:, 2] > 0.1) & (ldr[:, 2] < 0.9)
    change = (mu_law(prediction.radiance) - mu_law(prediction.start)).abs()
    # Of all linear values shown, the noise of this clip is a fourth or less, so a change by three deviations is less
    # than one to the factor 1 / (1 - 0.75) or 1.75: a sixth of the mu-law range. Without a bound it would be all.
    assert 0.01 < change[shown].max() < math.log(4) / math.log1p(MU)
    assert shown.float().mean() > 0.1


def test_start_is_better_than_the_reference_alone() -> None:
    ldr, exposures, radiance = window(5)
    with torch.inference_mode():
        start = network()(ldr, exposures).radiance
    middle = ldr[:, 2].pow(2.2) / exposures[:, 2]
    truth = mu_law(radiance[:, 2])
    assert (mu_law(start) - truth).square().mean() < 0.5 * (mu_law(middle) - truth).square().mean()


def test_every_weight_can_learn() -> None:
    ldr, exposures, radiance = window(5)
    lite = awake().train()
    error = (mu_law(lite(ldr, exposures).radiance) - mu_law(radiance[:, 2])).square().mean()
    error.backward()  # type: ignore[no-untyped-call]
    silent = [name for name, weight in lite.named_parameters() if weight.grad is None or not weight.grad.any()]
    assert not silent


def test_guided_lanhdr_begins_at_the_same_start() -> None:
    ldr, exposures, _ = window(5)
    torch.manual_seed(0)
    config = NetworkConfig(nexps=2, design="lanhdr", output="guided", channels=8, pyramid_channels=4)
    guided = GuidedLanHdr(config).eval()
    with torch.inference_mode():
        prediction, lite = guided(ldr, exposures), network()(ldr, exposures)
    assert prediction.start is not None and lite.start is not None
    assert torch.equal(prediction.start, lite.start)
    assert torch.allclose(prediction.radiance, prediction.start, atol=1e-6)


def test_guided_lanhdr_streams_as_it_computes_windows() -> None:
    ldr, exposures, _ = window(5)
    torch.manual_seed(0)
    config = NetworkConfig(nexps=2, design="lanhdr", output="guided", channels=8, pyramid_channels=4)
    guided = GuidedLanHdr(config).eval()
    torch.nn.init.normal_(guided.network.merge.tail.weight, std=0.02)
    with torch.inference_mode():
        states = prepared(guided, ldr, exposures)
        streamed, plain = guided.combine(tuple(states)).radiance, guided(ldr, exposures).radiance
    assert (streamed - plain).abs().max() < 1e-5
