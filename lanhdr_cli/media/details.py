"""Details of a clip's format: codec, colors and which of them are assumed, sound."""

import ctypes
from dataclasses import dataclass, field
from fractions import Fraction

import av
from av.audio.codeccontext import AudioCodecContext
from av.audio.frame import AudioFrame
from av.audio.layout import AudioLayout
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.video.stream import VideoStream

from lanhdr_cli.media.stated_colors import StatedColors
from lanhdr_cli.media.yuv import UNTAGGED, coding_of

# ITU-T H.273 tables 2 to 4, by FFmpeg's names.
COMMON = {1: "bt709", 6: "smpte170m", 7: "smpte240m"}
PRIMARIES = COMMON | {4: "bt470m", 5: "bt470bg", 9: "bt2020", 11: "smpte431", 12: "smpte432"}
TRANSFERS = COMMON | {
    4: "gamma22",
    5: "gamma28",
    8: "linear",
    11: "iec61966-2-4",
    13: "iec61966-2-1",
    14: "bt2020-10",
    15: "bt2020-12",
    16: "smpte2084",
    18: "arib-std-b67",
}
# Of responses, in the same words.
DISPLAY_NAMES = {"gamma2.2": "gamma22", "gamma2.8": "gamma28", "srgb": "iec61966-2-1", "pq": "smpte2084"}
MATRICES = COMMON | {0: "gbr", 4: "fcc", 5: "bt470bg", 9: "bt2020nc", 10: "bt2020c"}


@dataclass(frozen=True, kw_only=True)
class ColorTag:
    """One property of color, by FFmpeg's name; assumed where the file does not say it."""

    value: str
    assumed: bool

    def __str__(self) -> str:
        return f"{self.value} (assumed)" if self.assumed else self.value


@dataclass(frozen=True, kw_only=True)
class Sound:
    """One stream of sound.

    Args:
        rate: Samples per second.
        channels: FFmpeg's name of their layout.
        language: As tagged, empty if not.
    """

    codec: str
    rate: int
    channels: str
    language: str = ""

    def __str__(self) -> str:
        return f"{self.codec}, {self.rate} Hz, {self.channels}" + (f", {self.language}" if self.language else "")


@dataclass(frozen=True, kw_only=True)
class Details:
    """Format of a clip.

    Args:
        container: FFmpeg's name of the file's kind, `images` for a sequence.
        pixel_format: FFmpeg's name of the samples' layout.
        bits: Per component, None if unknown.
        colors: Range, matrix, primaries and transfer.
        rotation: Degrees, counter-clockwise, that make stored pictures upright.
        duration_s: As the file's header has it, None if it does not say.
    """

    container: str
    codec: str
    pixel_format: str
    bits: int | None
    colors: dict[str, ColorTag]
    rotation: int = 0
    duration_s: float | None = None
    sounds: list[Sound] = field(default_factory=list)


def video_details(container: InputContainer, stream: VideoStream, first: av.VideoFrame) -> Details:
    """Describe a video file by its header and its first frame."""
    coding = coding_of(first)
    tagged_range = int(first.color_range) != 0 or first.format.name.startswith("yuvj")
    colors = {"range": ColorTag(value="full" if coding.full_range else "limited", assumed=not tagged_range)}
    if coding.kind == "ycbcr":
        matrix = MATRICES.get(coding.matrix, f"code {coding.matrix}")
        colors["matrix"] = ColorTag(value=matrix, assumed=coding.guessed)
    colors["primaries"] = _color_tag(PRIMARIES, int(first.color_primaries), assumed="bt709")
    # The transfer that a file names is for displays; cameras are taken by --response.
    colors["transfer"] = _color_tag(TRANSFERS, int(first.color_trc), assumed="gamma22")
    return Details(
        container=container.format.name,
        codec=stream.codec_context.name,
        pixel_format=first.format.name,
        bits=coding.bits,
        colors=colors,
        rotation=round(first.rotation),
        duration_s=None if container.duration is None else float(Fraction(container.duration, av.time_base)),
        sounds=[_sound(stream) for stream in container.streams.audio],
    )


def _color_tag(names: dict[int, str], code: int, *, assumed: str) -> ColorTag:
    untagged = code == UNTAGGED
    return ColorTag(value=assumed if untagged else names.get(code, f"code {code}"), assumed=untagged)


def channel_layout(owner: AudioCodecContext | AudioFrame) -> AudioLayout:
    """Return the places of channels; it is valid as long as its owner.

    PyAV 18 copies an order of channels that is no standard one, as 7.1 in mov is, without its memory, and would free
    that a second time with the copy: the copy is never freed.
    """
    layout = owner.layout
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(layout))
    return layout


def _sound(stream: AudioStream) -> Sound:
    language = stream.metadata.get("language", "")
    context = stream.codec_context
    if context is None:  # FFmpeg knows no decoder; the stream can still be copied
        return Sound(codec="unknown", rate=0, channels="unknown", language=language)
    return Sound(codec=context.name, rate=context.sample_rate, channels=channel_layout(context).name, language=language)


def sequence_details(codec: str, pixel_format: str, *, bits: int, colors: StatedColors, duration_s: float) -> Details:
    """Describe a sequence of pictures by what they name; others are taken as a display's, BT.709 and gamma 2.2."""
    primaries, transfer = colors.names
    tags = {
        "range": ColorTag(value="full", assumed=codec != "exr"),
        "primaries": ColorTag(value=primaries or "bt709", assumed=not primaries),
        "transfer": ColorTag(
            value=DISPLAY_NAMES.get(transfer, transfer) or "gamma22", assumed=colors.assumed or not transfer
        ),
    }
    return Details(
        container="images", codec=codec, pixel_format=pixel_format, bits=bits, colors=tags, duration_s=duration_s
    )
