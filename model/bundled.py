"""The weights that come with the package, and which of them suit a device."""

from pathlib import Path
from typing import Literal

from model.errors import WeightsError
from model.pretrained import exposures_in_words

Size = Literal["lite", "base"]
FOLDER = Path(__file__).parent / "weights"


def bundled_files() -> list[Path]:
    """All weights that come with the package, by name."""
    return sorted(FOLDER.glob("*.safetensors"))


def bundled_path(*, nexps: int, size: Size | None = None, on_gpu: bool = False) -> Path:
    """Find bundled weights.

    Args:
        nexps: Number of exposures.
        size: Which network; None takes the one whose cost suits the device: `base` on a GPU where there are weights
            of it, else `lite`.
        on_gpu: Whether the device is a GPU.

    Raises:
        WeightsError: If there are none for this number of exposures and size.
    """
    path = _path(nexps, size or ("base" if on_gpu and _path(nexps, "base").is_file() else "lite"))
    if not path.is_file():
        others = [name for name in ("lite", "base") if _path(nexps, name).is_file()]
        instead = f"pass --size {others[0]}, --weights FILE" if others else "pass --weights FILE"
        raise WeightsError(
            f"no weights for {exposures_in_words(nexps)} are bundled yet in size {path.stem.split('_')[0]}: "
            f"{instead} or train with `lanhdr train --nexps {nexps}`"
        )
    return path


def check_size(size: Size) -> None:
    """Make sure that weights of a size are bundled for some number of exposures, before a clip's is known.

    Raises:
        WeightsError: If there are none at all.
    """
    if not any(path.name.startswith(f"{size}_") for path in bundled_files()):
        raise WeightsError(f"no weights of size {size} are bundled yet: pass another --size, or --weights FILE")


def _path(nexps: int, size: str) -> Path:
    return FOLDER / f"{size}_{nexps}e.safetensors"
