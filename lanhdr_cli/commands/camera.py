"""Options that say which camera made a clip."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from lanhdr_cli.params import BLACK, UNIT

if TYPE_CHECKING:
    from lanhdr_cli.camera import CameraWishes

OPTIONS = (
    click.option(
        "--response",
        default="auto",
        show_default=True,
        metavar="auto|NAME|FILE",
        help="Camera response: auto finds it in the clip and keeps gamma2.2 where that fits; srgb, bt709, generic (a "
        "contrasty JPEG curve), a camera's curve (S-Log3, LogC4 ...), a .mat, .csv or 1-D .cube.",
    ),
    click.option("--gamut", metavar="NAME", help="Camera primaries, e.g. S-Gamut3.Cine; else as tagged, or Rec.709."),
    click.option("--clip-code", type=UNIT, default=1.0, help="Signal where the camera clips, if below 1 (white)."),
    click.option("--black-code", type=BLACK, help="Signal of no light, one or R,G,B; 0 for black.  [default: found]"),
)


def camera_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options to a command; `camera_of` takes their values."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command


def camera_of(wishes: dict[str, Any]) -> "CameraWishes":
    """Take the values out of a command's arguments."""
    from lanhdr_cli.camera import CameraWishes

    return CameraWishes(**{name: wishes.pop(name) for name in ("response", "gamut", "clip_code", "black_code")})
