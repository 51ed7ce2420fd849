"""The perceptual term, with layers that stand in for VGG-19's where torchvision is not there."""

import sys
from types import ModuleType

import pytest
import torch
from tiny_training import TinyNetwork, TinySource, tiny_config
from torch import nn

from train.data.loader import Batch
from train.distributed import Team
from train.errors import TrainError
from train.losses import LAYERS, PAPER, PAPER_VGG, VggDistance, load_vgg, loss_weights
from train.trainer import Descent


def _layers() -> nn.Sequential:
    torch.manual_seed(3)
    first = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU())
    return nn.Sequential(*first, *(nn.Identity() for _ in range(LAYERS - 2)), nn.Flatten())


@pytest.fixture
def torchvision(monkeypatch: pytest.MonkeyPatch) -> None:
    models = ModuleType("torchvision.models")
    models.VGG19_Weights = type("VGG19_Weights", (), {"IMAGENET1K_V1": "weights"})  # type: ignore[attr-defined]
    whole = nn.Module()
    whole.features = _layers()
    models.vgg19 = lambda weights: whole  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torchvision", ModuleType("torchvision"))
    monkeypatch.setitem(sys.modules, "torchvision.models", models)


def test_distance_is_the_mean_squared_difference_of_features_of_normalised_pictures(torchvision: None) -> None:
    distance, layers = load_vgg(), _layers()[:LAYERS]
    output, truth = torch.rand(2, 3, 8, 8) * 1.4 - 0.2, torch.rand(2, 3, 8, 8)
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    features = [layers((picture - mean.view(1, 3, 1, 1)) / deviation.view(1, 3, 1, 1)) for picture in (output, truth)]
    assert torch.allclose(distance(output, truth), (features[0] - features[1]).square().mean())
    assert distance(truth, truth) == 0


def test_only_the_output_gets_a_gradient() -> None:
    distance = VggDistance(_layers()[:LAYERS])
    output, truth = torch.rand(1, 3, 8, 8, requires_grad=True), torch.rand(1, 3, 8, 8, requires_grad=True)
    distance(output, truth).backward()
    assert output.grad is not None and output.grad.abs().sum() > 0
    assert truth.grad is None and all(weight.grad is None for weight in distance.parameters())


def test_a_step_counts_the_term(torchvision: None) -> None:
    batch = Batch.of([TinySource().sample(0, index) for index in range(2)])
    losses = []
    for name in ("paper", "paper_vgg"):
        torch.manual_seed(1)
        losses.append(Descent(TinyNetwork().eval(), tiny_config(loss=name), Team()).step([batch], 1e-3)[0])
    assert loss_weights("paper_vgg") == PAPER_VGG and PAPER_VGG.perceptual == 0.1 and PAPER.perceptual == 0
    assert losses[1] > losses[0]


def test_without_torchvision_a_line_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchvision", None)
    with pytest.raises(TrainError, match=r"--loss paper_vgg needs torchvision .*: install it, or pass --loss paper"):
        Descent(TinyNetwork(), tiny_config(loss="paper_vgg"), Team())
