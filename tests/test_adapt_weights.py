"""A network for another number of exposures answers as the one that it was made from."""

from pathlib import Path

import pytest
import torch
from support.recipes import guided_samples
from torch import Tensor, nn

from model.color import mu_law
from model.correction import stack_guide, unstack_correction
from model.lite import LiteNet
from model.merge import Merge
from model.neighbors import candidate_keys
from model.network import NetworkConfig
from model.pretrained import Network, build_network, bundled_path, load_network
from train import run as session
from train.adapt_weights import adapt_weights
from train.config import TrainConfig
from train.data.folder import Sources
from train.data.loader import Batch
from train.errors import TrainError
from train.evaluation.metrics import psnr
from train.synthesis.dataset import TrainingSet

# Which frame of a window of 5 (two exposures) stands in each place of a window of 7, by its role: the inner two
# neighbors of a side are exposed unlike the reference, the outermost like it.
ROLES = (0, 1, 1, 2, 3, 3, 4)


def lite(nexps: int = 2) -> LiteNet:
    torch.manual_seed(0)
    config = NetworkConfig(nexps=nexps, design="lite", output="guided", channels=8, pyramid_channels=4)
    network = LiteNet(config).eval()
    nn.init.normal_(network.tail.weight, std=0.02)
    nn.init.normal_(network.tail.bias, std=0.1)  # type: ignore[arg-type]
    return network


def test_lite_sees_and_corrects_the_same_where_frames_of_one_role_are_equal() -> None:
    two, random = lite(), torch.Generator().manual_seed(1)
    three = adapt_weights(two, 3)
    assert isinstance(three, LiteNet)
    shared = torch.rand(1, 9, 16, 24, generator=random)  # start, image, reference
    evidence = torch.rand(1, 5, 8, 12, generator=random)
    roles = [role_in_two(way, frame) for way, frame in candidate_keys(3)]
    views = dict(zip(candidate_keys(2), torch.rand(6, 1, 3, 16, 24, generator=random), strict=True))
    agreement = dict(zip(candidate_keys(2), torch.rand(6, 1, 1, 8, 12, generator=random), strict=True))
    answers = []
    for network, keys in ((two, list(candidate_keys(2))), (three, roles)):
        full = torch.cat([shared, *(views[key] for key in keys)], dim=1)
        with torch.no_grad():
            guide = stack_guide(full, torch.cat([evidence, *(agreement[key] for key in keys)], dim=1))
            output = network.tail(network.body(network.stem(guide)))
            correction, gates = unstack_correction(output, (16, 24))
        blended = sum(gates[:, 3 + place, None] * views[key] for place, key in enumerate(keys))
        answers.append((correction, gates[:, :3], blended))
    for ours, theirs in zip(*answers, strict=True):
        assert torch.allclose(ours, theirs, atol=1e-6)


def role_in_two(way: str, frame: int) -> tuple[str, int]:
    """The candidate of two exposures whose role one of three has: same way, same side, exposed as the reference."""
    side = 1 if frame > 0 else -1
    return way, side * (2 if frame % 3 == 0 else 1)


@pytest.mark.parametrize("output", ["direct", "guided"])
def test_base_answers_the_same_where_frames_of_one_role_are_equal(output: str) -> None:
    torch.manual_seed(0)
    values = {"nexps": 2, "design": "lanhdr", "output": output, "channels": 8, "pyramid_channels": 4}
    two = build_network(NetworkConfig(**values)).eval()  # type: ignore[arg-type]
    three = adapt_weights(two, 3)
    name = "network.merge" if output == "guided" else "merge"
    features = torch.rand(5, 1, 8, 12, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        sum_of_two = _summed(two.get_submodule(name), features)
        sum_of_three = _summed(three.get_submodule(name), features[list(ROLES)])
    assert torch.allclose(sum_of_two, sum_of_three, atol=1e-5)


def _summed(merge: nn.Module, features: Tensor) -> Tensor:
    assert isinstance(merge, Merge)
    total: Tensor | None = None
    for place, frame in enumerate(features):
        total = merge.head.add(frame, total, place=place)
    assert total is not None
    return total


@pytest.mark.parametrize("design", ["lite", "small", "lanhdr"])
def test_there_and_back_is_the_identity(design: str) -> None:
    torch.manual_seed(0)
    config = NetworkConfig(design=design, output="guided", channels=8, pyramid_channels=4)  # type: ignore[arg-type]
    network: Network = lite() if design == "lite" else build_network(config)
    three = adapt_weights(network, 3)
    assert three.config.nexps == 3
    back = adapt_weights(three, 2)
    assert back.config == network.config
    for name, tensor in network.state_dict().items():
        assert torch.allclose(back.state_dict()[name], tensor, atol=1e-7), name


def test_bundled_weights_for_two_exposures_help_with_three() -> None:
    scenes = TrainingSet(Sources(), guided_samples(3), patch=64, frames=8, seed=5)
    batch = Batch.of([scenes.sample(0, index) for index in range(6)])
    pretrained = load_network(bundled_path(nexps=2, size="lite")).network
    with torch.no_grad():
        prediction = adapt_weights(pretrained, 3)(batch.ldr, batch.exposures)
    assert prediction.start is not None
    start, output = (
        psnr(mu_law(radiance), mu_law(batch.truth)).mean() for radiance in (prediction.start, prediction.radiance)
    )
    assert output > start + 0.6  # 2.9 dB on larger patches; random weights would not help at all


def test_a_run_for_three_exposures_begins_with_weights_for_two(tmp_path: Path) -> None:
    weights, config = bundled_path(nexps=2, size="lite"), {"patch": 32, "batch": 1, "validation_samples": 0}
    trainer = session.start(
        TrainConfig.from_dict({"nexps": 3, "init": str(weights), **config}),
        tmp_path / "run",
        device=torch.device("cpu"),
    )
    expected = adapt_weights(load_network(weights).network, 3).state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in trainer.network.state_dict().items())


def test_weights_of_another_size_are_refused(tmp_path: Path) -> None:
    config = TrainConfig(size="base", init=str(bundled_path(nexps=2, size="lite")))
    with pytest.raises(TrainError, match=r"holds a network of size lite, the run is to train base: pass --size lite"):
        session.start(config, tmp_path / "run", device=torch.device("cpu"))
