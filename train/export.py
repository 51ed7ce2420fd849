"""Weights of a run as a file to give away: with all that is known of them, and no path of this machine."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from model.pretrained import Network, load_network, save_network
from train.config import TrainConfig, TrainError
from train.plan import kinds_in_words
from train.run_folder import Row, RunFolder

Which = Literal["best", "last"]
# Values of a config that are paths, and None or a name of files.
PATHS = ("data", "validation_data", "init", "recipe")


@dataclass(frozen=True)
class RunWeights:
    """Averaged weights of a run, and how they came to be.

    Args:
        source: Their file in the run's folder.
        network: The network with the weights.
        config: What the run was told, with names in place of paths.
        step: Number of finished steps.
        scores: Held-out scores of these weights, by name; empty if they were not validated.
        curve: Rows of metrics up to that step.
        data: Pictures and clips that were found, by kind; None if that was not kept.
        session: Where and with what the run took place when these weights were made.
    """

    source: Path
    network: Network
    config: TrainConfig
    step: int
    scores: Row
    curve: Sequence[Row]
    data: dict[str, int] | None
    session: Mapping[str, Any]

    @property
    def samples(self) -> int:
        """Samples seen, two windows each."""
        return self.step * self.config.batch

    @property
    def parameters(self) -> int:
        """Number of weights."""
        return sum(values.numel() for values in self.network.parameters())

    @property
    def data_in_words(self) -> str:
        """What the samples were made of."""
        if self.data is None:
            return "not kept" if self.config.data else "procedural scenes"
        return ", ".join(part for part in (kinds_in_words(self.data), "procedural scenes") if part)


def read_run(path: Path, which: Which | None) -> RunWeights:
    """Read weights of a run.

    Args:
        path: The run's folder.
        which: `best` by the held-out score, or `last`; None is the best if there has been a validation.

    Raises:
        LanHdrError: If there is no run or it has no such weights, or a file in it is damaged.
    """
    folder = RunFolder(path)
    source = _source(folder, which)
    loaded = load_network(source)
    step = _step(loaded.record, source)
    curve = [row for row in folder.rows() if row["step"] <= step]
    sessions = [session for session in folder.sessions() if session.get("from_step", 0) <= step]
    found = [session["data"] for session in sessions if isinstance(session.get("data"), dict)]
    return RunWeights(
        source=source,
        network=loaded.network,
        config=_config(loaded.record, source),
        step=step,
        scores=next((scores for row in curve if row["step"] == step and (scores := _scores(row))), {}),
        curve=curve,
        data=found[-1] if found else None,
        session=sessions[-1] if sessions else {},
    )


def record_of(weights: RunWeights, *, name: str, licence: str | None, notes: Sequence[str]) -> dict[str, str]:
    """Collect what the file of weights says of itself.

    Args:
        weights: The weights.
        name: What they call themselves.
        licence: Under which they are given away; None leaves it out.
        notes: Known limits.
    """
    values = weights.config.as_dict()
    record = {
        "name": name,
        "step": str(weights.step),
        "samples": str(weights.samples),
        "training": json.dumps({key: value for key, value in values.items() if value is not None}),
        "data": weights.data_in_words,
        **{key: f"{value:.4f}" for key, value in weights.scores.items()},
        **{key: str(weights.session[key]) for key in ("lanhdr", "commit") if weights.session.get(key)},
    }
    if weights.session.get("modified"):
        record["modified"] = "True"
    record |= {"licence": licence} if licence else {}
    return record | ({"notes": "\n".join(notes)} if notes else {})


def write_weights(weights: RunWeights, path: Path, *, record: Mapping[str, str], half: bool) -> None:
    """Write the file to give away.

    Args:
        weights: The weights.
        path: The file, replaced if it exists.
        record: What it says of itself.
        half: Whether to store half precision.

    Raises:
        WeightsError: If the file can't be written.
    """
    save_network(weights.network, path, record=record, half=half)


def _source(folder: RunFolder, which: Which | None) -> Path:
    if not folder.path.is_dir():
        raise TrainError(f"{folder.path} is not a folder: pass the folder of a run, as given to lanhdr train -o")
    wanted: tuple[Which, ...] = (which,) if which else ("best", "last")
    for name in wanted:
        if folder.weights(name).is_file():
            return folder.weights(name)
    there = [name for name in ("best", "last") if folder.weights(name).is_file()]
    advice = f"pass --which {there[0]}" if there else "pass the folder of a run that has saved some"
    raise TrainError(f"{folder.path} holds no {' or '.join(f'{name}.safetensors' for name in wanted)}: {advice}")


def _step(record: Mapping[str, str], source: Path) -> int:
    try:
        return int(float(record["step"]))
    except (KeyError, ValueError) as error:
        raise TrainError(f"{source} does not say its step: pass a run of lanhdr train, untouched") from error


def _config(record: Mapping[str, str], source: Path) -> TrainConfig:
    try:
        values = json.loads(record["training"])
        names = {key: Path(values[key]).name for key in PATHS if values.get(key)}
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise TrainError(f"{source} does not say how it was trained: pass a run of lanhdr train, untouched") from error
    return TrainConfig.from_dict(values | names)


def _scores(row: Row) -> Row:
    return {name: value for name, value in row.items() if name.startswith("val_")}
