"""Which frames are scored, by whom, and whether scores are those of the error that was made."""

import numpy as np
import pytest
import torch
from scored import TinyClip, tiny_clip, two_contenders

from model.color import mu_law_inverse
from train.contenders import Contender, contender
from train.measures import Pair
from train.scoring import Score, evaluate, worst_crop


def run(clips: list[TinyClip], *, window_length: int = 5, amount: float = -0.01) -> list[Score]:
    found = evaluate(two_contenders(amount), clips, window_length=window_length)
    return [score for scored in found for score in scored.scores]


def test_every_frame_with_a_whole_window_is_scored_by_every_method() -> None:
    scores = run([tiny_clip("a", [1.0, 8.0], frames=7), tiny_clip("b", [8.0, 1.0], frames=5)])
    assert [(score.clip, score.method, score.frame, score.role) for score in scores] == [
        ("a", "worse", 2, "short"), ("a", "worse", 3, "long"), ("a", "worse", 4, "short"),
        ("a", "better", 2, "short"), ("a", "better", 3, "long"), ("a", "better", 4, "short"),
        ("b", "worse", 2, "long"), ("b", "better", 2, "long"),
    ]  # fmt: skip


def test_three_exposures_have_a_middle_role() -> None:
    scores = run([tiny_clip("a", [1.0, 4.0, 16.0], frames=9)], window_length=7)
    assert [score.role for score in scores[:3]] == ["short", "middle", "long"]


def test_scores_are_those_of_the_error_that_was_made() -> None:
    clip = tiny_clip("a", [1.0, 8.0], frames=5, darkest=0.1)  # room to subtract from
    worse, better = (score.values for score in run([clip]))
    assert better["psnr_t"] == pytest.approx(40, abs=0.01)
    assert worse["psnr_t"] == pytest.approx(20 * np.log10(1 / 0.02), abs=0.01)
    assert worse["ssim_t"] < better["ssim_t"] < 1
    assert worse["psnr_l"] < better["psnr_l"]


def test_frames_are_compared_with_the_one_before_of_the_same_method_and_clip() -> None:
    clips = [tiny_clip(name, [1.0, 8.0], frames=6, darkest=0.1) for name in "ab"]
    scores = run(clips)
    assert ["flicker" in score.values for score in scores] == [False, True] * 4
    assert all(score.values.get("flicker", 0) < 1e-3 for score in scores)  # each method's error lasts


def test_predictions_beyond_the_clip_level_count_as_clipped() -> None:
    clip = tiny_clip("a", [1.0, 8.0], frames=5)
    white = TinyClip(clip.name, torch.ones_like(clip.ldr), clip.exposures, torch.ones_like(clip.radiance))
    bright = contender("bright", lambda ldr, exposures: torch.full_like(ldr[0], 3.0))
    (scored,) = evaluate([bright], [white], window_length=5)
    assert scored.scores[0].values["psnr_t"] == float("inf")


def test_time_is_that_of_the_whole_and_shown_once() -> None:
    both = Contender(("on the way", "result"), lambda ldr, exposures: (ldr[0], ldr[1]), "")
    (scored,) = evaluate([both], [tiny_clip("a", [1.0, 8.0], frames=5)], window_length=5)
    on_the_way, result = scored.scores
    assert on_the_way.seconds is None
    assert result.seconds is not None and 0 < result.seconds < 10


def test_the_worst_crop_lies_on_the_error() -> None:
    truth = torch.full((3, 352, 640), 0.5)
    output = mu_law_inverse(torch.full_like(truth, 0.5))
    truth = output.clone()
    output[:, 150:170, 480:500] = 1.0
    crop = worst_crop(Pair(output, truth))
    assert crop.side == 160
    assert crop.top <= 150 and crop.top + 160 >= 170
    assert crop.left <= 480 and crop.left + 160 >= 500
    assert crop.error == pytest.approx(0.5 * 20 * 20 / 160**2, rel=1e-3)


def test_a_small_frame_is_its_own_crop() -> None:
    crop = worst_crop(Pair(torch.zeros(3, 32, 40), torch.zeros(3, 32, 40)))
    assert (crop.top, crop.left, crop.side) == (0, 0, 32)
