"""Reconstructions of an evaluation as files, in the form that the published MATLAB scripts read."""

import re
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from lanhdr_cli.media.errors import MediaError
from lanhdr_cli.media.exr import ClipRecord, clip_header, frame_header, write_exr
from lanhdr_cli.media.output import complete_file, prepare_folder
from model.reconstruct import in_file_range
from train.benchmarks.scene import Scene
from train.environment import lanhdr_version

LIST = "hdr_list.txt"
SCALE = 1.0


class HdrFiles:
    """Writes `METHOD/SCENE/LABEL.exr` and `.hdr`, and `METHOD/hdr_list.txt`, which lists the latter in order.

    In all files 1.0 is the clip level of the shortest exposure, as in the truths; `lanhdr convert` writes the same
    frames with `--scale 1`. What is in a name besides letters, digits, points and dashes becomes an underscore, for the
    scripts split lists at spaces.

    Args:
        folder: Where all goes; made if it does not exist.

    Raises:
        MediaError: From calls as well, if a file cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._listed: dict[Path, list[str]] = {}
        prepare_folder(folder)

    def __call__(self, method: str, scene: Scene, frame: int, radiance: Tensor) -> None:
        """Write one frame.

        Args:
            method: Name of the method.
            scene: The scene.
            frame: Number of the frame in it.
            radiance: Linear, as the method returns it, (3, H, W).
        """
        root, name = self._folder / _plain(method), f"{_plain(scene.name)}/{_plain(scene.labels[frame])}"
        prepare_folder((root / name).parent)
        kept = in_file_range(radiance)
        write_exr(root / f"{name}.exr", kept, SCALE, header=_header(method, scene, frame))
        write_radiance(root / f"{name}.hdr", kept)
        self._listed.setdefault(root, []).append(f"{name}.hdr")
        with complete_file(root / LIST) as unfinished:
            unfinished.write_text("".join(f"{line}\n" for line in self._listed[root]), encoding="utf-8")


def write_radiance(path: Path, radiance: Tensor) -> None:
    """Write a Radiance file (RGBE: 8 bits of mantissa for the brightest channel, which the others share).

    Args:
        path: The file.
        radiance: Linear, not negative, (3, H, W).

    Raises:
        MediaError: If it can't be written.
    """
    pixels = np.ascontiguousarray(_rounded(radiance).permute(1, 2, 0).numpy()[..., ::-1])  # (H, W, 3), B first
    encoded, data = cv2.imencode(".hdr", pixels)
    if not encoded:
        raise MediaError(f"can't write {path}: the frame could not be encoded")
    with complete_file(path) as unfinished:
        unfinished.write_bytes(data.tobytes())


def _rounded(radiance: Tensor) -> Tensor:
    """Add half a step: OpenCV drops what the mantissa can't hold, which would darken all by about 0.3 %."""
    brightest = radiance.amax(0, keepdim=True)
    raised = brightest + _half_step(brightest)  # which may need the next exponent
    return torch.where(brightest > 0, radiance + _half_step(raised), radiance)


def _half_step(brightest: Tensor) -> Tensor:
    return torch.ldexp(torch.ones_like(brightest), torch.frexp(brightest).exponent - 9)


def _plain(name: str) -> str:
    return re.sub(r"[^\w.-]+", "_", name)


def _header(method: str, scene: Scene, frame: int) -> dict[str, object]:
    cycle = tuple(sorted(set(scene.exposures)))
    record = ClipRecord(None, None, Fraction(1), SCALE, cycle, method, lanhdr_version())
    exposure = scene.exposures[frame]
    return clip_header(record) | frame_header(record, Fraction(frame), index=frame, number=frame, exposure=exposure)
