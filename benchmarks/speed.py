"""Speed and memory of the networks on this machine, as a table; `python benchmarks/speed.py --help` tells the options.

Each row runs in a process of its own, so that its peak memory is its own. Frames are textured noise that moves, so
that the search has work to do. "anew" computes every window from scratch, as the published code does; "streamed" is
what `lanhdr convert` does.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parent.parent))

from lanhdr_cli.console import keep_freed_memory
from model.frames import LdrFrame
from model.network import NetworkConfig
from model.pretrained import Network, build_network
from model.reconstruct import Reconstructor

CONFIGS = {
    "lite": {"design": "lite", "output": "guided", "channels": 48},
    "small": {"design": "small", "output": "guided", "channels": 32, "pyramid_channels": 6},
    "base": {"design": "lanhdr", "output": "guided"},
    "published": {"design": "lanhdr", "output": "direct"},
}
CYCLES = {2: (1.0, 8.0), 3: (1.0, 4.0, 16.0)}


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


def streamed_seconds(network: Network, clip: list[LdrFrame], *, device: str, nexps: int) -> float:
    """Median seconds between two frames of a streamed reconstruction, the first ones left out."""
    marks = []
    for _ in Reconstructor(network, device=device).reconstruct(clip, period=nexps):
        marks.append(time.perf_counter())
    # The last windows come without a new frame to prepare.
    return _median([after - before for before, after in pairwise(marks[1:-2])])


@torch.inference_mode()
def anew_seconds(network: Network, clip: list[LdrFrame], *, device: str, repeats: int) -> float:
    """Median seconds of one window computed from scratch."""
    length = network.config.window_length
    ldr = torch.stack([frame.image for frame in clip[:length]])[None].to(device)
    exposures = torch.tensor([[frame.exposure for frame in clip[:length]]])
    network.to(torch.device(device)).eval()
    seconds = []
    for _ in range(repeats + 1):
        started = time.perf_counter()
        prediction: Tensor = network(ldr, exposures).radiance
        prediction[0, 0, 0, 0].item()  # waits for a device that computes on its own
        seconds.append(time.perf_counter() - started)
    return _median(seconds[1:])


def _median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


def measure(arguments: argparse.Namespace) -> dict[str, float]:
    """Measure one row in this process."""
    keep_freed_memory()
    torch.set_num_threads(arguments.threads)
    width, height = (int(side) for side in arguments.frame.split("x"))
    network = build_network(NetworkConfig(nexps=arguments.nexps, **CONFIGS[arguments.row]))  # type: ignore[arg-type]
    clip = frames(arguments.frames, size=(height, width), nexps=arguments.nexps)
    if arguments.anew:
        seconds = anew_seconds(network, clip, device=arguments.device, repeats=arguments.frames // 5)
    else:
        seconds = streamed_seconds(network, clip, device=arguments.device, nexps=arguments.nexps)
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    if arguments.device.startswith("cuda"):
        peak_mib = torch.cuda.max_memory_allocated() / 2**20
    return {"seconds": seconds, "peak_mib": peak_mib}


def main() -> None:
    """Print the table, or measure one row of it."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--frame", default="640x360", help="width x height")
    parser.add_argument("--frames", type=int, default=12, help="length of the clip, 10 or more")
    parser.add_argument("--nexps", type=int, default=2, choices=(2, 3))
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--row", choices=CONFIGS, help=argparse.SUPPRESS)
    parser.add_argument("--anew", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.row:
        print(json.dumps(measure(arguments)))
        return
    print(f"{arguments.frame}, {arguments.nexps} exposures, {arguments.device}, {arguments.threads} threads")
    print(f"{'network':<12}{'window':<10}{'s/frame':>9}{'frames/s':>10}{'peak MiB':>10}")
    for row in CONFIGS:
        for mode in ([], ["--anew"]):
            command = [sys.executable, __file__, *sys.argv[1:], "--row", row, *mode]
            found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            seconds, peak = found["seconds"], found["peak_mib"]
            mode_name = "anew" if mode else "streamed"
            print(f"{row:<12}{mode_name:<10}{seconds:>9.3f}{1 / seconds:>10.2f}{peak:>10.0f}", flush=True)


if __name__ == "__main__":
    main()
