"""Robustness: the loss of scores by wrong assumptions and bad footage."""

import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
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
PSNR, FLICKER = BY_KEY["psnr_t"], BY_KEY["flicker"]


@dataclass(frozen=True, kw_only=True)
class Disturbance:
    """One way in which footage is worse than assumed.

    Args:
        name: Its name in tables.
        apply: Makes the disturbed clip; several, one window long, if windows are disturbed one by one.
    """

    name: str
    apply: Callable[[Clip], Sequence[Clip]]


def disturbances() -> list[Disturbance]:
    """Make all of them; the first is none at all, which the others are compared with."""
    return [
        _capture("undisturbed", lambda camera: camera),
        Disturbance(name="stated ratio 10 % too high", apply=partial(_misstate_exposures, factor=1.1)),
        Disturbance(name="stated ratio 10 % too low", apply=partial(_misstate_exposures, factor=0.9)),
        *(_capture(f"true gamma {gamma}, taken for 2.2", partial(replace, gamma=gamma)) for gamma in GAMMAS),
        *(
            Disturbance(name=f"true gamma {gamma}, response found", apply=partial(_find_response, gamma=gamma))
            for gamma in GAMMAS
        ),
        *(_compression(crf) for crf in JPEG_QUALITY),
        Disturbance(name="motion blur, shutter 0.5", apply=partial(_blur, shutter=0.5)),
        Disturbance(name="the next frame dropped", apply=_drop_next_frames),
        _capture("noise doubled", lambda camera: replace(camera, shot=4 * camera.shot, read=2 * camera.read)),
        _capture("6 bits", partial(replace, bits=6)),
        *(
            Disturbance(name=f"longest over shortest exposure {ratio}", apply=partial(_change_ratio, ratio=ratio))
            for ratio in RATIOS
        ),
    ]


def _capture(name: str, change: Callable[[Capture], Capture]) -> Disturbance:
    return Disturbance(name=name, apply=lambda clip: [_capture_again(replace(clip, capture=change(clip.capture)))])


def _compression(crf: int) -> Disturbance:
    """H.264 over the clip as it was shot, all exposures in one stream; JPEG frame by frame without PyAV."""
    if find_spec("av"):
        return _capture(f"H.264, crf {crf}", partial(replace, h264_crf=crf))
    quality = JPEG_QUALITY[crf]
    return _capture(f"JPEG, quality {quality}", partial(replace, jpeg_quality=quality))


def _capture_again(clip: Clip, *, radiance: Tensor | None = None) -> Clip:
    """Take the frames again, of another radiance than the truth if one is passed."""
    pixels = (clip.radiance if radiance is None else radiance).permute(0, 2, 3, 1)  # (T, H, W, 3)
    rng = np.random.default_rng(zlib.crc32(clip.name.encode()))
    ldr = expose(np.ascontiguousarray(pixels.numpy()), clip.exposures.tolist(), capture=clip.capture, rng=rng)
    return replace(clip, ldr=to_tensor(ldr), precision=clip.capture.precision.tensor())


def _misstate_exposures(clip: Clip, factor: float) -> list[Clip]:
    """State all but the shortest exposure wrongly."""
    shortest = clip.exposures.min()
    stated = torch.where(clip.exposures > shortest, factor * clip.exposures, clip.exposures)
    return [replace(_capture_again(clip), exposures=stated)]


def _find_response(clip: Clip, gamma: float) -> list[Clip]:
    """Take the frames through another power, and encode them anew with 1/2.2 by the response that they show."""
    captured = _capture_again(replace(clip, capture=replace(clip.capture, gamma=gamma)))
    try:
        curve = response_from_frames(list(captured.ldr), captured.exposures.tolist()).curve
    except ResponseError:  # too little is seen at two exposures
        curve = gamma_curve()
    return [replace(captured, ldr=curve.to_ldr(captured.ldr), precision=curve.precision().tensor())]


def _change_ratio(clip: Clip, ratio: int) -> list[Clip]:
    """Take longer or shorter long exposures; the short ones stay, so the truth stays as it is."""
    steps = torch.unique(clip.exposures)  # sorted
    position = torch.searchsorted(steps, clip.exposures) / (len(steps) - 1)  # 0 for the shortest, 1 the longest
    return [_capture_again(replace(clip, exposures=ratio**position))]


def _blur(clip: Clip, shutter: float) -> list[Clip]:
    """Average radiance over each frame's exposure, along the flow between true frames.

    The longest exposure opens for `shutter` of a frame's time, shorter ones for as much less as they are shorter. The
    truth stays the moment in its middle, so blur that no method undoes counts as a loss.
    """
    radiance, one = clip.radiance, torch.ones(())
    blurred = []
    for frame, opened in enumerate((shutter * clip.exposures / clip.exposures.max()).tolist()):
        neighbor = frame + 1 if frame + 1 < len(radiance) else frame - 1
        flow = optical_flow(mu_law(radiance[frame]), mu_law(radiance[neighbor]), exposures=(one, one))
        moments = np.linspace(-opened / 2, opened / 2, MOMENTS, dtype=np.float32)
        blurred.append(torch.stack([fetch(radiance[frame], moment * flow)[0] for moment in moments]).mean(0))
    return [_capture_again(clip, radiance=torch.stack(blurred))]


@dataclass(frozen=True, kw_only=True)
class _NumberedFrame:
    index: int
    exposure: float
    time: Fraction


def _drop_next_frames(clip: Clip) -> Sequence[Clip]:
    """Make a clip of every window, without the frame after its middle; others stand in as in a conversion."""
    captured = _capture_again(clip)
    exposures = captured.exposures.tolist()
    period = len(torch.unique(captured.exposures))
    cycle = ExposureCycle(tuple(exposures[:period]))
    numbered = [
        _NumberedFrame(index=index, exposure=exposure, time=Fraction(index)) for index, exposure in enumerate(exposures)
    ]
    clips = []
    for middle in range(period, len(numbered) - period):
        kept = [frame for frame in numbered if frame.index != middle + 1]
        windows = exposure_windows(kept, length=2 * period + 1, cycle=cycle)
        window = next(window for window in windows if window[period].index == middle)
        chosen = [frame.index for frame in window]
        clips.append(
            replace(
                captured,
                ldr=captured.ldr[chosen],
                exposures=captured.exposures[chosen],
                radiance=captured.radiance[chosen],
            )
        )
    return clips


def evaluate_disturbed(
    methods: Sequence[Method], clips: Iterable[Clip], disturbances: Sequence[Disturbance], *, nexps: int
) -> Iterator[tuple[str, FrameScore]]:
    """Score methods on every disturbed clip, without the results that they make on the way.

    Yields:
        Name of the disturbance and score.
    """
    rules = Rules(nexps=nexps, measures=(PSNR, FLICKER))  # not all measures: SSIM takes longer than most methods
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
            value, whole = (means[other].of(PSNR.key, protocol="lanhdr", method=method) for other in (name, names[0]))
            lost = None if value is None or whole is None or name == names[0] else whole - value
            flicker = means[name].of(FLICKER.key, protocol="lanhdr", method=method)
            row += [PSNR.shown(value), PSNR.shown(lost), FLICKER.shown(flicker)]
        rows.append(tuple(row))
    return Sheet(
        title=f"{PSNR.title}, and what disturbances cost of it",
        columns=("disturbance", *(column for method in methods for column in (method, "lost", FLICKER.title))),
        rows=tuple(rows),
    )


def named_rows(scores: Sequence[tuple[str, FrameScore]]) -> tuple[FrameScore, ...]:
    """Return scores whose scenes carry the disturbance in their name, for a file of scores."""
    return tuple(replace(score, scene=f"{score.scene}: {name}") for name, score in scores)
