"""bfloat16 reaches the convolutions and nothing else."""

import logging
from pathlib import Path

import pytest
import torch
from support.moving import shifted, texture
from support.tiny_training import new_run, tiny_config
from torch import Tensor, nn

from model.color import mu_law
from model.lite import LiteNet
from model.network import NetworkConfig
from model.pretrained import Network, build_network
from train.acceleration import (
    Precision,
    autocast,
    checkpoint_activations,
    compute_dtype,
)

CPU = torch.device("cpu")


def lite() -> LiteNet:
    torch.manual_seed(0)
    network = LiteNet(NetworkConfig(nexps=2, design="lite", output="guided", channels=8, pyramid_channels=4))
    nn.init.normal_(network.tail.weight, std=0.02)
    return network


def window() -> tuple[Tensor, Tensor]:
    """A moving noisy scene, (1, 5, 3, 48, 64), with its exposures."""
    scene = torch.stack([shifted(texture(48, 64), 1.5 * index, -index) for index in range(5)], dim=1)
    noise = 0.01 * torch.randn(scene.shape, generator=torch.Generator().manual_seed(0))
    return (scene + noise).clamp(0, 1), torch.tensor([[1.0, 8.0, 1.0, 8.0, 1.0]])


def test_convolutions_compute_in_bf16_while_search_and_merge_stay_exact() -> None:
    network, (ldr, exposures) = lite(), window()
    seen: list[torch.dtype] = []
    network.tail.register_forward_hook(lambda _module, _inputs, output: seen.append(output.dtype))
    with torch.no_grad():
        exact = network(ldr, exposures)
        with autocast(CPU, torch.bfloat16):
            half = network(ldr, exposures)
    assert seen == [torch.float32, torch.bfloat16]
    assert half.radiance.dtype == torch.float32
    assert torch.equal(half.start, exact.start)
    start, exact_values, half_values = (mu_law(picture) for picture in (exact.start, exact.radiance, half.radiance))
    # bfloat16 has 8 bits of mantissa, and a dozen layers round one after the other.
    assert 0 < (half_values - exact_values).norm() < 0.03 * (exact_values - start).norm()


def test_gradients_of_bf16_are_those_of_float32_to_its_rounding() -> None:
    ldr, exposures = window()
    gradients = []
    for dtype in (torch.float32, torch.bfloat16):
        network = lite()
        with autocast(CPU, dtype):
            radiance = network(ldr, exposures).radiance
        (radiance - 0.1).square().mean().backward()
        gradients.append(
            torch.cat([weight.grad.flatten() for weight in network.parameters() if weight.grad is not None])
        )
    exact, half = gradients
    assert half.dtype == torch.float32
    assert (half - exact).norm() < 0.04 * exact.norm()


@pytest.mark.parametrize(("precision", "expected"), [("bf16", torch.bfloat16), ("float32", torch.float32)])
def test_a_run_computes_in_what_its_config_says(tmp_path: Path, precision: Precision, expected: torch.dtype) -> None:
    trainer = new_run(tmp_path / "run", tiny_config(precision=precision, steps=1, validation_samples=0))
    seen: set[torch.dtype] = set()
    for module in trainer.network.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(lambda _module, _inputs, output: seen.add(output.dtype))
    trainer.run(lambda _row: None)
    assert seen == {expected}
    assert all(weight.dtype == torch.float32 for weight in trainer.network.parameters())


def test_auto_takes_bf16_where_the_processor_multiplies_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.setattr(torch.cpu, name, lambda: False, raising=False)
    assert compute_dtype("auto", CPU) == torch.float32
    assert compute_dtype("bf16", CPU) == torch.bfloat16
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True, raising=False)
    assert compute_dtype("auto", CPU) == torch.bfloat16
    assert compute_dtype("float32", CPU) == torch.float32


@pytest.mark.parametrize(("capability", "fast"), [((7, 5), False), ((8, 0), True), ((9, 0), True)])
def test_auto_knows_which_gpus_have_bf16(
    capability: tuple[int, int], fast: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _device: capability)
    assert (compute_dtype("auto", torch.device("cuda")) == torch.bfloat16) is fast


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
    assert checkpoint_activations(frugal) == 4 + 1 + 1 + 5
    assert list(frugal.state_dict()) == list(network(BASE).state_dict())
    less, found = kept_and_gradients(frugal)
    assert less < 0.35 * kept
    for first, second in zip(found, expected, strict=True):
        assert torch.allclose(first, second, rtol=1e-4, atol=1e-4 * float(second.abs().max()))


def test_lite_says_that_nothing_is_saved(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert checkpoint_activations(network(LITE)) == 0
    assert "--checkpointing saves nothing in this network: pass --accumulate" in caplog.text
