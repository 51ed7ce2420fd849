"""`lanhdr eval` as users call it: tables and files, frames as `convert` makes them, one line for what is wrong."""

import csv
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import Result
from support.converting import invoke, read_exr, save_lite, save_tiny
from support.fake_benchmarks import fake_folder, fake_tog13, write, write_exr, write_lines
from support.scored import tiny_clip
from test_metrics import moving_clip

from lanhdr_cli.evaluation import write_radiance
from model.exposure import to_radiance
from train.data.images import read_radiance
from train.evaluation.benchmarks.catalog import open_benchmark
from train.evaluation.benchmarks.synthetic import Clip
from train.evaluation.results import read_results
from train.synthesis.capture import Capture


@pytest.fixture(scope="module")
def lite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_lite(tmp_path_factory.mktemp("weights") / "lite.safetensors")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("weights") / "tiny.safetensors")


def run(*arguments: object) -> Result:
    return invoke("eval", "--device", "cpu", "--threads", 1, "--no-progress", *arguments)


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory, lite: Path, tiny: Path) -> tuple[Path, Result]:
    """A run over clips of one's own with everything in it."""
    folder = tmp_path_factory.mktemp("first")
    fake_folder(folder / "clips")
    outcome = run(
        *("--benchmark", "folder", "--data-dir", folder / "clips", "--with-baselines", "--weights", lite),
        *("--weights", tiny, "--report", folder / "out", "--json", folder / "first.json"),
    )
    assert outcome.exit_code == 0, outcome.output
    return folder, outcome


def test_tables_show_scenes_methods_protocols_and_cost(first: tuple[Path, Result]) -> None:
    text = first[1].stdout
    words = ("yard", "street", "reference", "unaligned merge", "flow merge", "noise-aware flow", "start of lite test")
    for word in (*words, "tiny test", "as predicted", "reference pasted", "of low", "of high", "s/frame", "MiB"):
        assert word in text
    assert "Truths are taken as they are" in first[1].stderr


def test_all_results_are_in_the_files(first: tuple[Path, Result]) -> None:
    folder = first[0]
    results = read_results(folder / "first.json")
    assert results == read_results(folder / "out" / "results.json")
    assert [method.name for method in results.methods][-3:] == ["start of lite test", "lite test", "tiny test"]
    assert [method.kind for method in results.methods] == ["baseline"] * 5 + ["start", "network", "network"]
    assert len(results.scores) == 8 * 2 * 2 * 2  # methods, protocols, scenes, frames with a truth and a window
    last = results.methods[-1]
    assert last.weights == "tiny.safetensors" and last.parameters and last.seconds_per_frame
    rows = list(csv.DictReader((folder / "out" / "scores.csv").read_text().splitlines()))
    assert [float(row["psnr_t"]) for row in rows] == [score.values["psnr_t"] for score in results.scores]
    report = (folder / "out" / "report.md").read_text()
    assert "clips of a folder" in report and "| reference |" in report and "torch" in report


def test_the_report_holds_the_worst_places(first: tuple[Path, Result]) -> None:
    page = (first[0] / "out" / "report.html").read_text()
    assert "data:image/png" in page and "tiny test" in page


def test_clips_without_truth_are_scored_by_themselves(tmp_path: Path, tiny: Path) -> None:
    clip = moving_clip(2)
    for name in ("filmed", "known"):
        for number, codes in enumerate((clip.ldr * 255).round().byte().permute(0, 2, 3, 1).numpy()):
            write(tmp_path / name / f"frame_{number:04d}.png", codes)
        write_lines(tmp_path / name / "exposures.txt", ["0", "6"])
    write_exr(tmp_path / "known/truth/frame_0002.exr", clip.radiance[2].permute(1, 2, 0).numpy())
    arguments = ("--benchmark", "folder", "--data-dir", tmp_path, "--with-baselines", "--weights", tiny)
    refused = run(*arguments)
    assert refused.exit_code == 1 and "or pass --no-truth" in refused.stderr
    outcome = run(*arguments, "--no-truth", "--report", tmp_path / "out")
    assert outcome.exit_code == 0, outcome.output
    for words in ("own, dB, per scene", "fill, dB, per scene", "equal-exposure interpolation", "of low", "of high"):
        assert words in outcome.stdout
    assert "No truth is known" in outcome.stderr and "reference pasted" not in outcome.stdout
    results = read_results(tmp_path / "out/results.json")
    known = [score for score in results.scores if score.scene == "known"]
    filmed = [score for score in results.scores if score.scene == "filmed"]
    assert [score.values for score in known] == [score.values for score in filmed]  # the truth is left aside
    own = {score.values["own"] for score in filmed if score.method == "reference"}
    assert own == {120.0}
    rows = list(csv.DictReader((tmp_path / "out/scores.csv").read_text().splitlines()))
    assert {row["role"] for row in rows if row["fill"]} == {"low", "high"}
    assert all(row["psnr_t"] == "" for row in rows)
    page = (tmp_path / "out/report.html").read_text()
    assert 'data-measure="own"' in page and 'data-measure="psnr_t"' not in page


def test_pasting_brings_methods_together(first: tuple[Path, Result]) -> None:
    """What is pasted is the same for all, so that methods differ less."""
    scores = read_results(first[0] / "first.json").scores
    spread = {
        protocol: np.std([score.values["psnr_t"] for score in scores if score.protocol == protocol])
        for protocol in ("lanhdr", "hdrflow")
    }
    assert spread["hdrflow"] < spread["lanhdr"]


def test_a_second_run_is_compared_with_the_first(first: tuple[Path, Result], lite: Path) -> None:
    outcome = run(
        *("--benchmark", "folder", "--data-dir", first[0] / "clips", "--weights", lite, "--protocol", "lanhdr"),
        *("--against", first[0] / "first.json"),
    )
    assert outcome.exit_code == 0, outcome.output
    assert "lite test against the earlier run" in outcome.stdout
    assert "Wilcoxon signed-rank test over scenes, two-sided, n = 2" in outcome.stdout
    assert "+0.00" in outcome.stdout  # the same weights on the same frames


def test_saved_frames_are_those_that_convert_makes(tiny: Path, tmp_path: Path) -> None:
    """eval has 1.0 at the clip level of the shortest exposure, convert has with --scale 1."""
    root = fake_tog13(tmp_path / "TOG13_Dynamic_Dataset")
    outcome = run("--benchmark", "tog13", "--data-dir", root, "--weights", tiny, "--save-hdr", tmp_path / "saved")
    assert outcome.exit_code == 0, outcome.output
    clip, stops = root / "Fire-2Exp-3Stop", "--stops=-3,0"
    converted = invoke(
        *("convert", clip, "-o", f"{tmp_path}/converted/", stops, "--no-slips", "--no-deflicker", "--scale", 1),
        *("--response", root / "BaslerCRF.mat", "--weights", tiny, "--device", "cpu", "--threads", 1),
    )
    assert converted.exit_code == 0, converted.output
    saved = sorted((tmp_path / "saved" / "tiny_test" / clip.name).glob("*.exr"))
    assert [path.stem for path in saved] == [f"img_{number:03d}" for number in range(2, 7)]
    by_number = {int(path.stem.split(".")[-1]): path for path in (tmp_path / "converted").iterdir()}
    for path in saved:
        ours, header = read_exr(path)
        theirs, _ = read_exr(by_number[int(path.stem.split("_")[-1])])
        # One step of half float: the camera's table is looked up in another order of operations.
        assert np.abs(ours.astype(float) - theirs).max() <= 2**-10 * ours.astype(float).max()
        assert header["lanhdr/exposureScale"] == 1.0
    listed = (tmp_path / "saved" / "tiny_test" / "hdr_list.txt").read_text().split()
    assert listed == [f"{clip.name}/{path.stem}.hdr" for path in saved]
    radiance = read_radiance(saved[0].with_suffix(".hdr"))
    exact = read_exr(saved[0])[0].astype(np.float32)
    assert np.abs(radiance - exact).max() <= 1.1 * 2**-8 * exact.max()  # half a step, and half float's own


def test_radiance_files_keep_a_shared_exponent(tmp_path: Path) -> None:
    light = torch.rand(3, 40, 50, generator=torch.Generator().manual_seed(0)) * 10
    light[:, 0, 0] = 0
    write_radiance(tmp_path / "a.hdr", light)
    read = np.asarray(read_radiance(tmp_path / "a.hdr")).transpose(2, 0, 1)
    error, brightest = read - light.numpy(), light.numpy().max(axis=0)
    assert (np.abs(error) <= brightest / 256).all()  # half a step of the shared mantissa, which has 128 to 255 of them
    assert np.abs(error.mean()) < 0.001 * light.mean().item()
    assert (read[:, 0, 0] == 0).all()


def test_tog13_puts_what_needs_no_truth_first(tiny: Path, tmp_path: Path) -> None:
    root = fake_tog13(tmp_path / "TOG13_Dynamic_Dataset")
    outcome = run("--benchmark", "tog13", "--data-dir", root, "--weights", tiny, "--protocol", "lanhdr")
    assert outcome.exit_code == 0, outcome.output
    assert "There is no truth in this set" in outcome.stderr
    table = outcome.stdout
    assert table.index("warping error") < table.index("PSNR_T relative to Kalantari13")
    assert "PSNR_T, dB" not in table.replace("relative to Kalantari13", "")


def test_without_estimates_only_what_needs_no_truth_is_told(tiny: Path, tmp_path: Path) -> None:
    root = fake_tog13(tmp_path / "TOG13_Dynamic_Dataset", estimates=False)
    outcome = run(
        *("--benchmark", "tog13", "--data-dir", root, "--weights", tiny, "--report", tmp_path / "out"),
        *("--protocol", "lanhdr"),
    )
    assert outcome.exit_code == 0, outcome.output
    assert "warping error" in outcome.stdout and "PSNR" not in outcome.stdout


def test_baselines_alone_are_scored_where_no_weights_are_bundled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("model.pretrained.FOLDER", tmp_path / "none")
    fake_folder(tmp_path / "clips", scenes=("yard",))
    arguments = ("--benchmark", "folder", "--data-dir", tmp_path / "clips")
    refused = run(*arguments)
    assert refused.exit_code == 1 and "no weights for two exposures are bundled" in refused.stderr
    outcome = run(*arguments, "--with-baselines", "--json", tmp_path / "r.json")
    assert outcome.exit_code == 0, outcome.output
    assert len(read_results(tmp_path / "r.json").methods) == 5
    exact = [
        score.values["psnr_l"] for score in read_results(tmp_path / "r.json").scores if score.method == "reference"
    ]
    scene = open_benchmark("folder", tmp_path / "clips", nexps=2).scenes[0]
    plain = to_radiance(scene.read_ldr(2), scene.exposures[2])
    mse = (plain - scene.truths[2]()).square().mean().item()
    assert exact[0] == pytest.approx(-10 * np.log10(mse), abs=1e-4)


def test_robustness_compares_with_the_noise_aware_merge(
    tmp_path: Path, lite: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny = tiny_clip("meadow", [1.0, 8.0], frames=5)

    def clips(_folder: Path, _nexps: int, *, limit: int | None) -> Iterator[Clip]:
        assert limit == 3
        yield Clip(tiny.name, tiny.ldr, tiny.exposures, tiny.radiance, Capture())

    monkeypatch.setattr("lanhdr_cli.evaluation.make_test_clips", clips)
    arguments = ("--benchmark", "folder", "--data-dir", tmp_path, "--weights", lite, "--limit", 3, "--robustness")
    outcome = run(*arguments, "--json", tmp_path / "scores.json")
    assert outcome.exit_code == 0, outcome.output
    for word in ("disturbance", "noise-aware flow", "lite test", "lost", "flicker", "undisturbed", "6 bits"):
        assert word in outcome.stdout
    stored = read_results(tmp_path / "scores.json")
    assert "meadow: 6 bits" in {score.scene for score in stored.scores}
    assert "torch" in stored.environment


def test_scores_need_no_media_libraries(tmp_path: Path, lite: Path) -> None:
    code = (
        "import sys\n"
        "sys.modules.update(dict.fromkeys(('av', 'OpenEXR', 'colour')))\n"
        "from lanhdr_cli.main import cli\n"
        f"cli(['eval', '--benchmark', 'selftest', '--limit', '1', '--weights', {str(lite)!r}, '--threads', '1'])"
    )
    outcome = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert outcome.returncode == 0, outcome.stderr
    assert "lite test" in outcome.stdout


Arguments = Callable[[Path, Path, Path], list[object]]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            lambda clips, lite, out: ["--benchmark", "cinemtic"],
            "no benchmark is called cinemtic (did you mean cinematic?): pass one of cinematic",
        ),
        (lambda clips, lite, out: ["--benchmark", "folder"], "no folder is given"),
        (lambda clips, lite, out: ["--benchmark", "folder", "--data-dir", out / "no"], "is no folder"),
        (lambda clips, lite, out: ["--benchmark", "cinematic", "--data-dir", clips], "scenes_2expo.txt"),
        (lambda clips, lite, out: ["--benchmark", "folder", "--data-dir", clips, "--scene", "lake"], "street, yard"),
        (
            lambda clips, lite, out: ["--benchmark", "selftest", "--nexps", 3, "--weights", lite],
            "these weights are for two exposures",
        ),
        (
            lambda clips, lite, out: ["--benchmark", "selftest", "--weights", out / "none.safetensors"],
            "none.safetensors",
        ),
        (
            lambda clips, lite, out: ["--benchmark", "selftest", "--weights", lite, "--report", clips],
            "exists already: pass -y",
        ),
        (
            lambda clips, lite, out: ["--benchmark", "selftest", "--weights", lite, "--json", lite / "r.json"],
            "can't write to folder",
        ),
        (
            lambda clips, lite, out: ["--benchmark", "selftest", "--weights", lite, "--against", lite],
            "holds no results",
        ),
        (
            lambda clips, lite, out: ["--benchmark", "selftest", "--weights", lite, "--robustness"],
            "pass --benchmark folder --data-dir DIR",
        ),
        (
            lambda clips, lite, out: [
                "--benchmark",
                "folder",
                "--data-dir",
                clips,
                "--robustness",
                "--report",
                out / "r",
            ],
            "leave out --report",
        ),
    ],
)
def test_what_a_user_gets_wrong_is_one_line(
    arguments: Arguments, words: str, lite: Path, first: tuple[Path, Result], tmp_path: Path
) -> None:
    outcome = run(*arguments(first[0] / "clips", lite, tmp_path))
    assert outcome.exit_code == 1
    assert words in outcome.stderr
    assert outcome.stdout == ""
    assert len(outcome.stderr.splitlines()) == 1 and outcome.stderr.startswith("Error: ")


def test_results_of_another_set_are_refused_before_anything_is_run(first: tuple[Path, Result], lite: Path) -> None:
    outcome = run("--benchmark", "selftest", "--weights", lite, "--against", first[0] / "first.json")
    assert outcome.exit_code == 1
    assert "the earlier run is of folder with 2 exposures, this one of selftest with 2" in outcome.stderr


def test_a_truth_that_is_no_number_is_one_line(lite: Path, tmp_path: Path) -> None:
    clips = fake_folder(tmp_path / "clips", scenes=("yard", "street"))
    import OpenEXR

    pixels = np.full((16, 24, 3), np.nan, np.float32)
    with OpenEXR.File({"type": OpenEXR.scanlineimage}, {"RGB": pixels}) as file:
        file.write(str(clips / "street" / "truth" / "frame_0009.exr"))
    outcome = run("--benchmark", "folder", "--data-dir", clips, "--weights", lite, "--scene", "street")
    assert outcome.exit_code == 1
    assert "frame_0009.exr holds 1,152 values that are NaN" in outcome.stderr
