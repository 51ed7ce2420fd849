"""`lanhdr weights export`: half-precision weights that load, a record without paths, a card of true figures."""

import dataclasses
import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from support.converting import invoke

from model.pretrained import build_network, load_network, save_network
from train.checkpoint import RunFolder
from train.config import TrainConfig
from train.errors import TrainError
from train.export import CardOptions, model_card, read_run

CONFIG = TrainConfig(
    nexps=2,
    size="lite",
    steps=500,
    batch=8,
    lr=2e-3,
    seed=7,
    data="/home/someone/films",
    init="/home/someone/x.safetensors",
)
CARD = CardOptions(name="n", file_name="n.safetensors", licence=None, notes=(), half=True)
SESSION = {"lanhdr": "0.1.0", "commit": "abc123", "modified": True, "torch": "2.9", "device": "a processor"}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a run of 400 of 500 steps leaves, its best weights being those of step 300."""
    path = tmp_path_factory.mktemp("runs") / "run"
    folder = RunFolder(path)
    folder.create(CONFIG)
    command = "lanhdr train --data films --init x.safetensors"
    folder.add_session(SESSION | {"data": {"panoramas": 3, "ldr_videos": 1}, "command": command}, 0)
    folder.add_session(SESSION | {"command": "lanhdr train --resume run"}, 350)
    for step in range(20, 401, 20):
        folder.append({"step": step, "loss": 1.0 - step / 1000, "psnr_t": 30 + step / 100, "lr": 1e-3})
        if step % 100 == 0:
            score = {100: 34.0, 200: 35.0, 300: 36.5, 400: 36.25}[step]
            folder.append({"step": step, "val_psnr_t": score, "val_start_psnr_t": 33.0})
    torch.manual_seed(0)
    network = build_network(CONFIG.network_config())
    training = json.dumps(dataclasses.asdict(CONFIG))
    for which, step in (("best", 300), ("last", 400)):
        with torch.no_grad():
            next(network.parameters()).add_(0.5)
        record = {"name": "run", "training": training, "step": str(step)}
        save_network(network, folder.weights(which), record=record, half=False)
    return path


def test_the_best_weights_are_exported_with_a_record_and_a_card(run: Path, tmp_path: Path) -> None:
    target = tmp_path / "new" / "city.safetensors"
    outcome = invoke("weights", "export", run, "-o", target, "--license", "CC0-1.0", "--note", "No rain.")
    assert outcome.exit_code == 0, outcome.output
    assert outcome.stdout == f"{target}: best of {run}, step 300; {target.with_suffix('.md')}\n"
    exported, trained = load_network(target, nexps=2), load_network(run / "best.safetensors")
    for ours, theirs in zip(exported.network.parameters(), trained.network.parameters(), strict=True):
        assert torch.equal(ours, theirs.half().float())
    record = exported.record
    assert (record["name"], record["step"], record["samples"]) == ("city", "300", "2400")
    assert (record["val_psnr_t"], record["licence"], record["notes"]) == ("36.5000", "CC0-1.0", "No rain.")
    assert record["data"] == "3 panoramas, 1 LDR videos, procedural scenes"
    assert (record["lanhdr"], record["commit"], record["modified"]) == ("0.1.0", "abc123", "True")
    assert json.loads(record["training"])["lr"] == 2e-3
    card = target.with_suffix(".md").read_text()
    assert card.startswith("# city\n")
    assert "`city.safetensors` | lite, guided | 2 | 1." in card
    assert "PSNR_T 36.50 dB on 16 samples of 96x96 pixels" in card
    assert "commit abc123 with changes, torch 2.9 on a processor" in card
    assert "CC0-1.0" in card and "- No rain." in card
    assert "```\nlanhdr train --data films --init x.safetensors\n```" in card  # the session after step 350 is not


def test_nothing_that_is_given_away_holds_a_path(run: Path, tmp_path: Path) -> None:
    target = tmp_path / "city.safetensors"
    assert invoke("weights", "export", run, "-o", target).exit_code == 0
    texts = [json.dumps(load_network(target).record), target.with_suffix(".md").read_text()]
    for text in texts:
        assert "someone" not in text and str(tmp_path) not in text and str(run.parent) not in text
        assert "x.safetensors" in text


def test_the_curve_is_that_of_the_rows(run: Path) -> None:
    weights = read_run(run, "last")
    card = model_card(weights, CARD)
    rows = re.findall(r"^\| ([\d,]+) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \|$", card, re.MULTILINE)
    assert [row[0] for row in rows] == ["100", "200", "300", "400"]
    # Steps 320 to 400 in twenties: mean loss 1 - 0.36, mean PSNR_T 30 + 3.6.
    assert rows[-1] == ("400", "0.6400", "33.60", "36.25", "33.00")
    assert "Not stated." in card and "None are noted." in card


def test_a_long_curve_is_thinned_and_keeps_its_end(run: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(run, tmp_path / "copy")
    for step in range(1, 301):
        RunFolder(copy).append({"step": step, "val_psnr_t": 30.0})
    curve = model_card(read_run(copy, "best"), CARD).split("**Curve.**")[1]
    steps = [int(step) for step in re.findall(r"^\| (\d+) \|", curve, re.MULTILINE)]
    assert 6 <= len(steps) <= 12
    assert steps[-1] == 300


def test_full_precision_and_the_last_weights_on_request(run: Path, tmp_path: Path) -> None:
    target = tmp_path / "x.safetensors"
    assert invoke("weights", "export", run, "-o", target, "--which", "last", "--float32", "--name", "Y").exit_code == 0
    exported, trained = load_network(target), load_network(run / "last.safetensors")
    assert (exported.name, exported.record["step"]) == ("Y", "400")
    pairs = zip(exported.network.parameters(), trained.network.parameters(), strict=True)
    assert all(torch.equal(ours, theirs) for ours, theirs in pairs)
    assert "| float32 |" in target.with_suffix(".md").read_text()


def test_a_run_without_validation_gives_its_last_weights(run: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(run, tmp_path / "copy")
    (copy / "best.safetensors").unlink()
    (copy / "environment.json").write_text("[{")
    (copy / "metrics.jsonl").write_text('{"step": 400, "loss": 0.5, "psnr_t": 34.0}\n')
    outcome = invoke("weights", "export", copy, "-o", tmp_path / "x.safetensors")
    assert outcome.exit_code == 0, outcome.output
    assert "last of" in outcome.stdout
    card = (tmp_path / "x.md").read_text()
    assert "were not validated" in card and "Made on the fly of: not kept." in card
    assert "val_psnr_t" not in load_network(tmp_path / "x.safetensors").record


def test_what_exists_is_kept_unless_told_otherwise(run: Path, tmp_path: Path) -> None:
    card = tmp_path / "x.md"
    card.write_text("mine")
    refused = invoke("weights", "export", run, "-o", tmp_path / "x.safetensors")
    assert refused.exit_code == 1
    assert "x.md exists already: pass -y" in refused.stderr
    assert card.read_text() == "mine" and not (tmp_path / "x.safetensors").exists()
    assert invoke("weights", "export", run, "-o", tmp_path / "x.safetensors", "-y").exit_code == 0
    assert card.read_text() != "mine"


@pytest.mark.parametrize(
    ("make", "arguments", "message"),
    [
        ("nothing", (), "run is not a folder: pass the folder of a run"),
        ("empty", (), "holds no best.safetensors or last.safetensors: pass the folder of a run that has saved"),
        ("last alone", ("--which", "best"), "holds no best.safetensors: pass --which last"),
        ("half a file", (), "best.safetensors is damaged"),
        ("foreign", (), "does not say its step: pass a run of lanhdr train"),
        ("no config", (), "does not say how it was trained"),
        ("another suffix", ("-o", "weights.md"), "-o weights.md: weights are written as .safetensors"),
        ("into itself", ("-o", "run/best.safetensors", "-y"), "best.safetensors is the input itself"),
    ],
)
def test_what_cannot_be_exported_is_one_line(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: str, arguments: tuple[str, ...], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    damage(run, tmp_path / "run", make)
    outcome = invoke("weights", "export", "run", "-o", "x.safetensors", *arguments)
    assert outcome.exit_code == 1
    assert message in outcome.stderr
    assert outcome.stderr.count("\n") == 1
    assert not list(tmp_path.glob("x.*"))


def damage(run: Path, copy: Path, make: str) -> None:
    if make == "nothing":
        return
    if make == "empty":
        copy.mkdir()
        return
    shutil.copytree(run, copy)
    best = copy / "best.safetensors"
    network = load_network(best).network
    if make == "last alone":
        best.unlink()
    elif make == "half a file":
        best.write_bytes(best.read_bytes()[:1000])
    elif make in ("foreign", "no config"):
        save_network(network, best, record={"step": "3"} if make == "no config" else {}, half=True)


def test_a_newer_config_says_so(run: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(run, tmp_path / "copy")
    loaded = load_network(copy / "best.safetensors")
    record = loaded.record | {"training": json.dumps(dataclasses.asdict(CONFIG) | {"magic": 1})}
    save_network(loaded.network, copy / "best.safetensors", record=record, half=False)
    with pytest.raises(TrainError, match=r"unknown values \['magic'\]"):
        read_run(copy, None)
