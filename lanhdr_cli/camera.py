"""The camera of a clip: its response and its gamut, as the user, the file or the clip itself tell."""

import logging
from collections.abc import Generator, Iterable
from dataclasses import dataclass, replace

from lanhdr_cli.media.decode import VideoInfo
from lanhdr_cli.media.response import TAGGED_PRIMARIES, named_gamut, named_response
from lanhdr_cli.pipeline import Reconstructed
from model.color import REC709, Primaries, convert_primaries
from model.response import ResponseCurve

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class CameraWishes:
    """What a user says of the camera.

    Args:
        response: Name or file of the response.
        gamut: Name of the primaries, None for what the clip says.
        clip_code: Signal at which the camera clips, above 0 up to 1.
    """

    response: str = "gamma2.2"
    gamut: str | None = None
    clip_code: float = 1.0


@dataclass(frozen=True)
class Camera:
    """What code values and colors of a clip stand for.

    Args:
        curve: Response.
        gamut: Primaries of R, G and B.
    """

    curve: ResponseCurve
    gamut: Primaries


def find_camera(info: VideoInfo, wishes: CameraWishes) -> Camera:
    """Take the response that is named, and the gamut that is named or else tagged.

    Args:
        info: What the clip says of itself.
        wishes: What the user says.

    Raises:
        LanHdrError: If there is nothing of a name, or a file can't be read.
    """
    curve = named_response(wishes.response, full_range=info.full_range, clip_code=wishes.clip_code)
    gamut = named_gamut(wishes.gamut) if wishes.gamut else TAGGED_PRIMARIES.get(info.primaries, REC709)
    logger.debug("camera response %s, primaries %s", curve.name, gamut.chromaticities)
    return Camera(curve, gamut)


def in_rec709(results: Iterable[Reconstructed], gamut: Primaries) -> Generator[Reconstructed, None, None]:
    """Express results in Rec.709 as they pass.

    The network works on each of the camera's channels by itself; colors are mixed behind it. What lies outside of
    Rec.709 is negative there and comes back in a wider output.
    """
    for result in results:
        radiance = convert_primaries(result.hdr.radiance, gamut, target=REC709)
        yield replace(result, hdr=replace(result.hdr, radiance=radiance))
