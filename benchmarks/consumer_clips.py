"""Clips as consumer cameras store them, for the tables of `real_clips`: from real brackets, and synthesised.

The synthesised ones are camera moves over HDR pictures through a contrasty curve whose toe crushes, with noise and JPEG
of 4:2:0. Each clip becomes a folder in the layout of `lanhdr eval --benchmark folder`, with the camera's curve.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from train.bracket_clips import choose_exposures, clip_of_bracket
from train.clips import ClipFolder
from train.compression import jpeg_passed
from train.datasets.brackets import find_brackets, read_bracket

FRAMES, SIZE = 12, (320, 512)
GRID = np.linspace(0, 1, 8193)
GAMMA = 2.2


@dataclass(frozen=True)
class Consumer:
    """How a clip is filmed.

    Args:
        picture: Name of the HDR picture.
        ratio: Of the exposures.
        contrast: Strength of the S upon gamma 2.2, 0..1.
        crush: Share of the code range that becomes black.
        black: Share of the short frame at codes 0 to 8; None exposes it so that a tenth of the long frame clips.
        shot: Variance per unit of signal.
        read: Standard deviation at black.
        quality: Of the JPEG.
    """

    picture: str
    ratio: float
    contrast: float
    crush: float
    black: float | None = None
    shot: float = 8e-5
    read: float = 1e-3
    quality: int = 92


CONSUMERS = {
    "fireplace": Consumer("fireplace_1k", 8, 0.6, 0.01),
    "chapel": Consumer("thatch_chapel_1k", 16, 0.85, 0.0),
    "lounge": Consumer("anniversary_lounge_1k", 16, 0.75, 0.02, shot=2e-4, read=2e-3),
    "garden": Consumer("chinese_garden_1k", 8, 0.85, 0.02, quality=85),
    "desk": Consumer("Desk", 32, 0.7, 0.01),
    "mountain": Consumer("MtTamWest", 8, 0.4, 0.0, quality=95),
    "buildings": Consumer("modern_buildings_2_1k", 24, 0.6, 0.015),
    "crushed": Consumer("dresden_square_1k", 52, 0.85, 0.02, black=0.7),
}


def clip_makers(data: Path) -> dict[str, Callable[[Path], None]]:
    """Name all clips that can be made of a folder of test data, and what makes each in a folder.

    Args:
        data: Holds HDR pictures, and brackets in `brackets`.
    """
    brackets = find_brackets(data / "brackets") if (data / "brackets").is_dir() else ()
    makers: dict[str, Callable[[Path], None]] = {folder.name: partial(make_bracket_clip, folder) for folder in brackets}
    clips = ClipFolder(data)
    places = {path.stem: place for place, path in enumerate(clips.paths)}
    for name, consumer in CONSUMERS.items():
        if consumer.picture in places:
            makers[name] = partial(make_consumer_clip, clips, places[consumer.picture], consumer)
    return makers


def make_bracket_clip(bracket: Path, folder: Path) -> None:
    """Make the clip of a bracket."""
    choice = choose_exposures(read_bracket(bracket), 2)
    assert choice is not None
    clip = clip_of_bracket(choice, frames=FRAMES, size=SIZE)
    radiance = clip.radiance.permute(0, 2, 3, 1).numpy()
    write_clip(folder, clip.codes, radiance, ratio=float(clip.exposures.max()), light=choice.bracket.light)


def make_consumer_clip(clips: ClipFolder, place: int, consumer: Consumer, folder: Path) -> None:
    """Make a synthesised clip."""
    radiance = clips.clip(place, 2, size=SIZE, frames=FRAMES).radiance.permute(0, 2, 3, 1).numpy()
    curve = camera_curve(consumer.contrast, consumer.crush)
    truth = np.clip(radiance * _gain(radiance, consumer, curve), 0, 1).astype(np.float32)
    exposures = np.array([(1.0, consumer.ratio)[frame % 2] for frame in range(FRAMES)], np.float32)
    rng = np.random.default_rng(place)
    signal = truth * exposures[:, None, None, None]
    deviation = np.sqrt(consumer.shot * np.minimum(signal, 1) + consumer.read**2)
    signal = np.clip(signal + deviation * rng.standard_normal(signal.shape), 0, 1)
    codes = np.rint(np.interp(signal, GRID, curve) * 255).astype(np.uint8)
    light = np.interp(np.arange(256) / 255, curve, GRID)
    light[0] = 0
    write_clip(
        folder, jpeg_passed(codes, [consumer.quality] * FRAMES), truth, ratio=consumer.ratio, light=light / light[255]
    )


def camera_curve(contrast: float, crush: float) -> NDArray[np.float64]:
    """Codes 0..1 over `GRID` of light: an S upon gamma 2.2, and the lowest part of it crushed to black."""
    encoded = GRID ** (1 / GAMMA)
    shaped = (1 - contrast) * encoded + contrast * encoded**2 * (3 - 2 * encoded)
    return np.clip((shaped - crush) / (1 - crush), 0, 1)


def _gain(radiance: NDArray[np.float32], consumer: Consumer, curve: NDArray[np.float64]) -> float:
    brightest = radiance.max(-1)
    if consumer.black is not None:
        return float(np.interp(8.5 / 255, curve, GRID) / np.quantile(brightest, consumer.black))
    return min(1.0, float(1 / (consumer.ratio * np.quantile(brightest, 0.9))))


def write_clip(
    folder: Path, codes: NDArray[np.uint8], radiance: NDArray[np.float32], *, ratio: float, light: NDArray[np.float64]
) -> None:
    """Write frames, exposures, curve and truths; the list of exposures comes last, so that it tells a whole clip."""
    import OpenEXR

    (folder / "truth").mkdir(parents=True, exist_ok=True)
    for number, (frame, truth) in enumerate(zip(codes, radiance, strict=True)):
        cv2.imwrite(str(folder / f"frame_{number:04d}.png"), frame[..., ::-1])
        header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
        with OpenEXR.File(header, {"RGB": np.ascontiguousarray(truth, np.float32)}) as file:
            file.write(str(folder / "truth" / f"frame_{number:04d}.exr"))
    rows = (f"{code / 255:.6f},{value:.8g}" for code, value in enumerate(light))
    (folder / "response.csv").write_text("code,light\n" + "\n".join(rows) + "\n")
    (folder / "exposures.txt").write_text(f"0 {np.log2(ratio):.6f}\n")


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


def read_clip(folder: Path) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Read codes 0..1, (T, 3, H, W), exposures, (T), and the truth, (T, 3, H, W), of a clip."""
    from train.datasets.pictures import read_radiance

    frames = sorted(folder.glob("frame_*.png"))
    codes = np.stack([cv2.imread(str(path))[..., ::-1] for path in frames])
    truth = np.stack([read_radiance(path) for path in sorted((folder / "truth").glob("*.exr"))])
    ratio = 2.0 ** float((folder / "exposures.txt").read_text().split()[1])
    exposures = torch.tensor([(1.0, ratio)[number % 2] for number in range(len(frames))])
    pictures = (torch.from_numpy(np.ascontiguousarray(part.transpose(0, 3, 1, 2))) for part in (codes, truth))
    return next(pictures) / 255, exposures, next(pictures)
