"""Weights of a run as a file to give away: with all that is known of them, and no path of this machine."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from model.pretrained import Network, load_network, save_network
from train.checkpoint import Row, RunFolder, write_atomically
from train.config import TrainConfig
from train.dry_run import format_sources
from train.errors import TrainError

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
        sessions: Environment and command of each session up to that step.
    """

    source: Path
    network: Network
    config: TrainConfig
    step: int
    scores: Row
    curve: Sequence[Row]
    data: dict[str, int] | None
    sessions: Sequence[Mapping[str, Any]]

    @property
    def session(self) -> Mapping[str, Any]:
        """The session that made these weights; empty if it is not known."""
        return self.sessions[-1] if self.sessions else {}

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
        return ", ".join(part for part in (format_sources(self.data), "procedural scenes") if part)


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
        scores=next((scores for row in curve if row["step"] == step and (scores := _row_scores(row))), {}),
        curve=curve,
        data=found[-1] if found else None,
        sessions=sessions,
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


def _row_scores(row: Row) -> Row:
    return {name: value for name, value in row.items() if name.startswith("val_")}


CURVE_ROWS = 12


@dataclass(frozen=True)
class CardWishes:
    """What a run does not know of its weights.

    Args:
        name: What the weights call themselves.
        file_name: Their file.
        licence: Under which they are given away; None if that is not said.
        notes: Known limits.
        half: Whether they are stored in half precision.
    """

    name: str
    file_name: str
    licence: str | None
    notes: tuple[str, ...]
    half: bool


def model_card(weights: RunWeights, wishes: CardWishes) -> str:
    """Write a card as Markdown.

    Args:
        weights: What it is about.
        wishes: What is to be said besides.
    """
    commands = [session["command"] for session in weights.sessions if "command" in session]
    code = "\n\n```\n" + "\n".join(commands) + "\n```" if commands else ""
    parts = [
        f"# {wishes.name}",
        _table(_facts(weights, wishes)),
        f"**Scores.** {_score_table(weights)}",
        f"**Data.** Made on the fly of: {weights.data_in_words}.",
        f"**Training.** {_circumstances(weights)}{code}",
        f"**Curve.** PSNR_T in dB, of the training a mean since the row before.\n\n{_table(_curve(weights.curve))}",
        f"**Licence.** {wishes.licence or 'Not stated.'}",
        "**Known limits.**" + ("".join(f"\n- {note}" for note in wishes.notes) or " None are noted."),
    ]
    return "\n\n".join(part for part in parts) + "\n"


def write_card(text: str, path: Path) -> None:
    """Write a card.

    Raises:
        TrainError: If the disk refuses.
    """
    write_atomically(path, text.encode())


def _facts(weights: RunWeights, wishes: CardWishes) -> list[list[str]]:
    config = weights.network.config
    return [
        ["file", "network", "exposures", "parameters", "stored as", "steps", "samples of two windows"],
        [
            f"`{wishes.file_name}`",
            f"{config.design}, {config.output}",
            str(config.nexps),
            f"{weights.parameters / 1e6:.2f} M",
            "float16" if wishes.half else "float32",
            f"{weights.step:,}",
            f"{weights.samples:,}",
        ],
    ]


def _score_table(weights: RunWeights) -> str:
    score = weights.scores.get("val_psnr_t")
    if score is None:
        return "These weights were not validated."
    start = weights.scores.get("val_start_psnr_t")
    over = f"; the start that they correct has {start:.2f} dB" if start is not None else ""
    config = weights.config
    origin = "held-out data" if config.validation_data else "other draws of the training data"
    size = f"{config.validation_samples} samples of {config.patch}x{config.patch} pixels"
    return f"PSNR_T {score:.2f} dB on {size}, {origin}{over}."


def _circumstances(weights: RunWeights) -> str:
    session = weights.session
    version = f"lanhdr {session.get('lanhdr', 'of an unknown version')}"
    commit = (
        f", commit {session['commit']}{' with changes' if session.get('modified') else ''}"
        if session.get("commit")
        else ""
    )
    place = f", torch {session['torch']} on {session.get('device', 'an unknown device')}" if "torch" in session else ""
    return f"{version}{commit}{place}; averaged weights after step {weights.step:,} of {weights.config.steps:,}."


def _curve(rows: Sequence[Row]) -> list[list[str]]:
    """Thin the rows of validations, else of training, to a few; the last stays."""
    validated = [row for row in rows if "val_psnr_t" in row]
    trained = [row for row in rows if "loss" in row]
    marks = _thinned([int(row["step"]) for row in validated or trained])
    table = [["step", "loss", "PSNR_T", *(["held out", "its start"] if validated else [])]]
    for before, step in zip([0, *marks], marks, strict=False):
        since = [row for row in trained if before < row["step"] <= step]
        held_out = next((row for row in validated if row["step"] == step), {})
        cells = [_mean(since, "loss", digits=4), _mean(since, "psnr_t", digits=2)]
        cells += [_cell(held_out, key) for key in ("val_psnr_t", "val_start_psnr_t")] if validated else []
        table.append([f"{step:,}", *cells])
    return table


def _thinned(steps: Sequence[int]) -> list[int]:
    every = -(-len(steps) // CURVE_ROWS) or 1
    return list(steps[::-1][::every][::-1])


def _mean(rows: Sequence[Row], key: str, *, digits: int) -> str:
    values = [row[key] for row in rows if key in row]
    return f"{sum(values) / len(values):.{digits}f}" if values else "-"


def _cell(row: Row, key: str) -> str:
    return f"{row[key]:.2f}" if key in row else "-"


def _table(rows: Sequence[Sequence[str]]) -> str:
    head, *body = ("| " + " | ".join(row) + " |" for row in rows)
    return "\n".join([head, "| " + " | ".join("---" for _ in rows[0]) + " |", *body])
