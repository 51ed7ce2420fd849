"""Speed and memory on this machine, as one table; `python benchmarks/speed.py --help` tells the options.

Rows are of four kinds: `networks` on frames in memory, whole `conversions` of a video file, conversions of a short and
of a ten times longer clip for their `memory`, and conversions by several processes (`ranks`). Each run is a process of
its own, so that its peak memory is its own; rows take turns, and the median of their runs counts. Frames are textured
noise that moves, so that the search has work to do. Stop everything else on the machine: timings double otherwise.
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parent.parent))

from lanhdr_cli.console import keep_freed_memory
from model import kernels
from model.frames import LdrFrame
from model.network import NetworkConfig
from model.pretrained import Network, build_network
from model.reconstruct import Reconstructor
from train.acceleration import compute_dtype

ROOT = Path(__file__).parent.parent
CONFIGS = {
    "lite": {"design": "lite", "output": "guided", "channels": 48},
    "small": {"design": "small", "output": "guided", "channels": 32, "pyramid_channels": 6},
    "base": {"design": "lanhdr", "output": "guided"},
    "published": {"design": "lanhdr", "output": "direct"},
}
CYCLES = {2: (1.0, 8.0), 3: (1.0, 4.0, 16.0)}
KINDS = ("networks", "conversions", "memory", "ranks")
# The published network is slow, and takes 5 GiB at 1080p on a CPU.
FRAMES_OF = {"published": ("640x360",), "base": ("640x360",), "small": ("640x360", "1920x1080")}
FRAMES = ("640x360", "1920x1080", "3840x2160")


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table.

    Args:
        name: A network, or the form of a conversion's output.
        way: `streamed` as `lanhdr convert` does it, or `anew`: every window from scratch, as its authors compute it; of
            a conversion its number of frames.
        frame: Width x height.
        threads: Of the CPU, per process.
        processes: That share a conversion.
    """

    kind: str
    name: str
    way: str
    frame: str
    device: str
    threads: int
    precision: str
    processes: int = 1


@dataclass(frozen=True)
class Measured:
    """Seconds per frame, of a conversion with its start and its look at the clip, and peak memory of one process."""

    seconds: float
    peak_mib: float


def frames(count: int, *, size: tuple[int, int], nexps: int) -> list[LdrFrame]:
    """Make a clip that moves by two pixels a frame."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(1, 3, size[0] // 8 + 2, (size[1] + 2 * count) // 8 + 2, generator=generator)
    wide = torch.nn.functional.interpolate(coarse, scale_factor=8, mode="bicubic").clamp(0, 1)[0]
    cycle = CYCLES[nexps]
    return [
        LdrFrame(wide[:, : size[0], 2 * index : 2 * index + size[1]].clone(), cycle[index % nexps], Fraction(index, 24))
        for index in range(count)
    ]


def streamed_seconds(network: Network, clip: list[LdrFrame], row: Row, *, nexps: int) -> float:
    """Median seconds between two frames of a streamed reconstruction, the first ones left out."""
    marks = []
    dtype = torch.bfloat16 if row.precision == "bf16" else torch.float32
    reconstructor = Reconstructor(network, device=row.device, precision=dtype)
    for _ in reconstructor.reconstruct(clip, period=nexps):
        marks.append(time.perf_counter())
    # The last windows come without a new frame to prepare.
    return median(after - before for before, after in pairwise(marks[1:-2]))


@torch.inference_mode()
def anew_seconds(network: Network, clip: list[LdrFrame], row: Row, *, repeats: int) -> float:
    """Median seconds of one window computed from scratch."""
    length = network.config.window_length
    device, half = torch.device(row.device), row.precision == "bf16"
    ldr = torch.stack([frame.image for frame in clip[:length]])[None].to(device)
    exposures = torch.tensor([[frame.exposure for frame in clip[:length]]])
    network.to(device).eval()
    seconds = []
    for _ in range(repeats + 1):
        started = time.perf_counter()
        with torch.autocast(device.type, dtype=torch.bfloat16 if half else None, enabled=half):
            prediction: Tensor = network(ldr, exposures).radiance
        prediction[0, 0, 0, 0].item()  # waits for a device that computes on its own
        seconds.append(time.perf_counter() - started)
    return median(seconds[1:])


def measure_network(row: Row, *, count: int, nexps: int) -> Measured:
    """Measure a row of a network in this process."""
    keep_freed_memory()
    torch.set_num_threads(row.threads)
    width, height = (int(side) for side in row.frame.split("x"))
    network = build_network(NetworkConfig(nexps=nexps, **CONFIGS[row.name]))  # type: ignore[arg-type]
    clip = frames(count, size=(height, width), nexps=nexps)
    if row.way == "anew":
        seconds = anew_seconds(network, clip, row, repeats=count // 5)
    else:
        seconds = streamed_seconds(network, clip, row, nexps=nexps)
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    if row.device.startswith("cuda"):
        peak_mib = torch.cuda.max_memory_allocated() / 2**20
    return Measured(seconds, peak_mib)


def write_clip(path: Path, *, count: int, frame: str) -> None:
    """Write an H.264 clip of two exposures that moves to and fro."""
    import av  # a GPU machine without media libraries measures networks all the same

    width, height = (int(side) for side in frame.split("x"))
    turn = 32
    scene = torch.stack([shown.image for shown in frames(turn, size=(height, width), nexps=2)]).pow(2.2) / 2
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=24, options={"crf": "14", "preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number in range(count):
            place = number % (2 * turn)
            linear = scene[min(place, 2 * turn - 1 - place)] * CYCLES[2][number % 2]
            codes = linear.clamp(0, 1).pow(1 / 2.2).mul(255).round().byte().permute(1, 2, 0).contiguous()
            container.mux(stream.encode(av.VideoFrame.from_ndarray(codes.numpy(), format="rgb24")))
        container.mux(stream.encode(None))


def measure_conversion(row: Row, folder: Path) -> Measured:
    """Convert a clip by processes of their own, and wait for them."""
    count = int(row.way.split()[0])
    clip = folder / f"{row.frame}_{count}.mp4"
    if not clip.exists():
        write_clip(clip, count=count, frame=row.frame)
    with tempfile.TemporaryDirectory(dir=folder) as output:
        target = Path(output) / ("frames.exr" if row.name == "EXR" else "video.mp4")
        devices = ",".join([row.device] * row.processes)
        options = ["--exposures", "1,8", "--devices", devices, "--threads", str(row.threads), "-y", "-q"]
        options += ["--precision", row.precision]
        command = [sys.executable, "-m", "lanhdr_cli", "convert", str(clip), "-o", str(target), *options]
        started = time.perf_counter()
        process = subprocess.Popen(command, cwd=ROOT)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        if status:
            raise SystemExit(f"{' '.join(command)} ended with {status}")
    return Measured(seconds / count, usage.ru_maxrss / 1024)


def rows_of(arguments: argparse.Namespace) -> Iterator[Row]:
    """List what is to be measured."""
    precisions = arguments.precision or ["float32", "bf16"]
    if compute_dtype("auto", torch.device(arguments.device)) != torch.bfloat16 and not arguments.precision:
        precisions = ["float32"]
    common = {"device": arguments.device, "threads": arguments.threads}
    exact: dict[str, Any] = {**common, "precision": "float32"}
    if "networks" in arguments.only:
        for name in arguments.networks:
            for frame in arguments.frame or FRAMES_OF.get(name, FRAMES):
                yield Row(kind="networks", name=name, way="anew", frame=frame, **exact)
                # Only corrections within bounds are computed in half precision.
                for precision in precisions if name in ("lite", "small") or arguments.device != "cpu" else ["float32"]:
                    yield Row(kind="networks", name=name, way="streamed", frame=frame, **common, precision=precision)
    auto: dict[str, Any] = {**common, "precision": "auto"}
    if "conversions" in arguments.only:
        for name in ("EXR", "HDR10"):
            for frame in arguments.frame or FRAMES[:2]:
                yield Row(kind="conversions", name=name, way="60 frames", frame=frame, **auto)
    if "memory" in arguments.only:
        for name in ("EXR", "HDR10"):
            for count in (60, 600):
                yield Row(kind="memory", name=name, way=f"{count} frames", frame="320x180", **auto)
    if "ranks" in arguments.only:
        for processes in (1, 2, 3):
            values = {**auto, "threads": max(1, arguments.threads // processes)}
            yield Row(kind="ranks", name="EXR", way="240 frames", frame="640x360", processes=processes, **values)


def machine() -> str:
    """Say what computed: processor, versions, commit."""
    model = next((line.split(":")[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")), "")
    parts = [model or platform.processor() or platform.machine(), f"{os.cpu_count()} cores"]
    with torch.inference_mode():
        built = kernels.usable(torch.zeros(1))
    parts.append(f"kernels of {kernels.vector_bits()} bits" if built else "no kernels")
    if torch.cuda.is_available():
        parts.append(torch.cuda.get_device_name())
    git = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--exclude=*"]
    commit = subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip()
    parts += [f"Python {platform.python_version()}", f"torch {torch.__version__}", f"commit {commit or 'unknown'}"]
    return ", ".join(parts)


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines() if Path(path).exists() else []


def table(rows: list[tuple[Row, Measured]], *, of: str) -> str:
    """Print rows as Markdown, below what `machine` said of their machine."""
    lines = [
        f"{of}:",
        "",
        "| what | way | frame | device | precision | s/frame | frames/s | peak MiB |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row, found in rows:
        by = f"{row.processes} x {row.device}" if row.processes > 1 else row.device
        by += f", {row.threads} thread{'s' * (row.threads > 1)}" if row.device == "cpu" else ""
        what = f"{row.name}, a conversion" if row.kind != "networks" else f"`{row.name}`"
        numbers = f"{found.seconds:.3f} | {1 / found.seconds:.2f} | {found.peak_mib:.0f}"
        lines.append(f"| {what} | {row.way} | {row.frame} | {by} | {row.precision} | {numbers} |")
    return "\n".join(lines)


def measured(row: Row, arguments: argparse.Namespace, folder: Path) -> Measured:
    """Measure a row once, by a process of its own."""
    if row.kind != "networks":
        return measure_conversion(row, folder)
    options = ["--row", json.dumps(asdict(row)), "--frames", str(arguments.frames), "--nexps", str(arguments.nexps)]
    command = [sys.executable, __file__, *options]
    return Measured(**json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout))


def main() -> None:
    """Print the table, or measure one row of it."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--networks", nargs="+", choices=CONFIGS, default=list(CONFIGS))
    parser.add_argument("--frame", nargs="+", help="width x height; default: as large as each network is used for")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--precision", nargs="+", choices=("float32", "bf16"), help="default: those it is fast at")
    parser.add_argument("--frames", type=int, default=12, help="length of the networks' clip, 10 or more")
    parser.add_argument("--nexps", type=int, default=2, choices=(2, 3))
    parser.add_argument("--repeats", type=int, default=5, help="runs of each row")
    parser.add_argument("-o", "--output", type=Path, help="JSON file of all runs")
    parser.add_argument("--row", type=json.loads, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.row:
        found = measure_network(Row(**arguments.row), count=arguments.frames, nexps=arguments.nexps)
        print(json.dumps(asdict(found)))
        return
    rows = list(rows_of(arguments))
    runs: list[list[Measured]] = [[] for _ in rows]
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(arguments.repeats):
            for row, done in zip(rows, runs, strict=True):
                done.append(measured(row, arguments, Path(folder)))
                print(f"{row}: {done[-1]}", file=sys.stderr, flush=True)
    middle = [Measured(median(m.seconds for m in done), median(m.peak_mib for m in done)) for done in runs]
    if arguments.output:
        found_rows = [{**asdict(row), "runs": [asdict(m) for m in done]} for row, done in zip(rows, runs, strict=True)]
        arguments.output.write_text(json.dumps({"machine": machine(), "rows": found_rows}, indent=1))
    print(table(list(zip(rows, middle, strict=True)), of=machine()))


if __name__ == "__main__":
    main()
