"""How well clips of consumer cameras come back: `convert` and two merges, by what they are told of the camera.

`python -m benchmarks.real_clips --clips DIR` makes the clips once in DIR and prints PSNR_T per clip, over all frames,
those with a short and those with a long reference, after one fitted scale per clip; then what `lanhdr eval --no-truth`
measures, without a scale: what the reference shows itself (own) and what it does not (fill). These favor whoever copies
what they are compared with, noise and all, so the same parts are compared with the truth as well. `--told` chooses what
is said: nothing, exposures, curve (exposures and the measured curve), gamma (exposures and --response gamma2.2).
"""

import argparse
import contextlib
import io
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.consumer_clips import made_clips, read_clip
from lanhdr_cli.main import cli
from model.color import mu_law
from model.response import ResponseCurve, table_curve
from train.data.images import read_radiance
from train.data.response_curve import read_curve
from train.evaluation.baselines import interpolate_equal_exposures, merge_by_flow_and_noise
from train.evaluation.benchmarks.catalog import open_benchmark
from train.evaluation.metrics import Evidence, Part, evidence_of, psnr
from train.montage import caption, encode_png, picture_row

RADIUS = 2  # frames of a window at either side
TOLD = ("nothing", "exposures", "curve", "gamma")
BASELINES = {"noise-aware": merge_by_flow_and_noise, "interpolation": interpolate_equal_exposures}
METHODS = ("lanhdr", *BASELINES)
NOT_RUN = "–"  # noqa: RUF001


@dataclass(frozen=True)
class Score:
    """PSNR_T of a method on the frames of a clip, dB, NaN where nothing is judged.

    Args:
        short: Whether the frame's exposure is the shortest.
        whole: Of whole frames, after one fitted scale.
        own: Of what the reference shows itself, against it.
        fill: Of what it does not show, against the frames of another exposure around it.
        own_true: Of the part of `own` against the truth, after the fitted scale.
        fill_true: Of that of `fill`, likewise.
        message: Why there is none.
    """

    short: Tensor
    whole: Tensor
    own: Tensor
    fill: Tensor
    own_true: Tensor
    fill_true: Tensor
    message: str = ""


def refusal(message: str) -> Score:
    """What a method scores that refuses a clip."""
    nothing = torch.empty(0)
    return Score(nothing, nothing, nothing, nothing, nothing, nothing, message)


@dataclass(frozen=True)
class Row:
    """A method and what it is told."""

    method: str
    told: str

    @property
    def title(self) -> str:
        """For tables."""
        return f"{self.method}, {self.told}"


def rows(methods: Sequence[str], told: Sequence[str]) -> list[Row]:
    """All that is run: merges know a curve, or take what they are told no more of for gamma 2.2."""
    ours = [Row("lanhdr", word) for word in told if "lanhdr" in methods]
    known = [word for word in ("curve", "gamma") if word in told or (word == "gamma" and "exposures" in told)]
    return [*ours, *(Row(method, word) for method in methods if method in BASELINES for word in known)]


@dataclass(frozen=True)
class Judged:
    """The frames of a clip that are judged.

    Args:
        folder: Where the clip is.
        numbers: Of the frames.
        codes: Of all frames as stored, 0..1, (T, 3, H, W).
        exposures: Of all frames, (T).
        truth: Of those that are judged, (N, 3, H, W).
    """

    folder: Path
    numbers: range
    codes: Tensor
    exposures: Tensor
    truth: Tensor

    @classmethod
    def read(cls, folder: Path, frames: int) -> "Judged":
        """Read the first frames of a clip; all but two at either end are judged."""
        codes, exposures, truth = read_clip(folder)
        numbers = range(RADIUS, min(frames, len(codes)) - RADIUS)
        return cls(folder, numbers, codes, exposures, truth[numbers.start : numbers.stop])

    @property
    def short(self) -> Tensor:
        """Which of those that are judged have the shortest exposure, (N)."""
        return self.exposures[self.numbers.start : self.numbers.stop] == self.exposures.min()


def reconstructed(row: Row, clip: Judged, *, weights: Path | None) -> Tensor | str:
    """Run a method over a clip: radiance, (N, 3, H, W), or the message with which it refuses."""
    if row.method == "lanhdr":
        return converted(clip.folder, row.told, clip.numbers, exposures=clip.exposures, weights=weights)
    ldr = known_curve(clip.folder).to_ldr(clip.codes) if row.told == "curve" else clip.codes
    return merged(BASELINES[row.method], ldr, clip.exposures, clip.numbers)


def scored(found: Tensor | str, clip: Judged) -> Score:
    """Score what a method made of a clip."""
    if isinstance(found, str):
        return refusal(found)
    scaled = (found * fitted_scale(found, clip.truth)).clamp(0, 1)
    found = found.clamp(0, 1)
    parts = [evidence(clip.folder, number) for number in clip.numbers]
    own, fill = [part.own for part in parts], [part.fill for part in parts]
    own_true, fill_true = (
        [replace(part, target=light) for part, light in zip(side, clip.truth, strict=True)] for side in (own, fill)
    )
    return Score(
        short=clip.short,
        whole=psnr(mu_law(scaled), mu_law(clip.truth)),
        own=_of_parts(own, found),
        fill=_of_parts(fill, found),
        own_true=_of_parts(own_true, scaled),
        fill_true=_of_parts(fill_true, scaled),
    )


def _of_parts(parts: Sequence[Part], found: Tensor) -> Tensor:
    scores = (part.psnr_t(frame) for part, frame in zip(parts, found, strict=True))
    return torch.tensor([float("nan") if score is None else float(score) for score in scores])


@lru_cache(maxsize=64)
def evidence(clip: Path, number: int) -> Evidence:
    """What stands in for the truth of a frame, by the measured curve."""
    (scene,) = open_benchmark("folder", clip, nexps=2).scenes
    return evidence_of(scene, number)


def known_curve(clip: Path) -> ResponseCurve:
    """The curve that stands beside a clip."""
    return table_curve("measured", read_curve(clip / "response.csv"))


def merged(method: Callable[[Tensor, Tensor], Tensor], ldr: Tensor, exposures: Tensor, numbers: range) -> Tensor:
    """Run a merge window by window, (T, 3, H, W)."""
    windows = [slice(number - RADIUS, number + RADIUS + 1) for number in numbers]
    return torch.stack([method(ldr[window], exposures[window]) for window in windows])


def converted(clip: Path, told: str, numbers: range, *, exposures: Tensor, weights: Path | None) -> Tensor | str:
    """Run `lanhdr convert` in this process and read what it wrote, (T, 3, H, W); the message if it refuses."""
    cycle = f"--exposures={exposures[0]:.6g},{exposures[1]:.6g}"
    words = {
        "nothing": [],
        "exposures": [cycle],
        "curve": [cycle, f"--response={clip / 'response.csv'}"],
        "gamma": [cycle, "--response=gamma2.2"],
    }[told]
    chosen = [f"--weights={weights}"] if weights else []
    with tempfile.TemporaryDirectory() as folder:
        command = ["convert", str(clip), "-o", f"{folder}/", "--scale=1", "-q", f"--frames={numbers[0]}-{numbers[-1]}"]
        talk = io.StringIO()
        with contextlib.redirect_stderr(talk):
            code = cli.main([*command, *words, *chosen], standalone_mode=False)
        if code:
            return talk.getvalue().strip()
        pictures = [torch.from_numpy(read_radiance(path)) for path in sorted(Path(folder).glob("*.exr"))]
        return torch.stack(pictures).permute(0, 3, 1, 2).float()


def fitted_scale(found: Tensor, truth: Tensor) -> float:
    """The factor that brings a clip to its truth, by the median of what is well exposed."""
    well = (truth > 0.02) & (truth < 0.5)
    return float((truth[well] / found[well].clamp(min=1e-6)).median())


def tables(scores: dict[tuple[str, Row], Score], clips: Sequence[str], shown: Sequence[Row]) -> str:
    """All scores in Markdown."""
    kinds = {
        "PSNR_T, dB: all frames / short reference / long reference": lambda score: _by_role(score.whole, score.short),
        "Own, dB: short reference / long reference": lambda score: _by_role(score.own, score.short)[1:],
        "Fill, dB: short reference / long reference": lambda score: _by_role(score.fill, score.short)[1:],
        "Own against the truth, dB: likewise": lambda score: _by_role(score.own_true, score.short)[1:],
        "Fill against the truth, dB: likewise": lambda score: _by_role(score.fill_true, score.short)[1:],
    }
    return "\n".join(f"{title}:\n\n{_table(scores, clips, shown, of)}" for title, of in kinds.items())


def _table(
    scores: dict[tuple[str, Row], Score], clips: Sequence[str], shown: Sequence[Row], of: Callable[[Score], list[float]]
) -> str:
    lines = [("clip", *(row.title for row in shown)), ("---", *["---:"] * len(shown))]
    for clip in clips:
        found = (scores[clip, row] for row in shown)
        lines.append((clip, *("refused" if score.message else _cell(of(score)) for score in found)))
    lines.append(("mean", *(_mean([scores[clip, row] for clip in clips], of) for row in shown)))
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _by_role(values: Tensor, short: Tensor) -> list[float]:
    """Means over all frames, those with a short and those with a long reference."""
    return [float(values[part].nanmean()) for part in (short | True, short, ~short)]


def _cell(values: Sequence[float]) -> str:
    return " / ".join(NOT_RUN if value != value else f"{value:.2f}" for value in values)


def _mean(scores: Sequence[Score], of: Callable[[Score], list[float]]) -> str:
    known = [of(score) for score in scores if not score.message]
    refused = len(scores) - len(known)
    means = _cell(torch.tensor(known).nanmean(0).tolist()) if known else NOT_RUN
    return means + (f" ({refused} refused)" if refused else "")


def write_picture(path: Path, clip: Judged, results: dict[Row, Tensor | str]) -> None:
    """Show a short and a long reference as stored, what methods made of them, and the truth, as mu-law values."""
    made = {
        row.title: found * fitted_scale(found, clip.truth) for row, found in results.items() if torch.is_tensor(found)
    }
    views = []
    for short in (True, False):
        place = int((clip.short == short).nonzero()[0])
        shown = [clip.codes[clip.numbers[place]], *(mu_law(found[place].clamp(0, 1)) for found in made.values())]
        views.append(picture_row([*shown, mu_law(clip.truth[place])]))
    words = caption(["stored", *made, "truth"], width=views[0].shape[1])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_png(np.concatenate([words, *views])))


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data/test"), help="HDR pictures and brackets/")
    parser.add_argument("--clips", type=Path, help="folder that keeps the clips")
    parser.add_argument("--only", nargs="+", default=(), metavar="CLIP", help="these clips")
    parser.add_argument("--limit", type=int, help="the first so many clips")
    parser.add_argument("--frames", type=int, default=12, help="of each clip; all but two at either end are scored")
    parser.add_argument("--told", nargs="+", choices=TOLD, default=TOLD, help="what of the camera is said")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    parser.add_argument("--weights", type=Path, help="instead of the bundled ones")
    parser.add_argument("--pictures", type=Path, help="folder for a picture of each clip: a short and a long reference")
    parser.add_argument("--threads", type=int, default=1)
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    begin = time.monotonic()
    with contextlib.ExitStack() as stack:
        kept = chosen.clips or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        clips = list(made_clips(kept, chosen.data, tuple(chosen.only)))[: chosen.limit]
        shown = rows(chosen.methods, chosen.told)
        scores: dict[tuple[str, Row], Score] = {}
        for folder in clips:
            clip = Judged.read(folder, chosen.frames)
            results = {row: reconstructed(row, clip, weights=chosen.weights) for row in shown}
            scores |= {(folder.name, row): scored(found, clip) for row, found in results.items()}
            if chosen.pictures:
                write_picture(chosen.pictures / f"{folder.name}.png", clip, results)
    print(tables(scores, [clip.name for clip in clips], shown))
    for (name, row), score in scores.items():
        if score.message:
            print(f"{name}, {row.title}: {score.message}")
    print(f"{time.monotonic() - begin:.0f} s")


if __name__ == "__main__":
    main()
