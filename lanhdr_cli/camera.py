"""The camera of a clip: response, black level and gamut, named or estimated."""

import difflib
import inspect
import logging
import re
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from torch import Tensor

from lanhdr_cli.media.code_bits import CONTAINER_BITS
from lanhdr_cli.media.errors import MediaError
from lanhdr_cli.media.mosaic import is_gray, shows_mosaic
from lanhdr_cli.media.source import Source
from lanhdr_cli.media.stated_colors import CODED_PRIMARIES, name_of
from lanhdr_cli.media.video_reader import DecodedFrame
from model.analysis.brightness import sampled
from model.analysis.camera import (
    NO_BLACK,
    Black,
    CameraEstimate,
    Shot,
    estimate_camera,
    find_black,
    generic_curve,
    look_linear,
)
from model.analysis.response import ResponseEstimate
from model.color import ACES2065_1, ACESCG, ADOBE_RGB, P3_D65, REC709, REC2020, Primaries
from model.errors import ResponseError
from model.exposure import FrameExposures
from model.response import (
    ResponseCurve,
    bt709_curve,
    gamma_curve,
    linear_curve,
    power_curve,
    srgb_curve,
    table_curve,
)
from train.data.response_curve import read_curve

AUTO = "auto"
SAMPLES = 1 << 14  # a logarithm over 14 stops is met to 1e-7 between them
# By names without capitals and punctuation, as users type them.
FORMULAS: dict[str, Callable[..., ResponseCurve]] = {
    "linear": linear_curve,
    "lin": linear_curve,
    "scenelinear": linear_curve,
    "linearlight": linear_curve,
    "none": linear_curve,
    "raw": linear_curve,
    "identity": linear_curve,
    "srgb": srgb_curve,
    "bt709": bt709_curve,
    "rec709": bt709_curve,
    "709": bt709_curve,
    "bt601": bt709_curve,
    "rec601": bt709_curve,
    "bt2020": bt709_curve,
    "rec2020": bt709_curve,
    "generic": generic_curve,
}
LISTED_FORMULAS = ("linear", "gamma2.2", "srgb", "bt709", "generic")
_POWER = re.compile(r"(?P<word>gamma|power)?(?P<whole>\d)(?P<part>\d*)")
POWERS = (1.0, 3.0)  # from encoded values to light
# Names of colour-science begin with a maker that users may leave out.
MAKERS = ("arri", "blackmagic", "davinci", "dji", "itur", "venice")
GAMUTS = {
    "rec709": REC709,
    "bt709": REC709,
    "srgb": REC709,
    "rec2020": REC2020,
    "bt2020": REC2020,
    "p3": P3_D65,
    "displayp3": P3_D65,
    "adobergb": ADOBE_RGB,
    "acescg": ACESCG,
    "aces2065-1": ACES2065_1,
}
# ITU-T H.273 table 2; codes not listed are taken as Rec.709.
TAGGED_PRIMARIES = {code: primaries for code, primaries in CODED_PRIMARIES.items() if primaries != REC709}
NEAR_NAMES = 4
LARGEST_DIFFERENCE = 0.25  # stops between the response that a header names and the one that frames show
FRAMES = 120  # at the beginning of a clip, which are looked at
MOSAIC_FRAMES, MOSAIC_SHARE = 12, 0.2  # gray ones at the beginning, and how many of them show a mosaic if it is one
logger = logging.getLogger(__name__)


class FirstLook:
    """Reads the first frames of an open clip when asked for them, keeps them, and goes on from there."""

    def __init__(self, clip: Source) -> None:
        self._path = clip.path
        self._mosaics: list[bool] = []  # of the first gray frames
        self._running = map(self._shrunk, clip.frames())

    @cached_property
    def frames(self) -> list[DecodedFrame]:
        """The first 120 frames, or all if there are fewer."""
        return list(islice(self._running, FRAMES))

    def refuse_mosaics(self) -> None:
        """Refuse gray pictures that are mosaics of color filters.

        Raises:
            MediaError: If they are.
        """
        # Short frames may be too dark to show their filters.
        if self.frames and sum(self._mosaics) > MOSAIC_SHARE * len(self._mosaics):
            raise MediaError(
                f"{self._path} is a mosaic of color filters: pass --bayer RGGB, BGGR, GRBG or GBRG, as the camera's "
                "manual has it, or --bayer none if it is none"
            )

    @property
    def shots(self) -> list[Shot]:
        """The same for the analysis."""
        return [Shot(frame.image, frame.time) for frame in self.frames]

    def all_frames(self) -> Iterator[DecodedFrame]:
        """Yield the frames kept and those that follow; call it once."""
        yield from self.frames
        yield from self._running

    def _shrunk(self, frame: DecodedFrame) -> DecodedFrame:
        if len(self._mosaics) < MOSAIC_FRAMES and is_gray(frame.image):
            self._mosaics.append(shows_mosaic(frame.image[0]))
        return replace(frame, image=shrunk(frame.image))


def shrunk(image: Tensor) -> Tensor:
    """Keep the samples of a picture that the analysis needs, in half precision, which holds codes of 10 bits."""
    return sampled(image).to(torch.float16)


def named_response(text: str, *, full_range: bool, clip_code: float = 1.0) -> ResponseCurve:
    """Find the response that `--response` names: a formula, a camera's curve of colour-science, or a file.

    Some makers define their curve on the code values of a 10-bit file, footroom included (Sony, Canon, Panasonic,
    Fujifilm, Nikon), others on the signal from black to white (ARRI, DaVinci). Decoded pictures are 0 at black and 1
    at white of the stream's range; the code values are taken from there by whether that range is full.

    Args:
        full_range: Whether black and white of the stream are the extreme codes.
        clip_code: Signal at which the camera clips, 0..1.

    Raises:
        ResponseError: If there is no such curve, with names near to it; if it does not rise, or a file can't be read.
    """
    if formula := _formula(text, clip_code=clip_code):
        return formula
    if Path(text).is_file():
        return table_curve(Path(text).name, read_curve(Path(text)), clip_code=clip_code)
    if re.search(r"[/\\]|\.(mat|csv|txt|cube)$", text.lower()):
        raise ResponseError(f"--response {text}: no such file; pass a file, or the name of a curve, e.g. S-Log3")
    colour = _colour()
    decodings = {**colour.models.OETF_INVERSES, **colour.LOG_DECODINGS}
    name = _matching(text, decodings, option="--response", others=(*LISTED_FORMULAS, AUTO))
    decoding = decodings[name]
    parameters = inspect.signature(getattr(decoding, "func", decoding)).parameters
    # Without this, colour-science expects the signal from black to white and adds the footroom itself.
    of_codes = {"in_normalised_code_value": full_range} if "in_normalised_code_value" in parameters else {}
    with np.errstate(all="ignore"):  # curves of several pieces compute each of them everywhere
        light = decoding(np.linspace(0, 1, SAMPLES), **of_codes)
    return table_curve(name, torch.from_numpy(np.asarray(light, np.float64)), clip_code=clip_code)


def _formula(text: str, *, clip_code: float) -> ResponseCurve | None:
    """Find a formula by its name, or a pure power: gamma2.4, gamma24 and 2.4 are the same."""
    name = _plain(text)
    if formula := FORMULAS.get(name):
        return formula(clip_code=clip_code)
    match = _POWER.fullmatch(name)
    if match is None or not re.fullmatch(r"[\w .-]+", text) or (match["word"] is None and Path(text).is_file()):
        return None
    power = float(f"{match['whole']}.{match['part'] or 0}")
    low, high = POWERS
    if low <= power <= high:
        return power_curve(power, clip_code=clip_code)
    raise ResponseError(
        f"--response {text}: a power leads from codes to light and is {low:g} (linear) to {high:g}; pass e.g. gamma2.2"
    )


def named_gamut(text: str) -> Primaries:
    """Find the primaries that `--gamut` names: a standard's, or a camera's of colour-science.

    Raises:
        ResponseError: If there are none of that name, with names near to it.
    """
    if known := GAMUTS.get(text.lower()):
        return known
    spaces = _colour().RGB_COLOURSPACES
    space = spaces[_matching(text, spaces, option="--gamut", others=tuple(GAMUTS))]
    red, green, blue = ((float(x), float(y)) for x, y in space.primaries)
    return Primaries(red, green, blue, (float(space.whitepoint[0]), float(space.whitepoint[1])))


def encoded_for_network(frames: Iterable[DecodedFrame], curve: ResponseCurve) -> Iterator[DecodedFrame]:
    """Encode pictures of a camera with 1/2.2, 1.0 = clip level, as frames pass."""
    for frame in frames:
        yield replace(frame, image=curve.to_ldr(frame.image.float()))


def _colour() -> ModuleType:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says at import that it cannot plot
        import colour
    return colour


def _matching(text: str, names: Iterable[str], *, option: str, others: tuple[str, ...]) -> str:
    """Find the name that equals `text` but for case, punctuation and maker."""
    by_key: dict[str, str] = {}
    for name in names:
        by_key.setdefault(_plain(name), name)
        for maker in MAKERS:
            if _plain(name).startswith(maker):
                by_key.setdefault(_plain(name).removeprefix(maker), name)
    if match := by_key.get(_plain(text)):
        return match
    candidates = {_plain(name): name for name in others} | by_key
    near = difflib.get_close_matches(_plain(text), candidates, n=NEAR_NAMES, cutoff=0.4)
    listed = ", ".join(dict.fromkeys(candidates[key] for key in near)) or ", ".join(others)
    raise ResponseError(f"{option} {text} is unknown: names near to it are {listed}")


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


@dataclass(frozen=True, kw_only=True)
class CameraOptions:
    """The camera as the user describes it.

    Args:
        response: Name or file of the response, `auto` to find it; None for what pictures' headers say, or `auto`.
        gamut: Name of the primaries, None for those of the clip.
        clip_code: Signal at which the camera clips, above 0 up to 1.
        black_code: Signal of no light in R, G and B, 0..1; None to find it.
    """

    response: str | None = None
    gamut: str | None = None
    clip_code: float = 1.0
    black_code: Black | None = None


@dataclass(frozen=True, kw_only=True)
class Camera:
    """The meaning of a clip's codes and colors: response, black level and primaries; an estimate if one was made.

    `stated` is what names the response in the header, empty if nothing does.
    """

    curve: ResponseCurve
    gamut: Primaries
    estimate: CameraEstimate | None = None
    stated: str = ""

    @property
    def finding(self) -> str:
        """The estimated response in one line, with its confidence; empty where there is none."""
        estimate = self.estimate.response if self.estimate else None
        if estimate is None:
            return ""
        name = self.curve.name if self.curve.name != AUTO else "one of its own, by the family of camera curves"
        low, high = estimate.covered
        return (
            f"camera response: {name}, from codes {low:.2f} to {high:.2f}, "
            f"exposures fit to {estimate.error:.3f} stops, confidence {estimate.confidence:.2f}"
        )

    @property
    def black_level(self) -> str:
        """The black level in words, empty if it is 0."""
        codes = [code * 255 for code in self.curve.black_code]
        return "R, G, B = " + ", ".join(f"{code:.3g}" for code in codes) + " of 255" if any(codes) else ""


def known_curve(source: Source, options: CameraOptions) -> ResponseCurve | None:
    """Take the response that is named, or stated for sure in headers; None if the frames have to show it.

    Raises:
        ResponseError: If the name is unknown, or a file can't be read.
    """
    stated = source.info.colors
    if options.response is None:
        return None if stated.is_rough else stated.response
    if options.response.lower() == AUTO:
        return None
    return named_response(options.response, full_range=source.info.full_range, clip_code=options.clip_code)


def find_camera(source: Source, options: CameraOptions, *, exposures: FrameExposures | None, look: FirstLook) -> Camera:
    """Take the named, stated or estimated response, and the named or tagged primaries.

    Args:
        exposures: Exposures that are given, None if there are none.

    Raises:
        LanHdrError: If a name is unknown, or a file can't be read.
    """
    _refuse_clip_code(source, options.clip_code)
    gamut, stated = _find_gamut(source, options.gamut), source.info.colors
    if options.response is None and stated.response is not None:
        camera = _stated_camera(source, options, gamut=gamut, exposures=exposures, look=look)
    elif options.response is None or options.response.lower() == AUTO:
        estimate = _estimated(source, options, exposures=exposures, look=look)
        camera = Camera(curve=estimate.curve, gamut=gamut, estimate=estimate)
        _log_response(camera, estimate)
    else:
        curve = named_response(options.response, full_range=source.info.full_range, clip_code=options.clip_code)
        black = options.black_code
        if black is None:  # a curve that was measured or is a maker's includes its black
            formula = _formula(options.response, clip_code=options.clip_code) is not None
            black = find_black(look.shots, exposures=exposures) if formula else NO_BLACK
        camera = Camera(curve=replace(curve, black_code=black), gamut=gamut)
        if stated.response and not stated.assumed and stated.response.name != curve.name:
            logger.warning(
                "%s: --response %s is taken, %s says %s", source.path, curve.name, stated.origin, stated.response.name
            )
    logger.debug("camera response %s, primaries %s", camera.curve.name, gamut.chromaticities)
    if camera.black_level and options.black_code is None:
        logger.info("black level %s, taken off (--black-code 0: not)", camera.black_level)
    return camera


def _find_gamut(source: Source, name: str | None) -> Primaries:
    stated = source.info.colors
    tagged = stated.gamut or TAGGED_PRIMARIES.get(source.info.primaries)
    if name is None:
        return tagged or REC709
    gamut = named_gamut(name)
    if tagged and tagged != gamut:
        logger.warning("%s: --gamut %s is taken, %s says %s", source.path, name, stated.origin or "it", name_of(tagged))
    return gamut


def _stated_camera(
    source: Source,
    options: CameraOptions,
    *,
    gamut: Primaries,
    exposures: FrameExposures | None,
    look: FirstLook,
) -> Camera:
    """Take the response that the headers of pictures name, and say where their codes disagree."""
    stated = source.info.colors
    assert stated.response is not None
    curve = replace(stated.response, clip_code=options.clip_code)
    black = options.black_code
    if black is None:
        black = NO_BLACK if curve.power == 1 else find_black(look.shots, exposures=exposures)
    curve = replace(curve, black_code=black)
    if stated.assumed:
        logger.warning(
            "%s: %s are taken as %s, --response says otherwise", source.path, stated.origin, stated.response.name
        )
    camera = Camera(curve=curve, gamut=gamut, stated=stated.origin)
    if not (exposures or stated.is_rough):
        return camera
    estimate = estimate_camera(look.shots, exposures=exposures, clip_code=options.clip_code, black=options.black_code)
    found = estimate.response
    if found and found.sure and _differ(curve, found):
        name = "another curve" if estimate.curve.name == AUTO else estimate.curve.name
        advice = f"which is taken (--response {curve.name}: not)" if stated.is_rough else "--response auto takes that"
        logger.warning(
            "%s: %s says response %s, frames speak for %s; %s", source.path, stated.origin, curve.name, name, advice
        )
        if stated.is_rough:
            return Camera(curve=estimate.curve, gamut=gamut, estimate=estimate)
    return camera


def _differ(curve: ResponseCurve, estimate: ResponseEstimate) -> bool:
    """Whether ratios of light differ from those of a curve that was found, over the codes that it was found from."""
    codes = torch.linspace(*estimate.covered, 64).expand(3, 1, -1)
    ratios = curve.linearize(codes)[1, 0].clamp(min=1e-6) / estimate.curve.linearize(codes)[1, 0].clamp(min=1e-6)
    return float(ratios.log2().std()) > LARGEST_DIFFERENCE


def _estimated(
    source: Source, options: CameraOptions, *, exposures: FrameExposures | None, look: FirstLook
) -> CameraEstimate:
    estimate = estimate_camera(look.shots, exposures=exposures, clip_code=options.clip_code, black=options.black_code)
    precise = source.info.bits > 8 and not source.info.lossy
    if source.info.of_sensor and (exposures is None or estimate.response is None):
        why = "as sensors have them"
    elif precise and exposures is None and look_linear(look.shots):
        why = "exposures are whole stops so"
    else:
        return estimate
    logger.warning("%s: codes are taken as linear, %s: pass --response if they are not", source.path, why)
    curve = linear_curve(clip_code=options.clip_code)
    return CameraEstimate(replace(curve, black_code=estimate.curve.black_code))


def _refuse_clip_code(source: Source, clip_code: float) -> None:
    """Refuse a clip level that was counted over 16 bits, where codes have fewer."""
    bits = source.info.bits
    if source.info.of_sensor and 8 < bits < CONTAINER_BITS and clip_code <= 2.0 ** (bits - CONTAINER_BITS):
        raise ResponseError(
            f"--clip-code {clip_code:g} is counted over 16 bits, codes of {source.path} over {bits}: leave it out"
        )


def _log_response(camera: Camera, estimate: CameraEstimate) -> None:
    if estimate.response is None:
        logger.debug("too little is well exposed at two exposures to find the response: gamma 2.2 is assumed")
    elif camera.curve.name == gamma_curve().name:
        logger.debug(camera.finding)
    elif estimate.response.sure:
        logger.info(camera.finding)
    else:
        logger.warning("%s: are the exposures right?", camera.finding)
