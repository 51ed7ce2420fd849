"""What disturbances cost: losses against the undisturbed clips, by method."""

import pytest
import torch
from scored import tiny_clip, two_contenders

from train.evaluation.benchmarks.synthetic import Clip
from train.evaluation.methods import Contender, baselines, contender
from train.evaluation.results import Crop, FrameScore
from train.evaluation.robustness import Disturbance, disturbances, evaluate_disturbed, named_rows, robustness_sheet
from train.synthesis.capture import Capture


def score(method: str, psnr_t: float) -> FrameScore:
    values = {"psnr_t": psnr_t, "flicker": 0.5}
    return FrameScore("a", 2, "2", "low", method, "lanhdr", values, Crop(0, 0, 1, 0))


def make_clip(name: str) -> Clip:
    tiny = tiny_clip(name, [1.0, 8.0], frames=6)
    return Clip(tiny.name, tiny.ldr, tiny.exposures, tiny.radiance, Capture())


def test_the_sheet_shows_what_each_method_lost() -> None:
    sheet = robustness_sheet([
        ("undisturbed", score("old", 36.0)), ("undisturbed", score("new", 40.0)),
        ("rain", score("old", 35.5)), ("rain", score("new", 37.0)),
    ])  # fmt: skip
    assert sheet.columns == ("disturbance", "old", "lost", "flicker, %", "new", "lost", "flicker, %")
    assert sheet.rows == (
        ("undisturbed", "36.00", "–", "0.500", "40.00", "–", "0.500"),  # noqa: RUF001
        ("rain", "35.50", "0.50", "0.500", "37.00", "3.00", "0.500"),
    )


def test_every_contender_meets_every_disturbance_on_every_clip() -> None:
    chosen = [Disturbance("none", lambda clip: [clip]), Disturbance("twice", lambda clip: [clip, clip])]
    clips = [make_clip("a"), make_clip("b")]
    rows = list(evaluate_disturbed(two_contenders(), clips, chosen, nexps=2))
    assert len(rows) == 2 * 2 * (2 + 4)
    assert [row.scene for row in named_rows(rows)][:5] == ["a: none"] * 4 + ["a: twice"]


@pytest.mark.parametrize("word", ["gamma 2.4", "noise doubled", "6 bits"])
def test_a_disturbance_costs_the_reference_frame(word: str) -> None:
    chosen = [disturbances()[0], next(entry for entry in disturbances() if word in entry.name)]
    base = make_clip("a")
    clip = Clip("a", base.ldr, base.exposures, base.radiance, Capture(shot=1e-4, read=1e-3))
    rows = list(evaluate_disturbed(baselines()[:1], [clip], chosen, nexps=2))
    means = [
        torch.tensor([entry.values["psnr_t"] for name, entry in rows if name == kind.name]).mean() for kind in chosen
    ]
    assert means[1] < means[0] - 0.05


def test_stated_exposures_reach_the_method() -> None:
    seen: list[float] = []

    def look(ldr: torch.Tensor, exposures: torch.Tensor) -> torch.Tensor:
        seen.append(exposures.max().item())
        return ldr[0]

    chosen = [entry for entry in disturbances() if "too high" in entry.name]
    list(evaluate_disturbed([contender("look", look)], [make_clip("a")], chosen, nexps=2))
    assert seen == pytest.approx([8.8, 8.8])


def test_what_a_method_makes_on_its_way_is_left_out() -> None:
    both = Contender(("start", "end"), lambda ldr, exposures: (ldr[0], ldr[1]), "")
    rows = list(evaluate_disturbed([both], [make_clip("a")], disturbances()[:1], nexps=2))
    assert {score.method for _, score in rows} == {"end"}
