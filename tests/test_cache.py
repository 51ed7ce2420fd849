"""Remembered scores: equal to computed ones, found only where nothing they depend on has changed."""

from dataclasses import replace
from pathlib import Path

import pytest
from support.scored import Offset, TinyClip, tiny_clip

from train.errors import DatasetError
from train.evaluation.benchmarks.scene import scene_of
from train.evaluation.cache import ScoreCache
from train.evaluation.methods import Contender, contender
from train.evaluation.metrics import BY_KEY
from train.evaluation.results import FrameScore
from train.evaluation.scoring import Rules, evaluate

CLIP = tiny_clip("a", [1.0, 8.0], frames=6)


def run(entry: Contender, clip: TinyClip, folder: Path) -> tuple[FrameScore, ...]:
    (scored,) = evaluate([entry], [scene_of(clip, 2)], rules=Rules(2), store=ScoreCache(folder))
    return scored.scores


def test_what_is_known_is_not_computed_again(tmp_path: Path) -> None:
    method = Offset(-0.01)
    entry = contender("m", method)
    first = run(entry, CLIP, tmp_path / "new" / "cache")
    assert method.calls == 2
    assert run(entry, CLIP, tmp_path / "new" / "cache") == first
    assert method.calls == 2


@pytest.mark.parametrize("change", ["pixels", "truth", "name", "exposures", "code", "frames"])
def test_whatever_changes_is_computed_again(change: str, tmp_path: Path) -> None:
    method = Offset(-0.01)
    entry = contender("m", method)
    run(entry, CLIP, tmp_path)
    changed = {
        "pixels": replace(CLIP, ldr=CLIP.ldr * 0.999),
        "truth": replace(CLIP, radiance=CLIP.radiance * 0.999),
        "name": replace(CLIP, name="b"),
        "exposures": replace(CLIP, exposures=CLIP.exposures.clamp(max=7)),
        "frames": tiny_clip("a", [1.0, 8.0], frames=7),
    }
    run(replace(entry, fingerprint="new") if change == "code" else entry, changed.get(change, CLIP), tmp_path)
    assert method.calls == (5 if change == "frames" else 4)


def test_scores_of_other_measures_are_told_apart(tmp_path: Path) -> None:
    entry = contender("m", Offset(-0.01))
    for keys in (["psnr_t"], ["psnr_l", "psnr_t"], ["psnr_t"]):
        rules = Rules(2, measures=[BY_KEY[key] for key in keys])
        (scored,) = evaluate([entry], [scene_of(CLIP, 2)], rules=rules, store=ScoreCache(tmp_path))
        assert list(scored.scores[0].values) == keys


def test_a_damaged_file_is_replaced(tmp_path: Path) -> None:
    method = Offset(-0.01)
    entry = contender("m", method)
    first = run(entry, CLIP, tmp_path)
    (file,) = tmp_path.iterdir()
    file.write_text(file.read_text()[:50])
    again = run(entry, CLIP, tmp_path)
    assert [score.values for score in again] == [score.values for score in first]
    assert method.calls == 4
    run(entry, CLIP, tmp_path)
    assert method.calls == 4


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DatasetError, match="choose another folder"):
        ScoreCache(tmp_path / "file" / "cache")


def test_whoever_wants_the_pictures_gets_them(tmp_path: Path) -> None:
    method, seen = Offset(-0.01), []
    entry = contender("m", method)
    run(entry, CLIP, tmp_path)
    store, scene = ScoreCache(tmp_path), scene_of(CLIP, 2)
    list(evaluate([entry], [scene], rules=Rules(2), store=store, sink=lambda *taken: seen.append(taken)))
    assert len(seen) == 2 and method.calls == 4
