"""Options of commands that write HDR video."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from lanhdr_cli.params import POSITIVE

if TYPE_CHECKING:
    from lanhdr_cli.media.hdr10 import VideoWishes

CODECS = ("hevc", "av1", "prores-4444", "prores-422hq", "ffv1", "hevc_nvenc", "av1_nvenc")


class ParameterParam(click.ParamType[tuple[str, str]]):
    """`KEY=VAL`."""

    name = "KEY=VAL"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        """Split at the first equals sign."""
        key, sign, content = str(value).partition("=")
        if not (key and sign and content):
            self.fail(f"{value!r} is no parameter; pass e.g. aq-mode=3", param, ctx)
        return key, content


def video_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options; `video_of` makes their values one."""
    for option in reversed(
        (
            click.option("--codec", type=click.Choice(CODECS), default="hevc", show_default=True, help="Of HDR video."),
            click.option(
                "--crf", type=click.FloatRange(0, 63), help="Quality, lower is better: 18 for hevc, 22 for av1."
            ),
            click.option("--preset", help="Speed of the encoder, in its own words: medium for hevc, 8 for av1."),
            click.option("--pix-fmt", metavar="NAME", help="Pixel format, e.g. yuv422p10le."),
            click.option(
                "--enc",
                "parameters",
                type=ParameterParam(),
                multiple=True,
                help="Parameter of the encoder; repeatable.",
            ),
            click.option("--white-nits", type=POSITIVE, default=203.0, help="Light of 1.0 in cd/m2.  [default: 203]"),
            click.option("--peak-nits", type=POSITIVE, default=1000.0, help="Peak in cd/m2.  [default: 1000]"),
            click.option("--hlg", is_flag=True, help="HLG instead of PQ (HDR10)."),
            click.option("--no-audio", is_flag=True, help="Leave out the sound."),
        )
    ):
        command = option(command)
    return command


def video_of(wishes: dict[str, Any]) -> "VideoWishes":
    """Take the options' values out of all values.

    Raises:
        MediaError: If the peak does not fit.
    """
    from lanhdr_cli.media.encoders import EncodingWishes
    from lanhdr_cli.media.grading import Grading
    from lanhdr_cli.media.hdr10 import VideoWishes

    encoding = EncodingWishes(
        codec=wishes.pop("codec"),
        crf=wishes.pop("crf"),
        preset=wishes.pop("preset"),
        pixels=wishes.pop("pix_fmt"),
        parameters=wishes.pop("parameters"),
        threads=wishes.get("threads"),
    )
    grading = Grading(wishes.pop("white_nits"), wishes.pop("peak_nits"), hlg=wishes.pop("hlg"))
    return VideoWishes(encoding, grading, sound=not wishes.pop("no_audio"))
