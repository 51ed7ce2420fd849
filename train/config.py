"""Configuration of a training run, and the TOML recipes that it comes from."""

import dataclasses
import difflib
import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from model.errors import LanHdrError
from model.network import NetworkConfig
from train.acceleration import Precision
from train.dataclass_io import read_table
from train.errors import RecipeError, TrainError
from train.sampling_config import ExposureDraws, GuidedSampling, Mixture, PaperSampling, SampleRecipe

LossName = Literal["paper", "log_mse"]
ScheduleName = Literal["cosine", "constant"]
Size = Literal["lite", "small", "base"]
Output = Literal["guided", "direct"]

SMALL_RATE = 5e-4  # of `--size small`, for which the recipes' rates of other networks are too high
RECIPES = Path(__file__).with_name("recipes")
RECIPE_NAMES = sorted(path.stem for path in RECIPES.glob("*.toml"))
POSITIVE = (
    "steps", "batch", "patch", "lr", "clip_norm", "threads", "log_every", "validate_every", "checkpoint_minutes",
    "accumulate",
)  # fmt: skip
NOT_NEGATIVE = ("warmup", "weight_decay", "workers", "validation_samples")


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Everything that decides the numbers of a run, and how it is carried out."""

    nexps: int = 2
    size: Size = "lite"  # for CPUs and real time; `base` is the published size, `small` its parts made small for CPUs
    output: Output = "guided"  # corrects a merged start; `direct` is the published network, see `NetworkConfig`
    loss: LossName = "log_mse"  # per-sample logarithm of the squared error; `paper` is L1, frequency, temporal
    steps: int = 20_000
    batch: int = 8  # samples per step; each brings two consecutive windows
    patch: int = 96  # side of the square patches, in pixels
    lr: float = 8e-4  # highest learning rate of AdamW, reached after the warm-up
    warmup: int = 200  # steps over which the learning rate rises from 0
    schedule: ScheduleName = "cosine"  # learning rate after the warm-up: to 0, or constant
    weight_decay: float = 1e-4  # decoupled, of AdamW
    clip_norm: float = 1.0  # largest norm of the gradient of all parameters together
    ema_decay: float = 0.999  # of the averaged weights, per step, in [0, 1)
    recipe: str | None = None  # name or file of the recipe that the values come from, for the record
    samples: SampleRecipe | None = None  # how samples are drawn; None means as in the guided recipe
    seed: int = 0  # every random draw derives from this, the step and the sample's index
    data: str | None = None  # folder of pictures and clips; None means procedural scenes
    validation_data: str | None = None  # folder of held-out pictures; None means other draws from the training data
    init: str | None = None  # weights to start from; None means random ones
    workers: int = 1  # processes that prepare samples; 0 prepares them between the steps
    threads: int = 2  # of the network's arithmetic
    # type of the convolutions, `auto` is bf16 where the device is fast at it; losses, search and merge stay float32
    precision: Precision = "auto"
    accumulate: int = 1  # parts of a batch that are computed one after the other, in a fraction of the memory
    checkpointing: bool = False  # recompute activations in the backward pass instead of keeping them
    log_every: int = 20  # steps per row of metrics.jsonl
    validate_every: int = 500
    validation_samples: int = 16  # fixed held-out samples; 0 turns validation off
    checkpoint_minutes: float = 5.0

    def __post_init__(self) -> None:
        for name in POSITIVE + NOT_NEGATIVE:
            value = getattr(self, name)
            if not (value > 0 or (value == 0 and name in NOT_NEGATIVE)):
                raise TrainError(f"{name} is {value}: pass {'0 or more' if name in NOT_NEGATIVE else 'more than 0'}")
        if not 0 <= self.ema_decay < 1:
            raise TrainError(f"ema_decay is {self.ema_decay}: pass 0 or more and less than 1")

    def network_config(self) -> NetworkConfig:
        """Return the config of the network that this run trains."""
        if self.size == "base":
            return NetworkConfig(nexps=self.nexps, design="lanhdr", output=self.output)
        if self.size == "small":
            return NetworkConfig(nexps=self.nexps, design="small", output=self.output, channels=32, pyramid_channels=6)
        return NetworkConfig(nexps=self.nexps, design="lite", output=self.output, channels=48)

    def sample_recipe(self) -> SampleRecipe:
        """Return how this run draws its samples."""
        return self.samples or read_recipe(f"guided_{self.nexps}e").samples

    def to_json(self) -> str:
        """Return all values as readable JSON."""
        return json.dumps(dataclasses.asdict(self), indent=2) + "\n"

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "TrainConfig":
        """Make a config of stored values; raise a LanHdrError if a name is unknown or a value is out of range."""
        unknown = sorted(set(values) - {field.name for field in dataclasses.fields(cls)})
        if unknown:
            raise TrainError(f"the stored config has unknown values {unknown}: it is from another version, start anew")
        samples = values.get("samples")
        if isinstance(samples, dict):
            values = values | {"samples": read_table(SampleRecipe, samples, source="the stored recipe")}
        return cls(**values)


@dataclass(frozen=True, kw_only=True)
class Optimizer:
    """The table `[optimizer]` of a recipe; each value means what it means in `TrainConfig`."""

    steps: int
    batch: int
    patch: int
    lr: float
    schedule: ScheduleName
    warmup: int
    weight_decay: float
    clip_norm: float
    ema_decay: float


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One file of `train/recipes`, or of the user."""

    nexps: int
    size: Size
    output: Output
    loss: LossName
    optimizer: Optimizer
    exposures: ExposureDraws
    sampling: GuidedSampling | PaperSampling
    mixture: Mixture

    def __post_init__(self) -> None:
        if self.exposures.nexps != self.nexps:
            raise RecipeError(f"nexps is {self.nexps}, the cycles have {self.exposures.nexps} exposures: correct one")

    @property
    def samples(self) -> SampleRecipe:
        """The part that decides what a sample looks like."""
        return SampleRecipe(exposures=self.exposures, sampling=self.sampling, mixture=self.mixture)


def read_recipe(name: str) -> Recipe:
    """Read a recipe by its name, such as `lanhdr_2e`, or the path of a .toml file.

    Raises:
        RecipeError: If there is no such recipe, or something is wrong in it; the message names the file and the key.
    """
    path = Path(name)
    if path.suffix != ".toml":
        if name not in RECIPE_NAMES:
            near = difflib.get_close_matches(name, RECIPE_NAMES, n=1)
            hint, known = f"did you mean {near[0]!r}? " if near else "", ", ".join(RECIPE_NAMES)
            raise RecipeError(f"there is no recipe {name!r}: {hint}known are {known}, or pass a file .toml")
        path = RECIPES / f"{name}.toml"
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"the recipe {path} cannot be read ({error}): pass another file") from error
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"the recipe {path} is not TOML ({error}): correct it") from error
    try:
        return read_table(Recipe, table, source=path.name)
    except LanHdrError as error:
        raise RecipeError(str(error) if str(error).startswith(path.name) else f"{path.name}: {error}") from error


def resolved_config(given: Mapping[str, Any]) -> TrainConfig:
    """Make the config of a run: the given values by name, and for the rest those of the recipe.

    Without a recipe, it is `guided_2e`, or `guided_3e` where 3 exposures are given. The size small, where it is given
    and not the recipe's, has its own learning rate.

    Raises:
        LanHdrError: If the recipe cannot be read or does not fit the given values, or a value is out of range.
    """
    name = given.get("recipe") or f"guided_{given.get('nexps', 2)}e"
    base = read_recipe(name)
    nexps = given.get("nexps", base.nexps)
    if nexps != base.nexps:
        other = name.replace(f"_{base.nexps}e", f"_{nexps}e")
        hint = f"pass --recipe {other}" if other in RECIPE_NAMES else "leave --nexps out, or pass another recipe"
        raise RecipeError(f"the recipe {name} trains {base.nexps} exposures, --nexps says {nexps}: {hint}")
    values = {"nexps": nexps, "size": base.size, "output": base.output, "loss": base.loss, "recipe": name}
    values |= dataclasses.asdict(base.optimizer) | {"samples": base.samples}
    if given.get("size", base.size) == "small" != base.size:
        values["lr"] = SMALL_RATE
    return TrainConfig(**(values | dict(given)))
