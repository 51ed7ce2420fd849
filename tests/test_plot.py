"""Plots of inspections."""

import io
from pathlib import Path

import pytest
from PIL import Image
from support.clips import alternating_clip

from lanhdr_cli.camera import CameraOptions
from lanhdr_cli.inspection import inspect_clip
from lanhdr_cli.media.source import Reading
from lanhdr_cli.options import ExposureOptions
from lanhdr_cli.plot import draw_png

CYCLES = {
    "two exposures": [1 / 8, 1] * 6,
    "three exposures": [1 / 16, 1 / 4, 1] * 5,
    "one exposure, unknown": [1 / 8] * 8,
    "many breaks": [1 / 8, 1, 1, 1 / 8] * 10,
    "one frame": [1.0],
}


@pytest.mark.parametrize("name", CYCLES)
def test_any_clip_can_be_drawn(name: str, tmp_path: Path) -> None:
    camera = CameraOptions(response="gamma2.2")
    inspection = inspect_clip(
        alternating_clip(tmp_path / "a.mkv", CYCLES[name]),
        exposures=ExposureOptions(),
        reading=Reading(),
        camera=camera,
        threads=1,
    )
    with Image.open(io.BytesIO(draw_png(inspection))) as picture:
        assert picture.format == "PNG" and picture.size == (1440, 1080)
        colors = {color for _, color in picture.convert("RGB").getcolors(maxcolors=1 << 20) or ()}
    used = [(0, 114, 178), (230, 159, 0), (0, 158, 115)][: len(inspection.groups)]
    assert set(used) <= colors
