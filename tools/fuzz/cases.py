"""Runs of `lanhdr` on damaged inputs, each in a process of its own with bounds on time and memory."""

import contextlib
import os
import re
import resource
import signal
import sys
import time
import traceback
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from model.exposure import ExposureCycle, FrameExposures, to_radiance
from model.frames import HdrFrame, LdrFrame, exposure_windows, sliding_windows
from tools.fuzz.mutations import damaged
from tools.fuzz.seeds import Seed

if TYPE_CHECKING:
    from lanhdr_cli.conversion import ConvertJob, ReadyNetwork

LONGEST_S = 60.0
MOST_MEMORY = 1 << 30  # bytes beyond what an idle process has
ADDRESS_SPACE = 6 << 30  # bytes beyond those; a guard for the machine, thread stacks and arenas count
EXPECTED = {0, 1, 2, 3}  # exit codes
LINES = re.compile(r"(Error|Warning|Usage|Try|Interrupted)\b")
FINDINGS = ("traceback", "crash", "hang", "memory", "silent")


@dataclass(frozen=True, kw_only=True)
class Case:
    """One damaged input and what is done with it; number and seed make it again."""

    seed: Seed
    number: int
    random_seed: int

    def prepare(self, folder: Path, others: list[Seed]) -> tuple[tuple[str, ...], str]:
        """Write the files below a folder; return the arguments, and how they were damaged."""
        random = Random(f"{self.random_seed}/{self.seed.name}/{self.number}")
        files = dict(self.seed.files)
        how = []
        for name in random.sample(self.seed.damaged, min(len(self.seed.damaged), random.choice((1, 1, 2)))):
            other = random.choice(others)
            spliced = other.files[random.choice(other.damaged)]
            files[name], ways = damaged(files[name], self.seed.kind, random, spliced)
            how.append(f"{name}: {ways}")
        for name, content in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
        command = random.choice(self.seed.commands)
        return tuple(word.format(folder=folder) for word in command), "; ".join(how)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a run.

    Args:
        finding: One of `FINDINGS`, empty if all is well.
        code: Exit code, negative for a signal.
        told: What it said on stderr.
        memory: Peak, in bytes beyond those of an idle process.
        written: Number of EXR frames.
    """

    finding: str
    code: int
    told: str
    seconds: float
    memory: int
    written: int


def run_case(arguments: tuple[str, ...], folder: Path, *, frames: int | None, stand_in: bool = False) -> Outcome:
    """Run `lanhdr` in a forked process and judge what it does.

    Args:
        stand_in: Whether the network is replaced by a method that takes no time.
        frames: Number of frames that an intact input becomes, None if that is not to be judged.
    """
    told, idle = folder / "stderr", _resident()
    begin = time.monotonic()
    child = os.fork()
    if child == 0:
        _become_lanhdr(arguments, told, stand_in=stand_in)
    code, peak, late = _waited(child)
    seconds = time.monotonic() - begin
    text = told.read_text(errors="replace") if told.exists() else ""
    written = len(list((folder / "out").glob("*.exr"))) if (folder / "out").is_dir() else 0
    finding = ""
    if late:
        finding = "hang"
    elif "MemoryError" in text or peak - idle > MOST_MEMORY or "can't allocate memory" in text:
        finding = "memory"
    elif code < 0:
        finding = "crash"
    elif "Traceback" in text or code not in EXPECTED or (code and not text):
        finding = "traceback"
    elif code == 0 and frames is not None and "convert" in arguments[0] and "out/" in " ".join(arguments):
        expected = 4 if "--frames" in arguments else frames
        finding = "silent" if written < expected and "Warning" not in text else ""
    return Outcome(finding=finding, code=code, told=text, seconds=seconds, memory=peak - idle, written=written)


class _Linearized:
    """A method that makes each frame radiance by itself, through real windows; it takes no time."""

    def reconstruct(
        self, frames: Iterable[LdrFrame], *, period: int, cycle: ExposureCycle | None = None
    ) -> Iterator[HdrFrame]:
        length = 5
        if cycle:
            windows = exposure_windows(frames, length=length, cycle=cycle)
        else:
            windows = sliding_windows(frames, length=length, period=period)
        for window in windows:
            center = window[length // 2]
            yield HdrFrame(to_radiance(center.image, center.exposure), center.time)


def _no_network(job: "ConvertJob", exposures: FrameExposures) -> "ReadyNetwork":
    from lanhdr_cli.conversion import ReadyNetwork

    return ReadyNetwork(reconstructor=_Linearized(), name="none", margin=2 * exposures.period)


def _become_lanhdr(arguments: tuple[str, ...], told: Path, *, stand_in: bool) -> None:
    """Never returns."""
    code = 70
    try:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        limit = _virtual() + ADDRESS_SPACE
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        target = os.open(told, os.O_WRONLY | os.O_CREAT, 0o600)
        nowhere = os.open(os.devnull, os.O_RDWR)
        for old, new in ((nowhere, 0), (nowhere, 1), (target, 2)):
            os.dup2(old, new)
        from lanhdr_cli import conversion
        from lanhdr_cli.main import cli

        if stand_in:
            conversion.run.__kwdefaults__ = {"load": _no_network}
        try:
            cli(list(arguments), prog_name="lanhdr")
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def _waited(child: int) -> tuple[int, int, bool]:
    """Wait for a process; return its exit code, its peak of resident bytes, and whether it took too long."""
    late, deadline = False, time.monotonic() + LONGEST_S
    pause = 0.002
    while True:
        ended, status, usage = os.wait4(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status), usage.ru_maxrss * 1024, late
        if time.monotonic() > deadline:
            late = True
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        time.sleep(pause)
        pause = min(0.02, pause * 1.2)


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def _virtual() -> int:
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def load_program() -> None:
    """Import what `lanhdr` imports, so that a forked process begins at once; no thread is started."""
    import OpenEXR  # noqa: F401
    import PIL.BmpImagePlugin
    import PIL.JpegImagePlugin
    import PIL.PngImagePlugin
    import PIL.TiffImagePlugin  # noqa: F401
    import torch

    import lanhdr_cli.commands.convert
    import lanhdr_cli.commands.inspect
    import lanhdr_cli.commands.weights
    import lanhdr_cli.conversion
    import lanhdr_cli.inspection
    import lanhdr_cli.inspection_report  # noqa: F401

    torch.set_num_threads(1)
