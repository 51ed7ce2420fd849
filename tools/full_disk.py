"""Conversions onto a disk that becomes full: finished frames stay readable, and with more room the rest is made.

Run by hand, as a user who may mount: python -m tools.full_disk --points 10 --kind exr
"""

import argparse
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import av
import OpenEXR
from click.testing import CliRunner, Result

from lanhdr_cli.main import cli
from tools.soak import write_source

ENDINGS = {"exr": "out/", "hevc": "out.mp4", "av1": "out.mkv"}
FREE_KIB = 64 * 1024  # with which all of them fit


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a conversion onto a disk of one size.

    Args:
        code: Exit code on the full disk.
        error: What it said last.
        finished: EXR frames that were there and could be read.
        broken: EXR frames that could not, and files that have a name although they are not complete.
        completed: Whether the same command, with more room, made all frames.
    """

    disk_kib: int
    code: int
    error: str
    finished: int
    broken: int
    completed: bool

    @property
    def good(self) -> bool:
        """Whether it is as it should be: refused in one line, nothing broken, and completed afterwards."""
        return self.code == 1 and self.error.startswith("Error: ") and self.broken == 0 and self.completed


@contextmanager
def small_disk(folder: Path, *, kib: int) -> Iterator[Path]:
    """Mount a file system of this size in memory.

    Raises:
        PermissionError: If this user may not.
    """
    folder.mkdir(exist_ok=True)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kib}k", "none", folder], capture_output=True)
    if mounted.returncode:
        raise PermissionError(mounted.stderr.decode(errors="replace").strip())
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)  # PyAV keeps a file open whose end it could not write


def readable(path: Path) -> bool:
    """Whether all of an EXR file or of a video can be read."""
    try:
        if path.suffix == ".exr":
            with OpenEXR.File(str(path)) as file:
                return bool(file.channels()["RGB"].pixels.size)
        with av.open(str(path)) as video:
            return sum(1 for _ in video.decode(video=0)) > 0
    except (OSError, RuntimeError, av.FFmpegError):
        return False


def convert(source: Path, disk: Path, *, kind: str, options: list[str]) -> Result:
    """Convert a clip onto a disk, by the command line."""
    words = ["convert", str(source), "-o", f"{disk}/{ENDINGS[kind]}", "--size", "lite", "--no-progress", *options]
    words += ["--exposures", "1,8", "--no-slips", "--no-deflicker", "--response", "gamma2.2"]  # no look at the clip
    words += ["--codec", kind] if kind != "exr" else []
    return CliRunner().invoke(cli, words)


def results(disk: Path) -> list[Path]:
    """List the files that have the name of a result."""
    return [path for path in disk.rglob("*") if path.suffix in (".exr", ".mp4", ".mkv") and path.name[0] != "."]


def outcome_on(source: Path, folder: Path, *, kind: str, kib: int, frames: int, again: list[str]) -> Outcome:
    """Convert onto a disk of this size, make it larger, and convert again."""
    with small_disk(folder, kib=kib) as disk:
        first = convert(source, disk, kind=kind, options=["--force"])
        there = results(disk)
        broken = sum(not readable(path) for path in there)
        finished = len(there) - broken
        subprocess.run(["mount", "-o", f"remount,size={FREE_KIB}k", disk], check=True)
        second = convert(source, disk, kind=kind, options=again)
        made = results(disk)
        complete = len(made) == (frames if kind == "exr" else 1) and all(map(readable, made))
    lines = first.stderr.strip().splitlines() or [repr(first.exception)]
    return Outcome(
        disk_kib=kib,
        code=first.exit_code,
        error=lines[-1],
        finished=finished,
        broken=broken,
        completed=second.exit_code == 0 and complete,
    )


def run(*, kind: str, points: int, frames: int, seed: int, again: list[str]) -> list[Outcome]:
    """Find out what a conversion takes, and repeat it on disks that are smaller by random amounts."""
    draw = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="full_disk.") as name:
        folder, source = Path(name), Path(name) / "source.mp4"
        write_source(source, frames=frames)
        whole = folder / "whole"
        whole.mkdir()
        if convert(source, whole, kind=kind, options=[]).exit_code:
            raise SystemExit("the clip can't be converted at all")
        taken_kib = sum(-(-path.stat().st_size // 4096) * 4 for path in results(whole))
        shutil.rmtree(whole)
        outcomes = []
        for _ in range(points):
            kib = max(4, round(draw.uniform(0.02, 0.98) * taken_kib))
            outcomes.append(outcome_on(source, folder / "disk", kind=kind, kib=kib, frames=frames, again=again))
            print(f"{'good' if outcomes[-1].good else 'BAD'}  {outcomes[-1]}", flush=True)
    return outcomes


def main() -> None:
    """Run it from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kind", choices=sorted(ENDINGS), default="exr")
    parser.add_argument("--points", type=int, default=10)
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--again", default="-y", help="Options of the second run, e.g. --again=--resume.")
    options = parser.parse_args()
    outcomes = run(
        kind=options.kind, points=options.points, frames=options.frames, seed=options.seed, again=[options.again]
    )
    good = sum(outcome.good for outcome in outcomes)
    print(f"{options.kind}: {good} of {len(outcomes)} as they should be")
    sys.exit(0 if good == len(outcomes) else 1)


if __name__ == "__main__":
    main()
