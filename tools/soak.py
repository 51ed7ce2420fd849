"""A long conversion, watched: memory, threads and open files every 1,000 frames, and the times of the result.

Run by hand (some minutes per 10,000 frames): python -m tools.soak --frames 10000 --json soak.json
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from itertools import zip_longest
from pathlib import Path

import av
import numpy as np
from av.audio.stream import AudioStream
from av.video.stream import VideoStream

from lanhdr_cli.camera import CameraOptions
from lanhdr_cli.console import keep_freed_memory
from lanhdr_cli.conversion import ConvertJob, ReadyNetwork, load_network_for, run
from lanhdr_cli.options import ExposureOptions
from model.exposure import ExposureCycle, FrameExposures
from model.frames import HdrFrame, LdrFrame

WIDTH, HEIGHT = 64, 48
RATE = Fraction(24000, 1001)
SAMPLES = 48000  # a second
BLOCK = 1024  # samples of a frame of sound
RATIO = 8.0
MIB = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Held:
    """What this process holds after so many frames; memory is what lies in RAM."""

    frames: int
    seconds: float
    rss_mib: float
    threads: int
    files: int


def held_now(frames: int, begin: float) -> Held:
    """Look at this process, as Linux shows it."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return Held(
        frames=frames,
        seconds=round(time.monotonic() - begin, 1),
        rss_mib=round(pages * os.sysconf("SC_PAGE_SIZE") / MIB, 1),
        threads=len(os.listdir("/proc/self/task")),
        files=len(os.listdir("/proc/self/fd")),
    )


def write_source(path: Path, *, frames: int) -> None:
    """Write a clip of texture that drifts at two exposures, with a tone of the same length."""
    generator = np.random.default_rng(0)
    scene = 2.0 ** generator.uniform(-7, 0.5, (HEIGHT, 4 * WIDTH))  # light, 1.0 = clip level of the shortest exposure
    scene = np.mean([np.roll(scene, shift, axis) for shift in (-1, 0, 1) for axis in (0, 1)], axis=0)
    with av.open(str(path), "w") as file:
        video = file.add_stream("libx264", rate=RATE, options={"crf": "12", "preset": "veryfast"})
        sound = file.add_stream("aac", rate=SAMPLES)
        assert isinstance(video, VideoStream) and isinstance(sound, AudioStream)
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        video.codec_context.colorspace, video.codec_context.color_range = 1, 1
        sound.layout = "mono"
        block = 0
        for index in range(frames):
            begin = index % (3 * WIDTH)
            light = scene[:, begin : begin + WIDTH] * (RATIO if index % 2 else 1.0)
            codes = (light.clip(0, 1)[..., None] ** (1 / 2.2) * 255 + 0.5).astype(np.uint8).repeat(3, axis=2)
            file.mux(video.encode(av.VideoFrame.from_ndarray(codes, format="rgb24")))
            while Fraction((block + 1) * BLOCK, SAMPLES) <= (index + 1) / RATE:
                tone = 0.3 * np.sin(0.05 * np.arange(block * BLOCK, (block + 1) * BLOCK))
                samples = av.AudioFrame.from_ndarray(tone.astype(np.float32)[None], format="fltp", layout="mono")
                samples.sample_rate, samples.pts, samples.time_base = SAMPLES, block * BLOCK, Fraction(1, SAMPLES)
                file.mux(sound.encode(samples))
                block += 1
        file.mux(video.encode(None))
        file.mux(sound.encode(None))


def picture_times(path: Path) -> Iterator[Fraction]:
    """Decode all pictures of a file, and yield their times in seconds."""
    with av.open(str(path)) as file:
        for frame in file.decode(video=0):
            assert frame.pts is not None and frame.time_base is not None
            yield frame.pts * frame.time_base


def sound_end(path: Path) -> Fraction:
    """Time in seconds at which the sound of a file ends."""
    with av.open(str(path)) as file:
        ends = [
            (packet.pts + (packet.duration or 0)) * packet.time_base
            for packet in file.demux(audio=0)
            if packet.pts is not None and packet.time_base is not None
        ]
    return max(ends)


class Watched:
    """A network whose results are counted."""

    def __init__(self, ready: ReadyNetwork, *, every: int) -> None:
        self.seen: list[Held] = []
        self._network = ready.reconstructor
        self._every = every
        self._begin = time.monotonic()

    def reconstruct(
        self, frames: Iterable[LdrFrame], *, period: int, cycle: ExposureCycle | None = None
    ) -> Iterator[HdrFrame]:
        """Pass results on, and look at the process now and then."""
        for number, result in enumerate(self._network.reconstruct(frames, period=period, cycle=cycle), start=1):
            yield result
            if number % self._every == 0:
                self.seen.append(held_now(number, self._begin))
                print(json.dumps(asdict(self.seen[-1])), flush=True)


def soak(folder: Path, *, frames: int, every: int, threads: int | None) -> dict[str, object]:
    """Convert a long clip; return what was held on the way, and whether the result's times are those of the source."""
    source, result = folder / "source.mp4", folder / "result.mp4"
    write_source(source, frames=frames)
    watched: list[Watched] = []

    def load(job: ConvertJob, exposures: FrameExposures) -> ReadyNetwork:
        ready = load_network_for(job, exposures)
        watched.append(Watched(ready, every=every))
        return replace(ready, reconstructor=watched[-1])

    exposures = ExposureOptions(cycle=ExposureCycle((1.0, RATIO)), slips=False, deflicker=False)
    job = ConvertJob(
        source=source,
        output=str(result),
        exposures=exposures,
        camera=CameraOptions(response="gamma2.2"),  # what is watched is the conversion, not the look before it
        size="lite",
        threads=threads,
    )
    summary = run(job, load=load)
    pairs = list(zip_longest(picture_times(source), picture_times(result)))
    return {
        "frames": summary.frames,
        "seconds": round(summary.seconds, 1),
        "outcome": summary.outcome,
        "held": [asdict(held) for held in watched[0].seen],
        "pictures": len(pairs),
        "times_differ": sum(before != after for before, after in pairs),
        "sound_ends_s": [float(sound_end(path)) for path in (source, result)],
        "result_bytes": result.stat().st_size,
    }


def constant(held: object) -> bool:
    """Whether threads and open files stayed as they were until decoding came to its end, before the last look."""
    assert isinstance(held, list)
    return len({(one["threads"], one["files"]) for one in held[:-1]}) <= 1


def main() -> None:
    """Run it from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=10_000)
    parser.add_argument("--every", type=int, default=1_000)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    keep_freed_memory()
    with tempfile.TemporaryDirectory(prefix="soak.") as folder:
        report = soak(Path(folder), frames=options.frames, every=options.every, threads=options.threads)
    print(json.dumps(report, indent=1))
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n")
    sys.exit(0 if constant(report["held"]) and not report["times_differ"] else 1)


if __name__ == "__main__":
    main()
