"""Encoders, their options, and encoding of frames to a file of one video stream."""

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
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
from lanhdr_cli.media.paths import CONTAINERS, DISK_FULL, DISK_GONE, ffmpeg_name, writing_advice
from lanhdr_cli.media.video_reader import FALLBACK_RATE, VideoInfo
from lanhdr_cli.media.yuv import FORMATS, HLG_TRANSFER, PQ_TRANSFER

Measure = Callable[[av.VideoFrame], None]
# Parameters of x265 and SVT-AV1 that lanhdr sets itself.
X265_COLOR = ("colorprim", "transfer", "colormatrix", "range", "chromaloc", "videoformat")
X265_LIGHT = ("master-display", "max-cll", "hdr10")
AV1_COLOR = ("color-primaries", "transfer-characteristics", "matrix-coefficients", "color-range")
AV1_LIGHT = ("mastering-display", "content-light")
NESTED = ("x265-params", "svtav1-params")
RESERVED_PARAMETERS = {*X265_COLOR, *X265_LIGHT, *AV1_COLOR, "chroma-sample-position", *AV1_LIGHT, *NESTED}
# The pictures that x265 makes depend on its frame threads, and on whether its pool has four threads: a result must
# not depend on the cores of a machine.
X265_FRAME_THREADS = 3
X265_LEAST_POOL = 4
NEEDS_NVIDIA = "it needs an NVIDIA GPU with an encoder and its driver: pass --codec {}"


@dataclass(frozen=True, kw_only=True)
class Encoder:
    """An encoder of FFmpeg's.

    Args:
        library: FFmpeg's name of the encoder.
        decoder: FFmpeg's name of the decoder that measures its result.
        pixels: Pixel formats, the default first.
        containers: FFmpeg's names of those that take its stream.
        tag: Of its stream in mp4 and mov; None for FFmpeg's choice.
        preset: Default of `--preset`, None if it has no presets.
        quality: Option that `--crf` stands for, None if it has none.
        parameters: Option that holds the library's own parameters, None if they are options themselves.
        fixed: Options that are always set.
        narrowest: Least width of a picture.
        advice: Next step if it does not start.
    """

    library: str
    decoder: str
    pixels: tuple[str, ...]
    containers: tuple[str, ...] = ("mp4", "mov", "matroska")
    tag: str | None = None
    preset: str | None = None
    quality: str | None = None
    default_quality: float = 0.0
    parameters: str | None = None
    fixed: Mapping[str, str] = field(default_factory=dict)
    narrowest: int = 16
    advice: str = "check --crf, --preset and --enc"


ENCODERS = {
    "hevc": Encoder(
        library="libx265",
        decoder="hevc",
        pixels=("yuv420p10le", "yuv422p10le", "yuv444p10le", "yuv420p12le", "yuv422p12le", "yuv444p12le"),
        tag="hvc1",  # Apple's players take no hev1
        narrowest=64,  # x265 4.2 writes behind its memory where a row of half size has less than four 8x8 blocks
        preset="medium",
        quality="crf",
        default_quality=18,
        parameters="x265-params",
    ),
    "av1": Encoder(
        library="libsvtav1",
        decoder="libdav1d",
        pixels=("yuv420p10le",),
        containers=("mp4", "matroska"),
        preset="8",
        quality="crf",
        default_quality=22,
        parameters="svtav1-params",
    ),
    "prores-4444": Encoder(
        library="prores_ks",
        decoder="prores",
        pixels=("yuv444p10le",),
        containers=("mov", "matroska"),
        fixed={"profile": "4"},
    ),
    "prores-422hq": Encoder(
        library="prores_ks",
        decoder="prores",
        pixels=("yuv422p10le",),
        containers=("mov", "matroska"),
        fixed={"profile": "3"},
    ),
    "ffv1": Encoder(
        library="ffv1",
        decoder="ffv1",
        pixels=("yuv444p12le", "yuv444p10le", "gbrp12le", "gbrp10le", "yuv422p10le", "yuv420p10le"),
        containers=("matroska",),
        fixed={"level": "3", "slicecrc": "1", "slices": "4"},
    ),
    "hevc_nvenc": Encoder(
        library="hevc_nvenc",
        decoder="hevc",
        pixels=("p010le",),
        tag="hvc1",
        preset="p5",
        quality="cq",
        default_quality=19,
        fixed={"profile": "main10", "rc": "vbr", "b": "0"},
        advice=NEEDS_NVIDIA.format("hevc"),
    ),
    "av1_nvenc": Encoder(
        library="av1_nvenc",
        decoder="libdav1d",
        pixels=("p010le",),
        containers=("mp4", "matroska"),
        preset="p5",
        quality="cq",
        default_quality=24,
        fixed={"rc": "vbr", "b": "0"},
        advice=NEEDS_NVIDIA.format("av1"),
    ),
}


@dataclass(frozen=True, kw_only=True)
class EncoderOptions:
    """Options of encoding.

    Args:
        codec: A key of `ENCODERS`.
        crf: Constant quality, lower is better; None for the encoder's default.
        preset: Speed, in the encoder's words; None for its default.
        pixels: Pixel format; None for the encoder's default.
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
        """The encoder that the codec names."""
        return ENCODERS[self.codec]

    @property
    def pixel_format(self) -> str:
        """Pixel format, the default if none is given."""
        return self.pixels or self.encoder.pixels[0]


def check_encoder_options(options: EncoderOptions, target: PurePath) -> None:
    """Refuse options that an encoder does not have, and a file that does not take its stream."""
    encoder, codec = options.encoder, options.codec
    container = CONTAINERS[target.suffix.lower()]
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
    """Translate options to those of FFmpeg."""
    encoder = options.encoder
    settings = dict(encoder.fixed)
    if encoder.quality is not None:
        settings[encoder.quality] = f"{encoder.default_quality if options.crf is None else options.crf:g}"
    if encoder.preset is not None:
        settings["preset"] = options.preset or encoder.preset
    if encoder.parameters is None:
        return settings | dict(options.parameters)
    # x265 and SVT-AV1 write colors themselves; chroma lies on the top left, as ITU-R BT.2020-2 table 4 has it.
    if encoder.library == "libsvtav1":
        transfer = HLG_TRANSFER if grading.hlg else PQ_TRANSFER
        own = {"color-primaries": "9", "transfer-characteristics": str(transfer), "matrix-coefficients": "9"}
        own |= {"color-range": "0", "chroma-sample-position": "2"}
    else:
        own = {"colorprim": "bt2020", "transfer": "arib-std-b67" if grading.hlg else "smpte2084"}
        own |= {"colormatrix": "bt2020nc", "range": "limited", "info": "0", "log-level": "none"}
        if FORMATS[options.pixel_format].down == 2:
            own["chromaloc"] = "2"
        if not grading.hlg:
            own["hdr10-opt"] = "1"
        given = {key for key, _ in options.parameters}
        if "frame-threads" not in given:
            own["frame-threads"] = str(X265_FRAME_THREADS)
        if "pools" not in given:
            own["pools"] = str(max(X265_LEAST_POOL, options.threads or os.cpu_count() or 1))
    if options.threads and encoder.library == "libsvtav1":
        own["lp"] = str(options.threads)
    settings[encoder.parameters] = ":".join(f"{key}={value}" for key, value in (*options.parameters, *own.items()))
    return settings


@dataclass(frozen=True, kw_only=True)
class StreamPlan:
    """Plan of a video stream.

    Args:
        options: FFmpeg's options of the encoder.
        pixel_format: A key of `yuv.FORMATS`.
        info: Size of the pictures before padding, rate, unit of times and pixel aspect.
        primaries: Code of ITU-T H.273 table 2.
        transfer: Code of ITU-T H.273 table 3.
        measured: Whether the light of the decoded pictures is measured; they are PQ then.
        threads: Of encoders that count them in this way, None for their own choice.
    """

    encoder: Encoder
    options: dict[str, str]
    pixel_format: str
    info: VideoInfo
    primaries: int
    transfer: int
    measured: bool = False
    threads: int | None = None


class VideoEncoder:
    """An open encoder; use it in a `with`. Leaving it finishes the file, or breaks off on an error.

    Args:
        measure: Called with every frame as a player will decode it.
        folder: Named where the file can't be written; None for that of the file.

    Raises:
        MediaError: On entering, if the encoder does not start; later, if the disk is full.
    """

    def __init__(
        self, path: Path, plan: StreamPlan, *, measure: Measure | None = None, folder: Path | None = None
    ) -> None:
        self._path = path
        self._folder = folder or path.parent
        self._plan = plan
        self._measure = measure

    def __enter__(self) -> Self:
        os.environ.setdefault("SVT_LOG", "1")  # errors only; SVT-AV1 prints a banner else
        # ProRes is the one stream here that mp4 does not take.
        container = "mov" if self._plan.encoder.library == "prores_ks" else "mp4"
        with writing(self._folder):
            self._container = av.open(ffmpeg_name(self._path), "w", format=container)
        try:
            self._start()
        except BaseException:
            self._container.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:  # the file goes away: that its end can't be written must not hide the error
            with suppress(av.FFmpegError, OSError):
                self._container.close()
            return
        try:
            self._store([*self._encoded(None), None])
        finally:
            with writing(self._folder):
                self._container.close()

    def encode(self, frame: av.VideoFrame, pts: int) -> None:
        """Add a frame in the plan's format and size, shown at `pts` in the plan's unit of time.

        Raises:
            MediaError: If it can't be stored.
        """
        base, rate = self._plan.info.time_base, self._plan.info.rate or FALLBACK_RATE
        frame.pts, frame.time_base = pts, base
        frame.duration = max(1, round(1 / rate / base))
        frame.color_primaries, frame.color_trc = self._plan.primaries, self._plan.transfer
        self._store(self._encoded(frame))

    def _encoded(self, frame: av.VideoFrame | None) -> "list[Packet[VideoStream]]":
        try:
            return self._stream.encode(frame)
        except av.FFmpegError as error:
            name, reason = self._plan.encoder.library, error.strerror or type(error).__name__
            raise MediaError(
                f"the encoder {name} fails ({reason}): end other programs if memory is short, or pass another --codec"
            ) from error

    def _start(self) -> None:
        plan, encoder = self._plan, self._plan.encoder
        failure: Exception | None = None
        with _captured_log() as messages:
            try:
                rate = plan.info.rate or FALLBACK_RATE
                stream = self._container.add_stream(encoder.library, rate=rate, options=plan.options)
                assert isinstance(stream, VideoStream)
                self._stream = stream
                self._describe(stream)
                stream.codec_context.open()
                self._container.start_encoding()
            except (av.FFmpegError, ValueError) as error:
                failure = error
        texts = list(dict.fromkeys(message.strip().rstrip(".") for _, _, message in messages))
        if failure and getattr(failure, "errno", None) in (*DISK_FULL, *DISK_GONE):
            with writing(self._folder):
                raise failure
        if failure:
            reason = "; ".join(texts) or getattr(failure, "strerror", None) or str(failure)
            raise MediaError(f"the encoder {encoder.library} does not start ({reason}): {encoder.advice}") from failure
        # Encoders skip parameters that they don't know, and only mention it; PyAV keeps unknown options.
        refused = [text for text in texts if "nknown option" in text or "parsing option" in text]
        context = self._stream.codec_context
        refused += [f"unknown option {name}" for name in context.options]
        if refused:
            reason = "; ".join(refused)
            raise MediaError(f"the encoder {encoder.library} refuses a parameter ({reason}): {encoder.advice}")
        if self._measure is not None:
            decoder = av.CodecContext.create(encoder.decoder, "r")
            assert isinstance(decoder, VideoCodecContext)
            decoder.width, decoder.height = context.width, context.height
            decoder.extradata, decoder.codec_tag = context.extradata, context.codec_tag
            decoder.thread_count = 1
            self._decoder = decoder

    def _describe(self, stream: VideoStream) -> None:
        plan, context, form = self._plan, stream.codec_context, FORMATS[self._plan.pixel_format]
        stream.width, stream.height = form.padded_size(plan.info.width, plan.info.height)
        stream.pix_fmt = plan.pixel_format
        context.time_base = plan.info.time_base
        context.color_primaries, context.color_trc = plan.primaries, plan.transfer
        context.colorspace, context.color_range = form.matrix, form.range
        context.sample_aspect_ratio = plan.info.pixel_aspect
        if plan.threads:
            context.thread_count = plan.threads
        if plan.encoder.tag:
            context.codec_tag = plan.encoder.tag

    def _store(self, packets: "Iterable[Packet[VideoStream] | None]") -> None:
        """Measure and store packets; None is the end."""
        for packet in packets:
            if self._measure is not None:
                for frame in self._decoder.decode(packet):
                    self._measure(frame)
            if packet is not None:
                with writing(self._folder):
                    self._container.mux(packet)


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Name the folder in errors of writing a file, and what helps."""
    try:
        yield
    except (av.FFmpegError, OSError) as error:
        reason = error.strerror or type(error).__name__
        raise MediaError(f"can't write to {folder} ({reason}): {writing_advice(error.errno)}") from error


@contextmanager
def _captured_log() -> Iterator[list[tuple[int, str, str]]]:
    """Collect FFmpeg's messages, and keep them off the terminal."""
    logging.getLogger("libav").addHandler(logging.NullHandler())
    logging.getLogger("libav").propagate = False
    level = av.logging.get_level()
    av.logging.set_level(av.logging.WARNING)
    try:
        with av.logging.Capture() as messages:
            yield messages
    finally:
        av.logging.set_level(level)
