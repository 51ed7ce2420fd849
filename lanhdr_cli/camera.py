"""The camera of a clip: its response and its gamut, as the user, the file or the clip itself tell."""

import logging
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, replace

from torch import Tensor

from lanhdr_cli.media.decode import DecodedFrame
from lanhdr_cli.media.response import AUTO, TAGGED_PRIMARIES, named_gamut, named_response
from lanhdr_cli.media.source import Source
from lanhdr_cli.pipeline import Reconstructed
from model.code_matches import code_histogram
from model.color import REC709, Primaries, convert_primaries
from model.errors import ResponseError
from model.exposure import ExposureCycle
from model.response import ResponseCurve
from model.response_estimate import estimate_response

FRAMES_LOOKED_AT = 96
SAMPLES_LOOKED_AT = 300_000  # of a frame

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class CameraWishes:
    """What a user says of the camera.

    Args:
        response: Name or file of the response, or `auto`.
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


def find_camera(
    source: Source, wishes: CameraWishes, *, cycle: ExposureCycle | None, reopen: Callable[[], Source]
) -> Camera:
    """Take the response that is named or found, and the gamut that is named or else tagged.

    Args:
        source: The open clip.
        wishes: What the user says.
        cycle: Exposures from the clip's first frame on, None if the user does not say them.
        reopen: Opens the clip once more; called only for `auto`.

    Raises:
        LanHdrError: If there is nothing of a name, a file can't be read, or a response can't be found.
    """
    if source.info.description.startswith("exr ") and wishes.response != CameraWishes.response:
        raise ResponseError(f"{source.path} holds OpenEXR, which is linear already: leave out --response")
    if wishes.response == AUTO:
        with reopen() as again:
            curve = found_response(again.frames(stop=FRAMES_LOOKED_AT), cycle, clip_code=wishes.clip_code)
    else:
        curve = named_response(wishes.response, full_range=source.info.full_range, clip_code=wishes.clip_code)
    gamut = named_gamut(wishes.gamut) if wishes.gamut else TAGGED_PRIMARIES.get(source.info.primaries, REC709)
    logger.debug("camera response %s, primaries %s", curve.name, gamut.chromaticities)
    return Camera(curve, gamut)


def found_response(
    frames: Iterable[DecodedFrame], cycle: ExposureCycle | None, *, clip_code: float = 1.0
) -> ResponseCurve:
    """Find the response from frames themselves.

    Args:
        frames: As the camera encodes, from the clip's first on.
        cycle: Their exposures, None if unknown.
        clip_code: Signal at which the camera clips, 0..1.

    Raises:
        ResponseError: If exposures are unknown, or too little is seen at two of them.
    """
    if cycle is None:
        raise ResponseError(
            "--response auto needs the exposures, a curve and the ratio can't both be found: pass e.g. --exposures 1,8"
        )
    histograms: dict[float, Tensor] = {}
    for frame in frames:
        height, width = frame.image.shape[1:]
        stride = max(1, round((height * width / SAMPLES_LOOKED_AT) ** 0.5))
        counted = code_histogram(frame.image[:, ::stride, ::stride])
        exposure = cycle[frame.index]
        histograms[exposure] = counted + histograms.get(exposure, 0)
    found = estimate_response(histograms, clip_code=clip_code)
    tell = logger.info if found.sure else logger.warning
    tell(
        "camera response found from codes %.2f to %.2f, exposures fit to %.3f stops%s",
        *(*found.covered, found.error, "" if found.sure else ": are the exposures right?"),
    )
    return found.curve


def in_rec709(results: Iterable[Reconstructed], gamut: Primaries) -> Generator[Reconstructed, None, None]:
    """Express results in Rec.709 as they pass.

    The network works on each of the camera's channels by itself; colors are mixed behind it. What lies outside of
    Rec.709 is negative there and comes back in a wider output.
    """
    for result in results:
        radiance = convert_primaries(result.hdr.radiance, gamut, target=REC709)
        yield replace(result, hdr=replace(result.hdr, radiance=radiance))
