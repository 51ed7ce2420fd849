"""The profile of a conversion: where its time went, and which stage waited for which."""

from collections.abc import Mapping
from dataclasses import dataclass
from time import perf_counter, process_time

from lanhdr_cli.media.background import StageTimes

NAME_WIDTH = 12


@dataclass(frozen=True, kw_only=True)
class StageProfile:
    """One stage; shares are parts of the time of its threads, 0..1.

    Args:
        busy_ms: Work per frame, of all its threads together.
        starved: Share of waiting for the stage before it.
        blocked: Share of waiting for room in front of the stages after it.
        parts_ms: What the work consists of, per frame.
    """

    name: str
    threads: int
    busy_ms: float
    busy: float
    starved: float
    blocked: float
    parts_ms: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class QueueProfile:
    """The queue of one stage: shares of its items, 0..1.

    Args:
        depth: Frames that may be under way.
        empty: Share that was waited for.
        full: Share that had to wait for room.
    """

    name: str
    depth: int
    empty: float
    full: float


@dataclass(frozen=True, kw_only=True)
class Profile:
    """The time of a conversion.

    Args:
        seconds: From the first frame's decoding to the last frame's result.
        finish_s: From there to the last file.
        cores: Processor cores that were busy on average.
    """

    frames: int
    seconds: float
    finish_s: float
    cores: float
    stages: tuple[StageProfile, ...]
    queues: tuple[QueueProfile, ...]

    def __str__(self) -> str:
        rows = [f"{'stage':<{NAME_WIDTH}}threads  ms/frame    busy  waits for input  waits for room"]
        for stage in self.stages:
            shares = f"{stage.busy:>8.1%}{stage.starved:>17.1%}{stage.blocked:>16.1%}"
            rows.append(f"{stage.name:<{NAME_WIDTH}}{stage.threads:>7}{stage.busy_ms:>10.2f}{shares}")
            rows += [f"  {name:<{NAME_WIDTH + 5}}{ms:>10.2f}" for name, ms in stage.parts_ms.items()]
        rows.append(f"{'queue of':<{NAME_WIDTH}}  depth     empty    full")
        rows += [
            f"{queue.name:<{NAME_WIDTH}}{queue.depth:>7}{queue.empty:>10.1%}{queue.full:>8.1%}" for queue in self.queues
        ]
        rows.append(
            f"{self.frames} frames in {self.seconds:.1f} s, {self.finish_s:.1f} s after the last one, "
            f"{self.cores:.2f} cores busy"
        )
        return "\n".join(rows)


class ProfileClock:
    """Measures a conversion from its making on; the stages count their own times."""

    def __init__(self) -> None:
        self._begin, self._cpu_begin = perf_counter(), process_time()
        self._last = self._begin

    @property
    def seconds(self) -> float:
        """Seconds so far."""
        return perf_counter() - self._begin

    def last_frame(self) -> None:
        """Note that no frame will follow."""
        self._last = perf_counter()

    def profile(self, frames: int, *, decoding: StageTimes, sinks: Mapping[str, StageTimes]) -> Profile:
        """Sum up.

        Args:
            frames: Number of frames written.
            decoding: Stage before the network.
            sinks: Stages after it, by name.
        """
        seconds = max(self._last - self._begin, 1e-9)
        blocked_s = sum(times.full_s for times in sinks.values())
        network_s = max(0.0, seconds - decoding.empty_s - blocked_s)

        def stage(
            name: str, times: StageTimes | None, *, busy_s: float, starved_s: float = 0.0, full_s: float = 0.0
        ) -> StageProfile:
            threads = times.threads if times else 1
            return StageProfile(
                name=name,
                threads=threads,
                busy_ms=1000 * busy_s / max(frames, 1),
                busy=busy_s / seconds / threads,
                starved=starved_s / seconds / threads,
                blocked=full_s / seconds / threads,
                parts_ms={part: 1000 * s / max(frames, 1) for part, s in times.parts.items()} if times else {},
            )

        stages = [
            stage("decode", decoding, busy_s=decoding.busy_s, full_s=decoding.full_s),
            stage("network", None, busy_s=network_s, starved_s=decoding.empty_s, full_s=blocked_s),
        ]
        for name, times in sinks.items():
            idle_s = max(0.0, seconds * times.threads - times.busy_s)
            stages.append(stage(name, times, busy_s=times.busy_s, starved_s=idle_s))
        queues = [
            QueueProfile(
                name=name,
                depth=times.depth,
                empty=times.found_empty / max(times.items, 1),
                full=times.found_full / max(times.items, 1),
            )
            for name, times in {"network": decoding, **sinks}.items()
        ]
        return Profile(
            frames=frames,
            seconds=seconds,
            finish_s=perf_counter() - self._last,
            cores=(process_time() - self._cpu_begin) / max(self.seconds, 1e-9),
            stages=tuple(stages),
            queues=tuple(queues),
        )
