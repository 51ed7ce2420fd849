"""LAN-HDR as functions of tensors, and its Python interface: `from model import load_reconstructor`.

Names are imported when they are first used, so that `import model` loads no torch.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from model.errors import LanHdrError as LanHdrError
    from model.exposure import ExposureCycle as ExposureCycle
    from model.frames import HdrFrame as HdrFrame
    from model.frames import LdrFrame as LdrFrame
    from model.pretrained import load_reconstructor as load_reconstructor
    from model.reconstruct import Reconstructor as Reconstructor

_HOMES = {
    "LanHdrError": "model.errors",
    "ExposureCycle": "model.exposure",
    "HdrFrame": "model.frames",
    "LdrFrame": "model.frames",
    "Reconstructor": "model.reconstruct",
    "load_reconstructor": "model.pretrained",
}
__all__ = [*_HOMES]


def __getattr__(name: str) -> object:
    """Import a public name."""
    if name not in _HOMES:
        raise AttributeError(f"module 'model' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
