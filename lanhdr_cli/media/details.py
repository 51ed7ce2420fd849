"""What a clip says of itself, in words: codec, colors and which of them are assumed, sound."""

from dataclasses import dataclass, field
from fractions import Fraction

import av
from av.audio.stream import AudioStream
from av.container import InputContainer

from lanhdr_cli.media.source import Source
from lanhdr_cli.media.video_reader import VideoReader, open_container, video_stream
from lanhdr_cli.media.yuv import UNTAGGED, coding_of

# ITU-T H.273 tables 2 to 4, by FFmpeg's names.
PRIMARIES = {
    1: "bt709",
    4: "bt470m",
    5: "bt470bg",
    6: "smpte170m",
    7: "smpte240m",
    9: "bt2020",
    11: "smpte431",
    12: "smpte432",
}
TRANSFERS = {
    1: "bt709",
    4: "gamma22",
    5: "gamma28",
    6: "smpte170m",
    7: "smpte240m",
    8: "linear",
    11: "iec61966-2-4",
    13: "iec61966-2-1",
    14: "bt2020-10",
    15: "bt2020-12",
    16: "smpte2084",
    18: "arib-std-b67",
}
MATRICES = {
    0: "gbr",
    1: "bt709",
    4: "fcc",
    5: "bt470bg",
    6: "smpte170m",
    7: "smpte240m",
    9: "bt2020nc",
    10: "bt2020c",
}


@dataclass(frozen=True)
class ColorTag:
    """One property of color.

    Args:
        value: What is used, by FFmpeg's name.
        assumed: Whether the file does not say it.
    """

    value: str
    assumed: bool

    def __str__(self) -> str:
        return f"{self.value} (assumed)" if self.assumed else self.value


@dataclass(frozen=True)
class Sound:
    """One stream of sound.

    Args:
        codec: FFmpeg's name.
        rate: Samples per second.
        channels: By FFmpeg's name of their layout.
        language: As tagged, empty if not.
    """

    codec: str
    rate: int
    channels: str
    language: str = ""

    def __str__(self) -> str:
        return f"{self.codec}, {self.rate} Hz, {self.channels}" + (f", {self.language}" if self.language else "")


@dataclass(frozen=True)
class Details:
    """What there is to say of a clip's format.

    Args:
        container: FFmpeg's name of the file's kind, `images` for a sequence.
        codec: Of the pictures.
        pixel_format: FFmpeg's name of the samples' layout.
        bits: Per component.
        colors: Range, matrix, primaries and transfer.
        rotation: Degrees, counter-clockwise, that make stored pictures upright.
        duration_s: As the file's header has it, None if it does not say.
        sounds: Streams of sound.
    """

    container: str
    codec: str
    pixel_format: str
    bits: int | None
    colors: dict[str, ColorTag]
    rotation: int = 0
    duration_s: float | None = None
    sounds: list[Sound] = field(default_factory=list)


def describe(source: Source) -> Details:
    """Describe an open clip; a video's file is opened once more for it.

    Raises:
        MediaError: If it can't be read.
    """
    if isinstance(source, VideoReader):
        with open_container(source.path) as container:
            stream = video_stream(container, source.path)
            return _of_video(container, next(container.decode(stream)), codec=stream.codec_context.name)
    codec, pixel_format, *_ = source.info.description.split()
    linear = codec == "exr"
    colors = {
        "range": ColorTag("full", not linear),
        "primaries": ColorTag("bt709", True),
        "transfer": ColorTag("linear" if linear else "gamma22", not linear),
    }
    frames = source.info.frames or 0
    seconds = float(frames / source.info.rate) if source.info.rate else None
    return Details("images", codec, pixel_format, None, colors, duration_s=seconds)


def _of_video(container: InputContainer, frame: av.VideoFrame, *, codec: str) -> Details:
    coding = coding_of(frame)
    tagged_range = int(frame.color_range) != 0 or frame.format.name.startswith("yuvj")
    colors = {"range": ColorTag("full" if coding.full_range else "limited", not tagged_range)}
    if coding.kind == "ycbcr":
        colors["matrix"] = ColorTag(_name(MATRICES, coding.matrix), coding.guessed)
    colors["primaries"] = _tag(PRIMARIES, int(frame.color_primaries), "bt709")
    # The transfer that a file names is for displays; cameras are taken by --response.
    colors["transfer"] = _tag(TRANSFERS, int(frame.color_trc), "gamma22")
    return Details(
        container=container.format.name,
        codec=codec,
        pixel_format=frame.format.name,
        bits=coding.bits,
        colors=colors,
        rotation=round(frame.rotation),
        duration_s=None if container.duration is None else float(Fraction(container.duration, av.time_base)),
        sounds=[_sound(stream) for stream in container.streams.audio],
    )


def _tag(names: dict[int, str], code: int, assumed: str) -> ColorTag:
    return ColorTag(assumed, True) if code == UNTAGGED else ColorTag(_name(names, code), False)


def _name(names: dict[int, str], code: int) -> str:
    return names.get(code, f"code {code}")


def _sound(stream: AudioStream) -> Sound:
    context = stream.codec_context
    if context is None:  # FFmpeg knows no decoder; the stream can still be copied
        return Sound("unknown", 0, "unknown", stream.metadata.get("language", ""))
    return Sound(context.name, context.sample_rate, context.layout.name, stream.metadata.get("language", ""))
