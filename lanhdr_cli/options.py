"""Command-line options: their types, and groups that build one object each. Importing it loads no torch."""

import inspect
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast

import click
from cloup import option, option_group

if TYPE_CHECKING:
    from lanhdr_cli.camera import CameraOptions
    from lanhdr_cli.media.image_sequence import OnMissing
    from lanhdr_cli.media.mosaic import Bayer
    from lanhdr_cli.media.source import Reading
    from lanhdr_cli.media.video_reader import FieldOrder
    from lanhdr_cli.media.video_writer import VideoOptions
    from model.exposure import ExposureCycle


LARGEST_STOP = 24.0
HIGHEST_RATE = 100_000
_RANGE = re.compile(r"(?P<first>\d+)(?:(?P<dash>-)(?P<last>\d+)?)?")
_SIZE = re.compile(r"(?P<number>\d{1,15}(\.\d{1,9})?)\s*(?P<unit>[kmgt])(i?b)?", re.IGNORECASE)
CODECS = ("hevc", "av1", "prores-4444", "prores-422hq", "ffv1", "hevc_nvenc", "av1_nvenc")
BAYER_PATTERNS = ("RGGB", "BGGR", "GRBG", "GBRG")
SIZES = ("lite", "small", "base")
COLORSPACES = ("rec709", "rec2020", "acescg", "aces2065-1")

Value = TypeVar("Value")
Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass(frozen=True)
class FrameRange:
    """Frames of a clip, counted from 0, both ends included; `last` None is the clip's end."""

    first: int = 0
    last: int | None = None

    def holds(self, index: int) -> bool:
        """Whether a frame is one of them."""
        return self.first <= index and (self.last is None or index <= self.last)

    def count(self, *, in_clip: int | None = None) -> int | None:
        """Return the number of frames, at least 1, in a clip of `in_clip` frames; None if it is not known."""
        ends = [] if self.last is None else [self.last + 1]
        ends += [] if in_clip is None else [in_clip]
        return max(1, min(ends) - self.first) if ends else None


class TextParam(click.ParamType[Value]):
    """The type of an option: a name for its help, and a function that reads its text or raises a ValueError."""

    def __init__(self, name: str, read: Callable[[str], Value]) -> None:
        self.name = name
        self._read = read

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Value:
        """Read text; the value of a default passes."""
        if not isinstance(value, str):
            return cast(Value, value)
        try:
            return self._read(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def read_frames(text: str) -> FrameRange:
    """Read `A-B`, `A-` or `A`, counted from 0, both ends included."""
    match = _RANGE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is no range of frames; pass e.g. 0-47, 48- or 12")
    first = int(match["first"])
    last = int(match["last"]) if match["last"] else (None if match["dash"] else first)
    if last is not None and last < first:
        raise ValueError(f"{text!r} ends before it begins; pass e.g. {last}-{first}")
    return FrameRange(first, last)


def read_list(text: str, *, bounds: str, fits: Callable[[float], bool], example: str) -> tuple[float, ...]:
    """Read numbers with commas between them, which fit the bounds and differ."""
    try:
        numbers = tuple(float(part) for part in text.split(","))
    except ValueError:
        raise ValueError(f"{text!r} is no list of numbers; pass e.g. {example}") from None
    if not all(fits(number) for number in numbers):
        raise ValueError(f"{text!r}: numbers must be {bounds}; pass e.g. {example}")
    if len(numbers) < 2 or min(numbers) == max(numbers):
        raise ValueError(f"{text!r} does not alternate; pass two values or more, e.g. {example}")
    return numbers


def read_exposures(text: str) -> tuple[float, ...] | Path:
    """Read linear exposures, or the name of a file that lists them."""
    if text and Path(text).is_file():
        return Path(text)
    highest = 2**LARGEST_STOP
    return read_list(text, bounds=f"above 0 to {highest:g}", fits=lambda ratio: 0 < ratio <= highest, example="1,8")


def read_stops(text: str) -> tuple[float, ...]:
    """Read exposures in stops."""
    bounds = f"from {-LARGEST_STOP:g} to {LARGEST_STOP:g}"
    return read_list(text, bounds=bounds, fits=lambda stop: abs(stop) <= LARGEST_STOP, example="0,3")


def read_positive(text: str) -> float:
    """Read a finite number above 0."""
    try:
        number = float(text)
    except ValueError:
        raise ValueError(f"{text!r} is no number; pass e.g. 1.0") from None
    if not (math.isfinite(number) and number > 0):
        raise ValueError(f"{text!r} must be a finite number above 0; pass e.g. 1.0")
    return number


def read_unit(text: str) -> float:
    """Read a number above 0, up to 1."""
    number = read_positive(text)
    if number > 1:
        raise ValueError(f"{text!r} must be above 0, up to 1; pass e.g. 0.9")
    return number


def read_rate(text: str) -> Fraction:
    """Read frames per second: `25`, `24000/1001`, or `23.976`, which stands for the nearby rate over 1.001."""
    try:
        rate = Fraction(text)
    except (ValueError, ZeroDivisionError):
        raise ValueError(f"{text!r} is no frame rate; pass e.g. 24, 23.976 or 30000/1001") from None
    if not 0 < rate <= HIGHEST_RATE:
        raise ValueError(f"{text!r}: a frame rate must be above 0 to {HIGHEST_RATE}; pass e.g. 24")
    slowed = Fraction(round(rate * 1001 / 1000) * 1000, 1001)
    return slowed if rate.denominator > 1 and abs(rate - slowed) < Fraction(1, 200) else rate


def read_size(text: str) -> int:
    """Read a number of bytes: `8G`, `512M`, `1.5GiB`; units are powers of 1024."""
    match = _SIZE.fullmatch(text.strip())
    size = float(match["number"]) * 1024 ** ("kmgt".index(match["unit"].lower()) + 1) if match else 0.0
    if not 1 <= size < 2**63:
        raise ValueError(f"{text!r} is no size; pass e.g. 512M or 8G")
    return round(size)


def read_black(text: str) -> tuple[float, float, float]:
    """Read one number from 0 to below 1, or three for R, G and B."""
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) not in (1, 3) or not all(0 <= number < 1 for number in numbers):
        raise ValueError(f"{text!r}: pass one number or three, from 0 to below 1, e.g. 0.02,0.01,0.07")
    red, green, blue = numbers * (3 // len(numbers))
    return red, green, blue


def read_device(text: str) -> str:
    """Check the form of `auto`, `cpu`, `cuda` or `cuda:N`."""
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", text):
        raise ValueError(f"{text!r} is no device; pass auto, cpu, cuda or e.g. cuda:1")
    return text


def read_devices(text: str) -> tuple[str, ...]:
    """Read names of devices with commas between them."""
    return tuple(read_device(name.strip()) for name in text.split(","))


def read_parameter(text: str) -> tuple[str, str]:
    """Split `KEY=VAL` at the first equals sign."""
    key, sign, value = text.partition("=")
    if not (key and sign and value):
        raise ValueError(f"{text!r} is no parameter; pass e.g. aq-mode=3")
    return key, value


FRAMES = TextParam("A-B", read_frames)
EXPOSURES = TextParam("LIST|FILE", read_exposures)
STOPS = TextParam("LIST", read_stops)
RATE = TextParam("FPS", read_rate)
UNIT = TextParam("FLOAT", read_unit)
BLACK = TextParam("CODE|R,G,B", read_black)
PARAMETER = TextParam("KEY=VAL", read_parameter)
BYTES = TextParam("SIZE", read_size)
POSITIVE = TextParam("FLOAT", read_positive)
DEVICE = TextParam("DEVICE", read_device)
DEVICES = TextParam("LIST", read_devices)
FILE = click.Path(path_type=Path)
THREADS = option("--threads", type=click.IntRange(min=1), help="Number of threads for computing and decoding.")
SIZE = option("--size", type=click.Choice(SIZES), help="Bundled weights.  [default: as suits the device]")
OVERWRITE = option("-y", "--overwrite", is_flag=True, help="Replace existing files.")


@dataclass(frozen=True, kw_only=True)
class ExposureOptions:
    """The exposures as the user gives them, as a cycle or in a file; None to find them.

    `slips` looks for missing and doubled frames; `doubled` says what becomes of these; `deflicker` lets the frames
    correct given exposures.
    """

    cycle: "ExposureCycle | None" = None
    file: Path | None = None
    slips: bool = True
    deflicker: bool = True
    doubled: Literal["keep", "drop"] = "keep"

    @classmethod
    def given(
        cls,
        exposures: "tuple[float, ...] | Path | None",
        *,
        slips: bool = True,
        deflicker: bool = True,
        doubled: Literal["keep", "drop"] = "keep",
    ) -> "ExposureOptions":
        """Take linear exposures from the first frame on, a file that lists them, or None to find them.

        Raises:
            ExposureError: If they don't alternate.
        """
        from model.exposure import ExposureCycle

        if exposures is None or isinstance(exposures, Path):
            return cls(file=exposures, slips=slips, deflicker=deflicker, doubled=doubled)
        cycle = ExposureCycle.from_ratios(exposures)
        return cls(cycle=cycle, slips=slips, deflicker=deflicker, doubled=doubled)


def group(
    title: str, name: str, *options: Callable[..., Any], build: Callable[..., object]
) -> Callable[[Command], Command]:
    """Add options to a command under a title of its help; it gets what `build` makes of their values, as `name`.

    Args:
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
    doubled: Literal["keep", "drop"] = "keep",
) -> ExposureOptions:
    if exposures and stops:
        raise click.UsageError("--exposures and --stops say the same in two ways: pass one of them")
    linear = tuple(2.0**stop for stop in stops) if stops else exposures
    return ExposureOptions.given(linear, slips=slips, deflicker=deflicker, doubled=doubled)


def _reading(
    *,
    fps: Fraction | None,
    on_missing: "OnMissing",
    hwaccel: str | None,
    field_order: "FieldOrder",
    strict: bool,
    bits: int | None,
    bayer: "Bayer | None",
    interleave: tuple[Path, ...],
) -> "Reading":
    from lanhdr_cli.media.source import Reading

    return Reading(
        fps=fps,
        on_missing=on_missing,
        hwaccel=hwaccel,
        field_order=field_order,
        strict=strict,
        bits=bits,
        bayer=bayer,
        interleave=interleave,
    )


def _camera(
    *, response: str | None, gamut: str | None, clip_code: float, black_code: tuple[float, float, float] | None
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

_SLIPS = option("--slips/--no-slips", default=True, help="Look for missing and doubled frames.  [default: slips]")
_DEFLICKER = option(
    "--deflicker/--no-deflicker",
    default=True,
    help="Correct given exposures by what the frames show.  [default: deflicker]",
)

exposure_options = group(
    "Exposures",
    "exposures",
    _GIVEN,
    _STOPS,
    _SLIPS,
    _DEFLICKER,
    option(
        "--doubled",
        type=click.Choice(["keep", "drop"]),
        default="keep",
        show_default=True,
        help="Frames that show the frame before them again, as after a change of the frame rate.",
    ),
    build=_exposures,
)
checked_exposure_options = group("Exposures", "exposures", _GIVEN, _STOPS, _SLIPS, _DEFLICKER, build=_exposures)
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
    option(
        "--bits",
        type=click.IntRange(8, 16),
        help="Bits of the codes in 16-bit pictures, e.g. 12 for 0..4095.  [default: found]",
    ),
    option(
        "--bayer",
        type=click.Choice([*BAYER_PATTERNS, "none"], case_sensitive=False),
        help="Color filters of gray pictures that are a mosaic: colors of the first two samples, then of those below.",
    ),
    option("--hwaccel", metavar="KIND", help="Hardware decoder, if there is one: auto, cuda ..."),
    option(
        "--field-order",
        type=click.Choice(["auto", "progressive"]),
        default="auto",
        show_default=True,
        help="What frames are that a video flags as interlaced: found (auto), or progressive.",
    ),
    option(
        "--strict",
        is_flag=True,
        help="Stop at damaged frames; exit code 3 if anything was guessed, repaired or left out.",
    ),
    option(
        "--interleave",
        type=FILE,
        multiple=True,
        metavar="FOLDER",
        help="Take a picture of INPUT and one of this folder or pattern in turn; repeatable.",
    ),
    build=_reading,
)
camera_options = group(
    "Camera",
    "camera",
    option(
        "--response",
        metavar="auto|NAME|FILE",
        help="Camera response: found in the clip (auto; gamma2.2 where that fits), linear, gamma2.4 (any power from 1 "
        "to 3), srgb, bt709, generic (a contrasty JPEG curve), a camera's curve (S-Log3, LogC4 ...), or a .mat, .csv "
        "or 1-D .cube file.  [default: as pictures' headers say, else auto]",
    ),
    option("--gamut", metavar="NAME", help="Camera primaries, e.g. S-Gamut3.Cine.  [default: as tagged, or Rec.709]"),
    option(
        "--clip-code",
        type=UNIT,
        default=1.0,
        help="Signal at which the camera clips, if below 1 (white).",
    ),
    option(
        "--black-code",
        type=BLACK,
        help="Signal of no light, one number or R,G,B.  [default: found]",
    ),
    build=_camera,
)
video_options = group(
    "Video output",
    "video",
    option("--codec", type=click.Choice(CODECS), default="hevc", show_default=True, help="Codec of HDR video."),
    option("--crf", type=click.FloatRange(0, 63), help="Quality; lower is better.  [default: 18 for hevc, 22 for av1]"),
    option("--preset", help="Speed preset of the encoder.  [default: medium for hevc, 8 for av1]"),
    option("--pix-fmt", metavar="NAME", help="Pixel format, e.g. yuv422p10le."),
    option(
        "--enc",
        "parameters",
        type=PARAMETER,
        multiple=True,
        help="Encoder parameter; repeatable.",
    ),
    option("--white-nits", type=POSITIVE, default=203.0, help="Luminance of 1.0 in cd/m2.  [default: 203]"),
    option("--peak-nits", type=POSITIVE, default=1000.0, help="Peak luminance in cd/m2.  [default: 1000]"),
    option("--hlg", is_flag=True, help="Write HLG instead of PQ (HDR10)."),
    option("--audio/--no-audio", default=True, help="Keep the sound.  [default: audio]"),
    build=_video,
)
