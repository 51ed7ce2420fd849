"""How well clips of consumer cameras come back: `convert` and two merges, by what they are told of the camera.

`python -m benchmarks.real_clips --clips DIR` makes the clips once in DIR and prints PSNR_T per clip, over all frames,
those with a short and those with a long reference, after one fitted scale per clip. `--told` chooses what is said:
nothing, exposures, curve (exposures and the measured curve), gamma (exposures and --response gamma2.2).
"""

import argparse
import contextlib
import io
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.consumer_clips import made_clips, read_clip
from lanhdr_cli.main import cli
from model.color import mu_law
from model.response import ResponseCurve, table_curve
from train.baselines import interpolate_equal_exposures, merge_by_flow_and_noise
from train.curve_file import read_curve
from train.datasets.pictures import read_radiance
from train.metrics import psnr

RADIUS = 2  # frames of a window at either side
TOLD = ("nothing", "exposures", "curve", "gamma")
BASELINES = {"noise-aware": merge_by_flow_and_noise, "interpolation": interpolate_equal_exposures}
METHODS = ("lanhdr", *BASELINES)
NOT_RUN = "–"  # noqa: RUF001


@dataclass(frozen=True)
class Score:
    """PSNR_T of a method on a clip, dB.

    Args:
        by_frame: Of each frame.
        short: Whether the frame's exposure is the shortest.
        message: Why there is none.
    """

    by_frame: Tensor
    short: Tensor
    message: str = ""

    @property
    def means(self) -> tuple[float, float, float]:
        """Of all frames, those with a short and those with a long reference."""
        return tuple(float(self.by_frame[part].mean()) for part in (self.short | True, self.short, ~self.short))  # type: ignore[return-value]


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
    """All that is run: merges know as much as a curve, or gamma 2.2 besides the exposures."""
    merges = [Row(method, word) for method in methods if method in BASELINES for word in ("curve", "gamma")]
    return [
        *(Row("lanhdr", word) for word in told if "lanhdr" in methods),
        *(row for row in merges if row.told in told),
    ]


def scored(row: Row, clip: Path, *, frames: int, weights: Path | None) -> Score:
    """Run a method over a clip."""
    codes, exposures, truth = read_clip(clip)
    numbers = range(RADIUS, min(frames, len(codes)) - RADIUS)
    if row.method == "lanhdr":
        found = converted(clip, row.told, numbers, exposures=exposures, weights=weights)
        if isinstance(found, str):
            return Score(torch.empty(0), torch.empty(0), found)
    else:
        ldr = known_curve(clip).to_ldr(codes) if row.told == "curve" else codes
        found = merged(BASELINES[row.method], ldr, exposures, numbers)
    wanted = truth[numbers.start : numbers.stop]
    likeness = psnr(mu_law((found * fitted_scale(found, wanted)).clamp(0, 1)), mu_law(wanted))
    return Score(likeness, exposures[numbers.start : numbers.stop] == exposures.min())


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


def table(scores: dict[tuple[str, Row], Score], clips: Sequence[str], shown: Sequence[Row]) -> str:
    """All scores in Markdown: all / short reference / long reference."""
    lines = [("clip", *(row.title for row in shown)), ("---", *["---:"] * len(shown))]
    lines += [(clip, *(_cell(scores[clip, row]) for row in shown)) for clip in clips]
    lines.append(("mean", *(_mean([scores[clip, row] for clip in clips]) for row in shown)))
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _cell(score: Score) -> str:
    return "refused" if score.message else " / ".join(f"{value:.2f}" for value in score.means)


def _mean(scores: Sequence[Score]) -> str:
    known = [score.means for score in scores if not score.message]
    refused = len(scores) - len(known)
    means = " / ".join(f"{sum(values) / len(known):.2f}" for values in zip(*known, strict=True)) if known else NOT_RUN
    return means + (f" ({refused} refused)" if refused else "")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data/test"), help="HDR pictures and brackets/")
    parser.add_argument("--clips", type=Path, help="folder that keeps the clips")
    parser.add_argument("--only", nargs="+", default=(), metavar="CLIP", help="these clips")
    parser.add_argument("--limit", type=int, help="the first so many clips")
    parser.add_argument("--frames", type=int, default=12, help="of each clip; all but two at either end are scored")
    parser.add_argument("--told", nargs="+", choices=TOLD, default=TOLD, help="what of the camera is said")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    parser.add_argument("--weights", type=Path, help="instead of the bundled ones")
    parser.add_argument("--threads", type=int, default=1)
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    begin = time.monotonic()
    with contextlib.ExitStack() as stack:
        folder = chosen.clips or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        clips = list(made_clips(folder, chosen.data, tuple(chosen.only)))[: chosen.limit]
        shown = rows(chosen.methods, chosen.told)
        scores = {
            (clip.name, row): scored(row, clip, frames=chosen.frames, weights=chosen.weights)
            for clip in clips
            for row in shown
        }
    print("PSNR_T, dB, of all frames / with a short reference / with a long reference:\n")
    print(table(scores, [clip.name for clip in clips], shown))
    for (clip, row), score in scores.items():
        if score.message:
            print(f"{clip}, {row.title}: {score.message}")
    print(f"{time.monotonic() - begin:.0f} s")


if __name__ == "__main__":
    main()
