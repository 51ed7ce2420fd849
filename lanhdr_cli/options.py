"""Command-line options: their types, and groups that build one object each. Importing it loads no torch."""

import inspect
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click
from cloup import option, option_group

if TYPE_CHECKING:
    from lanhdr_cli.camera import CameraOptions
    from lanhdr_cli.media.image_sequence import OnMissing
    from lanhdr_cli.media.source import Reading
    from lanhdr_cli.media.video_writer import VideoOptions
    from model.exposure import ExposureCycle


LARGEST_STOP = 24.0
HIGHEST_RATE = 100_000
_RANGE = re.compile(r"(?P<first>\d+)(?:(?P<dash>-)(?P<last>\d+)?)?")
_DEVICE = re.compile(r"auto|cpu|cuda(:\d+)?")
CODECS = ("hevc", "av1", "prores-4444", "prores-422hq", "ffv1", "hevc_nvenc", "av1_nvenc")
COLORSPACES = ("rec709", "rec2020", "acescg", "aces2065-1")


@dataclass(frozen=True)
class FrameRange:
    """Frames of a clip, counted from 0, both ends included; `last` None is the clip's end."""

    first: int = 0
    last: int | None = None

    @property
    def count(self) -> int | None:
        """Number of frames, None if open."""
        return None if self.last is None else self.last - self.first + 1


class FrameRangeParam(click.ParamType[FrameRange]):
    """`A-B`, `A-` or `A`, counted from 0, both ends included."""

    name = "A-B"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> FrameRange:
        """Read a range."""
        if isinstance(value, FrameRange):
            return value
        match = _RANGE.fullmatch(str(value).strip())
        if match is None:
            self.fail(f"{value!r} is no range of frames; pass e.g. 0-47, 48- or 12", param, ctx)
        first = int(match["first"])
        last = int(match["last"]) if match["last"] else (None if match["dash"] else first)
        if last is not None and last < first:
            self.fail(f"{value!r} ends before it begins; pass e.g. {last}-{first}", param, ctx)
        return FrameRange(first, last)


class NumbersParam(click.ParamType[tuple[float, ...]]):
    """Numbers with commas between them.

    Args:
        name: What help calls it.
        lowest: Least value; not allowed itself if `above`.
        highest: Greatest value.
        above: Whether values must lie above `lowest`.
        example: A list that works, for error messages.
    """

    def __init__(self, name: str, *, lowest: float, highest: float, above: bool, example: str) -> None:
        self.name = name
        self._lowest, self._highest, self._above, self._example = lowest, highest, above, example

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, ...]:
        """Read a list."""
        if isinstance(value, tuple):
            return value
        try:
            numbers = tuple(float(part) for part in str(value).split(","))
        except ValueError:
            self.fail(f"{value!r} is no list of numbers; pass e.g. {self._example}", param, ctx)
        if not all(self._fits(number) for number in numbers):
            bounds = f"{'above' if self._above else 'from'} {self._lowest:g} to {self._highest:g}"
            self.fail(f"{value!r}: numbers must be {bounds}; pass e.g. {self._example}", param, ctx)
        if len(numbers) < 2 or min(numbers) == max(numbers):
            self.fail(f"{value!r} does not alternate; pass two values or more, e.g. {self._example}", param, ctx)
        return numbers

    def _fits(self, number: float) -> bool:
        return self._lowest <= number <= self._highest and not (self._above and number == self._lowest)


class ExposuresParam(click.ParamType[tuple[float, ...] | Path]):
    """Numbers with commas between them, or a file that lists exposures."""

    name = "LIST|FILE"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[float, ...] | Path:
        """Read a list; what is no list may name a file."""
        if isinstance(value, Path):
            return value
        path = Path(str(value))
        return path if str(value) and path.is_file() else LINEAR.convert(value, param, ctx)


class PositiveParam(click.ParamType[float]):
    """A finite number above 0."""

    name = "FLOAT"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read a number."""
        try:
            number = float(str(value))
        except ValueError:
            self.fail(f"{value!r} is no number; pass e.g. 1.0", param, ctx)
        if not (math.isfinite(number) and number > 0):
            self.fail(f"{value!r} must be a finite number above 0; pass e.g. 1.0", param, ctx)
        return number


class RateParam(click.ParamType[Fraction]):
    """Frames per second: `25`, `24000/1001`, or `23.976` for the same."""

    name = "FPS"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Fraction:
        """Read a rate; decimals next to one of the rates over 1.001 stand for it."""
        try:
            rate = Fraction(str(value))
        except (ValueError, ZeroDivisionError):
            self.fail(f"{value!r} is no frame rate; pass e.g. 24, 23.976 or 30000/1001", param, ctx)
        if not 0 < rate <= HIGHEST_RATE:
            self.fail(f"{value!r}: a frame rate must be above 0 to {HIGHEST_RATE}; pass e.g. 24", param, ctx)
        slowed = Fraction(round(rate * 1001 / 1000) * 1000, 1001)
        return slowed if rate.denominator > 1 and abs(rate - slowed) < Fraction(1, 200) else rate


class UnitParam(PositiveParam):
    """A number above 0, up to 1."""

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read a number."""
        number = super().convert(value, param, ctx)
        if number > 1:
            self.fail(f"{value!r} must be above 0, up to 1; pass e.g. 0.9", param, ctx)
        return number


class BlackParam(click.ParamType[tuple[float, float, float]]):
    """One number from 0 to below 1, or three for R, G and B."""

    name = "CODE|R,G,B"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[float, float, float]:
        """Read one number or three."""
        if isinstance(value, tuple):
            return value
        try:
            numbers = [float(part) for part in str(value).split(",")]
        except ValueError:
            numbers = []
        if len(numbers) not in (1, 3) or not all(0 <= number < 1 for number in numbers):
            self.fail(f"{value!r}: pass one number or three, from 0 to below 1, e.g. 0.02,0.01,0.07", param, ctx)
        red, green, blue = numbers * (3 // len(numbers))
        return red, green, blue


class DeviceParam(click.ParamType[str]):
    """`auto`, `cpu`, `cuda` or `cuda:N`."""

    name = "DEVICE"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Check the form; whether the device exists is found out later."""
        if not _DEVICE.fullmatch(str(value)):
            self.fail(f"{value!r} is no device; pass auto, cpu, cuda or e.g. cuda:1", param, ctx)
        return str(value)


class ParameterParam(click.ParamType[tuple[str, str]]):
    """`KEY=VAL`."""

    name = "KEY=VAL"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        """Split at the first equals sign."""
        key, sign, content = str(value).partition("=")
        if not (key and sign and content):
            self.fail(f"{value!r} is no parameter; pass e.g. aq-mode=3", param, ctx)
        return key, content


LINEAR = NumbersParam("LIST", lowest=0, highest=2**LARGEST_STOP, above=True, example="1,8")
EXPOSURES = ExposuresParam()
STOPS = NumbersParam("LIST", lowest=-LARGEST_STOP, highest=LARGEST_STOP, above=False, example="0,3")
FRAMES = FrameRangeParam()
POSITIVE = PositiveParam()
UNIT = UnitParam()
BLACK = BlackParam()
RATE = RateParam()
DEVICE = DeviceParam()


Command = TypeVar("Command", bound=Callable[..., Any])
FILE = click.Path(path_type=Path)
THREADS = option("--threads", type=click.IntRange(min=1), help="Number of threads for computing and decoding.")
OVERWRITE = option("-y", "--overwrite", is_flag=True, help="Replace existing files.")


@dataclass(frozen=True, kw_only=True)
class ExposureOptions:
    """The exposures as a user gives them.

    Args:
        cycle: Linear exposures from the first frame on; None to find them.
        file: A file that lists them instead.
        slips: Whether to look for missing and doubled frames.
        deflicker: Whether given exposures may be corrected by what the frames show.
    """

    cycle: "ExposureCycle | None" = None
    file: Path | None = None
    slips: bool = True
    deflicker: bool = True

    @classmethod
    def given(
        cls, exposures: "tuple[float, ...] | Path | None", *, slips: bool = True, deflicker: bool = True
    ) -> "ExposureOptions":
        """Take linear exposures from the first frame on, a file that lists them, or None to find them.

        Raises:
            ExposureError: If they don't alternate.
        """
        from model.exposure import ExposureCycle

        if exposures is None or isinstance(exposures, Path):
            return cls(file=exposures, slips=slips, deflicker=deflicker)
        return cls(cycle=ExposureCycle.from_ratios(exposures), slips=slips, deflicker=deflicker)


def group(
    title: str, name: str, *options: Callable[..., Any], build: Callable[..., object]
) -> Callable[[Command], Command]:
    """Add options to a command under a title of its help; it gets what `build` makes of their values, as `name`.

    Args:
        title: What help calls the group.
        name: The argument of the command.
        options: The options.
        build: Takes the value of each option by its name; a parameter without an option keeps its default.
    """

    parameters = inspect.signature(build).parameters

    def decorate(command: Command) -> Command:
        @wraps(command)
        def wrapped(**values: Any) -> Any:
            values[name] = build(**{key: values.pop(key) for key in parameters if key in values})
            return command(**values)

        decorated: Any = option_group(title, *options)(wrapped)
        return cast(Command, decorated)

    return decorate


def _exposures(
    *,
    exposures: tuple[float, ...] | Path | None,
    stops: tuple[float, ...] | None,
    slips: bool = True,
    deflicker: bool = True,
) -> ExposureOptions:
    if exposures and stops:
        raise click.UsageError("--exposures and --stops say the same in two ways: pass one of them")
    linear = tuple(2.0**stop for stop in stops) if stops else exposures
    return ExposureOptions.given(linear, slips=slips, deflicker=deflicker)


def _reading(*, fps: Fraction | None, on_missing: "OnMissing", hwaccel: str | None, strict: bool) -> "Reading":
    from lanhdr_cli.media.source import Reading

    return Reading(fps=fps, on_missing=on_missing, hwaccel=hwaccel, strict=strict)


def _camera(
    *, response: str, gamut: str | None, clip_code: float, black_code: tuple[float, float, float] | None
) -> "CameraOptions":
    from lanhdr_cli.camera import CameraOptions

    return CameraOptions(response=response, gamut=gamut, clip_code=clip_code, black_code=black_code)


def _video(
    *,
    codec: str,
    crf: float | None,
    preset: str | None,
    pix_fmt: str | None,
    parameters: tuple[tuple[str, str], ...],
    white_nits: float,
    peak_nits: float,
    hlg: bool,
    audio: bool,
) -> "VideoOptions":
    from lanhdr_cli.media.encoder import EncoderOptions
    from lanhdr_cli.media.grading import Grading
    from lanhdr_cli.media.video_writer import VideoOptions

    encoding = EncoderOptions(codec=codec, crf=crf, preset=preset, pixels=pix_fmt, parameters=parameters)
    grading = Grading(white_nits=white_nits, peak_nits=peak_nits, hlg=hlg)
    return VideoOptions(encoding=encoding, grading=grading, sound=audio)


_GIVEN = option(
    "--exposures",
    type=EXPOSURES,
    help="Linear exposures from the first frame on, e.g. 1,8, or a file that lists them.  [default: found]",
)
_STOPS = option("--stops", type=STOPS, help="The same in stops, e.g. 0,3.")

exposure_options = group(
    "Exposures",
    "exposures",
    _GIVEN,
    _STOPS,
    option("--slips/--no-slips", default=True, help="Look for missing and doubled frames.  [default: slips]"),
    option(
        "--deflicker/--no-deflicker",
        default=True,
        help="Correct given exposures by what the frames show.  [default: deflicker]",
    ),
    build=_exposures,
)
checked_exposure_options = group("Exposures", "exposures", _GIVEN, _STOPS, build=_exposures)
reading_options = group(
    "Input",
    "reading",
    option("--fps", type=RATE, help="Frame rate of an image sequence.  [default: 24]"),
    option(
        "--on-missing",
        type=click.Choice(["error", "skip", "repeat"]),
        default="error",
        show_default=True,
        help="What to do if a number of an image sequence is missing.",
    ),
    option("--hwaccel", metavar="KIND", help="Hardware decoder, if there is one: auto, cuda ..."),
    option("--strict", is_flag=True, help="Stop at damaged frames instead of concealing them."),
    build=_reading,
)
camera_options = group(
    "Camera",
    "camera",
    option(
        "--response",
        default="auto",
        show_default=True,
        metavar="auto|NAME|FILE",
        help="Camera response: found in the clip (auto; gamma2.2 where that fits), srgb, bt709, generic (a contrasty "
        "JPEG curve), a camera's curve (S-Log3, LogC4 ...), or a .mat, .csv or 1-D .cube file.",
    ),
    option("--gamut", metavar="NAME", help="Camera primaries, e.g. S-Gamut3.Cine.  [default: as tagged, or Rec.709]"),
    option("--clip-code", type=UNIT, default=1.0, help="Signal at which the camera clips, if below 1 (white)."),
    option("--black-code", type=BLACK, help="Signal of no light, one number or R,G,B.  [default: found]"),
    build=_camera,
)
video_options = group(
    "Video output",
    "video",
    option("--codec", type=click.Choice(CODECS), default="hevc", show_default=True, help="Codec of HDR video."),
    option("--crf", type=click.FloatRange(0, 63), help="Quality; lower is better.  [default: 18 for hevc, 22 for av1]"),
    option("--preset", help="Speed preset of the encoder.  [default: medium for hevc, 8 for av1]"),
    option("--pix-fmt", metavar="NAME", help="Pixel format, e.g. yuv422p10le."),
    option("--enc", "parameters", type=ParameterParam(), multiple=True, help="Encoder parameter; repeatable."),
    option("--white-nits", type=POSITIVE, default=203.0, help="Luminance of 1.0 in cd/m2.  [default: 203]"),
    option("--peak-nits", type=POSITIVE, default=1000.0, help="Peak luminance in cd/m2.  [default: 1000]"),
    option("--hlg", is_flag=True, help="Write HLG instead of PQ (HDR10)."),
    option("--audio/--no-audio", default=True, help="Keep the sound.  [default: audio]"),
    build=_video,
)
