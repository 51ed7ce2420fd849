"""Sound of a clip in the video made of it: copied where it decodes alike everywhere, encoded anew where it does not."""

import io
import logging
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

import av
import numpy as np
from av.audio.codeccontext import AudioCodecContext
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.packet import Packet
from av.stream import Disposition
from numpy.typing import NDArray

from lanhdr_cli.media.containers import open_media
from lanhdr_cli.media.details import channel_layout
from lanhdr_cli.media.errors import MediaError

KEPT_TAGS = ("language", "title", "handler_name", "creation_time")
BIT_RATE_PER_CHANNEL = 96_000
LEAD_IN_S = Fraction(1, 20)  # before the first picture; decoders of compressed sound begin with it
STEREO = "stereo"
LAYOUTS = {1: "mono", 2: STEREO, 3: "3.0", 4: "4.0", 5: "5.0", 6: "5.1", 7: "6.1(back)", 8: "7.1(wide)"}
AAC_LAYOUTS = LAYOUTS | {8: "7.1"}
AAC_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)  # that all players know
# Codecs without loss, by the format of decoded samples; mp4 has no PCM that FFmpeg 5 reads.
PCM = {"u8": "pcm_u8", "s16": "pcm_s16le", "s32": "pcm_s24le", "flt": "pcm_f32le", "dbl": "pcm_f64le"}
LOSSLESS = {"mp4": {"u8": "alac", "s16": "alac", "s32": "alac"}, "mov": PCM | {"u8": "pcm_s16le"}, "matroska": PCM}
WIDE = "pcm_s32le"
DECODED = {codec: samples for samples, codec in PCM.items()} | {WIDE: "s32"}
FORMATS = {"uint8": "u8", "int16": "s16", "int32": "s32", "float32": "flt", "float64": "dbl"}  # interleaved
MOST_PLANES = 8

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class SoundEncoding:
    """An encoding of one stream of sound.

    Args:
        codec: FFmpeg's name of the encoder.
        rate: Samples per second.
        layout: FFmpeg's name of the channels' places.
        deep: Whether samples have more than 16 bits.
    """

    codec: str
    rate: int
    layout: str
    deep: bool = True

    def describe(self, context: AudioCodecContext) -> None:
        """Set up an encoder."""
        context.layout = self.layout
        context.sample_rate = self.rate
        if self.codec == "aac":
            context.bit_rate = BIT_RATE_PER_CHANNEL * context.layout.nb_channels
        elif self.codec == "alac":
            context.format = "s32p" if self.deep else "s16p"
        else:
            context.format = DECODED[self.codec]


class ClipSound:
    """The sound of an open video file, and how it goes into a container; use it in a `with`.

    Args:
        container: FFmpeg's name of the container it goes into.
        kept: Whether there is sound in the result; the file's tags are wanted without it, too.

    Raises:
        MediaError: On entering, if the file can't be read again, or a stream can neither be copied nor encoded.
    """

    def __init__(self, path: Path, *, container: str, kept: bool) -> None:
        self.path = path
        self._container = container
        self._kept = kept

    def __enter__(self) -> Self:
        try:
            self.file = open_media(self.path)
        except (av.FFmpegError, OSError) as error:
            again = "pass --no-audio, or convert it again"
            raise MediaError(f"{self.path} can't be read again for its sound: {again}") from error
        with ExitStack() as stack:
            stack.callback(self.file.close)
            self._encodings: dict[int, SoundEncoding | None] = {}
            told = []
            for stream in self.file.streams.audio if self._kept else ():
                if _is_copied(stream, self._container):
                    self._encodings[stream.index] = None
                elif stream.codec_context is None:
                    told.append(f"sound stream {stream.index} can't be decoded and is left out")
                else:
                    self._encodings[stream.index] = encoding = _encoding(stream, self._container)
                    told += [_notice(stream.codec_context, encoding)] if encoding.codec == "aac" else []
            for message in dict.fromkeys(told):
                logger.warning("%s", message)
            stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.file.close()

    def add_to(self, output: OutputContainer, *, begin: Fraction, end: Fraction | None) -> "Iterator[Packet[Any]]":
        """Add the streams to a file that is written, and return their packets in the order of the source.

        Args:
            begin: Time in the source that becomes 0, in seconds.
            end: Time in the source at which sound ends, in seconds; None for the source's end.
        """
        tracks = {}
        for index, encoding in self._encodings.items():
            stream = cast(AudioStream, self.file.streams[index])
            if encoding is None:
                added = output.add_stream_from_template(stream, opaque=True)
            else:
                added = _added(output, encoding)
            lower = {key.lower(): value for key, value in stream.metadata.items()}
            added.metadata.update({key: lower[key] for key in KEPT_TAGS if key in lower})
            added.disposition = Disposition(stream.disposition)
            tracks[index] = _Track(stream, added, encoding=encoding, begin=begin, end=end)
        return self._packets(tracks)

    def _packets(self, tracks: "dict[int, _Track]") -> "Iterator[Packet[Any]]":
        if not tracks:
            return
        try:
            for packet in self.file.demux([self.file.streams[index] for index in tracks]):
                if packet.size and packet.pts is not None and packet.time_base is not None:
                    yield from tracks[packet.stream_index].convert(cast("Packet[AudioStream]", packet))
        except av.FFmpegError as error:
            logger.warning("the sound breaks off: the file can't be read further (%s)", error.strerror)
        for track in tracks.values():
            yield from track.finish()


class _Track:
    """A stream of sound on its way from one file to the other."""

    def __init__(
        self,
        source: AudioStream,
        output: AudioStream,
        *,
        encoding: SoundEncoding | None,
        begin: Fraction,
        end: Fraction | None,
    ) -> None:
        self._source, self._output = source, output
        self._encoding = encoding
        self._begin, self._end = begin, end
        codec = source.codec_context.name if source.codec_context else ""
        self._lead_in = Fraction(0) if codec.startswith("pcm_") else LEAD_IN_S
        self._lost = 0
        if encoding:
            encoder = output.codec_context
            self._resampler = AudioResampler(format=encoder.format, layout=encoding.layout, rate=encoding.rate)

    def convert(self, packet: "Packet[AudioStream]") -> "Iterator[Packet[Any]]":
        """Copy or encode a packet between the times, at its time less `begin`."""
        assert packet.pts is not None
        assert packet.time_base is not None
        time = packet.pts * packet.time_base
        if self._end is not None and time >= self._end:
            return
        if time + (packet.duration or 0) * packet.time_base <= self._begin - self._lead_in:
            return
        if self._encoding:
            try:
                frames = packet.decode()
            except av.FFmpegError:
                self._lost += 1
                return
            for frame in frames:
                yield from self._encoded(frame)
            return
        steps = round(self._begin / packet.time_base)
        packet.pts -= steps
        if packet.dts is not None:
            packet.dts -= steps
        packet.stream = self._output
        yield packet

    def finish(self) -> "Iterator[Packet[Any]]":
        """Empty decoder and encoder."""
        if self._encoding is None:
            return
        for frame in self._source.decode(None):
            yield from self._encoded(frame)
        yield from self._encoded(None)
        if self._lost:
            logger.warning("packets of sound that can't be decoded: %d; it is silent there", self._lost)

    def _encoded(self, frame: AudioFrame | None) -> "Iterator[Packet[Any]]":
        assert self._encoding is not None
        try:
            placed = None
            if frame is not None:
                placed = _placed(frame, self._encoding)
                if frame.pts is not None and frame.time_base is not None:
                    placed.pts = frame.pts - round(self._begin / frame.time_base)
                    placed.time_base = frame.time_base
            for resampled in self._resampler.resample(placed):
                yield from self._output.encode(resampled)
            if frame is None:
                yield from self._output.encode(None)
        except (av.FFmpegError, ValueError) as error:
            raise _cannot_encode(self._source, str(getattr(error, "strerror", None) or error)) from error


def _interleaved(frame: AudioFrame) -> NDArray[Any]:
    """Samples of all channels, (samples, C). PyAV can't read frames of more than seven planes itself."""
    channels = channel_layout(frame).nb_channels
    if frame.format.is_planar and channels >= MOST_PLANES:
        (frame,) = AudioResampler(format=frame.format.packed).resample(frame)
    samples: NDArray[Any] = frame.to_ndarray()
    return np.ascontiguousarray(samples.T) if frame.format.is_planar else samples.reshape(-1, channels)


def _placed(frame: AudioFrame, encoding: SoundEncoding) -> AudioFrame:
    """Give interleaved channels their places; more than the layout has are mixed, odd ones left and even ones right."""
    samples = _interleaved(frame)
    if encoding.layout == STEREO and samples.shape[1] > 2:
        samples = np.stack([samples[:, side::2].mean(1) for side in (0, 1)], 1).astype(samples.dtype)
    placed = AudioFrame.from_ndarray(samples.reshape(1, -1), format=FORMATS[samples.dtype.name], layout=encoding.layout)
    placed.sample_rate = frame.sample_rate
    return placed


def _added(output: OutputContainer, encoding: SoundEncoding) -> AudioStream:
    stream = output.add_stream(encoding.codec, rate=encoding.rate)
    assert isinstance(stream, AudioStream)
    encoding.describe(stream.codec_context)
    return stream


def _is_copied(stream: AudioStream, container: str) -> bool:
    """Find out by a trial whether a container takes a stream as it is; FFmpeg has no list to ask."""
    context = stream.codec_context
    if context is not None and context.name.startswith("pcm_") and container == "mp4":
        return False
    try:
        with av.open(io.BytesIO(), "w", format=container) as trial:
            trial.add_stream_from_template(stream, opaque=True)
            trial.start_encoding()
    except (av.FFmpegError, ValueError):
        return False
    return True


def _encoding(stream: AudioStream, container: str) -> SoundEncoding:
    """Choose the first encoding that works: without loss for PCM, or AAC with all channels, or AAC in stereo.

    Raises:
        MediaError: If none does.
    """
    reason = ""
    for encoding in _candidates(stream.codec_context, container):
        try:
            _try(encoding, container)
        except (av.FFmpegError, ValueError) as error:
            reason = str(getattr(error, "strerror", None) or error)
        else:
            return encoding
    raise _cannot_encode(stream, reason)


def _candidates(context: AudioCodecContext, container: str) -> Iterator[SoundEncoding]:
    channels, rate = channel_layout(context).nb_channels, context.sample_rate
    layout, aac_layout = LAYOUTS.get(channels), AAC_LAYOUTS.get(channels)
    decoded = context.format.name.removesuffix("p")
    if context.name.startswith("pcm_") and decoded in LOSSLESS[container] and layout:
        codec = LOSSLESS[container][decoded]
        if context.name.startswith(("pcm_s32", "pcm_u32")):
            codec = "" if codec == "alac" else WIDE
        if codec:
            yield SoundEncoding(codec=codec, rate=rate, layout=layout, deep=decoded not in ("u8", "s16"))
    aac_rate = min((known for known in AAC_RATES if known >= rate), default=AAC_RATES[-1])
    for places in dict.fromkeys([*([aac_layout] if aac_layout else []), STEREO]):
        yield SoundEncoding(codec="aac", rate=aac_rate, layout=places)


def _try(encoding: SoundEncoding, container: str) -> None:
    """Encode a moment of silence."""
    with av.open(io.BytesIO(), "w", format=container) as trial:
        stream = _added(trial, encoding)
        channels = stream.codec_context.layout.nb_channels
        silence = np.zeros((1, 1024 * channels), np.int16)
        frame = AudioFrame.from_ndarray(silence, format="s16", layout=encoding.layout)
        frame.sample_rate, frame.pts, frame.time_base = encoding.rate, 0, Fraction(1, encoding.rate)
        resampler = AudioResampler(format=stream.codec_context.format, layout=encoding.layout, rate=encoding.rate)
        for part in resampler.resample(frame):
            trial.mux(stream.encode(part))
        trial.mux(stream.encode(None))


def _notice(context: AudioCodecContext, encoding: SoundEncoding) -> str:
    changes = ""
    channels = channel_layout(context).nb_channels
    if encoding.layout == STEREO and channels > 2:
        changes += f", its {channels} channels mixed to stereo (--no-audio leaves it out)"
    if encoding.rate != context.sample_rate:
        changes += f", at {encoding.rate} Hz instead of {context.sample_rate}"
    return f"{context.name} sound does not fit the container: it is encoded as AAC{changes}"


def _cannot_encode(stream: AudioStream, reason: str) -> MediaError:
    context = stream.codec_context
    what = f"{context.name}, {context.sample_rate} Hz, {channel_layout(context).nb_channels} channels"
    return MediaError(f"sound stream {stream.index} ({what}) can't be encoded ({reason}): pass --no-audio")
