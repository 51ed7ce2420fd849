"""The command that would train like a given run."""

import shlex
from pathlib import Path

from lanhdr_cli.commands.train import train
from train.config import TrainConfig

# Folders of the user's own, which the reader has elsewhere.
PLACES = {"data": "DATA", "validation_data": "HELD_OUT"}
ALWAYS = ("nexps", "size", "steps")
# They change how a run is carried out and told, not what is learned.
WITHOUT_EFFECT = frozenset(
    {"workers", "threads", "log_every", "validate_every", "validation_samples", "checkpoint_minutes"}
)


def training_command(config: TrainConfig) -> str:
    """Write what to type for a run of this config, with names in place of paths.

    Args:
        config: What the run was told; whatever no option says is left to the defaults.
    """
    values, defaults = config.as_dict(), TrainConfig().as_dict()
    words = ["lanhdr", "train"]
    for parameter in train.params:
        name = str(parameter.name)
        value = values.get(name)
        if value is None or name in WITHOUT_EFFECT or (value == defaults[name] and name not in ALWAYS):
            continue
        said = PLACES.get(name) or (Path(value).name if isinstance(value, str) else f"{value:.10g}")
        words += [parameter.opts[-1], shlex.quote(said)]
    return " ".join([*words, "-o", "RUN"])
