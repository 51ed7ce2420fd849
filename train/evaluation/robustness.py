"""How much of a score disturbances cost."""

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
from model.response import ResponseCurve, gamma_curve
from train.evaluation.baselines import fetch, optical_flow
from train.evaluation.benchmarks.scene import scene_of
from train.evaluation.benchmarks.synthetic import Clip
from train.evaluation.methods import Contender
from train.evaluation.metrics import BY_KEY, NOTHING
from train.evaluation.results import FrameScore
from train.evaluation.scoring import Rules, evaluate
from train.evaluation.tables import Sheet, mean, methods_of
from train.synthesis.capture import Capture, expose
from train.synthesis.dataset import to_tensor

GAMMAS = (2.0, 2.4)
RATIOS = (2, 4, 8, 16, 32, 64)
MOMENTS = 9
# quality of JPEG where PyAV is absent, by the constant rate factor of x264
JPEG_QUALITY = {23: 80, 30: 60}


@dataclass(frozen=True)
class Disturbance:
    """One way in which footage is worse than assumed.

    Args:
        name: What the table calls it.
        apply: Makes the disturbed clip; several, one window long, if windows are disturbed one by one.
    """

    name: str
    apply: Callable[[Clip], Sequence[Clip]]


def disturbances() -> list[Disturbance]:
    """All of them; the first is none at all, which the others are compared with."""
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
    curve = _found_response(clip)
    return replace(clip, ldr=curve.to_ldr(clip.ldr), precision=curve.precision().tensor())


def _found_response(clip: Clip) -> ResponseCurve:
    try:
        return response_from_frames(list(clip.ldr), clip.exposures.tolist()).curve
    except ResponseError:  # too little is seen at two exposures
        return gamma_curve()


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
    opened = shutter * clip.exposures / clip.exposures.max()
    return torch.stack([_smeared(clip.radiance, frame, opened=float(opened[frame])) for frame in range(len(opened))])


def _smeared(radiance: Tensor, frame: int, *, opened: float) -> Tensor:
    neighbor = frame + 1 if frame + 1 < len(radiance) else frame - 1
    still = torch.ones(())
    pair = mu_law(radiance[frame]), mu_law(radiance[neighbor])
    flow = optical_flow(*pair, exposures=(still, still))
    moments = np.linspace(-opened / 2, opened / 2, MOMENTS, dtype=np.float32)
    return torch.stack([fetch(radiance[frame], moment * flow)[0] for moment in moments]).mean(0)


@dataclass(frozen=True)
class _Place:
    index: int
    exposure: float
    time: Fraction


def _with_gaps(clip: Clip) -> Sequence[Clip]:
    """Make a clip of every window, without the frame after its middle; others stand in as in a conversion."""
    taken = _retaken(clip)
    period = len(torch.unique(taken.exposures))
    radius = period
    middles = range(radius, len(taken.ldr) - radius)
    return [_without_next(taken, middle, period=period) for middle in middles]


def _without_next(clip: Clip, middle: int, *, period: int) -> Clip:
    exposures = clip.exposures.tolist()
    places = [_Place(index, exposure, Fraction(index)) for index, exposure in enumerate(exposures)]
    del places[middle + 1]
    cycle = ExposureCycle(tuple(exposures[:period]))
    windows = exposure_windows(places, length=2 * period + 1, cycle=cycle)
    window = next(window for window in windows if window[period].index == middle)
    chosen = [place.index for place in window]
    return replace(clip, ldr=clip.ldr[chosen], exposures=clip.exposures[chosen], radiance=clip.radiance[chosen])


LOST, SHOWN = BY_KEY["psnr_t"], BY_KEY["flicker"]


def evaluate_disturbed(
    contenders: Sequence[Contender],
    clips: Iterable[Clip],
    disturbances: Sequence[Disturbance],
    *,
    nexps: int,
) -> Iterator[tuple[str, FrameScore]]:
    """Score contenders on every disturbed clip, without what they make on the way.

    Args:
        contenders: What to compare.
        clips: Undisturbed clips.
        disturbances: What to do to them.
        nexps: Number of exposures in the cycle.

    Yields:
        Name of the disturbance and score.
    """
    rules = Rules(nexps, measures=(LOST, SHOWN))  # not all measures: SSIM takes longer than most methods
    wanted = {contender.names[-1] for contender in contenders}
    for clip in clips:
        for disturbance in disturbances:
            scenes = (scene_of(disturbed, nexps) for disturbed in disturbance.apply(clip))
            for found in evaluate(contenders, scenes, rules=rules):
                yield from ((disturbance.name, score) for score in found.scores if score.method in wanted)


def robustness_sheet(scores: Sequence[tuple[str, FrameScore]]) -> Sheet:
    """PSNR_T per disturbance and method, what was lost against the first disturbance, which is none, and flicker.

    Args:
        scores: Of all disturbances, with their names.
    """
    names = tuple(dict.fromkeys(name for name, _ in scores))
    by_name = {name: [score for other, score in scores if other == name] for name in names}
    methods = methods_of(by_name[names[0]])
    columns = [column for method in methods for column in (method, "lost", SHOWN.title)]
    rows = tuple((name, *_cells(by_name[name], by_name[names[0]], methods=methods)) for name in names)
    return Sheet(f"{LOST.title}, and what disturbances cost of it", ("disturbance", *columns), rows)


def _cells(scores: Sequence[FrameScore], undisturbed: Sequence[FrameScore], *, methods: Sequence[str]) -> Iterator[str]:
    for method in methods:
        value, whole = (mean(chosen, LOST.key, method=method) for chosen in (scores, undisturbed))
        yield LOST.shown(value)
        yield NOTHING if value is None or whole is None or scores is undisturbed else LOST.shown(whole - value)
        yield SHOWN.shown(mean(scores, SHOWN.key, method=method))


def named_rows(scores: Sequence[tuple[str, FrameScore]]) -> tuple[FrameScore, ...]:
    """Scores whose scenes carry the disturbance in their name, for a file of scores."""
    return tuple(replace(score, scene=f"{score.scene}: {name}") for name, score in scores)
