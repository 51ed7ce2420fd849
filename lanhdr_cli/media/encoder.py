"""Encoding: frames into a hidden file that holds one video stream and nothing else."""

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path, PurePath
from types import TracebackType
from typing import Self

import av
import av.logging
from av.codec import Codec
from av.codec.codec import UnknownCodecError
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from lanhdr_cli.media.errors import MediaError
from lanhdr_cli.media.grading import Grading
from lanhdr_cli.media.paths import CONTAINERS, container_of
from lanhdr_cli.media.video_reader import FALLBACK_RATE
from lanhdr_cli.media.yuv import FORMATS, HLG_TRANSFER, PQ_TRANSFER

Measure = Callable[[av.VideoFrame], None]
# Colors and light are said by lanhdr, which knows them; names of x265 and SVT-AV1.
RESERVED_PARAMETERS = (
    "colorprim",
    "transfer",
    "colormatrix",
    "range",
    "chromaloc",
    "master-display",
    "max-cll",
    "hdr10",
    "videoformat",
    "color-primaries",
    "transfer-characteristics",
    "matrix-coefficients",
    "color-range",
    "chroma-sample-position",
    "mastering-display",
    "content-light",
    "x265-params",
    "svtav1-params",
)
NEEDS_NVIDIA = "it needs an NVIDIA GPU with an encoder and its driver: pass --codec {}"


@dataclass(frozen=True)
class StreamPlan:
    """How a video stream is to be encoded.

    Args:
        library: FFmpeg's name of the encoder.
        decoder: FFmpeg's name of the decoder that measures what was encoded.
        options: Of the encoder.
        pixel_format: A key of `yuv.FORMATS`.
        width: Of the coded picture.
        height: Of the coded picture.
        rate: Frames per second, None if unknown.
        time_base: Unit of times.
        primaries: Code of ITU-T H.273 table 2.
        transfer: Code of ITU-T H.273 table 3.
        pixel_aspect: Width of a pixel over its height.
        tag: Of the stream, None for FFmpeg's choice.
        container: FFmpeg's name of the hidden file's format.
        threads: Of encoders that count them in this way, None for their own choice.
        advice: What to do if it does not start.
    """

    library: str
    decoder: str
    options: dict[str, str]
    pixel_format: str
    width: int
    height: int
    rate: Fraction | None
    time_base: Fraction
    primaries: int
    transfer: int
    pixel_aspect: Fraction = Fraction(1)
    tag: str | None = None
    container: str = "mp4"
    threads: int | None = None
    advice: str = "check --crf, --preset and --enc"


class VideoEncoder:
    """An open encoder; use it in a `with`. Leaving it finishes the file, or breaks off on an error.

    Args:
        path: The hidden file.
        plan: How to encode.
        measure: Is shown every frame as a player will decode it.

    Raises:
        MediaError: On entering, if the encoder does not start; later, if the disk is full.
    """

    def __init__(self, path: Path, plan: StreamPlan, *, measure: Measure | None = None) -> None:
        self._path = path
        self._plan = plan
        self._measure = measure
        self._last_pts: int | None = None

    def __enter__(self) -> Self:
        os.environ.setdefault("SVT_LOG", "1")  # errors only; SVT-AV1 prints a banner else
        self._container = av.open(str(self._path), "w", format=self._plan.container)
        try:
            self._start()
        except BaseException:
            self._container.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._store(self._stream.encode(None))
                self._look_at(None)
        finally:
            with writing(self._path):
                self._container.close()

    def encode(self, frame: av.VideoFrame, time: Fraction) -> None:
        """Add a frame.

        Args:
            frame: In the plan's format and size.
            time: When it is shown, in seconds.

        Raises:
            MediaError: If it is not later than the frame before, or can't be stored.
        """
        base = self._plan.time_base
        pts = round(time / base)
        if self._last_pts is not None and pts <= self._last_pts:
            raise MediaError(
                f"the frame at {float(time):.6f} s is not later than the one before: repair the clip's times"
            )
        self._last_pts = pts
        frame.pts, frame.time_base = pts, base
        frame.duration = max(1, round(1 / (self._plan.rate or FALLBACK_RATE) / base))
        frame.color_primaries, frame.color_trc = self._plan.primaries, self._plan.transfer
        self._store(self._stream.encode(frame))

    def _start(self) -> None:
        plan = self._plan
        with _captured_log() as messages:
            try:
                stream = self._container.add_stream(plan.library, rate=plan.rate or FALLBACK_RATE, options=plan.options)
                assert isinstance(stream, VideoStream)
                self._stream = stream
                self._describe(stream, stream.codec_context)
                stream.codec_context.open()
                self._container.start_encoding()
            except (av.FFmpegError, ValueError) as error:
                reason = "; ".join(_texts(messages)) or getattr(error, "strerror", None) or str(error)
                raise MediaError(f"the encoder {plan.library} does not start ({reason}): {plan.advice}") from error
        unused = [f"unknown option {name}" for name in stream.codec_context.options]  # PyAV leaves only these
        if refused := [*_about_options(messages), *unused]:
            raise MediaError(f"the encoder {plan.library} refuses a parameter ({'; '.join(refused)}): {plan.advice}")
        self._decoder = self._open_decoder(stream.codec_context) if self._measure else None

    def _describe(self, stream: VideoStream, context: VideoCodecContext) -> None:
        plan, form = self._plan, FORMATS[self._plan.pixel_format]
        stream.width, stream.height, stream.pix_fmt = plan.width, plan.height, plan.pixel_format
        context.time_base = plan.time_base
        context.color_primaries, context.color_trc = plan.primaries, plan.transfer
        context.colorspace, context.color_range = form.matrix, form.range
        context.sample_aspect_ratio = plan.pixel_aspect
        if plan.threads:
            context.thread_count = plan.threads
        if plan.tag:
            context.codec_tag = plan.tag

    def _open_decoder(self, context: VideoCodecContext) -> VideoCodecContext:
        decoder = av.CodecContext.create(self._plan.decoder, "r")
        assert isinstance(decoder, VideoCodecContext)
        decoder.width, decoder.height = context.width, context.height
        decoder.extradata, decoder.codec_tag = context.extradata, context.codec_tag
        decoder.thread_count = 1
        return decoder

    def _store(self, packets: "Iterable[Packet[VideoStream]]") -> None:
        for packet in packets:
            self._look_at(packet)
            with writing(self._path):
                self._container.mux(packet)

    def _look_at(self, packet: "Packet[VideoStream] | None") -> None:
        if self._decoder is not None and self._measure is not None:
            for frame in self._decoder.decode(packet):
                self._measure(frame)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an error of writing a file into one that says where.

    Raises:
        MediaError: If the system or FFmpeg refuses.
    """
    try:
        yield
    except (av.FFmpegError, OSError) as error:
        reason = error.strerror or type(error).__name__
        raise MediaError(f"can't write to {path.parent} ({reason}): free some space or choose another place") from error


@contextmanager
def _captured_log() -> Iterator[list[tuple[int, str, str]]]:
    """Gather what FFmpeg says while an encoder starts, and keep it off the terminal."""
    logging.getLogger("libav").addHandler(logging.NullHandler())
    logging.getLogger("libav").propagate = False
    level = av.logging.get_level()
    av.logging.set_level(av.logging.WARNING)
    try:
        with av.logging.Capture() as messages:
            yield messages
    finally:
        av.logging.set_level(level)


def _texts(messages: list[tuple[int, str, str]]) -> list[str]:
    return list(dict.fromkeys(message.strip().rstrip(".") for _, _, message in messages))


def _about_options(messages: list[tuple[int, str, str]]) -> list[str]:
    """Encoders skip parameters that they don't know, and only mention it."""
    return [text for text in _texts(messages) if "nknown option" in text or "parsing option" in text]


@dataclass(frozen=True)
class Encoder:
    """One way to encode video.

    Args:
        library: FFmpeg's name of the encoder.
        decoder: FFmpeg's name of the decoder for what it makes.
        pixels: Pixel formats, the usual first.
        containers: FFmpeg's names of what its stream may go into.
        tag: Of its stream in mp4 and mov; None for FFmpeg's choice.
        presets: Whether it takes `--preset`, and the usual one.
        quality: Option that `--crf` stands for, None if it has none, and the usual value.
        parameters: Option that holds the library's own parameters, None if they are options themselves.
        fixed: Options that are always set.
        narrowest: Least width of a picture.
        advice: What to do if it does not start.
    """

    library: str
    decoder: str
    pixels: tuple[str, ...]
    containers: tuple[str, ...] = ("mp4", "mov", "matroska")
    tag: str | None = None
    preset: str | None = None
    quality: str | None = None
    usual_quality: float = 0.0
    parameters: str | None = None
    fixed: Mapping[str, str] = field(default_factory=dict)
    narrowest: int = 16
    advice: str = "check --crf, --preset and --enc"


ENCODERS = {
    "hevc": Encoder(
        "libx265",
        "hevc",
        ("yuv420p10le", "yuv422p10le", "yuv444p10le", "yuv420p12le", "yuv422p12le", "yuv444p12le"),
        tag="hvc1",  # Apple's players take no hev1
        narrowest=64,  # x265 4.2 writes behind its memory where a row of half size has less than four 8x8 blocks
        preset="medium",
        quality="crf",
        usual_quality=18,
        parameters="x265-params",
    ),
    "av1": Encoder(
        "libsvtav1",
        "libdav1d",
        ("yuv420p10le",),
        ("mp4", "matroska"),
        preset="8",
        quality="crf",
        usual_quality=22,
        parameters="svtav1-params",
    ),
    "prores-4444": Encoder("prores_ks", "prores", ("yuv444p10le",), ("mov", "matroska"), fixed={"profile": "4"}),
    "prores-422hq": Encoder("prores_ks", "prores", ("yuv422p10le",), ("mov", "matroska"), fixed={"profile": "3"}),
    "ffv1": Encoder(
        "ffv1",
        "ffv1",
        ("yuv444p12le", "yuv444p10le", "gbrp12le", "gbrp10le", "yuv422p10le", "yuv420p10le"),
        ("matroska",),
        fixed={"level": "3", "slicecrc": "1", "slices": "4"},
    ),
    "hevc_nvenc": Encoder(
        "hevc_nvenc",
        "hevc",
        ("p010le",),
        tag="hvc1",
        preset="p5",
        quality="cq",
        usual_quality=19,
        fixed={"profile": "main10", "rc": "vbr", "b": "0"},
        advice=NEEDS_NVIDIA.format("hevc"),
    ),
    "av1_nvenc": Encoder(
        "av1_nvenc",
        "libdav1d",
        ("p010le",),
        ("mp4", "matroska"),
        preset="p5",
        quality="cq",
        usual_quality=24,
        fixed={"rc": "vbr", "b": "0"},
        advice=NEEDS_NVIDIA.format("av1"),
    ),
}


@dataclass(frozen=True)
class EncoderOptions:
    """What the user says of encoding.

    Args:
        codec: A key of `ENCODERS`.
        crf: Constant quality, lower is better; None for the usual.
        preset: Speed, in the encoder's words; None for the usual.
        pixels: Pixel format; None for the usual.
        parameters: More parameters of the encoder.
        threads: Threads of the encoder, None for its own choice.
    """

    codec: str = "hevc"
    crf: float | None = None
    preset: str | None = None
    pixels: str | None = None
    parameters: tuple[tuple[str, str], ...] = ()
    threads: int | None = None

    @property
    def encoder(self) -> Encoder:
        """The encoder itself."""
        return ENCODERS[self.codec]

    @property
    def pixel_format(self) -> str:
        """Pixel format, the usual one if none is wished."""
        return self.pixels or self.encoder.pixels[0]


def check_encoder_options(options: EncoderOptions, target: PurePath) -> None:
    """Make sure that an encoder can do what is wished, and that its stream fits the file.

    Raises:
        MediaError: If not.
    """
    encoder, codec = options.encoder, options.codec
    container = container_of(target)
    if container not in encoder.containers:
        fitting = " or ".join(suffix for suffix, name in CONTAINERS.items() if name in encoder.containers)
        other = next(name for name, other in ENCODERS.items() if container in other.containers)
        raise MediaError(
            f"-o {target}: {codec} does not go into {container}: name a {fitting} file or pass --codec {other}"
        )
    if options.crf is not None and encoder.quality is None:
        raise MediaError(f"--crf {options.crf:g}: {codec} has no such setting: leave it out")
    if options.preset is not None and encoder.preset is None:
        raise MediaError(f"--preset {options.preset}: {codec} has no presets: leave it out")
    if options.pixel_format not in encoder.pixels:
        raise MediaError(f"--pix-fmt {options.pixels}: {codec} takes {', '.join(encoder.pixels)}")
    for key, value in options.parameters:
        if key in RESERVED_PARAMETERS:
            raise MediaError(f"--enc {key}={value}: lanhdr sets this itself: leave it out (see lanhdr convert --help)")
        if encoder.parameters and ":" in value:
            raise MediaError(f"--enc {key}={value}: a colon begins another parameter: pass --enc once for each")
    try:
        Codec(encoder.library, "w")
    except UnknownCodecError:
        raise MediaError(f"--codec {codec}: this build of PyAV has no {encoder.library}: pass another codec") from None


def ffmpeg_options(options: EncoderOptions, grading: Grading) -> dict[str, str]:
    """Options for FFmpeg."""
    encoder = options.encoder
    settings = dict(encoder.fixed)
    if encoder.quality is not None:
        settings[encoder.quality] = f"{encoder.usual_quality if options.crf is None else options.crf:g}"
    if encoder.preset is not None:
        settings["preset"] = options.preset or encoder.preset
    if encoder.parameters is None:
        return settings | dict(options.parameters)
    own = _library_parameters(options, grading)
    settings[encoder.parameters] = ":".join(f"{key}={value}" for key, value in (*options.parameters, *own.items()))
    return settings


def _library_parameters(options: EncoderOptions, grading: Grading) -> dict[str, str]:
    """What x265 and SVT-AV1 write into the stream; chroma on the top left, as ITU-R BT.2020-2 table 4 has it."""
    subsampled = FORMATS[options.pixel_format].down == 2
    transfer = HLG_TRANSFER if grading.hlg else PQ_TRANSFER
    threads = str(options.threads) if options.threads else None
    if options.encoder.library == "libsvtav1":
        lines = {"color-primaries": "9", "transfer-characteristics": str(transfer), "matrix-coefficients": "9"}
        lines |= {"color-range": "0", "chroma-sample-position": "2"}
        return lines | ({"lp": threads} if threads else {})
    lines = {"colorprim": "bt2020", "transfer": "arib-std-b67" if grading.hlg else "smpte2084"}
    lines |= {"colormatrix": "bt2020nc", "range": "limited", "info": "0", "log-level": "none"}
    if subsampled:
        lines["chromaloc"] = "2"
    if not grading.hlg:
        lines["hdr10-opt"] = "1"
    return lines | ({"pools": threads} if threads else {})
