"""What is computed again for the backward pass need not be kept, and is the same."""

import logging

import pytest
import torch
from torch import Tensor, nn

from model.network import NetworkConfig
from model.pretrained import Network, build_network
from train.acceleration import recompute_activations

LITE = NetworkConfig(design="lite", output="guided", channels=16, pyramid_channels=4)
BASE = NetworkConfig(design="lanhdr", output="guided", channels=8, pyramid_channels=4)


def network(config: NetworkConfig) -> Network:
    torch.manual_seed(0)
    built = build_network(config).train()
    for name, weight in built.named_parameters():
        if "tail" in name:
            nn.init.normal_(weight, std=0.02)
    return built


def kept_and_gradients(built: Network) -> tuple[int, list[Tensor]]:
    """Bytes that a forward pass keeps for the backward one, each memory once, and the gradients."""
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    ldr = torch.rand(1, 5, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        radiance = built(ldr, torch.tensor([[1.0, 8.0, 1.0, 8.0, 1.0]])).radiance
    forward = sum(kept.values())
    radiance.square().mean().backward()
    return forward, [weight.grad for weight in built.parameters() if weight.grad is not None]


def test_gradients_of_base_stay_while_less_is_kept() -> None:
    kept, expected = kept_and_gradients(network(BASE))
    frugal = network(BASE)
    # Four encoders, the aligned decoder, the hallucination and five blocks of the merge.
    assert recompute_activations(frugal) == 4 + 1 + 1 + 5
    assert list(frugal.state_dict()) == list(network(BASE).state_dict())
    less, found = kept_and_gradients(frugal)
    assert less < 0.35 * kept
    for first, second in zip(found, expected, strict=True):
        assert torch.allclose(first, second, rtol=1e-4, atol=1e-4 * float(second.abs().max()))


def test_lite_says_that_nothing_is_saved(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert recompute_activations(network(LITE)) == 0
    assert "--checkpointing saves nothing in this network: pass --accumulate" in caplog.text
