"""Robustness: the loss of scores by wrong assumptions and bad footage."""

import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from importlib.util import find_spec

import numpy as np
import torch
from torch import Tensor

from model.analysis.response import response_from_frames
from model.color import mu_law
from model.errors import ResponseError
from model.exposure import ExposureCycle
from model.frames import exposure_windows
from model.response import gamma_curve
from train.evaluation.baselines import fetch, optical_flow
from train.evaluation.benchmarks.scene import scene_of
from train.evaluation.benchmarks.synthetic import Clip
from train.evaluation.methods import Method
from train.evaluation.metrics import BY_KEY
from train.evaluation.results import FrameScore
from train.evaluation.scoring import Rules, evaluate
from train.evaluation.tables import Means, Sheet
from train.synthesis.capture import Capture, expose
from train.synthesis.dataset import to_tensor

GAMMAS = (2.0, 2.4)
RATIOS = (2, 4, 8, 16, 32, 64)
MOMENTS = 9
# quality of JPEG where PyAV is absent, by the constant rate factor of x264
JPEG_QUALITY = {23: 80, 30: 60}


@dataclass(frozen=True)
class Disturbance:
    """A way in which footage is worse than assumed.

    Args:
        apply: Makes the disturbed clip; several, one window long, if windows are disturbed one by one.
    """

    name: str
    apply: Callable[[Clip], Sequence[Clip]]


def disturbances() -> list[Disturbance]:
    """Return all disturbances; the first is none at all, which the others are compared with."""
    return [
        _capture("undisturbed", lambda camera: camera),
        Disturbance("stated ratio 10 % too high", lambda clip: [_misstated(clip, 1.1)]),
        Disturbance("stated ratio 10 % too low", lambda clip: [_misstated(clip, 0.9)]),
        *(_gamma(gamma) for gamma in GAMMAS),
        *(_gamma(gamma, found=True) for gamma in GAMMAS),
        _compression(23),
        _compression(30),
        Disturbance("motion blur, shutter 0.5", lambda clip: [_retaken(clip, radiance=_blurred(clip, shutter=0.5))]),
        Disturbance("the next frame dropped", _with_gaps),
        _capture("noise doubled", lambda camera: replace(camera, shot=4 * camera.shot, read=2 * camera.read)),
        _capture("6 bits", lambda camera: replace(camera, bits=6)),
        *(_ratio(ratio) for ratio in RATIOS),
    ]


def _capture(name: str, change: Callable[[Capture], Capture]) -> Disturbance:
    return Disturbance(name, lambda clip: [_retaken(replace(clip, capture=change(clip.capture)))])


def _gamma(gamma: float, *, found: bool = False) -> Disturbance:
    """Take the frames through another power, which is taken for 2.2 or found from the clip, as a conversion does."""
    wrong = _capture(f"true gamma {gamma}, taken for 2.2", lambda camera: replace(camera, gamma=gamma))
    right = Disturbance(f"true gamma {gamma}, response found", lambda clip: [_linearised(*wrong.apply(clip))])
    return right if found else wrong


def _linearised(clip: Clip) -> Clip:
    """Encode the frames anew with 1/2.2 by the response that they show themselves."""
    try:
        curve = response_from_frames(list(clip.ldr), clip.exposures.tolist()).curve
    except ResponseError:  # too little is seen at two exposures
        curve = gamma_curve()
    return replace(clip, ldr=curve.to_ldr(clip.ldr), precision=curve.precision().tensor())


def _compression(crf: int) -> Disturbance:
    """H.264 over the clip as it was shot, all exposures in one stream; JPEG frame by frame without PyAV."""
    if find_spec("av"):
        return _capture(f"H.264, crf {crf}", lambda camera: replace(camera, h264_crf=crf))
    quality = JPEG_QUALITY[crf]
    return _capture(f"JPEG, quality {quality}", lambda camera: replace(camera, jpeg_quality=quality))


def _ratio(ratio: int) -> Disturbance:
    """Take longer or shorter long exposures; the short ones stay, so the truth stays as it is."""

    def apply(clip: Clip) -> Sequence[Clip]:
        steps = torch.unique(clip.exposures)  # sorted
        position = torch.searchsorted(steps, clip.exposures) / (len(steps) - 1)  # 0 for the shortest, 1 the longest
        return [_retaken(replace(clip, exposures=ratio**position))]

    return Disturbance(f"longest over shortest exposure {ratio}", apply)


def _retaken(clip: Clip, *, radiance: Tensor | None = None) -> Clip:
    """Take the frames again, of another radiance than the truth if one is given."""
    seen = clip.radiance if radiance is None else radiance
    pixels = np.ascontiguousarray(seen.permute(0, 2, 3, 1).numpy())  # (T, H, W, 3)
    rng = np.random.default_rng(zlib.crc32(clip.name.encode()))
    ldr = expose(pixels, clip.exposures.tolist(), capture=clip.capture, rng=rng)
    return replace(clip, ldr=to_tensor(ldr), precision=clip.capture.precision.tensor())


def _misstated(clip: Clip, factor: float) -> Clip:
    """State all but the shortest exposure wrongly."""
    taken = _retaken(clip)
    stated = torch.where(taken.exposures > taken.exposures.min(), factor * taken.exposures, taken.exposures)
    return replace(taken, exposures=stated)


def _blurred(clip: Clip, *, shutter: float) -> Tensor:
    """Average radiance over each frame's exposure, along the flow between true frames.

    The longest exposure opens for `shutter` of a frame's time, shorter ones for as much less as they are shorter. The
    truth stays the moment in its middle, so blur that no method undoes counts as a loss.
    """
    still, frames = torch.ones(()), []
    for frame, opened in enumerate((shutter * clip.exposures / clip.exposures.max()).tolist()):
        neighbor = frame + 1 if frame + 1 < len(clip.radiance) else frame - 1
        pair = mu_law(clip.radiance[frame]), mu_law(clip.radiance[neighbor])
        flow = optical_flow(*pair, exposures=(still, still))
        moments = np.linspace(-opened / 2, opened / 2, MOMENTS, dtype=np.float32)
        frames.append(torch.stack([fetch(clip.radiance[frame], moment * flow)[0] for moment in moments]).mean(0))
    return torch.stack(frames)


@dataclass(frozen=True)
class _Place:
    index: int
    exposure: float
    time: Fraction


def _with_gaps(clip: Clip) -> Sequence[Clip]:
    """Make a clip of every window, without the frame after its middle; others stand in as in a conversion."""
    taken = _retaken(clip)
    period, exposures = len(torch.unique(taken.exposures)), taken.exposures.tolist()
    cycle = ExposureCycle(tuple(exposures[:period]))
    clips = []
    for middle in range(period, len(exposures) - period):
        places = [_Place(index, exposure, Fraction(index)) for index, exposure in enumerate(exposures)]
        del places[middle + 1]
        windows = exposure_windows(places, length=2 * period + 1, cycle=cycle)
        window = next(window for window in windows if window[period].index == middle)
        chosen = [place.index for place in window]
        clips.append(
            replace(taken, ldr=taken.ldr[chosen], exposures=taken.exposures[chosen], radiance=taken.radiance[chosen])
        )
    return clips


LOST, SHOWN = BY_KEY["psnr_t"], BY_KEY["flicker"]


def evaluate_disturbed(
    methods: Sequence[Method], clips: Iterable[Clip], disturbances: Sequence[Disturbance], *, nexps: int
) -> Iterator[tuple[str, FrameScore]]:
    """Score methods on every disturbed clip, without the results that they make on the way.

    Yields:
        Name of the disturbance and score.
    """
    rules = Rules(nexps=nexps, measures=(LOST, SHOWN))  # not all measures: SSIM takes longer than most methods
    names = {method.names[-1] for method in methods}
    for clip in clips:
        for disturbance in disturbances:
            scenes = (scene_of(disturbed, nexps) for disturbed in disturbance.apply(clip))
            for scored in evaluate(methods, scenes, rules=rules):
                yield from ((disturbance.name, score) for score in scored.scores if score.method in names)


def robustness_sheet(scores: Sequence[tuple[str, FrameScore]]) -> Sheet:
    """Lay out PSNR_T per disturbance and method, its loss against the first, which is none, and flicker."""
    names = tuple(dict.fromkeys(name for name, _ in scores))
    means = {name: Means([score for other, score in scores if other == name]) for name in names}
    methods = tuple(dict.fromkeys(score.method for _, score in scores))
    rows = []
    for name in names:
        row = [name]
        for method in methods:
            value, whole = (means[other].of(LOST.key, protocol="lanhdr", method=method) for other in (name, names[0]))
            lost = None if value is None or whole is None or name == names[0] else whole - value
            flicker = means[name].of(SHOWN.key, protocol="lanhdr", method=method)
            row += [LOST.shown(value), LOST.shown(lost), SHOWN.shown(flicker)]
        rows.append(tuple(row))
    return Sheet(
        title=f"{LOST.title}, and what disturbances cost of it",
        columns=("disturbance", *(column for method in methods for column in (method, "lost", SHOWN.title))),
        rows=tuple(rows),
    )


def named_rows(scores: Sequence[tuple[str, FrameScore]]) -> tuple[FrameScore, ...]:
    """Return scores whose scenes carry the disturbance in their name, for a file of scores."""
    return tuple(replace(score, scene=f"{score.scene}: {name}") for name, score in scores)
