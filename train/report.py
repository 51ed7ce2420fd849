"""What an evaluation leaves: tables, a file of all scores, pictures of the worst places."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from torch import Tensor

from model.color import mu_law
from train.contenders import Contender
from train.errors import DatasetError
from train.measures import BY_KEY
from train.montage import ERROR_GAIN, caption, encode_png, picture_row
from train.scoring import Case, Crop, Score, ScoredClip, reconstructed
from train.sheets import Sheet, clip_sheet, mean_sheet


class Report:
    """Collects scores, and the frames that the last method did worst on, one of each clip.

    Args:
        worst: How many frames to keep for pictures.
        cost: What times are measured on, for the table's heading.
    """

    def __init__(self, *, worst: int = 0, cost: str = "CPU") -> None:
        self.scores: list[Score] = []
        self._worst: list[tuple[Crop, Case]] = []
        self._count, self._cost = worst, cost

    def add(self, clip: ScoredClip) -> None:
        """Take the scores of a clip; the method that matters comes last."""
        self.scores += clip.scores
        last = clip.scores[-1].method
        crops = [score.crop for score in clip.scores if score.method == last]
        crop, case = max(zip(crops, clip.cases, strict=True), key=lambda pair: pair[0].error)
        self._worst = sorted([*self._worst, (crop, case)], key=lambda pair: -pair[0].error)[: self._count]

    def sheets(self, per_clip: Sequence[str] = ("psnr_t",)) -> list[Sheet]:
        """Tables: some measures (by key) clip by clip, then the means of all."""
        tables = [clip_sheet(self.scores, BY_KEY[key]) for key in per_clip]
        return [*tables, mean_sheet(self.scores, cost=self._cost)]

    def write_pictures(self, folder: Path, contenders: Sequence[Contender]) -> list[Path]:
        """Write `worst1_CLIP.png` and so on: per method a row of input, result, truth and ten times the error.

        Args:
            folder: Made if it does not exist.
            contenders: Those that were scored; they run again on these frames.

        Returns:
            The files, the worst first.

        Raises:
            DatasetError: If the folder cannot be written.
        """
        paths = []
        for rank, (crop, case) in enumerate(self._worst, start=1):
            paths.append(folder / f"worst{rank}_{case.clip}.png")
            write_png(paths[-1], crop_sheet(contenders, case, crop=crop))
        return paths


def print_sheets(sheets: Sequence[Sheet], console: Console) -> None:
    """Print tables for the terminal."""
    console.print(*(sheet.console_table() for sheet in sheets))


def write_markdown(path: Path, sheets: Sequence[Sheet]) -> None:
    """Write tables as Markdown.

    Raises:
        DatasetError: If the file cannot be written.
    """
    write_text(path, "\n".join(sheet.markdown() for sheet in sheets))


def write_scores(path: Path, scores: Sequence[Score], *, about: Mapping[str, object]) -> None:
    """Write `{"about": ..., "scores": [...]}` as JSON, one entry per method and frame.

    Args:
        path: The file.
        scores: Of all frames.
        about: How the scores came to be.

    Raises:
        DatasetError: If the file cannot be written.
    """
    write_text(path, json.dumps({"about": about, "scores": [_flat(score) for score in scores]}, indent=1) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a text file.

    Raises:
        DatasetError: If the file cannot be written.
    """
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise DatasetError(f"{path} cannot be written ({error.strerror}): choose another place") from error


def crop_sheet(contenders: Sequence[Contender], case: Case, *, crop: Crop) -> NDArray[np.uint8]:
    """Show a place of a frame: per method a caption above input, result, truth and ten times the error.

    Args:
        contenders: Methods.
        case: The frame.
        crop: The place.

    Returns:
        8-bit codes, (rows * (16 + side), 4 * side, 3).
    """
    rows = []
    for contender in contenders:
        for name, output in zip(contender.names, reconstructed(contender, case), strict=True):
            rows += [caption([name], width=4 * crop.side), _row(case, output, crop=crop)]
    return np.concatenate(rows)


def _row(case: Case, radiance: Tensor, *, crop: Crop) -> NDArray[np.uint8]:
    output, truth = mu_law(radiance), mu_law(case.truth)
    pictures = [case.reference, output, truth, ERROR_GAIN * (output - truth).abs()]
    rows, columns = slice(crop.top, crop.top + crop.side), slice(crop.left, crop.left + crop.side)
    return picture_row([picture[:, rows, columns] for picture in pictures])


def _flat(score: Score) -> dict[str, object]:
    return {key: value for key, value in asdict(score).items() if key != "values"} | score.values


def write_png(path: Path, pixels: NDArray[np.uint8]) -> None:
    """Write 8-bit R, G, B pixels (H, W, 3); folders are made.

    Raises:
        DatasetError: If the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode_png(pixels))
    except OSError as error:
        raise DatasetError(f"{path} cannot be written ({error.strerror}): choose another folder") from error
