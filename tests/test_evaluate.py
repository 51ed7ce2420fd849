"""The command: what it prints and writes, and what it says of bad input."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from support.scored import tiny_clip

from model.network import NetworkConfig
from model.pretrained import build_network, save_network
from tools.evaluate import main
from train.evaluation.benchmarks import catalog
from train.evaluation.benchmarks import synthetic as clips_module
from train.evaluation.benchmarks.scene import Benchmark, scene_of
from train.evaluation.benchmarks.synthetic import Clip
from train.evaluation.results import read_results
from train.synthesis.capture import Capture


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """An untrained guided network, which returns its start."""
    path = tmp_path / "untrained.safetensors"
    network = build_network(NetworkConfig(nexps=2, design="lite", output="guided", channels=8, pyramid_channels=4))
    save_network(network, path, record={"name": "untrained"}, half=False)
    return path


@pytest.fixture
def _meadow(monkeypatch: pytest.MonkeyPatch) -> None:
    tiny = tiny_clip("meadow", [1.0, 8.0], frames=5)

    def clips(_data: Path, _nexps: int, *, limit: int | None = None) -> Iterator[Clip]:
        yield Clip(tiny.name, tiny.ldr, tiny.exposures, tiny.radiance, Capture())

    def opened(name: str, _data: Path, *, nexps: int, limit: int | None) -> Benchmark:
        assert (name, limit) == ("folder", 3)
        return Benchmark(name, "clips of a folder", nexps, (scene_of(tiny, nexps),), "truth", (), "")

    monkeypatch.setattr(clips_module, "test_clips", clips)
    monkeypatch.setattr(catalog, "open_benchmark", opened)


@pytest.mark.usefixtures("_meadow")
def test_the_command_prints_tables_and_writes_what_is_asked_for(weights: Path, tmp_path: Path) -> None:
    pictures, scores, tables = tmp_path / "pictures", tmp_path / "scores.json", tmp_path / "tables.md"
    arguments = ["--data", str(tmp_path), "--weights", str(weights), "--threads", "1", "--limit", "3"]
    arguments += ["--save-pictures", str(pictures), "--json", str(scores), "--markdown", str(tables)]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    for word in ("meadow", "reference", "unaligned merge", "flow merge", "noise-aware flow", "start of untrained"):
        assert word in result.output
        assert word in tables.read_text()
    stored = read_results(scores)
    assert [score.method for score in stored.scores] == [method.name for method in stored.methods]
    assert len(stored.scores) == 7 and "tools.evaluate" in stored.command
    assert [path.name for path in pictures.iterdir()] == ["worst1_meadow.png"]


@pytest.mark.usefixtures("_meadow")
def test_robustness_compares_with_the_best_simple_method(weights: Path, tmp_path: Path) -> None:
    scores, tables = tmp_path / "scores.json", tmp_path / "tables.md"
    arguments = ["--data", str(tmp_path), "--weights", str(weights), "--threads", "1", "--robustness"]
    result = CliRunner().invoke(main, [*arguments, "--json", str(scores), "--markdown", str(tables)])
    assert result.exit_code == 0, result.output
    heading = "| disturbance | noise-aware flow | lost | flicker, % | untrained | lost | flicker, % |"
    assert heading in tables.read_text()
    assert "meadow: 6 bits" in {score.scene for score in read_results(scores).scores}
    assert "6 bits" in result.output


def test_weights_of_the_other_exposure_count_are_one_line(weights: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["--data", str(tmp_path), "--nexps", "3", "--weights", str(weights)])
    assert result.exit_code == 1
    assert "these weights are for two exposures" in result.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "nor HDR pictures, videos or folders of exposure brackets: pass another"),
        (["--only-weights"], "pass --weights FILE or leave out --only-weights"),
        (["--device", "cuda:77"], "pass --device cpu"),
        (["--device", "toaster"], "pass --device cpu"),
    ],
)
def test_bad_input_is_one_line(arguments: list[str], words: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["--data", str(tmp_path), "--threads", "1", *arguments])
    assert result.exit_code == 1
    assert result.output.startswith("Error: ")
    assert words in result.output
    assert len(result.output.splitlines()) == 1
    torch.set_num_threads(1)
