"""A bracket of a still scene with known light, exposures and curve."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from model.analysis.camera_curves import CameraCurve
from train.synthesis.procedural import dead_leaves

CURVE = CameraCurve(gamma=2.0, contrast=3.0, pivot=0.3, crush=0.01)
EXPOSURES = (1.0, 4.0, 16.0, 64.0)


def scene_light(*, size: tuple[int, int] = (240, 320), seed: int = 0) -> NDArray[np.float64]:
    """Light of textured shapes over twelve stops, 1.0 = clip level of the shortest exposure, (H, W, 3)."""
    leaves = dead_leaves(np.random.default_rng(seed), side=max(size)).levels[0][: size[0], : size[1]]
    stops = np.log2(leaves.astype(np.float64).clip(1e-6))
    low, high = np.percentile(stops, [1, 99])
    light: NDArray[np.float64] = 2.0 ** (12 * ((stops - low) / (high - low)).clip(0, 1) - 12)
    return light


def picture_of(light: NDArray[np.float64], exposure: float, *, seed: int = 0) -> NDArray[np.uint8]:
    """Codes of a picture with a little noise, (H, W, 3)."""
    noise = np.random.default_rng([seed, round(exposure)]).standard_normal(light.shape) * 5e-4
    codes = CURVE.code(torch.from_numpy((light * exposure + noise).clip(0, 1))).numpy()
    rounded: NDArray[np.uint8] = np.rint(codes * 255).astype(np.uint8)
    return rounded


def write_bracket(
    folder: Path, *, exposures: Sequence[float] = EXPOSURES, shifts: Sequence[int] = (), seed: int = 0
) -> NDArray[np.float64]:
    """Write pictures in no order of exposure, with a list; return the light."""
    folder.mkdir(parents=True)
    light = scene_light(seed=seed)
    names = [f"shot_{(7 * number) % 10}.png" for number in range(len(exposures))]
    for number, (name, exposure) in enumerate(zip(names, exposures, strict=True)):
        moved = np.roll(light, shifts[number] if shifts else 0, axis=1)
        cv2.imwrite(str(folder / name), picture_of(moved, exposure)[..., ::-1])
    rows = [f"{name} {exposure / 200:g}" for name, exposure in zip(names, exposures, strict=True)]
    (folder / "image_list.txt").write_text("# name seconds\n" + "\n".join(rows) + "\n")
    return light
