"""Single pictures, as OpenCV reads them."""

import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from train.datasets.brackets import read_bracket
from train.datasets.pictures import HALF_MAX, Stored, read_codes, read_radiance
from train.errors import DatasetError
from train.packing.units import Unit, free_name

AS_RADIANCE = "written as Radiance .hdr, each channel to 1/256 of the brightest of its pixel"
MERGED = "exposure brackets merged into Radiance .hdr, each channel to 1/256 of the brightest of its pixel"
HALVED = "reduced to fit into a part"
HDR_KIND, LDR_KIND = "HDR pictures", "LDR pictures"
SMALLEST_SIDE = 64


def pack_hdr_picture(path: Path, target: Path, *, most_bytes: int) -> Unit:
    """Copy a Radiance picture, or write an OpenEXR one as Radiance.

    Args:
        path: The picture.
        target: Where it goes; the suffix may change.
        most_bytes: Larger ones are halved until they fit; panoramas stay twice as wide as high.

    Raises:
        DatasetError: If it cannot be read or written.
    """
    pixels, changes = read_radiance(path), []
    target = _prepared(target.with_suffix(".hdr"))
    if path.suffix.lower() == ".hdr":
        shutil.copyfile(path, target)
    else:
        write_radiance(target, pixels)
        changes.append(AS_RADIANCE)
    if _halve_to_fit(target, pixels, most_bytes=most_bytes):
        changes.append(HALVED)
    return Unit(HDR_KIND, (target,), changes=tuple(changes))


def pack_bracket(folder: Path, target: Path, *, most_bytes: int) -> Unit:
    """Merge an exposure bracket and write it as a Radiance picture.

    Args:
        folder: The bracket.
        target: Where it goes, beside the place of the folder; a suffix is added.
        most_bytes: Larger ones are halved until they fit.

    Raises:
        DatasetError: If it cannot be read, merged or written.
    """
    pixels: Stored = read_bracket(folder).radiance()
    target = _prepared(target.with_name(f"{target.name}.hdr"))
    write_radiance(target, pixels)
    halved = [HALVED] * _halve_to_fit(target, pixels, most_bytes=most_bytes)
    return Unit(HDR_KIND, (target,), changes=(MERGED, *halved))


def pack_ldr_picture(path: Path, target: Path, *, most_bytes: int) -> Unit:
    """Copy an 8-bit picture, after a look whether it can be read.

    Args:
        path: The picture.
        target: Where it goes; the suffix may change.
        most_bytes: Larger ones are halved until they fit, and become PNG.

    Raises:
        DatasetError: If it cannot be read or written.
    """
    codes, changes = read_codes(path), []
    target = _prepared(target)
    shutil.copyfile(path, target)
    if target.stat().st_size > most_bytes:
        target.unlink()
        target = _prepared(target.with_suffix(".png"))
        _write(target, codes)
        _halve_to_fit(target, codes, most_bytes=most_bytes)
        changes.append(HALVED)
    return Unit(LDR_KIND, (target,), changes=tuple(changes))


def write_radiance(path: Path, light: Stored) -> None:
    """Write linear R, G, B, (H, W, 3), as a Radiance picture; negative values become 0.

    Raises:
        DatasetError: If the disk refuses.
    """
    finite = np.nan_to_num(light.astype(np.float32), nan=0.0, posinf=HALF_MAX, neginf=0.0).clip(min=0)
    brightest = finite.max(-1, keepdims=True)
    # OpenCV cuts off after eight bits where it should round; half a step more makes it round.
    half_step = np.ldexp(np.float32(0.5), np.frexp(brightest)[1] - 8) * (brightest > 0)
    _write(path, finite + half_step)


def _halve_to_fit(path: Path, pixels: Stored, *, most_bytes: int) -> bool:
    halved = False
    while path.stat().st_size > most_bytes and min(pixels.shape[:2]) >= 2 * SMALLEST_SIDE:
        pixels, halved = _halved(pixels), True
        if path.suffix == ".hdr":
            write_radiance(path, pixels)
        else:
            _write(path, pixels)
    return halved


def _halved(pixels: Stored) -> Stored:
    height, width = pixels.shape[0] // 2, pixels.shape[1] // 2
    if pixels.shape[1] == 2 * pixels.shape[0]:
        width = 2 * height
    wide: NDArray[Any] = pixels if pixels.dtype == np.uint8 else pixels.astype(np.float32)
    return np.asarray(cv2.resize(wide, (width, height), interpolation=cv2.INTER_AREA))


def _prepared(target: Path) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    return free_name(target)


def _write(path: Path, pixels: Stored) -> None:
    if not cv2.imwrite(str(path), np.ascontiguousarray(pixels[..., ::-1])):
        raise DatasetError(f"{path} cannot be written: check free space and permissions")
