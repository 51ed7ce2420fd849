import dataclasses
import json
from pathlib import Path

import pytest

from model.network import NetworkConfig
from train.config import RECIPE_NAMES, TrainConfig, read_recipe, resolved_config
from train.errors import RecipeError
from train.lr_schedule import Schedule
from train.sampling_config import PaperSampling

PAPER_BASE = NetworkConfig(design="lanhdr", output="direct", channels=64, pyramid_channels=16)


def test_four_recipes_come_along_and_hold_together() -> None:
    assert RECIPE_NAMES == ["guided_2e", "guided_3e", "lanhdr_2e", "lanhdr_3e"]
    for name in RECIPE_NAMES:
        recipe = read_recipe(name)
        assert recipe.exposures.nexps == recipe.nexps == int(name[-2])


@pytest.mark.parametrize("nexps", [2, 3])
def test_without_a_recipe_it_is_the_guided_one(nexps: int) -> None:
    config = resolved_config({"nexps": nexps})
    assert config.recipe == f"guided_{nexps}e"
    # a config stored before there were recipes says nothing of samples, and must mean the same
    assert config.sample_recipe() == TrainConfig(nexps=nexps).sample_recipe() == read_recipe(f"guided_{nexps}e").samples
    assert dataclasses.replace(config, recipe=None, samples=None) == TrainConfig(nexps=nexps)


@pytest.mark.parametrize("nexps", [2, 3])
def test_paper_recipe_builds_the_published_network_and_keeps_the_rate(nexps: int) -> None:
    config = resolved_config({"recipe": f"lanhdr_{nexps}e"})
    assert config.network_config() == dataclasses.replace(PAPER_BASE, nexps=nexps)
    assert (config.lr, config.batch, config.patch, config.loss) == (1e-4, 8, 128, "paper")
    assert {Schedule(config=config).rate(step) for step in (0, 1000, 499_999)} == {1e-4}
    cycles = {2: ((1.0, 4.0), (1.0, 8.0)), 3: ((1.0, 4.0, 16.0),)}
    assert config.sample_recipe().exposures.cycles == cycles[nexps]
    assert config.sample_recipe().sampling == PaperSampling()


def test_small_has_a_learning_rate_of_its_own_unless_one_is_given() -> None:
    assert resolved_config({"size": "small"}).lr < resolved_config({}).lr
    assert resolved_config({"size": "small", "lr": 0.5}).lr == 0.5


def test_what_is_given_overrides_the_recipe() -> None:
    config = resolved_config({"lr": 0.5, "size": "base", "steps": 7})
    assert (config.lr, config.size, config.steps, config.batch) == (0.5, "base", 7, 8)


@pytest.mark.parametrize("name", ["guided_3e", "lanhdr_2e"])
def test_a_stored_config_holds_the_whole_recipe(name: str) -> None:
    config = resolved_config({"recipe": name})
    assert TrainConfig.from_dict(json.loads(json.dumps(dataclasses.asdict(config)))) == config


def _changed(folder: Path, old: str, new: str) -> str:
    text = Path("train/recipes/lanhdr_2e.toml")
    original = (Path(__file__).resolve().parent.parent / text).read_text(encoding="utf-8")
    assert old in original
    path = folder / "mine.toml"
    path.write_text(original.replace(old, new, 1), encoding="utf-8")
    return str(path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("batch = 8", "bacth = 8", r"mine\.toml \[optimizer\] has the unknown key 'bacth': did you mean 'batch'\?"),
        ("noise = 1e-3", "noize = 1e-3", r"\[sampling\] has the unknown key 'noize': did you mean 'noise'\? known are"),
        ("vimeo90k = 1.0", "vimeo = 1.0", r"\[mixture\] has the unknown key 'vimeo': did you mean 'vimeo90k'"),
        ("nexps = 2", "colour = 2", r"mine\.toml has the unknown key 'colour': known are nexps"),
        ("nexps = 2\n", "", r"mine\.toml lacks nexps"),
        ("nexps = 2", "nexps = 3", r"mine\.toml: nexps is 3, the cycles have 2 exposures"),
        ("batch = 8", "batch = 8.5", r"mine\.toml \[optimizer\]: batch is 8\.5: make it a whole number"),
        ("batch = 8", 'batch = "8"', r"batch is '8': make it a whole number"),
        ("lr = 1e-4", "lr = true", r"lr is True: make it a number"),
        ('size = "base"', 'size = "bass"', r"size is 'bass' \(did you mean 'base'\?\): known are lite, small, base"),
        ('protocol = "paper"', 'protocol = "papper"', r"protocol is 'papper' \(did you mean 'paper'\?\): known are"),
        ("scale = [0.6, 1.2]", "scale = [0.6]", r"scale is \[0\.6\]: make it a list of 2 values"),
        ("scale = [0.6, 1.2]", "scale = [1.2, 0.6]", r"scale is \[1\.2, 0\.6\]: give the smaller value first"),
        ("scale = [0.6, 1.2]", 'scale = ["a", 1]', r"scale is 'a': make it a number"),
        ("noise_share = 0.9", "noise_share = 9", r"mine\.toml.*noise_share is 9\.0: give a share from 0 to 1"),
        ("[mixture]", "[mixture", r"mine\.toml is not TOML"),
        ("vimeo90k = 1.0", "vimeo90k = 0", r"the mixture has the weights"),
        ("cycles = [[1, 4], [1, 8]]", "cycles = [[4, 1], [8, 2]]", r"mine\.toml.*not relative to its shortest"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_recipe_is_named_with_its_file(old: str, new: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=message):
        resolved_config({"recipe": _changed(tmp_path, old, new)})


def test_a_recipe_of_ones_own_is_read(tmp_path: Path) -> None:
    path = _changed(tmp_path, "noise = 1e-3", "noise = 2e-3")
    sampling = resolved_config({"recipe": path}).sample_recipe().sampling
    assert isinstance(sampling, PaperSampling) and sampling.noise == 2e-3


@pytest.mark.parametrize(
    ("given", "recipe", "message"),
    [
        ({}, "lan_hdr_2e", "there is no recipe 'lan_hdr_2e': did you mean 'lanhdr_2e'"),
        ({}, "nowhere.toml", r"nowhere\.toml cannot be read"),
        ({"nexps": 3}, "lanhdr_2e", "trains 2 exposures, --nexps says 3: pass --recipe lanhdr_3e"),
    ],
)
def test_recipes_that_do_not_exist_or_fit_are_named(given: dict[str, int], recipe: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        resolved_config({**given, "recipe": recipe})
