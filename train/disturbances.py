"""What real footage does to a method: the frames of a test clip taken again under worse conditions, the truth kept.

All of them take the frames anew from the clip's truth with the same noise, so that differences of scores are due to
the disturbance alone.
"""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from importlib.util import find_spec

import numpy as np
import torch
from torch import Tensor

from model.color import mu_law
from model.errors import ResponseError
from model.exposure import ExposureCycle
from model.response import ResponseCurve, gamma_curve
from model.response_estimate import response_from_frames
from model.window import exposure_windows
from train.augment import Capture, expose
from train.baselines import fetch, optical_flow
from train.clips import Clip
from train.synthesis import to_tensor

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
