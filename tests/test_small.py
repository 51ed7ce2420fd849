"""SmallLanHdr begins at the start, corrects it within bounds, streams as it computes windows, and can learn."""

import math
from pathlib import Path

import pytest
import torch
from support.streamed import prepared, window
from torch import nn

from model.color import MU, mu_law
from model.guided import SmallLanHdr
from model.network import NetworkConfig
from model.pretrained import load_network, save_network
from train.config import TrainConfig

CYCLES = {2: (1.0, 8.0), 3: (1.0, 4.0, 16.0)}
MOST_BYTES = 2.5 * 2**20


def network(nexps: int = 2, *, last: float = 0.0) -> SmallLanHdr:
    """A narrow network; `last` is the deviation of its last layer's weights."""
    torch.manual_seed(0)
    small = SmallLanHdr(NetworkConfig(nexps, design="small", output="guided", channels=6, pyramid_channels=4)).eval()
    nn.init.normal_(small.network.merge.tail.weight, std=last)
    return small


@pytest.mark.parametrize("nexps", [2, 3])
def test_untrained_network_returns_the_start(nexps: int) -> None:
    ldr, exposures, _ = window(2 * nexps + 1, cycle=CYCLES[nexps])
    config = TrainConfig(nexps=nexps, size="small").network_config()
    with torch.inference_mode():
        prediction = SmallLanHdr(config)(ldr, exposures)
    assert prediction.start is not None
    assert torch.allclose(prediction.radiance, prediction.start, atol=1e-6)


def test_the_frame_is_computed_at_half_its_size() -> None:
    ldr, exposures, _ = window(5, size=(48, 64))
    small = network()
    with torch.inference_mode():
        features = small.network.features(ldr[:, 0], exposures[:, 0])
    assert [level.shape[-2:] for level in features.pyramid] == [(24, 32), (12, 16), (6, 8), (3, 4)]
    assert [level.shape[-2:] for level in features.values.pyramid] == [(12, 16), (6, 8), (3, 4), (2, 2)]


@pytest.mark.parametrize("nexps", [2, 3])
@pytest.mark.parametrize("size", [(48, 64), (41, 55)])
def test_streaming_equals_the_plain_window(nexps: int, size: tuple[int, int]) -> None:
    ldr, exposures, _ = window(2 * nexps + 2, size=size, cycle=CYCLES[nexps])
    small = network(nexps, last=0.05)
    with torch.inference_mode():
        states = prepared(small, ldr, exposures)
        streamed = small.combine(tuple(states[1:]))
        plain = small(ldr[:, 1:], exposures[:, 1:]).radiance
    assert streamed.radiance.shape == (1, 3, *size)
    assert streamed.start is not None and (streamed.radiance - streamed.start).abs().max() > 1e-4
    assert (streamed.radiance - plain).abs().max() < 1e-5


def test_each_window_of_a_batch_is_computed_by_itself() -> None:
    first, second = window(5), window(5, cycle=(8.0, 1.0))
    small = network(last=0.05)
    with torch.inference_mode():
        both = small(torch.cat([first[0], second[0]]), torch.cat([first[1], second[1]])).radiance
        alone = torch.cat([small(ldr, exposures).radiance for ldr, exposures, _ in (first, second)])
    assert (both - alone).abs().max() < 1e-5


def test_whatever_the_weights_what_the_reference_shows_stays() -> None:
    ldr, exposures, _ = window(5)
    with torch.inference_mode():
        prediction = network(last=100.0)(ldr, exposures)
    assert prediction.start is not None
    shown = (ldr[:, 2] > 0.1) & (ldr[:, 2] < 0.9)
    change = (mu_law(prediction.radiance) - mu_law(prediction.start)).abs()
    # As for lite: less than a sixth of the mu-law range, where without a bound it would be all of it.
    assert 0.01 < change[shown].max() < math.log(4) / math.log1p(MU)
    assert shown.float().mean() > 0.1


@pytest.mark.parametrize("nexps", [2, 3])
def test_every_weight_can_learn(nexps: int) -> None:
    ldr, exposures, radiance = window(2 * nexps + 1, cycle=CYCLES[nexps])
    small = network(nexps, last=0.02).train()
    error = (mu_law(small(ldr, exposures).radiance) - mu_law(radiance[:, nexps])).square().mean()
    error.backward()  # type: ignore[no-untyped-call]
    silent = [name for name, weight in small.named_parameters() if weight.grad is None or not weight.grad.any()]
    assert not silent


def test_no_channel_falls_silent_below_zero() -> None:
    small = network()
    activations = [module for module in small.modules() if isinstance(module, nn.LeakyReLU)]
    assert len(activations) > 50 and not any(isinstance(module, nn.ReLU) for module in small.modules())
    assert all(module(-torch.ones(1)) < 0 for module in activations)


@pytest.mark.parametrize("nexps", [2, 3])
def test_exported_weights_are_small_and_answer_as_before(nexps: int, tmp_path: Path) -> None:
    torch.manual_seed(0)
    small = SmallLanHdr(TrainConfig(nexps=nexps, size="small").network_config()).eval().half().float()
    nn.init.constant_(small.network.merge.tail.weight, 2**-7)
    save_network(small, tmp_path / "small.safetensors", record={}, half=True)
    assert (tmp_path / "small.safetensors").stat().st_size < MOST_BYTES
    loaded = load_network(tmp_path / "small.safetensors", nexps=nexps).network
    assert isinstance(loaded, SmallLanHdr)
    ldr, exposures, _ = window(2 * nexps + 1, cycle=CYCLES[nexps])
    with torch.inference_mode():
        expected, found = small(ldr, exposures).radiance, loaded(ldr, exposures).radiance
    assert torch.allclose(found, expected, atol=1e-6)
