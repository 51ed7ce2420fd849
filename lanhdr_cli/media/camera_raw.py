"""Stills of a camera's sensor, CinemaDNG included, made linear pictures by LibRaw."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from lanhdr_cli.media.errors import MediaError
from train.data.exif import ShotExposure, read_tags, shot_exposure

if TYPE_CHECKING:
    from rawpy import RawPy

SIDEWAYS = (5, 6)  # values of LibRaw's flip that swap width and height
WhiteBalance = tuple[float, float, float, float]  # factors on R, G, B and the second G


@dataclass(frozen=True, kw_only=True)
class RawHeader:
    """Size of the upright picture, exposure, and white balance as the camera has set it; None if it says nothing."""

    width: int
    height: int
    shot: ShotExposure
    white_balance: WhiteBalance | None


def read_raw_header(path: Path) -> RawHeader:
    """Read the size and the settings of a camera raw file.

    Raises:
        MediaError: If rawpy is not installed, or LibRaw can't read the file.
    """
    with path.open("rb") as file:
        noted = shot_exposure(read_tags(file))  # nothing if it is no TIFF inside
    with _opened(path) as raw:
        sizes, settings = raw.sizes, raw.other
        width, height = sizes.iwidth, sizes.iheight
        if sizes.pixel_aspect < 1:  # LibRaw makes square pixels
            height = int(height / sizes.pixel_aspect + 0.5)
        else:
            width = int(width * sizes.pixel_aspect + 0.5)
        if sizes.flip in SIDEWAYS:
            width, height = height, width
        red, green, blue, second_green = (float(factor) for factor in raw.camera_whitebalance)
        shot = ShotExposure(
            time_s=settings.shutter_speed or noted.time_s,
            iso=settings.iso_speed or noted.iso,
            f_number=settings.aperture or noted.f_number,
        )
    balance = (red, green, blue, second_green) if min(red, green, blue) > 0 else None
    return RawHeader(width=width, height=height, shot=shot, white_balance=balance)


def read_raw(path: Path, white_balance: WhiteBalance | None) -> Tensor:
    """Demosaic a camera raw file, without any change of brightness from picture to picture.

    Args:
        white_balance: The same for all pictures of a sequence; None for daylight.

    Returns:
        Linear light in the primaries of BT.2020, 1.0 = clip level of the sensor, float32, (3, H, W).

    Raises:
        MediaError: If rawpy is not installed, or LibRaw can't read the file.
    """
    with _opened(path) as raw:
        import rawpy

        codes = raw.postprocess(
            gamma=(1, 1),
            output_bps=16,
            output_color=rawpy.ColorSpace.Rec2020,
            no_auto_bright=True,
            adjust_maximum_thr=0.0,  # else the brightest pixel of each picture would be its white
            highlight_mode=rawpy.HighlightMode.Clip,
            user_wb=list(white_balance) if white_balance else None,
        )
    return torch.from_numpy(codes.astype(np.float32)).div_(65535).permute(2, 0, 1).contiguous()


@contextmanager
def _opened(path: Path) -> "Iterator[RawPy]":
    try:
        import rawpy
    except ImportError as error:
        raise MediaError(
            f"{path}: camera raw needs rawpy, which is not installed: pip install 'lanhdr[raw]'"
        ) from error
    try:
        is_text = str(path).encode(errors="surrogateescape") == str(path).encode(errors="replace")
        with rawpy.imread(str(path) if is_text else io.BytesIO(path.read_bytes())) as raw:
            yield raw
    except (rawpy.LibRawError, OSError) as error:
        (reason, *_) = error.args or (type(error).__name__,)
        words = reason.decode() if isinstance(reason, bytes) else getattr(error, "strerror", None) or reason
        raise MediaError(f"{path} can't be read as camera raw ({words}): replace or remove it") from error
