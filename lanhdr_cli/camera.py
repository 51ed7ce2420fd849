"""The camera of a clip: its black level, response and gamut, as the user, the file or the clip itself tell."""

import logging
from collections.abc import Generator, Iterable
from dataclasses import dataclass, replace

from lanhdr_cli.first_look import FirstLook
from lanhdr_cli.media.response import AUTO, FORMULAS, TAGGED_PRIMARIES, named_gamut, named_response
from lanhdr_cli.media.source import Source
from lanhdr_cli.pipeline import Reconstructed
from model.camera_estimate import NO_BLACK, Black, CameraEstimate, estimate_camera, find_black
from model.color import REC709, Primaries, convert_primaries
from model.cycle import FrameExposures
from model.errors import ResponseError
from model.response import ResponseCurve, gamma_curve

CODES = 255  # as black levels are told

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class CameraWishes:
    """What a user says of the camera.

    Args:
        response: Name or file of the response, or `auto`.
        gamut: Name of the primaries, None for what the clip says.
        clip_code: Signal at which the camera clips, above 0 up to 1.
        black_code: Signal of no light in R, G and B, 0..1; None to find it.
    """

    response: str = AUTO
    gamut: str | None = None
    clip_code: float = 1.0
    black_code: Black | None = None


@dataclass(frozen=True)
class Camera:
    """What code values and colors of a clip stand for.

    Args:
        curve: Response, with the black level.
        gamut: Primaries of R, G and B.
        estimate: What the clip says of the response, None if it was not asked.
    """

    curve: ResponseCurve
    gamut: Primaries
    estimate: CameraEstimate | None = None

    @property
    def finding(self) -> str:
        """The response in one line, with how it was found, empty where nothing was to be found."""
        found = self.estimate.response if self.estimate else None
        if found is None:
            return ""
        name = self.curve.name if self.curve.name != AUTO else "one of its own, by the family of camera curves"
        low, high = found.covered
        return (
            f"camera response: {name}, from codes {low:.2f} to {high:.2f}, exposures fit to {found.error:.3f} stops, "
            f"confidence {found.confidence:.2f}"
        )

    @property
    def black_level(self) -> str:
        """The black level in words, empty if it is 0."""
        codes = [code * CODES for code in self.curve.black_code]
        return "R, G, B = " + ", ".join(f"{code:.3g}" for code in codes) + " of 255" if any(codes) else ""


def find_camera(source: Source, wishes: CameraWishes, *, exposures: FrameExposures | None, look: FirstLook) -> Camera:
    """Take the response that is named or found, and the gamut that is named or else tagged.

    Args:
        source: The open clip.
        wishes: What the user says.
        exposures: If somebody says them.
        look: The first frames of the clip.

    Raises:
        LanHdrError: If there is nothing of a name, or a file can't be read.
    """
    gamut = named_gamut(wishes.gamut) if wishes.gamut else TAGGED_PRIMARIES.get(source.info.primaries, REC709)
    if source.info.description.startswith("exr "):
        if wishes.response != AUTO:
            raise ResponseError(f"{source.path} holds OpenEXR, which is linear already: leave out --response")
        return Camera(gamma_curve(clip_code=wishes.clip_code), gamut)
    if wishes.response == AUTO:
        estimate = estimate_camera(look.shots, exposures=exposures, clip_code=wishes.clip_code, black=wishes.black_code)
        camera = Camera(estimate.curve, gamut, estimate)
    else:
        curve = named_response(wishes.response, full_range=source.info.full_range, clip_code=wishes.clip_code)
        black = wishes.black_code
        if black is None:  # a curve that was measured or is a maker's has its black in it
            display = wishes.response.lower().replace(" ", "") in FORMULAS
            black = find_black(look.shots, exposures=exposures) if display else NO_BLACK
        camera = Camera(replace(curve, black_code=black), gamut)
    logger.debug("camera response %s, primaries %s", camera.curve.name, gamut.chromaticities)
    _tell(camera, wishes)
    return camera


def _tell(camera: Camera, wishes: CameraWishes) -> None:
    found = camera.estimate.response if camera.estimate else None
    if camera.black_level and wishes.black_code is None:
        logger.info("black level %s, taken off (--black-code 0: not)", camera.black_level)
    if found is None:
        if camera.estimate is not None:
            logger.debug("too little is well exposed at two exposures to find the response: gamma 2.2 is assumed")
    elif camera.curve.name == gamma_curve().name:
        logger.debug(camera.finding)
    elif found.sure:
        logger.info(camera.finding)
    else:
        logger.warning("%s: are the exposures right?", camera.finding)


def in_rec709(results: Iterable[Reconstructed], gamut: Primaries) -> Generator[Reconstructed, None, None]:
    """Express results in Rec.709 as they pass.

    The network works on each of the camera's channels by itself; colors are mixed behind it. What lies outside of
    Rec.709 is negative there and comes back in a wider output.
    """
    for result in results:
        radiance = convert_primaries(result.hdr.radiance, gamut, target=REC709)
        yield replace(result, hdr=replace(result.hdr, radiance=radiance))
