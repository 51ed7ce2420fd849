"""`lanhdr train` on trees of published sets: what it says of them, and what is wrong with them."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from support.fake_sets import fake_hdr_frames, fake_patches, fake_vimeo90k

from lanhdr_cli.main import cli

TINY = (
    "--steps=2", "--batch=1", "--patch=32", "--workers=0", "--threads=1", "--log-every=1", "--validate-every=2",
    "--validation-samples=1",
)  # fmt: skip


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["train", *arguments])


@pytest.mark.parametrize("nexps", [2, 3])
def test_paper_recipe_takes_steps_on_septuplets(nexps: int, tmp_path: Path) -> None:
    data = fake_vimeo90k(tmp_path / "vimeo_septuplet")
    held_out = ("--validation-data", str(data), "--validation-samples=0")
    run = ("-o", str(tmp_path / "run"))
    result = invoke("--recipe", f"lanhdr_{nexps}e", "--data", str(data), *run, *TINY, *held_out)
    assert result.exit_code == 0, result.output
    assert "2 clips, by sep_trainlist.txt" in result.stderr
    assert "1 clips, by sep_testlist.txt" in result.stderr
    rows = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert sum("psnr_t" in row and "val_" not in row for row in rows) == 2


def test_what_is_found_and_missing_is_said_and_a_run_needs_no_recipe_file_later(tmp_path: Path) -> None:
    data = tmp_path / "data"
    fake_vimeo90k(data / "vimeo")
    (data / "vimeo/sequences/00001/0002/im7.png").unlink()
    fake_patches(data / "hdm")
    fake_hdr_frames(data / "shots" / "a")
    (data / "empty").mkdir()
    recipe = tmp_path / "mine.toml"
    original = Path(__file__).resolve().parent.parent / "train" / "recipes" / "guided_2e.toml"
    recipe.write_text(original.read_text().replace("vimeo90k = 0.4", "vimeo90k = 4"))
    run = tmp_path / "run"
    result = invoke("--recipe", str(recipe), "--data", str(data), "-o", str(run), *TINY)
    assert result.exit_code == 0, result.output
    for words in (
        "sequences of HDR frames: 1", "1 clips, by sep_trainlist.txt", "2 clips, by train_list.txt",
        "Warning: Vimeo-90K septuplets in", "1 of 2 clips of sep_trainlist.txt are absent or incomplete",
        "00001/0002 (no im7.png)", "Warning: empty folders (1)",
    ):  # fmt: skip
        assert words in result.stderr
    recipe.unlink()
    longer = invoke("--resume", str(run), "--steps=3")
    assert longer.exit_code == 0, longer.output


@pytest.mark.parametrize("workers", ["0", "1"])
def test_a_frame_cut_short_is_one_line_when_it_is_met(workers: str, tmp_path: Path) -> None:
    data = fake_vimeo90k(tmp_path / "vimeo")
    for path in data.glob("sequences/*/*/im*.png"):
        path.write_bytes(path.read_bytes()[:-100])
    run = ("-o", str(tmp_path / "run"))
    result = invoke(
        "--recipe=lanhdr_2e", "--data", str(data), *run, *TINY, "--validation-samples=0", f"--workers={workers}"
    )
    assert result.exit_code == 1
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("Error: ") and "is cut short" in last and "fetch it again" in last
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--recipe", "lanhdr_4e"], "there is no recipe 'lanhdr_4e': did you mean 'lanhdr_"),
        (["--recipe", "lanhdr_2e", "--nexps=3"], "pass --recipe lanhdr_3e"),
        (["--recipe", "lanhdr_2e", "--size=lite"], "there is no 'lite' network with 'direct' output"),
    ],
)
def test_recipes_that_do_not_fit_are_one_line(arguments: list[str], message: str, tmp_path: Path) -> None:
    result = invoke(*arguments, "-o", str(tmp_path / "run"))
    assert result.exit_code == 1
    assert message in result.stderr
    assert not (tmp_path / "run").exists()


def test_a_resumed_run_keeps_its_recipe(tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert invoke("-o", str(run), *TINY, "--steps=1").exit_code == 0
    assert invoke("--resume", str(run), "--recipe=guided_2e").exit_code == 0
    result = invoke("--resume", str(run), "--recipe=lanhdr_2e")
    assert result.exit_code == 1 and "a resumed run keeps its recipe (guided_2e" in result.stderr


def test_weights_of_another_output_are_refused(tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert invoke("--recipe=guided_2e", "--size=base", "-o", str(run), *TINY, "--steps=1").exit_code == 0
    weights = str(run / "last.safetensors")
    result = invoke("--recipe=lanhdr_2e", "--init", weights, "-o", str(tmp_path / "other"), *TINY)
    assert result.exit_code == 1
    assert "holds a network of guided output, the recipe is for direct: pass --recipe guided_2e" in result.stderr
