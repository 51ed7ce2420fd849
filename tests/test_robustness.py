"""What disturbances cost: losses against the undisturbed clips, by method."""

from dataclasses import replace

import pytest
import torch
from support.scored import score as make_score
from support.scored import tiny_clip, two_methods
from torch import Tensor
from torch.nn import functional as F

from model.exposure import to_radiance
from train.evaluation import robustness as module
from train.evaluation.benchmarks.synthetic import Clip
from train.evaluation.methods import WindowMethod, baseline, baselines
from train.evaluation.results import FrameScore
from train.evaluation.robustness import Disturbance, disturbances, evaluate_disturbed, named_rows, robustness_sheet
from train.synthesis.capture import Capture


def score(method: str, psnr_t: float) -> FrameScore:
    return make_score("a", method, {"psnr_t": psnr_t, "flicker": 0.5})


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
    chosen = [
        Disturbance(name="none", apply=lambda clip: [clip]),
        Disturbance(name="twice", apply=lambda clip: [clip, clip]),
    ]
    clips = [make_clip("a"), make_clip("b")]
    rows = list(evaluate_disturbed(two_methods(), clips, chosen, nexps=2))
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
    list(evaluate_disturbed([baseline("look", look)], [make_clip("a")], chosen, nexps=2))
    assert seen == pytest.approx([8.8, 8.8])


def test_what_a_method_makes_on_its_way_is_left_out() -> None:
    both = WindowMethod(names=("start", "end"), run=lambda ldr, exposures: (ldr[0], ldr[1]))
    rows = list(evaluate_disturbed([both], [make_clip("a")], disturbances()[:1], nexps=2))
    assert {score.method for _, score in rows} == {"end"}


SHIFT = 4
QUIET = Capture(shot=1e-5, read=2e-4, bits=10)


def striped_clip(cycle: tuple[float, ...] = (1.0, 8.0), *, frames: int = 8, shift: int = SHIFT) -> Clip:
    """A smooth texture that moves to the left; the frames are left for the disturbance to take."""
    coarse = torch.rand(1, 3, 8, 16, generator=torch.Generator().manual_seed(0))
    wide = F.interpolate(coarse, size=(64, 128), mode="bicubic").clamp(0, 1)[0] * 0.11 + 0.01
    truth = torch.stack([wide[:, :, shift * frame : shift * frame + 80] for frame in range(frames)])
    exposures = torch.tensor((cycle * frames)[:frames])
    return Clip("texture", torch.zeros_like(truth), exposures, truth, QUIET)


def named(word: str) -> Disturbance:
    return next(entry for entry in disturbances() if word in entry.name)


def apply(word: str, clip: Clip) -> Clip:
    (disturbed,) = named(word).apply(clip)
    return disturbed


def error(clip: Clip) -> Tensor:
    """Mean error of the linearised frames, each in units of its own clip level, (T)."""
    signal = to_radiance(clip.ldr, 1.0) - (clip.radiance * clip.exposures.view(-1, 1, 1, 1)).clamp(0, 1)
    return signal.flatten(1).abs().mean(1)


def test_all_are_named_once_the_first_is_none_and_all_repeat() -> None:
    entries = disturbances()
    assert len({entry.name for entry in entries}) == len(entries) == 19
    assert entries[0].name == "undisturbed"
    clip = striped_clip(frames=6)
    for entry in entries:
        once, again = entry.apply(clip), entry.apply(clip)
        for first, second in zip(once, again, strict=True):
            assert torch.equal(first.ldr, second.ldr)
            assert first.name == clip.name
            assert first.ldr.shape == first.radiance.shape


def test_nothing_at_all_takes_the_truth_with_the_clips_camera() -> None:
    clip = striped_clip()
    taken = apply("undisturbed", clip)
    assert error(taken).max() < 2e-3
    assert torch.equal(taken.radiance, clip.radiance)


@pytest.mark.parametrize(("word", "factor"), [("too high", 1.1), ("too low", 0.9)])
def test_misstated_ratios_change_what_is_said_only(word: str, factor: float) -> None:
    clip = striped_clip((1.0, 4.0, 16.0))
    plain, stated = apply("undisturbed", clip), apply(word, clip)
    assert torch.equal(stated.ldr, plain.ldr)
    assert stated.exposures[:3].tolist() == pytest.approx([1.0, 4 * factor, 16 * factor])


@pytest.mark.parametrize("gamma", [2.0, 2.4])
def test_another_response_that_is_found_costs_little(gamma: float) -> None:
    clip = striped_clip(shift=0, frames=6)
    clip = replace(clip, radiance=6 * clip.radiance)  # well exposed at both exposures, in part
    taken, found = apply(f"gamma {gamma}, taken", clip), apply(f"gamma {gamma}, response found", clip)
    assert error(found).mean() < 0.35 * error(taken).mean()
    assert found.precision.tolist() != taken.precision.tolist()


def test_what_is_not_seen_at_two_exposures_is_taken_for_gamma() -> None:
    clip = striped_clip()
    dark = replace(clip, radiance=1e-4 * clip.radiance)
    taken, found = apply("gamma 2.0, taken", dark), apply("gamma 2.0, response found", dark)
    assert torch.equal(found.ldr, taken.ldr)


def test_what_is_compressed_is_stated_less_precisely() -> None:
    plain, compressed = apply("undisturbed", striped_clip()), apply("crf 23", striped_clip())
    assert compressed.precision[4] > 3 * plain.precision[4]


@pytest.mark.parametrize(("word", "gamma"), [("gamma 2.0, taken", 2.0), ("gamma 2.4, taken", 2.4)])
def test_another_response_is_another_power(word: str, gamma: float) -> None:
    clip = striped_clip(frames=2)
    taken = apply(word, clip)
    signal = (clip.radiance * clip.exposures.view(-1, 1, 1, 1)).clamp(0, 1)
    assert (taken.ldr - signal.pow(1 / gamma)).abs().mean() < 3e-3


def test_compression_costs_and_more_of_it_costs_more() -> None:
    clip = striped_clip()
    plain, mild, hard = (error(apply(word, clip)).mean().item() for word in ("undisturbed", "crf 23", "crf 30"))
    assert plain < mild < hard < 0.05


def test_without_pyav_jpeg_stands_in_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    clip = striped_clip(frames=4)
    names = [entry.name for entry in disturbances()]
    assert not any("H.264" in name for name in names)
    mild, hard = (error(apply(word, clip)).mean() for word in ("JPEG, quality 80", "JPEG, quality 60"))
    assert error(apply("undisturbed", clip)).mean() < mild < hard


def test_motion_blur_is_of_the_length_that_the_shutter_gives() -> None:
    edges = 0.05 + 0.04 * torch.sin(torch.arange(200) * 0.5).expand(3, 64, 200)
    truth = torch.stack([edges[:, :, SHIFT * frame : SHIFT * frame + 120] for frame in range(4)])
    clip = Clip("waves", truth, torch.tensor([1.0, 8.0] * 2), truth, Capture(bits=0))
    blurred = apply("motion blur", clip)
    contrast = [
        float((to_radiance(blurred.ldr[t], blurred.exposures[t])[:, 8:-8, 16:-16] - 0.05).std()) for t in (0, 1)
    ]
    whole = float((truth[0][:, 8:-8, 16:-16] - 0.05).std())
    # A wave of 0.5 rad per pixel smeared over 2 pixels keeps sin(0.5) / 0.5 = 0.96 of its contrast; over 1/4, all.
    assert contrast[1] / whole == pytest.approx(0.96, abs=0.02)
    assert contrast[0] / whole == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("cycle", [(1.0, 8.0), (1.0, 4.0, 16.0)])
def test_a_dropped_frame_is_replaced_by_one_of_its_exposure(cycle: tuple[float, ...]) -> None:
    frames = 2 * len(cycle) + 4
    clip = striped_clip(cycle, frames=frames, shift=1)
    plain = apply("undisturbed", clip)
    windows = named("dropped").apply(clip)
    assert len(windows) == 4
    for middle, window in enumerate(windows, start=len(cycle)):
        assert len(window.ldr) == 2 * len(cycle) + 1
        assert torch.equal(window.radiance[len(cycle)], clip.radiance[middle])
        assert torch.equal(window.exposures, clip.exposures[middle - len(cycle) : middle + len(cycle) + 1])
        dropped = plain.ldr[middle + 1]
        assert not any(torch.equal(frame, dropped) for frame in window.ldr)


def test_doubled_noise_is_doubled_on_the_same_draws() -> None:
    clip = striped_clip()
    clip = Clip(clip.name, clip.ldr, clip.exposures, clip.radiance, Capture(shot=1e-5, read=5e-4, bits=0))
    ratio = error(apply("noise doubled", clip)) / error(apply("undisturbed", clip))
    assert ratio.tolist() == pytest.approx([2.0] * len(ratio), rel=0.01)


def test_six_bits_have_64_codes() -> None:
    codes = apply("6 bits", striped_clip()).ldr * 63
    assert (codes - codes.round()).abs().max() < 1e-4


@pytest.mark.parametrize("cycle", [(8.0, 1.0), (1.0, 4.0, 16.0)])
def test_ratios_change_all_but_the_shortest_exposure(cycle: tuple[float, ...]) -> None:
    clip = striped_clip(cycle)
    taken = apply("exposure 64", clip)
    expected = {1.0: 1.0, 4.0: 8.0, 8.0: 64.0, 16.0: 64.0}
    assert taken.exposures.tolist() == pytest.approx([expected[exposure] for exposure in clip.exposures.tolist()])
    assert error(taken).max() < 2e-3
    assert torch.equal(taken.radiance, clip.radiance)
