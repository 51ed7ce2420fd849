"""Small trees in the published layouts of the benchmarks, with known pixels."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import scipy.io
import torch
from numpy.typing import NDArray
from torch import Tensor

SIZE = (16, 24)
STOPS = {2: (0.0, 3.0), 3: (-2.0, 0.0, 2.0)}
Codes = NDArray[np.uint16] | NDArray[np.uint8]
Light = NDArray[np.float32]


def codes_of(number: int, *, size: tuple[int, int] = SIZE) -> Codes:
    """Random 16-bit R, G, B, (H, W, 3), another picture for each number."""
    return np.random.default_rng([1, number]).integers(0, 1 << 16, (*size, 3), dtype=np.uint16)


def light_of(number: int, *, size: tuple[int, int] = SIZE, scale: float = 1.0) -> Light:
    """Random light, (H, W, 3), whole 256ths from a half on, which Radiance files hold exactly."""
    whole = np.random.default_rng([2, number]).integers(128, 256, (*size, 3))
    return (whole / 256 * scale).astype(np.float32)


def as_tensor(pixels: Codes | Light) -> Tensor:
    """(H, W, 3) to (3, H, W), codes over 65,535."""
    scaled = pixels.astype(np.float32) / np.float32(65535) if pixels.dtype == np.uint16 else pixels
    return torch.from_numpy(np.ascontiguousarray(scaled.transpose(2, 0, 1)))


def write(path: Path, pixels: Codes | Light) -> Path:
    """Write R, G, B by OpenCV; the suffix says as what."""
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.ascontiguousarray(pixels[..., ::-1]))
    return path


def write_exr(path: Path, pixels: Light) -> Path:
    """Write a float OpenEXR picture."""
    import OpenEXR

    path.parent.mkdir(parents=True, exist_ok=True)
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    with OpenEXR.File(header, {"RGB": np.ascontiguousarray(pixels)}) as file:
        file.write(str(path))
    return path


def write_lines(path: Path, lines: Sequence[object]) -> Path:
    """Write a list."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def fake_cinematic(
    folder: Path, *, nexps: int = 2, scenes: Sequence[str] = ("POKER", "CAROUSEL"), frames: int = 60
) -> Path:
    """HDR_Synthetic_Test_Dataset; names end in numbers of frames, truths are only where the generator writes them."""
    names = [f"{scene}_{nexps}expo" for scene in scenes]
    write_lines(folder / f"scenes_{nexps}expo.txt", names)
    cycle = [2.0 ** (stop - min(STOPS[nexps])) for stop in STOPS[nexps]]
    for place, name in enumerate(names):
        scene, stems = folder / "Images" / name, [f"{name}_{number:06d}" for number in range(frames)]
        write_lines(scene / "img_list.txt", stems)
        write_lines(scene / "Exposures.txt", [f"{stop:.2f}" for stop in STOPS[nexps]])
        with_truth = range(nexps, frames - nexps)
        expos = [f"{stems[number]}.hdr {cycle[number % nexps]:f}" for number in with_truth]
        write_lines(scene / "hdr_expos.txt", expos)
        for number, stem in enumerate(stems):
            write(scene / f"{stem}.tif", codes_of(1000 * place + number))
            if number in with_truth:
                write(scene / f"{stem}.hdr", light_of(1000 * place + number))
    return folder


def fake_dynamic(folder: Path, *, nexps: int = 2, scenes: int = 3) -> Path:
    """dynamic_RGB_data_Nexp_release; every frame is paired with the one truth, which reaches up to 2."""
    names = [f"scene_{place:03d}" for place in range(scenes)]
    write_lines(folder / "scene_all.txt", names)
    frames = 2 * nexps + 1
    cycle = [2.0 ** (stop - min(STOPS[nexps])) for stop in STOPS[nexps]]
    write_lines(folder / "hdr_list.txt", [f"{name}/{name}.hdr" for name in names])
    middle = cycle[(frames // 2) % nexps]
    write_lines(folder / "hdr_expos.txt", [f"{name}/{name}.hdr {middle:.2f}" for name in names])
    for place, name in enumerate(names):
        images = [f"img_{number:02d}.tif" for number in range(frames)]
        write_lines(folder / name / "img_list.txt", images)
        write_lines(folder / name / "img_hdr_list.txt", [f"{image} {name}.hdr" for image in images])
        write_lines(folder / name / "Exposures.txt", [stop - min(STOPS[nexps]) for stop in STOPS[nexps]])
        write(folder / name / f"{name}.hdr", light_of(place, scale=2))
        for number, image in enumerate(images):
            write(folder / name / image, codes_of(1000 * place + number))
    return folder


def fake_static(folder: Path, *, nexps: int = 2, scenes: int = 2) -> Path:
    """static_RGB_data_Nexp_rand_motion_release; Exposures.txt names all frames, relative to the middle one."""
    names = [f"scene_{place:03d}" for place in range(scenes)]
    write_lines(folder / "scene_all.txt", names)
    frames = 3 * nexps
    for place, name in enumerate(names):
        stems = [f"{number:03d}" for number in range(frames)]
        write_lines(folder / name / "img_hdr_list.txt", [f"{stem}.tif {stem}.hdr" for stem in stems])
        stops = [STOPS[nexps][number % nexps] - STOPS[nexps][(frames // 2) % nexps] for number in range(frames)]
        write_lines(folder / name / "Exposures.txt", [f"{stop:.2f}" for stop in stops])
        for number, stem in enumerate(stems):
            write(folder / name / f"{stem}.tif", codes_of(1000 * place + number))
            write(folder / name / f"{stem}.hdr", light_of(1000 * place + number))
    return folder


def basler_table() -> NDArray[np.float64]:
    """Light by code, another curve for each channel, up to 4."""
    codes = np.arange(1 << 16)[:, None] / 65535
    light: NDArray[np.float64] = 4 * codes ** np.array([2.0, 1.0, 3.0])
    return light


def fake_tog13(folder: Path, *, nexps: int = 2, frames: int = 9, estimates: bool = True) -> Path:
    """TOG13_Dynamic_Dataset with one scene per number of exposures; Kalantari's output lacks at both ends."""
    name = {2: "Fire-2Exp-3Stop", 3: "Dog-3Exp-2Stop"}[nexps]
    write_lines(folder / f"{nexps}Exp_scenes.txt", [name])
    scipy.io.savemat(folder / "BaslerCRF.mat", {"BaslerCRF": basler_table()})
    images = [f"img_{number:03d}.tif" for number in range(frames)]
    write_lines(folder / name / "img_list.txt", images)
    pairs = [f"{image} HDR/img_{number:03d}.hdr" for number, image in enumerate(images)]
    write_lines(folder / name / "img_hdr_list.txt", pairs)
    write_lines(folder / name / "Exposures.txt", [",".join(f"{stop - 3:g}" for stop in STOPS[nexps])])
    for number, image in enumerate(images):
        write(folder / name / image, codes_of(number))
        if estimates and 1 <= number < frames - 1:
            write(folder / name / "HDR" / f"img_{number:03d}.hdr", light_of(number, scale=8))
    return folder


def fake_hdrv(folder: Path, *, scenes: int = 2) -> Path:
    """Test_Compack_8frames_50scenes; short frames are pictures 0 to 7 of a scene, long ones 100 to 107."""
    for place in range(scenes):
        scene = folder / f"scene{place:02d}"
        for number in range(8):
            write(scene / "Input_0" / f"frame_{number:02d}.tif", codes_of(1000 * place + number))
            write(scene / "Input_1" / f"frame_{number:02d}.tif", codes_of(1000 * place + 100 + number))
            write(scene / "GT" / f"GT_frame_{number:02d}.hdr", light_of(1000 * place + number))
    return folder


def fake_folder(
    folder: Path, *, nexps: int = 2, scenes: Sequence[str] = ("yard", "street"), suffix: str = ".png"
) -> Path:
    """One's own clips: 16-bit frames, every second scene with truths as .hdr, the others as .exr."""
    frames = 2 * nexps + 2
    for place, name in enumerate(scenes):
        write_lines(folder / name / "exposures.txt", [" ".join(f"{stop:g}" for stop in STOPS[nexps])])
        for number in range(frames):
            write(folder / name / f"frame_{number + 7:04d}{suffix}", codes_of(1000 * place + number))
            light = light_of(1000 * place + number)
            if place % 2:
                write_exr(folder / name / "truth" / f"frame_{number + 7:04d}.exr", light)
            else:
                write(folder / name / "truth" / f"frame_{number + 7:04d}.hdr", light)
    return folder
