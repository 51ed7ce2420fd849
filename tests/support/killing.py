"""Conversions that are killed at random moments, resumed, and compared with one that was left alone.

As a program it does as many as it is told and prints what has become of them:

    PYTHONPATH=tests python -m support.killing FOLDER --points 30
"""

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from support import small_segments
from support.clips import clip_with_sound
from support.converting import save_lite

AS_GIVEN = ("--exposures=1,8", "--response=gamma2.2", "--black-code=0", "--no-slips", "--no-deflicker", "--threads=1")
LONGEST_S = 240  # of a run
EXISTS = "exists already, and nothing unfinished beside it"  # it was killed behind its end


@dataclass(frozen=True, kw_only=True)
class Case:
    """A kind of conversion.

    Args:
        output: Name in the folder of results, with a slash for EXR frames.
        options: Of the conversion.
        ranks: Number of processes.
    """

    output: str
    options: tuple[str, ...] = ()
    ranks: int = 1

    def __str__(self) -> str:
        return f"{self.output} by {self.ranks}"


CASES = tuple(
    Case(output=output, options=options, ranks=ranks)
    for output, options in (
        ("exr/", ()),
        ("hdr10.mp4", ("--preset=ultrafast",)),
        ("av1.mkv", ("--codec=av1", "--preset=12")),
    )
    for ranks in (1, 2)
)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What has become of a run that was killed.

    Args:
        kills: How often it was, and which processes.
        equal: Whether the result is that of the run that was left alone.
        kept: Whether something was taken over from before.
        trouble: What is wrong.
    """

    kills: tuple[str, ...]
    equal: bool
    kept: bool
    trouble: str = ""


class Killer:
    """Kills conversions of one clip.

    Args:
        folder: For the clip and all results; it is made.
        count: Number of frames of the clip.
    """

    def __init__(self, folder: Path, *, count: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._clip = clip_with_sound(folder / "clip.mp4", "aac", count=count)
        self._weights = save_lite(folder / "lite.safetensors")

    def leave_alone(self, case: Case) -> float:
        """Make what others are compared with; return the seconds from its first file to its end."""
        running = self._start(case, "alone")
        self._wait_for_work(running, "alone")
        begin = time.monotonic()
        output, errors = running.communicate(timeout=LONGEST_S)
        assert running.returncode == 0, (output, errors)
        return time.monotonic() - begin

    def kill(self, case: Case, draws: random.Random, *, seconds: float) -> Outcome:
        """Kill a run at a random moment of its work, perhaps again when it is resumed, and let it end.

        Args:
            seconds: Length of its work.
        """
        name, kills = f"killed{case.ranks}", []
        shutil.rmtree(self._folder / name, ignore_errors=True)
        for attempt in range(draws.choice((1, 1, 2))):
            running = self._start(case, name, *(["--resume"] if attempt else []))
            self._wait_for_work(running, name)
            time.sleep(draws.uniform(0, seconds))
            kills.append(self._kill(running, draws.choice(("all", "rank 0", "rank 1")) if case.ranks > 1 else "all"))
        last = self._start(case, name, "--resume")
        _, errors = last.communicate(timeout=LONGEST_S)
        trouble = "" if last.returncode == 0 or EXISTS in errors else f"exit code {last.returncode}: {errors}"
        trouble = trouble or self._difference(case, name)
        kept = "there already" in errors or EXISTS in errors
        return Outcome(kills=tuple(kills), equal=not trouble, kept=kept, trouble=trouble)

    def _start(self, case: Case, name: str, *options: str) -> subprocess.Popen[str]:
        folder = self._folder / name
        folder.mkdir(exist_ok=True)
        command = [sys.executable, "-m", small_segments.__name__, "convert", str(self._clip)]
        command += ["-o", f"{folder}/{case.output}", "--weights", str(self._weights), *AS_GIVEN, *case.options]
        command += ["--device=cpu"] if case.ranks == 1 else [f"--devices={','.join(['cpu'] * case.ranks)}"]
        return subprocess.Popen(
            [*command, "--no-progress", *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        )

    def _wait_for_work(self, running: subprocess.Popen[str], name: str) -> None:
        """Wait until a lock, the first file of a run, is there, or the run is over."""
        until = time.monotonic() + LONGEST_S
        while not any((self._folder / name).rglob(".*.lock")) and running.poll() is None:
            assert time.monotonic() < until
            time.sleep(0.005)

    def _kill(self, running: subprocess.Popen[str], whom: str) -> str:
        if whom == "rank 1":
            for pid in children(running.pid):
                os.kill(pid, signal.SIGKILL)
        elif whom == "rank 0":
            running.kill()
        elif running.poll() is None:
            os.killpg(running.pid, signal.SIGKILL)
        running.communicate(timeout=LONGEST_S)
        return whom if running.returncode else "nobody, it was over"

    def _difference(self, case: Case, name: str) -> str:
        """Say where a result differs from that of the run that was left alone; nothing if it does not."""
        alone, killed = (self._folder / folder / case.output for folder in ("alone", name))
        if case.output.endswith("/"):
            names = [sorted(path.name for path in folder.iterdir()) for folder in (alone, killed)]
            if names[0] != names[1]:
                return f"files {sorted(set(names[0]) ^ set(names[1]))}"
            others = [name for name in names[0] if (alone / name).read_bytes() != (killed / name).read_bytes()]
            return f"frames {others}" if others else ""
        left = [path.name for path in killed.parent.iterdir() if path.name.startswith(".")]
        if left:
            return f"files {left}"
        if any(list(packets(alone, kind)) != list(packets(killed, kind)) for kind in ("video", "audio")):
            return "packets"
        return "" if all(map(np.array_equal, pictures(alone), pictures(killed))) else "pictures"


def children(pid: int) -> list[int]:
    """Processes that another one has started to share its work, by their command lines."""
    try:
        started = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return [child for child in map(int, started) if "spawn_main" in Path(f"/proc/{child}/cmdline").read_text()]
    except OSError:
        return []


def packets(path: Path, kind: str) -> Iterator[tuple[Fraction, Fraction | None, bytes]]:
    """Times and content of all packets of a stream."""
    with av.open(str(path)) as container:
        for packet in container.demux(**{kind: 0}):
            if packet.pts is not None and packet.time_base is not None:
                dts = None if packet.dts is None else packet.dts * packet.time_base
                yield packet.pts * packet.time_base, dts, bytes(packet)


def pictures(path: Path) -> "Iterator[np.ndarray]":
    """Decoded pictures, and the time of each behind it."""
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            yield frame.to_ndarray()
            yield np.array([frame.pts])


def main() -> None:
    """Kill as many runs as asked for, one case after the other, and count those that end as if nothing had been."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--points", type=int, default=30)
    parser.add_argument("--frames", type=int, default=160)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    killer, equal = Killer(options.folder, count=options.frames), 0
    lengths: dict[Case, float] = {}
    for point in range(options.points):
        case = CASES[point % len(CASES)]
        if case not in lengths:
            shutil.rmtree(options.folder / "alone" / case.output, ignore_errors=True)
            (options.folder / "alone" / case.output).unlink(missing_ok=True)
            lengths[case] = killer.leave_alone(case)
        outcome = killer.kill(case, random.Random(f"{options.seed} {point}"), seconds=lengths[case])
        equal += outcome.equal
        print(
            f"{point + 1}: {case} ({lengths[case]:.1f} s), killed {', '.join(outcome.kills)}: "
            f"{'equal' if outcome.equal else outcome.trouble}{', parts kept' if outcome.kept else ''}",
            flush=True,
        )
    print(f"{equal} of {options.points} equal")


if __name__ == "__main__":
    main()
