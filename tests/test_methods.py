"""Methods under evaluation: baselines and weights under distinct names."""

from pathlib import Path

import pytest
import torch
from support.scored import tiny_clip

from model.color import mu_law
from model.errors import WeightsError
from model.network import NetworkConfig
from model.pretrained import build_network, save_network
from train.evaluation.benchmarks.scene import scene_of
from train.evaluation.methods import load_methods


def save(path: Path, *, name: str = "untrained") -> Path:
    """An untrained guided network, which returns its start."""
    path.parent.mkdir(exist_ok=True)
    network = build_network(NetworkConfig(nexps=2, design="lite", output="guided", channels=8, pyramid_channels=4))
    save_network(network, path, record={"name": name}, half=False)
    return path


def test_a_guided_network_brings_its_start(tmp_path: Path) -> None:
    (network,) = load_methods([save(tmp_path / "x.safetensors")], nexps=2)
    assert network.names == ("start of untrained", "untrained")
    clip = tiny_clip("a", [1.0, 8.0], frames=5)
    with torch.no_grad():
        start, output = network.reconstruct(scene_of(clip, 2), 2, nexps=2)
    assert start.shape == (3, 32, 40)
    assert (mu_law(start) - mu_law(output)).abs().max() < 1e-5


def test_weights_of_one_name_are_told_apart_by_their_files(tmp_path: Path) -> None:
    paths = [save(tmp_path / run / "best.safetensors") for run in ("one", "two")]
    paths.append(save(tmp_path / "other.safetensors", name="other"))
    assert [entry.names[-1] for entry in load_methods(paths, nexps=2)] == [
        "untrained (one/best)", "untrained (two/best)", "other"
    ]  # fmt: skip


def test_weights_of_the_other_exposure_count_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="these weights are for two exposures"):
        load_methods([save(tmp_path / "x.safetensors")], nexps=3)
