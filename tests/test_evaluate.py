"""Evaluation: which frames are scored, what the table says, which pictures are kept."""

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from rich.console import Console
from torch import Tensor

from model.color import mu_law, mu_law_inverse
from model.exposure import to_ldr
from model.network import NetworkConfig
from model.pretrained import build_network, save_network
from train import clips as clips_module
from train.baselines import reference_alone
from train.evaluate import Result, evaluate, main, trained
from train.report import Report


@dataclass(frozen=True)
class TinyClip:
    """A still scene, captured without noise."""

    name: str
    ldr: Tensor
    exposures: Tensor
    radiance: Tensor


def tiny_clip(name: str, cycle: list[float], *, frames: int, darkest: float = 0.0) -> TinyClip:
    generator = torch.Generator().manual_seed(0)
    compressed = torch.rand(1, 3, 32, 40, generator=generator).clamp(min=darkest)
    truth = mu_law_inverse(compressed).expand(frames, -1, -1, -1)
    exposures = torch.tensor((cycle * frames)[:frames])
    return TinyClip(name, to_ldr(truth, exposures.view(-1, 1, 1, 1)), exposures, truth)


@dataclass(frozen=True)
class Offset:
    """A method that knows the truth of a clip and adds a fixed error to its mu-law values."""

    amount: float

    def __call__(self, ldr: Tensor, exposures: Tensor) -> Tensor:
        shortest = reference_alone(ldr[exposures == 1][:1], exposures[exposures == 1][:1])
        return mu_law_inverse(mu_law(shortest) + self.amount)


def run(clips: list[TinyClip], *, window_length: int = 5, amount: float = -0.01) -> list[Result]:
    methods = {"worse": Offset(2 * amount), "better": Offset(amount)}
    return list(evaluate(methods, clips, window_length=window_length))


def test_every_frame_with_a_whole_window_is_scored_by_every_method() -> None:
    results = run([tiny_clip("a", [1.0, 8.0], frames=7), tiny_clip("b", [8.0, 1.0], frames=5)])
    seen = [(result.score.clip, result.score.frame, result.score.role, result.score.method) for result in results]
    assert seen == [
        ("a", 2, "short", "worse"), ("a", 2, "short", "better"),
        ("a", 3, "long", "worse"), ("a", 3, "long", "better"),
        ("a", 4, "short", "worse"), ("a", 4, "short", "better"),
        ("b", 2, "long", "worse"), ("b", 2, "long", "better"),
    ]  # fmt: skip


def test_three_exposures_have_a_middle_role() -> None:
    results = run([tiny_clip("a", [1.0, 4.0, 16.0], frames=9)], window_length=7)
    assert [result.score.role for result in results[::2]] == ["short", "middle", "long"]


def test_scores_are_those_of_the_error_that_was_made() -> None:
    clip = tiny_clip("a", [1.0, 8.0], frames=5, darkest=0.1)  # room to subtract from
    worse, better = run([clip])
    assert better.score.psnr_t == pytest.approx(40, abs=0.01)
    assert worse.score.psnr_t == pytest.approx(20 * np.log10(1 / 0.02), abs=0.01)
    assert worse.score.ssim_t < better.score.ssim_t < 1
    assert worse.score.psnr_l < better.score.psnr_l


def test_predictions_beyond_the_clip_level_count_as_clipped() -> None:
    clip = tiny_clip("a", [1.0, 8.0], frames=5)
    white = TinyClip(clip.name, torch.ones_like(clip.ldr), clip.exposures, torch.ones_like(clip.radiance))
    result = next(evaluate({"bright": lambda ldr, exposures: torch.full_like(ldr[0], 3.0)}, [white], window_length=5))
    assert result.score.psnr_t == float("inf")


def make_report(amounts: dict[str, float]) -> Report:
    report = Report()
    for name, amount in amounts.items():
        for result in run([tiny_clip(name, [1.0, 8.0], frames=6)], amount=amount):
            report.add(result)
    return report


def test_tables_name_clips_methods_and_roles() -> None:
    console = Console(file=io.StringIO(), record=True, width=120)
    report = make_report({"easy": -0.01, "hard": -0.1})
    report.print(console)
    lines = console.export_text().splitlines()
    score = {result.method: result.psnr_t for result in report.scores if result.clip == "hard"}
    hard = next(line for line in lines if "hard" in line)
    assert f"{score['worse']:.2f}" in hard
    assert f"{score['better']:.2f}" in hard
    assert any("of short" in line and "of long" in line and "of middle" not in line for line in lines)
    mean = np.mean([result.psnr_t for result in report.scores if result.method == "better"])
    assert any("better" in line and f"{mean:.2f}" in line for line in lines)


def test_pictures_of_best_and_worst_clip_show_what_was_scored(tmp_path: Path) -> None:
    report = make_report({"fair": -0.02, "easy": -0.01, "hard": -0.1})
    paths = report.write_pictures(tmp_path / "pictures")
    assert [path.name for path in paths] == ["best_easy.png", "worst_hard.png"]
    sheet = np.asarray(cv2.imread(str(paths[1])))[..., ::-1]
    assert sheet.shape == (2 * 32, 4 * 40, 3)  # two methods; input, result, truth, error
    truth = (mu_law(tiny_clip("hard", [1.0, 8.0], frames=6).radiance[0]) * 255).round().permute(1, 2, 0).numpy()
    assert np.array_equal(sheet[:32, 80:120], truth.astype(np.uint8))
    result, error = sheet[32:, 40:80].astype(int), sheet[32:, 120:].astype(int)
    bright = truth > 30  # where subtracting 0.1 does not reach black
    assert np.abs(truth - result - 25.5)[bright].max() <= 1.5
    assert error[bright].min() >= 254


def test_scores_are_written_as_json(tmp_path: Path) -> None:
    make_report({"easy": -0.01}).write_json(tmp_path / "scores.json")
    stored = json.loads((tmp_path / "scores.json").read_text())
    assert [(row["method"], row["frame"]) for row in stored] == [
        ("worse", 2), ("better", 2), ("worse", 3), ("better", 3)
    ]  # fmt: skip


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """An untrained guided network, which returns its start."""
    path = tmp_path / "untrained.safetensors"
    network = build_network(NetworkConfig(nexps=2, design="lite", output="guided", channels=8, pyramid_channels=4))
    save_network(network, path, record={"name": "untrained"}, half=False)
    return path


def test_a_guided_network_brings_its_start_as_a_method(weights: Path) -> None:
    methods = dict(trained(weights, nexps=2))
    assert list(methods) == ["start of untrained", "untrained"]
    clip = tiny_clip("a", [1.0, 8.0], frames=5)
    with torch.no_grad():
        start, output = (method(clip.ldr, clip.exposures) for method in methods.values())
    assert start.shape == (3, 32, 40)
    assert (mu_law(start) - mu_law(output)).abs().max() < 1e-5


def test_the_command_prints_the_table_and_writes_what_is_asked_for(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def clips(_data: Path, _nexps: int) -> Iterator[TinyClip]:
        yield tiny_clip("meadow", [1.0, 8.0], frames=5)

    monkeypatch.setattr(clips_module, "test_clips", clips)
    pictures, scores = tmp_path / "pictures", tmp_path / "scores.json"
    arguments = ["--data", str(tmp_path), "--weights", str(weights), "--threads", "1"]
    result = CliRunner().invoke(main, [*arguments, "--save-pictures", str(pictures), "--json", str(scores)])
    assert result.exit_code == 0, result.output
    for word in ("meadow", "reference", "unaligned merge", "flow merge", "noise-aware flow", "start of untrained"):
        assert word in result.output
    assert len(json.loads(scores.read_text())) == 6
    assert len(list(pictures.iterdir())) == 2


def test_weights_of_the_other_exposure_count_are_one_line(weights: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["--data", str(tmp_path), "--nexps", "3", "--weights", str(weights)])
    assert result.exit_code == 1
    assert "these weights are for two exposures" in result.output


def test_a_folder_without_pictures_is_one_line(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["--data", str(tmp_path / "nowhere")])
    assert result.exit_code == 1
    assert result.output.startswith("Error: ")
