"""Small trees in the layouts of published training sets, for tests."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

SIZE = (64, 112)
CLIPS = ("00001/0001", "00001/0002", "00002/0001")


def moving_codes(frame: int, *, seed: int = 0, size: tuple[int, int] = SIZE) -> NDArray[np.uint8]:
    """A texture with all code values that moves by two pixels a frame, (H, W, 3)."""
    rng = np.random.default_rng(seed)
    wide = rng.integers(0, 256, (size[0] // 4, size[1] // 4 + 8, 3), np.uint8)
    picture = cv2.resize(wide, (size[1] + 32, size[0]), interpolation=cv2.INTER_LINEAR)
    return np.ascontiguousarray(picture[:, 2 * frame : 2 * frame + size[1]])


def fake_vimeo90k(folder: Path, *, names: Sequence[str] = CLIPS) -> Path:
    """Septuplets with both lists; the last one is in the test list alone."""
    for number, name in enumerate(names):
        clip = folder / "sequences" / name
        clip.mkdir(parents=True)
        for frame in range(7):
            codes = moving_codes(frame, seed=number)
            cv2.imwrite(str(clip / f"im{frame + 1}.png"), codes[..., ::-1])
    (folder / "sep_trainlist.txt").write_text("".join(f"{name}\n" for name in names[:-1]))
    (folder / "sep_testlist.txt").write_text(f"{names[-1]}\n\n")
    return folder


def fake_patches(folder: Path) -> Path:
    """Two patches of HDR video with the list `train_list.txt`."""
    for number in range(2):
        name = f"patch_{number}"
        clip = folder / "Images" / "bistro_01" / name
        clip.mkdir(parents=True)
        for frame in range(7):
            linear = (moving_codes(frame, seed=number) / 255) ** 4
            np.save(clip / f"frame_{frame}.npy", linear.astype(np.float16))
        (clip / f"{name}.txt").write_text("".join(f"frame_{frame}.npy 0.5\n" for frame in range(7)))
    (folder / "train_list.txt").write_text("bistro_01/patch_0\nbistro_01/patch_1\n")
    return folder


def fake_hdr_frames(folder: Path, *, numbers: Sequence[int] = range(1, 10)) -> Path:
    """Numbered .hdr frames."""
    folder.mkdir(parents=True)
    for number in numbers:
        linear = (moving_codes(number, seed=5) / 255).astype(np.float32) ** 4
        cv2.imwrite(str(folder / f"shot_{number:04d}.hdr"), 20 * linear[..., ::-1])
    return folder


def fake_bracket(folder: Path, *, size: tuple[int, int] = (160, 200), moved: bool = False) -> NDArray[np.float32]:
    """Three pictures of a still scene, exposures 1, 4 and 16 by a list; of different scenes if it moved.

    Returns:
        Radiance of the scene, 1.0 = clip level of the shortest exposure.
    """
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)

    def scene() -> NDArray[np.float32]:
        cells = rng.normal(0, 1.5, (size[0] // 4, size[1] // 4, 3)).astype(np.float32)
        logs = cv2.resize(cells, size[::-1], interpolation=cv2.INTER_CUBIC)
        return np.asarray(np.exp(logs - 3.5), np.float32)

    radiance = scene()
    for number, exposure in enumerate((1, 4, 16)):
        codes = np.rint(255 * np.clip((scene() if moved else radiance) * exposure, 0, 1) ** (1 / 2.2))
        cv2.imwrite(str(folder / f"shot_{number}.png"), codes[..., ::-1].astype(np.uint8))
    (folder / "image_list.txt").write_text("shot_0.png 1\nshot_1.png 4\nshot_2.png 16\n")
    return radiance
