"""Export of a run's weights: a file without paths of this machine, and a model card."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from model.pretrained import Network, load_network
from train.checkpoint import Row, RunFolder
from train.config import TrainConfig
from train.dry_run import format_sources
from train.errors import TrainError

Which = Literal["best", "last"]
PATHS = ("data", "validation_data", "init", "recipe")  # values of a config that are paths, or None
CURVE_ROWS = 12


@dataclass(frozen=True, kw_only=True)
class RunWeights:
    """Averaged weights of a run, and how they were trained."""

    source: Path
    network: Network
    config: TrainConfig  # config of the run, with names in place of paths
    step: int
    scores: Row  # held-out scores of these weights, by name; empty if they were not validated
    curve: Sequence[Row]  # rows of metrics up to that step
    data: str  # the training data in words
    sessions: Sequence[Mapping[str, Any]]  # environment and command of each session up to that step
    session: Mapping[str, Any]  # the one that made these weights; empty if it is not known


def read_run(path: Path, which: Which | None) -> RunWeights:
    """Read weights of a run.

    Args:
        which: `best` by the held-out score, or `last`; None is the best if there has been a validation.

    Raises:
        LanHdrError: If there is no run or it has no such weights, or a file in it is damaged.
    """
    folder = RunFolder(path)
    source = _find_weights(folder, which)
    loaded = load_network(source)
    try:
        step = int(float(loaded.record["step"]))
    except (KeyError, ValueError) as error:
        raise TrainError(f"{source} does not say its step: pass a run of lanhdr train, untouched") from error
    try:
        values = json.loads(loaded.record["training"])
        values |= {key: Path(values[key]).name for key in PATHS if values.get(key)}
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise TrainError(f"{source} does not say how it was trained: pass a run of lanhdr train, untouched") from error
    curve = [row for row in folder.rows() if row["step"] <= step]
    validations = [row for row in curve if row["step"] == step and "val_psnr_t" in row]
    sessions = [session for session in folder.sessions() if session.get("from_step", 0) <= step]
    config = TrainConfig.from_dict(values)
    counts = [session["data"] for session in sessions if isinstance(session.get("data"), dict)]
    if counts:
        data = ", ".join(part for part in (format_sources(counts[-1]), "procedural scenes") if part)
    else:
        data = "not kept" if config.data else "procedural scenes"
    return RunWeights(
        source=source,
        network=loaded.network,
        config=config,
        step=step,
        scores={key: value for row in validations for key, value in row.items() if key.startswith("val_")},
        curve=curve,
        data=data,
        sessions=sessions,
        session=sessions[-1] if sessions else {},
    )


def export_record(weights: RunWeights, *, name: str, licence: str | None, notes: Sequence[str]) -> dict[str, str]:
    """Collect the record that the file of weights carries."""
    values = {key: value for key, value in dataclasses.asdict(weights.config).items() if value is not None}
    record = {
        "name": name,
        "step": str(weights.step),
        "samples": str(weights.step * weights.config.batch),
        "training": json.dumps(values),
        "data": weights.data,
        **{key: f"{value:.4f}" for key, value in weights.scores.items()},
        **{key: str(weights.session[key]) for key in ("lanhdr", "commit") if weights.session.get(key)},
    }
    if weights.session.get("modified"):
        record["modified"] = "True"
    if licence:
        record["licence"] = licence
    if notes:
        record["notes"] = "\n".join(notes)
    return record


def _find_weights(folder: RunFolder, which: Which | None) -> Path:
    if not folder.path.is_dir():
        raise TrainError(f"{folder.path} is not a folder: pass the folder of a run, as given to lanhdr train -o")
    existing = [name for name in ("best", "last") if folder.weights(name).is_file()]
    names = [which] if which else ["best", "last"]
    for name in names:
        if name in existing:
            return folder.weights(name)
    advice = f"pass --which {existing[0]}" if existing else "pass the folder of a run that has saved some"
    raise TrainError(f"{folder.path} holds no {' or '.join(f'{name}.safetensors' for name in names)}: {advice}")


@dataclass(frozen=True, kw_only=True)
class CardOptions:
    """What a model card says that the run does not know."""

    name: str
    file_name: str
    licence: str | None  # their licence; None if that is not stated
    notes: tuple[str, ...]
    half: bool


def model_card(weights: RunWeights, options: CardOptions) -> str:
    """Write a model card as Markdown."""
    network, config, session = weights.network.config, weights.config, weights.session
    facts = {
        "file": f"`{options.file_name}`",
        "network": f"{network.design}, {network.output}",
        "exposures": str(network.nexps),
        "parameters": f"{sum(values.numel() for values in weights.network.parameters()) / 1e6:.2f} M",
        "stored as": "float16" if options.half else "float32",
        "steps": f"{weights.step:,}",
        "samples of two windows": f"{weights.step * config.batch:,}",
    }
    scores = "These weights were not validated."
    if "val_psnr_t" in weights.scores:
        origin = "held-out data" if config.validation_data else "other draws of the training data"
        size = f"{config.validation_samples} samples of {config.patch}x{config.patch} pixels"
        scores = f"PSNR_T {weights.scores['val_psnr_t']:.2f} dB on {size}, {origin}"
        if "val_start_psnr_t" in weights.scores:
            scores += f"; the start that they correct has {weights.scores['val_start_psnr_t']:.2f} dB"
        scores += "."
    training = f"lanhdr {session.get('lanhdr', 'of an unknown version')}"
    if session.get("commit"):
        training += f", commit {session['commit']}{' with changes' if session.get('modified') else ''}"
    if "torch" in session:
        training += f", torch {session['torch']} on {session.get('device', 'an unknown device')}"
    commands = [session["command"] for session in weights.sessions if "command" in session]
    parts = [
        f"# {options.name}",
        _markdown_table([list(facts), list(facts.values())]),
        f"**Scores.** {scores}",
        f"**Data.** Made on the fly of: {weights.data}.",
        f"**Training.** {training}; averaged weights after step {weights.step:,} of {config.steps:,}.",
        *(["\n".join(["```", *commands, "```"])] if commands else []),
        f"**Curve.** PSNR_T in dB, of the training a mean since the row before.\n\n{_curve_table(weights.curve)}",
        f"**Licence.** {options.licence or 'Not stated.'}",
        "**Known limits.**" + ("".join(f"\n- {note}" for note in options.notes) or " None are noted."),
    ]
    return "\n\n".join(parts) + "\n"


def _curve_table(rows: Sequence[Row]) -> str:
    """Thin the rows of validations, else of training, to a few; the last stays."""
    validations = [row for row in rows if "val_psnr_t" in row]
    trained = [row for row in rows if "loss" in row]
    steps = [int(row["step"]) for row in validations or trained]
    steps = steps[::-1][:: -(-len(steps) // CURVE_ROWS) or 1][::-1]
    table = [["step", "loss", "PSNR_T", *(["held out", "its start"] if validations else [])]]
    for before, step in zip([0, *steps], steps, strict=False):
        since = [row for row in trained if before < row["step"] <= step]
        cells = [f"{step:,}"]
        for key, digits in (("loss", 4), ("psnr_t", 2)):
            values = [row[key] for row in since if key in row]
            cells.append(f"{sum(values) / len(values):.{digits}f}" if values else "-")
        if validations:
            scores: Row = next((row for row in validations if row["step"] == step), {})
            cells += [f"{scores[key]:.2f}" if key in scores else "-" for key in ("val_psnr_t", "val_start_psnr_t")]
        table.append(cells)
    return _markdown_table(table)


def _markdown_table(rows: Sequence[Sequence[str]]) -> str:
    head, *body = ("| " + " | ".join(row) + " |" for row in rows)
    return "\n".join([head, "| " + " | ".join("---" for _ in rows[0]) + " |", *body])
