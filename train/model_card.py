"""A model card: what weights are, how they were trained, what they score, and where they fail, as Markdown."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from train.checkpoint import write_whole
from train.export import RunWeights
from train.run_folder import Row

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


def model_card(weights: RunWeights, wishes: CardWishes, *, command: str) -> str:
    """Write a card as Markdown.

    Args:
        weights: What it is about.
        wishes: What is to be said besides.
        command: What was typed to train them.
    """
    parts = [
        f"# {wishes.name}",
        _table(_facts(weights, wishes)),
        f"**Scores.** {_scores(weights)}",
        f"**Data.** Made on the fly of: {weights.data_in_words}.",
        f"**Training.** {_circumstances(weights)}\n\n```\n{command}\n```",
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
    write_whole(path, lambda partial: _write(partial, text))


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


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


def _scores(weights: RunWeights) -> str:
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
