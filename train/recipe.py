"""Recipes: what is trained, how, and on what samples, in one file; four of them come with lanhdr."""

import dataclasses
import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from model.errors import LanHdrError
from train.config import Schedule, TrainConfig
from train.errors import RecipeError
from train.exposure_draws import ExposureDraws
from train.losses import LossName
from train.sample_recipe import GuidedSampling, Mixture, PaperSampling, SampleRecipe
from train.tables import read_table

FOLDER = Path(__file__).with_name("recipes")


@dataclass(frozen=True)
class Optimizer:
    """The numbers of the descent; each means what it means in `TrainConfig`."""

    steps: int
    batch: int
    patch: int
    lr: float
    schedule: Schedule
    warmup: int
    weight_decay: float
    clip_norm: float
    ema_decay: float


@dataclass(frozen=True)
class Recipe:
    """One file of `train/recipes`, or of the user.

    Args:
        nexps: Number of exposures in the cycle, 2 or 3.
        size: `lite` or `base`.
        output: `guided` corrects a merged start, `direct` is the published network.
        loss: Recipe of the loss.
        optimizer: Numbers of the descent.
        exposures: Which exposures samples have.
        sampling: How samples are made.
        mixture: Of what they are made.
    """

    nexps: int
    size: Literal["lite", "base"]
    output: Literal["guided", "direct"]
    loss: LossName
    optimizer: Optimizer
    exposures: ExposureDraws
    sampling: GuidedSampling | PaperSampling
    mixture: Mixture

    def __post_init__(self) -> None:
        """Refuse cycles of another length than the number of exposures."""
        if self.exposures.nexps != self.nexps:
            raise RecipeError(f"nexps is {self.nexps}, the cycles have {self.exposures.nexps} exposures: correct one")


def recipe_names() -> list[str]:
    """Names of the recipes that come with lanhdr."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def read_recipe(name: str) -> Recipe:
    """Read a recipe by its name, or a file.

    Args:
        name: A name without suffix, as `lanhdr_2e`, or the path of a .toml file.

    Raises:
        RecipeError: If there is no such recipe, or something is wrong in it; the message names the file and the key.
    """
    path = _path(name)
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"the recipe {path} cannot be read ({error}): pass another file") from error
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"the recipe {path} is not TOML ({error}): correct it") from error
    try:
        return read_table(Recipe, table, place=path.name)
    except LanHdrError as error:
        raise RecipeError(str(error) if str(error).startswith(path.name) else f"{path.name}: {error}") from error


def _path(name: str) -> Path:
    if name.endswith(".toml"):
        return Path(name)
    known = recipe_names()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise RecipeError(f"there is no recipe {name!r}: {hint}known are {', '.join(known)}, or pass a file .toml")
    return FOLDER / f"{name}.toml"


def default_recipe(given: Mapping[str, Any]) -> str:
    """Name the recipe of a run that names none: `guided_2e`, or `guided_3e` where 3 exposures are given."""
    return f"guided_{given.get('nexps', 2)}e"


def resolved_config(given: Mapping[str, Any], *, recipe: str | None = None) -> TrainConfig:
    """Make the config of a run: what is given, and for the rest what the recipe says.

    Args:
        given: Values of `TrainConfig` by name.
        recipe: Name or file; None means `default_recipe`.

    Raises:
        LanHdrError: If the recipe cannot be read or does not fit what is given, or a value is out of range.
    """
    name = recipe or default_recipe(given)
    read = read_recipe(name)
    wanted = given.get("nexps", read.nexps)
    if wanted != read.nexps:
        other = name.replace(f"_{read.nexps}e", f"_{wanted}e")
        hint = f"pass --recipe {other}" if other in recipe_names() else "leave --nexps out, or pass another recipe"
        raise RecipeError(f"the recipe {name} trains {read.nexps} exposures, --nexps says {wanted}: {hint}")
    values = {"nexps": read.nexps, "size": read.size, "output": read.output, "loss": read.loss, "recipe": name}
    samples = SampleRecipe(read.exposures, read.sampling, read.mixture)
    return TrainConfig(**(values | dataclasses.asdict(read.optimizer) | {"samples": samples} | dict(given)))
