"""A missing OpenCV is one line; any other missing module is our own fault and keeps its traceback."""

import click
import pytest

from lanhdr_cli.console import opencv_needed


def test_missing_opencv_says_what_needs_it_and_how_to_get_it() -> None:
    with (
        pytest.raises(click.ClickException, match=r"training needs OpenCV, .* pip install 'lanhdr\[train\]'"),
        opencv_needed("training"),
    ):
        raise ModuleNotFoundError(name="cv2")


def test_other_missing_modules_are_left_alone() -> None:
    with pytest.raises(ModuleNotFoundError), opencv_needed("training"):
        raise ModuleNotFoundError(name="torch")
