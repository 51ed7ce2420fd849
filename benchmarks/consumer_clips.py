"""Clips as consumer cameras store them, for the tables of `real_clips`: from real brackets, and synthesised.

The synthesised ones are camera moves over HDR pictures through a contrasty curve whose toe crushes, with noise and JPEG
of 4:2:0. Each clip becomes a folder in the layout of `lanhdr eval --benchmark folder`, with the camera's curve.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.analysis.camera_curves import GENERIC, CameraCurve
from model.exposure import GAMMA, ExposureCycle
from train.data.brackets import find_brackets, read_bracket
from train.data.images import read_codes, read_radiance
from train.evaluation.benchmarks.bracket_clips import choose_exposures, clip_of_bracket
from train.evaluation.benchmarks.synthetic import ClipFolder
from train.synthesis.capture import jpeg_passed

FRAMES, SIZE = 12, (320, 512)
SPEEDS = {"": 60.0, "_slow": 4.0}  # pixels a frame, by ending of a clip's name
GRID = np.linspace(0, 1, 8193) ** 3  # of light, dense where curves are steep


class Curve(Protocol):
    """A camera's way from light to codes."""

    def code(self, light: Tensor) -> Tensor:
        """Encode light, 0..1, as codes, 0..1."""
        ...


@dataclass(frozen=True)
class ContrastCurve:
    """A smooth step upon gamma 2.2, its lowest part crushed; not of the family that curves are found in.

    Args:
        contrast: Share of the step, 0..1.
        crush: Codes that become black, 0..1.
    """

    contrast: float
    crush: float = 0.0

    def code(self, light: Tensor) -> Tensor:
        """Encode light, 0..1."""
        encoded = light.pow(1 / GAMMA)
        shaped = torch.lerp(encoded, encoded.square() * (3 - 2 * encoded), self.contrast)
        return ((shaped - self.crush) / (1 - self.crush)).clamp(0, 1)


@dataclass(frozen=True)
class Consumer:
    """How a clip is filmed.

    Args:
        picture: Name of the HDR picture.
        ratio: Of the exposures.
        curve: Of the camera.
        long_first: Whether the first frame is a long one.
        black: Share of the short frame at codes 0 to 8; None exposes it so that a tenth of the long frame clips.
        shot: Variance per unit of signal.
        read: Standard deviation at black.
        quality: Of the JPEG.
    """

    picture: str
    ratio: float
    curve: Curve
    long_first: bool = False
    black: float | None = None
    shot: float = 8e-5
    read: float = 1e-3
    quality: int = 92

    @property
    def exposures(self) -> tuple[float, float]:
        """Of the first two frames."""
        return (self.ratio, 1.0) if self.long_first else (1.0, self.ratio)


CONSUMERS = {
    "fireplace": Consumer("fireplace_1k", 32, GENERIC),
    "chapel": Consumer("thatch_chapel_1k", 16, ContrastCurve(0.85), long_first=True),
    "lounge": Consumer(
        "anniversary_lounge_1k", 16, CameraCurve(1.6, contrast=5, pivot=0.3, crush=0.03), shot=2e-4, read=2e-3
    ),
    "garden": Consumer("chinese_garden_1k", 8, ContrastCurve(0.85, 0.02), quality=85),
    "desk": Consumer("Desk", 32, CameraCurve("srgb", shoulder=1.5, contrast=3, pivot=0.35), long_first=True),
    "mountain": Consumer("MtTamWest", 8, ContrastCurve(0.4), quality=95),
    "buildings": Consumer(
        "modern_buildings_2_1k", 24, CameraCurve(2.0, toe=0.01, contrast=4.5, pivot=0.25, crush=0.02)
    ),
    "crushed": Consumer("spruit_sunrise_4k_gainmap", 52, ContrastCurve(0.85, 0.02), black=0.7),
    "crushed_buildings": Consumer("modern_buildings_2_1k", 52, ContrastCurve(0.85, 0.02), black=0.7, long_first=True),
    "crushed_square": Consumer("dresden_square_1k", 52, ContrastCurve(0.85, 0.02), black=0.7),
}


def clip_makers(data: Path) -> dict[str, Callable[[Path], None]]:
    """Name all clips that can be made of a folder of test data, and what makes each in a folder.

    Args:
        data: Holds HDR pictures, and brackets in `brackets`.
    """
    brackets = find_brackets(data / "brackets") if (data / "brackets").is_dir() else ()
    makers: dict[str, Callable[[Path], None]] = {
        folder.name + suffix: partial(make_bracket_clip, folder, speed)
        for folder in brackets
        for suffix, speed in SPEEDS.items()
    }
    clips = ClipFolder(data)
    places = {path.stem: place for place, path in enumerate(clips.paths)}
    for name, consumer in CONSUMERS.items():
        if consumer.picture in places:
            makers[name] = partial(make_consumer_clip, clips, places[consumer.picture], consumer)
    return makers


def make_bracket_clip(bracket: Path, speed: float, folder: Path) -> None:
    """Make the clip of a bracket, the camera moving by so many pixels a frame at the most."""
    choice = choose_exposures(read_bracket(bracket), 2)
    assert choice is not None
    clip = clip_of_bracket(choice, frames=FRAMES, size=SIZE, speed=speed)
    radiance = clip.radiance.permute(0, 2, 3, 1).numpy()
    write_clip(folder, clip.codes, radiance, exposures=clip.exposures[:2].tolist(), light=choice.bracket.light)


def make_consumer_clip(clips: ClipFolder, place: int, consumer: Consumer, folder: Path) -> None:
    """Make a synthesised clip."""
    radiance = clips.clip(place, 2, size=SIZE, frames=FRAMES).radiance.permute(0, 2, 3, 1).numpy()
    curve = np.maximum.accumulate(consumer.curve.code(torch.from_numpy(GRID)).numpy())
    truth = np.clip(radiance * _gain(radiance, consumer, curve), 0, 1).astype(np.float32)
    exposures = np.array([consumer.exposures[frame % 2] for frame in range(FRAMES)], np.float32)
    rng = np.random.default_rng(place)
    signal = truth * exposures[:, None, None, None]
    deviation = np.sqrt(consumer.shot * np.minimum(signal, 1) + consumer.read**2)
    signal = np.clip(signal + deviation * rng.standard_normal(signal.shape), 0, 1)
    codes = np.rint(np.interp(signal, GRID, curve) * 255).astype(np.uint8)
    light = np.interp(np.arange(256) / 255, curve, GRID)
    light[0] = 0  # black carries no light
    stored = jpeg_passed(codes, [consumer.quality] * FRAMES)
    write_clip(folder, stored, truth, exposures=consumer.exposures, light=light / light[255])


def _gain(radiance: NDArray[np.float32], consumer: Consumer, curve: NDArray[np.float64]) -> float:
    brightest = radiance.max(-1)
    if consumer.black is not None:
        return float(np.interp(8.5 / 255, curve, GRID) / np.quantile(brightest, consumer.black))
    return min(1.0, float(1 / (consumer.ratio * np.quantile(brightest, 0.9))))


def write_clip(
    folder: Path,
    codes: NDArray[np.uint8],
    radiance: NDArray[np.float32],
    *,
    exposures: Sequence[float],
    light: NDArray[np.float64],
) -> None:
    """Write frames, curve, truths and exposures; the list of these comes last, so that it tells a whole clip."""
    import OpenEXR

    (folder / "truth").mkdir(parents=True, exist_ok=True)
    for number, (frame, truth) in enumerate(zip(codes, radiance, strict=True)):
        cv2.imwrite(str(folder / f"frame_{number:04d}.png"), frame[..., ::-1])
        header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
        with OpenEXR.File(header, {"RGB": np.ascontiguousarray(truth, np.float32)}) as file:
            file.write(str(folder / "truth" / f"frame_{number:04d}.exr"))
    rows = (f"{code / 255:.6f},{value:.8g}" for code, value in enumerate(light))
    (folder / "response.csv").write_text("code,light\n" + "\n".join(rows) + "\n")
    (folder / "exposures.txt").write_text(" ".join(f"{stop:.6f}" for stop in np.log2(exposures)) + "\n")


def made_clips(folder: Path, data: Path, names: tuple[str, ...]) -> Iterator[Path]:
    """Yield the folder of each clip, made if it is not there yet.

    Args:
        folder: Holds clips of earlier runs.
        data: What they are made of.
        names: Of the clips, all if empty.
    """
    makers = clip_makers(data)
    unknown = [name for name in names if name not in makers]
    if unknown:
        raise SystemExit(f"no clip is called {unknown[0]}: there are {', '.join(makers)}")
    for name, make in makers.items():
        if not names or name in names:
            if not (folder / name / "exposures.txt").is_file():
                make(folder / name)
            yield folder / name


def read_clip(folder: Path) -> tuple[Tensor, Tensor, Tensor]:
    """Read codes 0..1, (T, 3, H, W), exposures, (T), and the truth, (T, 3, H, W), of a clip."""
    frames = sorted(folder.glob("frame_*.png"))
    codes = np.stack([read_codes(path) for path in frames])
    truth = np.stack([read_radiance(path) for path in sorted((folder / "truth").glob("*.exr"))])
    cycle = ExposureCycle.from_stops([float(stop) for stop in (folder / "exposures.txt").read_text().split()])
    exposures = torch.tensor([cycle[number] for number in range(len(frames))])
    pictures = (torch.from_numpy(np.ascontiguousarray(part.transpose(0, 3, 1, 2))) for part in (codes, truth))
    return next(pictures) / 255, exposures, next(pictures)
