"""Fingerprints of everything a user gets, to show that a refactoring changes nothing.

`python -m benchmarks.proof -o before.json` runs short trainings, evaluations, conversions and inspections by the
command line of this checkout and records digests of their results; `--against before.json` names those that differ.
Only commands and files are used, so that modules may move at will. About three minutes on two cores.
"""

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
from safetensors.numpy import load_file

ROOT = Path(__file__).resolve().parents[1]
CLIP = ROOT / "tests/data/sample_bbb_1x8.mp4"
TRAININGS = {
    "lite 2E": ("guided_2e", "--size", "lite", "--batch", 2, "--patch", 64),
    "lite 3E": ("guided_3e", "--size", "lite", "--batch", 2, "--patch", 64),
    "paper 2E": ("lanhdr_2e", "--batch", 1, "--patch", 64),
    "paper 3E": ("lanhdr_3e", "--batch", 1, "--patch", 64),
}
CONVERSIONS = {
    "EXR frames": ("-o", "out/", "--frames", "0-2"),
    "ACEScg, exposures given": ("-o", "out.exr", "--frames", "2-4", "--exposures", "1,8", "--colorspace", "acescg"),
    "no corrections": ("-o", "out.exr", "--frames", "1-2", "--no-slips", "--no-deflicker", "--scale", 1),
    "HDR10 and sound": ("-o", "out.mp4", "--frames", "0-3", "--preset", "ultrafast"),
    "HLG, lossless": ("-o", "out.mkv", "--frames", "0-3", "--hlg", "--codec", "ffv1"),
    "preview": ("-o", "out.exr", "--frames", "0-2", "--preview", "preview.png", "--response", "srgb"),
}
# What a file says of when and where it was made.
FLEETING = {"seconds_per_frame", "peak_memory_mib", "environment", "command", "weights", "source", "path", "date"}


def lanhdr(*arguments: object, folder: Path) -> str:
    """Run the command line of this checkout in a folder and return what it prints."""
    command = [sys.executable, "-m", "lanhdr_cli", *map(str, arguments)]
    environment = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PATH": "/usr/bin:/bin"}
    run = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if run.returncode:
        raise SystemExit(f"{' '.join(command)}\n{run.stdout[-1000:]}\n{run.stderr[-3000:]}")
    return run.stdout


def digest(content: bytes) -> str:
    """Shorten any content to 16 characters."""
    return hashlib.sha256(content).hexdigest()[:16]


def lasting(value: Any) -> Any:
    """Drop what differs from run to run from a JSON value."""
    if isinstance(value, dict):
        return {key: lasting(item) for key, item in value.items() if key not in FLEETING}
    if isinstance(value, list):
        return [lasting(item) for item in value]
    return value


def trained(recipe: str, *options: object, folder: Path, data: Path | None) -> dict[str, str]:
    """Digest the weights after 20 steps."""
    arguments = ["train", "--recipe", recipe, "-o", "run", "--steps", 20, "--threads", 1, "--validation-samples", 2]
    lanhdr(*arguments, "--no-tensorboard", *options, *(("--data", data) if data else ()), folder=folder)
    tensors = load_file(folder / "run/last.safetensors")
    return {"weights": digest(b"".join(name.encode() + tensors[name].tobytes() for name in sorted(tensors)))}


def scored(*options: object, folder: Path) -> dict[str, str]:
    """Digest all scores of an evaluation."""
    lanhdr("eval", *options, "--json", "results.json", "--threads", 1, "-q", folder=folder)
    results = lasting(json.loads((folder / "results.json").read_text()))
    return {key: digest(json.dumps(value, sort_keys=True).encode()) for key, value in results.items()}


def converted(*options: object, folder: Path) -> dict[str, str]:
    """Digest the files that a conversion leaves: bytes of pictures, decoded frames and tags of videos."""
    lanhdr("convert", CLIP, *options, "--threads", 1, "-q", folder=folder)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    videos = (".mp4", ".mkv")
    return {path.name: decoded(path) if path.suffix in videos else digest(path.read_bytes()) for path in files}


def decoded(path: Path) -> str:
    """Digest frames, times, tags and sound of a video."""
    parts = []
    with av.open(path) as container:
        for frame in container.decode(*container.streams):
            parts.append(f"{frame.pts} {frame.time_base} {frame.format.name}".encode())
            if isinstance(frame, av.VideoFrame):
                tags = (frame.colorspace, frame.color_range, frame.color_trc, frame.color_primaries)
                parts.append(str(tuple(map(int, tags))).encode())
                frame = frame.reformat(format="yuv444p16le")  # NumPy does not know all formats
            parts.append(np.ascontiguousarray(frame.to_ndarray()).tobytes())
        parts += [str(sorted(stream.metadata.items())).encode() for stream in container.streams]
    return digest(b"".join(parts))


def inspected(*options: object, folder: Path) -> dict[str, str]:
    """Digest what `inspect --json` finds."""
    found = lasting(json.loads(lanhdr("inspect", CLIP, "--json", "-q", "--threads", 1, *options, folder=folder)))
    return {key: digest(json.dumps(value, sort_keys=True).encode()) for key, value in found.items()}


def proofs(data: Path | None, test_data: Path | None) -> Iterator[tuple[str, Callable[[Path], dict[str, str]]]]:
    """Yield the name of each proof, and how it is made in an empty folder."""
    for name, (recipe, *options) in TRAININGS.items():
        yield f"train {name}", lambda folder, r=recipe, o=options: trained(r, *o, folder=folder, data=None)
        if data and name.startswith("lite"):
            yield f"train {name}, data", lambda folder, r=recipe, o=options: trained(r, *o, folder=folder, data=data)
    for nexps in (2, 3):
        options = ("--benchmark", "selftest", "--nexps", nexps, "--with-baselines")
        yield f"eval selftest {nexps}E", lambda folder, o=options: scored(*o, folder=folder)
    if test_data:
        options = ("--benchmark", "folder", "--data-dir", test_data, "--limit", 3, "--with-baselines")
        yield "eval folder", lambda folder, o=options: scored(*o, folder=folder)
    for name, options in CONVERSIONS.items():
        yield f"convert, {name}", lambda folder, o=options: converted(*o, folder=folder)
    yield "inspect", lambda folder: inspected(folder=folder)
    yield "inspect, exposures given", lambda folder: inspected("--exposures", "1,8", folder=folder)


def main() -> None:
    """Make all proofs; write them, or compare them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path, help="write the digests there")
    parser.add_argument("--against", type=Path, help="name what differs from these; exits with 1 if anything does")
    parser.add_argument("--data", type=Path, help="training data, for two more trainings")
    parser.add_argument("--test-data", type=Path, help="pictures and clips of `eval --benchmark folder`")
    parser.add_argument("--only", nargs="+", default=[""], help="beginnings of the names of proofs to make")
    chosen = parser.parse_args()
    before = json.loads(chosen.against.read_text()) if chosen.against else {}
    made, differences = {}, []
    for name, make in proofs(chosen.data and chosen.data.resolve(), chosen.test_data and chosen.test_data.resolve()):
        if not name.startswith(tuple(chosen.only)):
            continue
        with tempfile.TemporaryDirectory() as folder:
            made[name] = make(Path(folder))
        expected = before.get(name, made[name])
        parts = [key for key in expected | made[name] if expected.get(key) != made[name].get(key)]
        differences += [f"{name}: {part}" for part in parts]
        finding = "recorded" if name not in before else f"differs in {', '.join(parts)}" if parts else "equal"
        print(f"{name}: {finding}", flush=True)
    if chosen.output:
        chosen.output.write_text(json.dumps(made, indent=1) + "\n")
    raise SystemExit(1 if differences else 0)


if __name__ == "__main__":
    main()
