"""The network equals the reference implementation, in its output and in every part."""

from pathlib import Path
from typing import Literal

import pytest
import torch
from support.reference import DATA, TOLERANCE, full_network, largest_difference, load_fixture, tiny_network
from torch import Tensor

from model.alignment import best_matches, gather_patches
from model.blocks import GatedConv, InputProjectedDecoder, ResBlock, SpectralBlock, resize_like
from model.color import mu_law, mu_law_inverse
from model.errors import WeightsError
from model.exposure import match_exposure
from model.network import FrameState, LanHdr, NetworkConfig, Prediction, frame_input, luminance_input

TINY = ("tiny_2exp", "tiny_3exp", "tiny_2exp_odd_size")
FULL = ("full_2exp", "full_3exp", "full_2exp_motion")
MOTION = ("tiny_2exp_motion", "tiny_3exp_motion")


def small(output: Literal["direct", "guided"] = "direct") -> LanHdr:
    """A network with random weights, of widths for which each block has its general form."""
    torch.manual_seed(3)
    return LanHdr(NetworkConfig(output=output, channels=6, pyramid_channels=4))


def clip(*, batch: int = 1, frames: int = 5, height: int = 45, width: int = 38) -> tuple[Tensor, Tensor]:
    """Random frames with black and clipped pixels, exposures 1 and 8 in turn."""
    ldr = torch.rand(batch, frames, 3, height, width, generator=torch.Generator().manual_seed(1)) * 1.4 - 0.2
    return ldr.clamp(0, 1), torch.tensor([1.0, 8.0] * frames)[:frames].repeat(batch, 1)


def predict(network: LanHdr, fixture: dict[str, Tensor]) -> Prediction:
    """Run a fixture's window."""
    with torch.inference_mode():
        prediction: Prediction = network(fixture["ldr"][None], fixture["exposures"][None])
    return prediction


def assert_equals_fixture(prediction: Prediction, fixture: dict[str, Tensor]) -> None:
    """Compare the picture and the gates with the reference's."""
    assert largest_difference(prediction.radiance, fixture["hdr"]) <= TOLERANCE
    assert largest_difference(torch.cat(prediction.gates), fixture["gates"]) <= TOLERANCE


@pytest.mark.parametrize("name", MOTION)
def test_equals_the_reference_where_matches_are_elsewhere(name: str) -> None:
    fixture = load_fixture(DATA / f"{name}.safetensors")
    assert_equals_fixture(predict(tiny_network(int(name[5])), fixture), fixture)


@pytest.mark.parametrize("name", TINY)
def test_equals_the_reference(name: str, shared: Path) -> None:
    fixture = load_fixture(shared / "reference" / f"{name}.safetensors")
    assert_equals_fixture(predict(tiny_network(int(name[5])), fixture), fixture)


@pytest.mark.parametrize("name", FULL)
def test_equals_the_reference_at_full_width(name: str, shared: Path) -> None:
    folder = shared / "reference"
    fixture = load_fixture(folder / f"{name}.safetensors")
    network = full_network(int(name[5]), folder / f"state_dict_{name[5]}exp.tsv")
    assert_equals_fixture(predict(network, fixture), fixture)


def prepared(network: LanHdr, fixture: dict[str, Tensor]) -> tuple[FrameState, ...]:
    """The states of a fixture's frames."""
    frames = zip(torch.split(fixture["ldr"], 1), torch.split(fixture["exposures"], 1), strict=True)
    return tuple(network.features(image, exposure) for image, exposure in frames)


def parts_of_first_frame(network: LanHdr, fixture: dict[str, Tensor]) -> dict[str, Tensor]:
    """What each part returns for the first frame of a fixture, under the reference's names."""
    state, reference = (prepared(network, fixture)[place] for place in (0, len(fixture["ldr"]) // 2))
    features = network.reference_encoder(frame_input(reference.image, reference.exposure))
    queries = network._queries((state,), reference, size_like=features[2])
    transferred, score = network.attention(queries[state.exposures], state.values)
    aligned = network.align(queries[state.exposures], state.values)
    blended, gate = network.hallucination(state.pyramid, features, aligned=aligned)
    stacked = resize_like(frame_input(state.image, state.exposure), features[2])
    keys = network.attention.luminance_encoder(torch.cat([stacked[:, 6:], stacked[:, 3:6]], dim=1))
    pyramids = {"FE_KQ(mov)": keys, "FE_V": state.values.pyramid, "mov_extractor": state.pyramid}
    pyramids["ref_extractor"] = features
    coarse_to_fine = {f"{name}.{k}": x for name, maps in pyramids.items() for k, x in enumerate(reversed(maps))}
    attention = {"Transformer.0": score, "Transformer.1": transferred, "Recon": aligned}
    return {**coarse_to_fine, **attention, "Fuser.0": blended, "Fuser.1": gate}


@pytest.mark.parametrize("nexps", [2, 3])
def test_every_part_equals_the_reference(nexps: int, shared: Path) -> None:
    fixture = load_fixture(shared / "reference" / f"tiny_{nexps}exp.safetensors")
    with torch.inference_mode():
        ours = parts_of_first_frame(tiny_network(nexps), fixture)
    theirs = {name.removeprefix("frame0.align."): x for name, x in fixture.items() if name.startswith("frame0.")}
    assert ours.keys() == theirs.keys()
    assert {name: largest_difference(x, theirs[name]) for name, x in ours.items()} == pytest.approx(
        dict.fromkeys(ours, 0), abs=TOLERANCE
    )


@pytest.mark.parametrize("nexps", [2, 3])
def test_inputs_equal_the_reference(nexps: int, shared: Path) -> None:
    fixture = load_fixture(shared / "reference" / f"tiny_{nexps}exp.safetensors")
    ldr, exposures = fixture["ldr"], fixture["exposures"].view(-1, 1, 1, 1)
    middle = len(ldr) // 2
    re_exposed = match_exposure(ldr[middle], exposures[middle], target=exposures)
    assert largest_difference(frame_input(ldr, exposures), fixture["input"]) <= 1e-6
    assert largest_difference(luminance_input(ldr, exposures), fixture["input_y"]) <= 1e-6
    assert largest_difference(luminance_input(re_exposed, exposures), fixture["input_exp_y"]) <= 1e-6


@pytest.mark.parametrize("name", MOTION)
def test_attention_finds_and_transfers_what_the_reference_does(name: str) -> None:
    fixture = load_fixture(DATA / f"{name}.safetensors")
    network = tiny_network(int(name[5]))
    with torch.inference_mode():
        window = prepared(network, fixture)
        reference = window[len(window) // 2]
        queries = network._queries(window, reference, size_like=reference.pyramid[2])
        found = [network.attention(queries[state.exposures], state.values) for state in window]
    for place, (transferred, score) in enumerate(found):
        assert largest_difference(score, fixture["score"][place, None]) <= TOLERANCE
        assert largest_difference(transferred, fixture["transferred"][place, None]) <= TOLERANCE


def test_shortcuts_are_the_identity_for_equal_widths_only() -> None:
    x = torch.rand(1, 4, 5, 6)
    for block, expected in ((ResBlock(4, 4), x), (ResBlock(4, 8), None)):
        torch.nn.init.zeros_(block.get_parameter("conv2.weight"))
        torch.nn.init.zeros_(block.get_parameter("conv2.bias"))
        assert torch.equal(block(x), block.shortcut(x) if expected is None else expected)


def test_a_spectral_filter_of_ones_returns_the_picture() -> None:
    block = SpectralBlock(3)
    torch.nn.init.zeros_(block.get_parameter("spatial.2.weight"))
    for layer in (0, 2):
        torch.nn.init.dirac_(block.get_parameter(f"spectral.{layer}.weight"))
    block.spectral[1] = torch.nn.Identity()
    x = torch.rand(2, 3, 9, 7)
    torch.testing.assert_close(block(x), 2 * x)


def test_full_width_has_the_published_number_of_parameters() -> None:
    count = sum(parameter.numel() for parameter in LanHdr(NetworkConfig()).parameters())
    assert count == pytest.approx(7.3e6, rel=0.01)


def test_a_reference_queries_once_per_distinct_exposure() -> None:
    network, (ldr, exposures) = small(), clip()
    calls: list[Tensor] = []
    network.attention.luminance_encoder.register_forward_hook(lambda *given: calls.append(given[2][0]))
    network(ldr, exposures)
    assert len(calls) == 5 + 1  # a key per frame; at its own exposure the reference's key is its query


def test_a_query_at_the_own_exposure_is_the_key() -> None:
    network, (ldr, exposures) = small(), clip()
    state = network.features(ldr[:, 0], exposures[:, 0])
    same = match_exposure(ldr[:, 0], state.exposure, target=state.exposure)
    query = network.attention.embed(resize_like(luminance_input(same, state.exposure), state.pyramid[2]))
    assert torch.equal(query, state.values.key)


def test_samples_of_a_batch_do_not_meet() -> None:
    network = small().eval()
    ldr, exposures = clip(batch=2)
    exposures = torch.stack([exposures[0], torch.tensor([4.0, 1, 4, 1, 4])])
    with torch.inference_mode():
        together = network(ldr, exposures).radiance
        alone = [network(ldr[k, None], exposures[k, None]).radiance for k in range(2)]
    torch.testing.assert_close(together, torch.cat(alone), rtol=0, atol=1e-6)


def test_parts_of_the_queries_give_the_same_matches() -> None:
    query, key = torch.randn(2, 7, 30), torch.randn(2, 7, 41)
    whole_score, whole_index = best_matches(query, key)
    score, index = best_matches(query, key, at_once=2 * 41 * 4)
    brute = torch.einsum("beq,bek->bqk", query, key)
    assert torch.equal(index, whole_index)
    assert torch.equal(index, brute.argmax(2))
    torch.testing.assert_close(score, whole_score)


def test_gathering_each_place_from_itself_changes_nothing() -> None:
    features = torch.rand(2, 3, 5, 4)
    index = torch.arange(20).repeat(2, 1)
    torch.testing.assert_close(gather_patches(features, index), features)


def test_gathered_patches_carry_their_surroundings() -> None:
    features = torch.arange(20.0).view(1, 1, 4, 5)
    index = torch.full((1, 20), 7)  # row 1, column 2
    # An inside place averages the nine places around the one that all copy from.
    assert gather_patches(features, index)[0, 0, 2, 2] == pytest.approx(features[0, 0, 0:3, 1:4].mean())


def test_training_reaches_every_weight() -> None:
    network, (ldr, exposures) = small(), clip(batch=2)
    network(ldr, exposures).radiance.mean().backward()
    without = [name for name, weight in network.named_parameters() if weight.grad is None or not weight.grad.any()]
    assert without == []


def test_guided_output_begins_at_its_start() -> None:
    network, (ldr, exposures) = small("guided"), clip(batch=2)
    start = torch.rand(2, 3, *ldr.shape[-2:])
    # The way through the mu-law and back costs a few roundings.
    torch.testing.assert_close(network(ldr, exposures, start=start).radiance, start, rtol=1e-5, atol=1e-7)


def test_guided_output_corrects_what_it_sees() -> None:
    network, (ldr, exposures) = small("guided").eval(), clip()
    torch.nn.init.normal_(network.merge.tail.weight, std=0.02)
    start = torch.rand(1, 3, *ldr.shape[-2:])
    darker = start.clone()
    darker[..., 10:20, 10:20] *= 0.5
    with torch.inference_mode():
        predictions = [network(ldr, exposures, start=seen).radiance for seen in (start, darker)]
    first, second = (
        mu_law(radiance) - mu_law(seen) for radiance, seen in zip(predictions, (start, darker), strict=True)
    )
    assert first.abs().max() > 1e-3
    assert largest_difference(first, second) > 1e-4


def test_guided_output_adds_its_correction_in_the_mu_law_domain() -> None:
    network, (ldr, exposures) = small("guided"), clip()
    torch.nn.init.constant_(network.get_parameter("merge.tail.bias"), -0.125)
    start = 0.5 + 0.5 * torch.rand(1, 3, *ldr.shape[-2:])
    expected = mu_law_inverse(mu_law(start) - 0.125)
    torch.testing.assert_close(network(ldr, exposures, start=start).radiance, expected)


def test_guided_output_without_a_start_is_refused() -> None:
    network, (ldr, exposures) = small("guided"), clip()
    with pytest.raises(ValueError, match="pass start"):
        network(ldr, exposures)


def test_a_window_of_another_length_is_refused() -> None:
    network, (ldr, exposures) = small(), clip(frames=7)
    with pytest.raises(ValueError, match="7 frames, the network takes 5"):
        network(ldr, exposures)


def test_exposure_counts_without_a_network_are_refused() -> None:
    with pytest.raises(WeightsError, match="not for 4"):
        NetworkConfig(4)


@pytest.mark.parametrize("channels_last", [False, True])
def test_bands_and_planes_compute_what_the_plain_form_does(
    monkeypatch: pytest.MonkeyPatch, channels_last: bool
) -> None:
    torch.manual_seed(0)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    block, decoder, gated = SpectralBlock(8), InputProjectedDecoder(8, 6), GatedConv(8, 4, stride=2)
    x = torch.randn(1, 8, 90, 61).contiguous(memory_format=layout)
    coarse = torch.randn(1, 8, 45, 31)
    plain = block(x), decoder(coarse, x), gated(x)
    monkeypatch.setattr("model.blocks.BAND_BYTES", 8 * 61 * 4 * 7)  # seven rows, or what the layers around need
    monkeypatch.setattr("model.blocks.SPECTRUM_BYTES", 3 * 8 * 90 * 31)  # three planes
    with torch.inference_mode():
        frugal = block(x), decoder(coarse, x), gated(x)
    for ours, theirs in zip(frugal, plain, strict=True):
        assert torch.allclose(ours, theirs.detach(), atol=2e-5)
