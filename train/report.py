"""Tables and pictures of an evaluation."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import fmean

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from torch import Tensor

from model.color import mu_law
from train.errors import DatasetError
from train.evaluate import Result, Score

# An error of 0.1 on mu-law values is white in the picture of errors.
ERROR_GAIN = 10.0
ROLES = ("short", "middle", "long")


class Report:
    """Collects scores, and one frame of the clips that the last method did best and worst on."""

    def __init__(self) -> None:
        self.scores: list[Score] = []
        self._clip: list[Result] = []
        self._best: list[Result] = []
        self._worst: list[Result] = []

    def add(self, result: Result) -> None:
        """Take one result; those of a clip come together, the method that matters comes last."""
        if self._clip and self._clip[0].score.clip != result.score.clip:
            self._settle()
        self.scores.append(result.score)
        self._clip.append(result)

    def _settle(self) -> None:
        """Keep the finished clip if it is the best or the worst so far; of all others only scores stay."""
        if self._clip:
            if not self._best or _quality(self._clip) > _quality(self._best):
                self._best = self._clip
            if not self._worst or _quality(self._clip) < _quality(self._worst):
                self._worst = self._clip
        self._clip = []

    def print(self, console: Console) -> None:
        """Print two tables: PSNR_T per clip, and the means per method."""
        methods = list(dict.fromkeys(score.method for score in self.scores))
        console.print(self._clip_table(methods), self._mean_table(methods))

    def _clip_table(self, methods: Sequence[str]) -> Table:
        table = _table("PSNR_T per clip, dB", ["clip", *methods])
        for clip in dict.fromkeys(score.clip for score in self.scores):
            table.add_row(clip, *(f"{_mean(self._of(method, clip=clip), 'psnr_t'):.2f}" for method in methods))
        return table

    def _mean_table(self, methods: Sequence[str]) -> Table:
        roles = [role for role in ROLES if any(score.role == role for score in self.scores)]
        table = _table(
            "Mean over frames; PSNR_T also by the exposure of the reference frame",
            ["method", "PSNR_T", *(f"of {role}" for role in roles), "SSIM_T", "PSNR_L"],
        )
        for method in methods:
            scores = self._of(method)
            by_role = [[score for score in scores if score.role == role] for role in roles]
            table.add_row(
                method,
                f"{_mean(scores, 'psnr_t'):.2f}",
                *(f"{_mean(chosen, 'psnr_t'):.2f}" for chosen in by_role),
                f"{_mean(scores, 'ssim_t'):.4f}",
                f"{_mean(scores, 'psnr_l'):.2f}",
            )
        return table

    def _of(self, method: str, *, clip: str | None = None) -> list[Score]:
        return [score for score in self.scores if score.method == method and clip in (None, score.clip)]

    def write_json(self, path: Path) -> None:
        """Write the score of every frame.

        Raises:
            DatasetError: If the file cannot be written.
        """
        try:
            path.write_text(json.dumps([asdict(score) for score in self.scores], indent=1) + "\n", encoding="utf-8")
        except OSError as error:
            raise DatasetError(f"{path} cannot be written ({error.strerror}): choose another place") from error

    def write_pictures(self, folder: Path) -> list[Path]:
        """Write `best_CLIP.png` and `worst_CLIP.png`: per method a row of input, result, truth and error.

        Raises:
            DatasetError: If the folder cannot be written.
        """
        self._settle()
        written = []
        for rank, results in (("best", self._best), ("worst", self._worst)):
            path = folder / f"{rank}_{results[0].score.clip}.png"
            frame = results[0].score.frame
            sheet = np.concatenate([_row(result) for result in results if result.score.frame == frame])
            write_png(path, sheet)
            written.append(path)
        return written


def _quality(results: Sequence[Result]) -> float:
    last = results[-1].score.method
    return fmean(result.score.psnr_t for result in results if result.score.method == last)


def _mean(scores: Sequence[Score], value: str) -> float:
    return fmean(getattr(score, value) for score in scores)


def _table(title: str, columns: Sequence[str]) -> Table:
    table = Table(columns[0], title=title, title_justify="left")
    for column in columns[1:]:
        table.add_column(column, justify="right", overflow="fold")
    return table


def _row(result: Result) -> NDArray[np.uint8]:
    output, truth = mu_law(result.radiance), mu_law(result.truth)
    error = ERROR_GAIN * (output - truth).abs()
    return picture_row([result.reference, output, truth, error])


def picture_row(pictures: Sequence[Tensor]) -> NDArray[np.uint8]:
    """Put pictures side by side, ready for `write_png`; rows of one width stack by `np.concatenate`.

    Args:
        pictures: Fit to be shown (encoded or mu-law values), 0..1, beyond it clipped, each (3, H, W).

    Returns:
        8-bit codes, (H, sum of W, 3).
    """
    codes = (torch.cat(list(pictures), dim=2).clamp(0, 1) * 255).round().to(torch.uint8)
    return codes.permute(1, 2, 0).cpu().numpy()


def write_png(path: Path, pixels: NDArray[np.uint8]) -> None:
    """Write 8-bit R, G, B pixels (H, W, 3); folders are made.

    Raises:
        DatasetError: If the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        encoded, data = cv2.imencode(".png", pixels[..., ::-1])
        assert encoded
        path.write_bytes(data.tobytes())
    except OSError as error:
        raise DatasetError(f"{path} cannot be written ({error.strerror}): choose another folder") from error
