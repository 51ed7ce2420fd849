"""Small clips for tests, written with known code values."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.audio.stream import AudioStream
from av.video.stream import VideoStream
from numpy.typing import NDArray

Planes = Sequence[NDArray[np.integer]]
QUIET_X264 = {"preset": "ultrafast", "crf": "10"}
HEVC_SIZE = (96, 64)


def frame_of(planes: Planes, format: str, *, size: tuple[int, int]) -> av.VideoFrame:
    """A frame with these code values; `size` is width and height."""
    frame = av.VideoFrame(*size, format)
    for plane, codes in zip(frame.planes, planes, strict=True):
        rows = np.zeros((plane.height, plane.line_size // codes.itemsize), codes.dtype)
        rows[:, : codes.shape[1]] = codes
        plane.update(rows.tobytes())
    return frame


def random_planes(format: str, *, size: tuple[int, int], seed: int = 0) -> list[NDArray[np.integer]]:
    """Random code values over the whole range of a planar format."""
    generator = np.random.default_rng(seed)
    frame = av.VideoFrame(*size, format)
    bits = frame.format.components[0].bits
    kind = np.dtype(np.uint8 if bits <= 8 else np.uint16)
    return [generator.integers(0, 1 << bits, (plane.height, plane.width), dtype=kind) for plane in frame.planes]


@dataclass(frozen=True)
class Tags:
    """What a stream says of itself; colors by their ITU-T H.273 codes."""

    colorspace: int | None = None
    color_range: int | None = None
    rotation: int = 0
    timecode: str | None = None
    aspect: Fraction | None = None


REC709 = Tags(colorspace=1, color_range=1)


def write_clip(
    path: Path,
    frames: Sequence[av.VideoFrame],
    *,
    codec: str = "ffv1",
    rate: Fraction | int = 24,
    tags: Tags = Tags(),
    pts: Sequence[int] | None = None,
    time_base: Fraction | None = None,
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
) -> Path:
    """Encode frames; `pts` counts `time_base`, without it frames come at the rate."""
    with av.open(str(path), "w", options=container_options or {}) as container:
        stream = container.add_stream(codec, rate=rate, options=options or {})
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = frames[0].width, frames[0].height, frames[0].format.name
        stream.codec_context.time_base = time_base or 1 / Fraction(rate)
        if tags.timecode:
            container.metadata["timecode"] = tags.timecode
        _tag(stream, tags)
        for number, frame in enumerate(frames):
            frame.pts = number if pts is None else pts[number]
            frame.time_base = stream.codec_context.time_base
            frame.colorspace = stream.codec_context.colorspace
            frame.color_range = stream.codec_context.color_range
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def _tag(stream: VideoStream, tags: Tags) -> None:
    context = stream.codec_context
    if tags.colorspace is not None:
        context.colorspace = tags.colorspace
    if tags.color_range is not None:
        context.color_range = tags.color_range
    if tags.aspect is not None:
        context.sample_aspect_ratio = tags.aspect
    if tags.rotation:
        stream.set_display_rotation(tags.rotation)


KR_KB = {1: (0.2126, 0.0722), 5: (0.299, 0.114), 6: (0.299, 0.114), 9: (0.2627, 0.0593)}


def expected_rgb(planes: Planes, bits: int, *, matrix: int, full: bool) -> NDArray[np.float64]:
    """ITU-T H.273 equations for Y'CbCr of full size, in double precision, (3, H, W)."""
    luma, blue, red = (plane.astype(np.float64) for plane in planes)
    step = 2 ** (bits - 8)
    if full:
        luma, blue, red = luma / (256 * step - 1), *((c - 128 * step) / (256 * step - 1) for c in (blue, red))
    else:
        luma, blue, red = (luma / step - 16) / 219, (blue / step - 128) / 224, (red / step - 128) / 224
    kr, kb = KR_KB[matrix]
    r = luma + 2 * (1 - kr) * red
    b = luma + 2 * (1 - kb) * blue
    rgb: NDArray[np.float64] = np.stack([r, (luma - kr * r - kb * b) / (1 - kr - kb), b]).clip(0, 1)
    return rgb


def gray_frame(level: int, *, size: tuple[int, int] = (32, 24)) -> av.VideoFrame:
    """A flat 8-bit 4:2:0 frame with one luma code."""
    codes = [np.full((size[1], size[0]), level, np.uint8)]
    codes += [np.full(((size[1] + 1) // 2, (size[0] + 1) // 2), 128, np.uint8)] * 2
    return frame_of(codes, "yuv420p", size=size)


def counting_clip(path: Path, *, count: int, size: tuple[int, int] = (32, 24), codec: str = "libx264") -> Path:
    """A clip whose frame k has luma code 20 + 4 k (up to 50 frames); flat pictures survive any codec."""
    options = QUIET_X264 if codec == "libx264" else {}
    frames = [gray_frame(20 + 4 * (index % 50), size=size) for index in range(count)]
    return write_clip(path, frames, codec=codec, options=options, tags=REC709)


def sine_audio(path: Path, *, codec: str = "aac", seconds: float = 0.2) -> Path:
    """A file with sound and nothing else."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=48000)
        assert isinstance(stream, AudioStream)
        samples = np.sin(np.arange(int(48000 * seconds)) * 0.05).astype(np.float32)[None]
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
        frame.sample_rate = 48000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def grays(count: int) -> list[av.VideoFrame]:
    """Flat frames of different levels, wide enough for HEVC."""
    return [gray_frame(40 + 10 * (index % 16), size=HEVC_SIZE) for index in range(count)]


def clip_with_sound(path: Path, codec: str, *, count: int = 24) -> Path:
    """A second of gray frames and of a tone, in French, with a title and a date."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=24, options=QUIET_X264)
        assert isinstance(video, VideoStream)
        video.width, video.height, video.pix_fmt = (*HEVC_SIZE, "yuv420p")
        video.codec_context.colorspace, video.codec_context.color_range = 1, 1
        audio = container.add_stream(codec, rate=48000)
        assert isinstance(audio, AudioStream)
        audio.layout = "mono"
        audio.metadata["language"] = "fra"
        container.metadata["title"] = "A tone"
        container.metadata["creation_time"] = "2020-01-02T03:04:05.000000Z"
        for index, frame in enumerate(grays(count)):
            frame.pts, frame.time_base = index, Fraction(1, 24)
            container.mux(video.encode(frame))
        format = "fltp" if codec == "aac" else audio.codec_context.format.name
        wave = np.sin(np.arange(2000 * count) * 0.05) * 0.5
        samples = (wave * 32767).astype(np.int16)[None] if format == "s16" else wave.astype(np.float32)[None]
        sound = av.AudioFrame.from_ndarray(samples, format=format, layout="mono")
        sound.sample_rate, sound.pts, sound.time_base = 48000, 0, Fraction(1, 48000)
        container.mux(audio.encode(sound))
        container.mux(audio.encode(None))
        container.mux(video.encode(None))
    return path


def ramp_scene(size: tuple[int, int] = (96, 64)) -> NDArray[np.float64]:
    """Light from deep shadow to eight times the long exposure's clip level, (H, W)."""
    noise = np.random.default_rng(0).normal(0, 0.3, (size[1], size[0]))
    ramp = np.linspace(-6, 3, size[0])[None]
    light: NDArray[np.float64] = np.exp2(ramp + noise.clip(-1, 1))
    return light


def exposed(exposure: float, *, size: tuple[int, int] = (96, 64)) -> av.VideoFrame:
    """The scene as a frame; at exposure 1 the value 1 of the scene clips."""
    encoded = (ramp_scene(size) * exposure).clip(0, 1) ** (1 / 2.2)
    luma = (16 + 219 * encoded).round().astype(np.uint8)
    neutral = np.full_like(luma, 128)
    return frame_of([luma, neutral, neutral], "yuv444p", size=size)


def alternating_clip(path: Path, exposures: Sequence[float], **options: Any) -> Path:
    """A still scene filmed with these exposures."""
    return write_clip(path, [exposed(exposure) for exposure in exposures], tags=Tags(1, 1), **options)
