"""OpenCV, which conversions do without."""

from collections.abc import Iterator
from contextlib import contextmanager

import click


@contextmanager
def opencv_needed(what: str) -> Iterator[None]:
    """Say in one line that OpenCV is missing, where something imported inside needs it.

    Args:
        what: What cannot be done without it, e.g. `training`.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name != "cv2":
            raise
        raise click.ClickException(
            f"{what} needs OpenCV, which is not installed: pip install 'lanhdr[train]'"
        ) from error
